"""Small JSON files of the state directory: written whole under another name, then renamed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """The content of a JSON file; ValueError names the file when it is damaged."""
    try:
        return json.loads(path.read_text())
    except ValueError as fault:
        raise ValueError(f"{path} is not JSON ({fault}). Put back a copy of it or remove it.") from fault


def write_json(path: Path, value: Any, mode: int = 0o600) -> None:
    """Write `value` so that a reader sees the old file or the new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with open(partial, "w", opener=lambda name, flags: os.open(name, flags, mode)) as out:
        json.dump(value, out, indent=2)
    os.replace(partial, path)
