"""What the steps of a run left, read piece by piece; what is not there is a Missing with its reason, never a guess."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from contract import sheet
from contract.state_file import read_state_file
from contract.validation import InvalidField

T = TypeVar("T")


@dataclass(frozen=True)
class Missing:
    """A piece that the page names as missing; false in a condition. `failed`: it should be there and could not be read."""

    reason: str
    failed: bool = False

    def __bool__(self) -> bool:
        return False


class RunInputs:
    """The folders below `/opt/ml/processing/input/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def json(self, name: str) -> dict[str, Any] | Missing:
        """A JSON object `<step>/<file>`."""
        return self._read(name, lambda path: read_state_file(path.name, path.read_bytes()))

    def table(self, name: str) -> list[dict[str, str]] | Missing:
        """The rows of a CSV file `<step>/<file>`."""

        def rows(path: Path) -> list[dict[str, str]]:
            with path.open(newline="", encoding="utf-8") as lines:
                return list(sheet.read_rows(lines))

        return self._read(name, rows)

    def _read(self, name: str, reader: Callable[[Path], T]) -> T | Missing:
        path = self.folder / name
        skipped = path.parent / "skipped.json"
        if not path.is_file() and skipped.is_file():
            reason = self._read(
                str(skipped.relative_to(self.folder)), lambda one: read_state_file(one.name, one.read_bytes())["reason"]
            )
            return reason if isinstance(reason, Missing) else Missing(f"the step was skipped: {reason}")
        if not path.is_file():
            return Missing(f"{name} was not among the inputs")
        try:
            return reader(path)
        except (ValueError, KeyError, csv.Error, OSError, InvalidField) as error:
            return Missing(f"{name} cannot be read: {error}", failed=True)
