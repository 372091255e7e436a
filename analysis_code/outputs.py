"""What jobs of this image leave for other programs: JSON, written whole, without NaN (which is no JSON)."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from contract.whole_file import whole_file


def write_json(path: Path, document: Any) -> None:
    with whole_file(path) as temporary:
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
        temporary.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")
