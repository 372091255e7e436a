"""What the steps of a run left, read piece by piece; what is not there is a Missing with its reason, never a guess."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Missing:
    """A piece that the page names as missing; false in a condition."""

    reason: str

    def __bool__(self) -> bool:
        return False


class RunInputs:
    """The folders below `/opt/ml/processing/input/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def json(self, name: str) -> dict[str, Any] | Missing:
        """A JSON object `<step>/<file>`."""
        return self._read(name, lambda path: _object(json.loads(path.read_text(encoding="utf-8"))))

    def table(self, name: str) -> list[dict[str, str]] | Missing:
        """The rows of a CSV file `<step>/<file>`."""

        def rows(path: Path) -> list[dict[str, str]]:
            with path.open(newline="", encoding="utf-8") as lines:
                return list(csv.DictReader(lines))

        return self._read(name, rows)

    def _read(self, name: str, reader: Callable[[Path], T]) -> T | Missing:
        path = self.folder / name
        skipped = path.parent / "skipped.json"
        if not path.is_file() and skipped.is_file():
            reason = self._read(
                str(skipped.relative_to(self.folder)), lambda one: json.loads(one.read_text())["reason"]
            )
            return Missing(f"the step was skipped: {reason}" if isinstance(reason, str) else "the step was skipped")
        if not path.is_file():
            return Missing(f"{name} was not among the inputs")
        try:
            return reader(path)
        except (ValueError, KeyError, csv.Error, OSError) as error:
            return Missing(f"{name} cannot be read: {error}")


def _object(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise ValueError(f"it holds a {type(document).__name__}, not an object")
    return document
