"""A file is written whole or not at all: a job that is stopped midway leaves nothing that looks finished.

What is half-written has a name that begins with a dot, and no reader takes such a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(path: Path, *, on_disk: bool = False) -> Iterator[Path]:
    """A path to write to, which becomes `path` when the block ends and is removed when it fails; folders are made.

    `on_disk`: the content is brought to the disk before the name, so that a machine that loses power has the old file or the new.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process's own: two that write the same file must not write into each other's. The suffix stays last, NumPy would add one.
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        if on_disk:
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """For people and programs: indented, as UTF-8, never NaN, which JSON does not know. NumPy's numbers are numbers."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")
