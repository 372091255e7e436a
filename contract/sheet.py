"""CSV files that people open in a spreadsheet program and our own jobs read back: one writer, one reader.

Names of classes, files and facets are anybody's text. A spreadsheet program runs a cell that begins with `=`, `+`, `-` or `@`,
and one that splits at `;` runs what follows a `;`, too. The writer puts a `'` in front of such a place, the reader takes it away
again, so that every text comes back as it was; a number stays a number. Tables for other people's programs (Clarify's) are
written without this.
https://owasp.org/www-community/attacks/CSV_Injection
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, TextIO

_PASSED_OVER: Final = r"(?:[\"'\ufeff\0]|[^\S\t\r\n])*"
_RUNS: Final = r"=+\-@\uff1d\uff0b\uff0d\uff20"  # some programs read the signs of full width as the others
_NUMBER: Final = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z"
# No mark changes whether its own place or another one matches: therefore `plain` finds exactly the marks that `marked` made.
_PLACE: Final = (
    rf"(?:\A(?={_PASSED_OVER}[{_RUNS}\t\r\n])|(?<=[;|\t\r\n])(?={_PASSED_OVER}[{_RUNS}]))(?!{_PASSED_OVER}{_NUMBER})"
)
_UNMARKED: Final = re.compile(_PLACE)
_MARKED: Final = re.compile(f"{_PLACE}'")


def marked(cell: Any) -> Any:
    """A cell that no spreadsheet program runs; what is not text stays as it is."""
    return _UNMARKED.sub("'", cell) if isinstance(cell, str) else cell


def plain(cell: Any) -> Any:
    """The text that `marked` was given."""
    return _MARKED.sub("", cell) if isinstance(cell, str) else cell


def write_rows(stream: TextIO, rows: Iterable[Iterable[Any]]) -> None:
    """The header is a row like the others."""
    csv.writer(stream).writerows([marked(cell) for cell in row] for row in rows)


def read_rows(stream: TextIO) -> Iterator[dict[str, str]]:
    """As csv.DictReader gives them, without the marks."""
    for row in csv.DictReader(stream):
        yield {plain(name): plain(cell) for name, cell in row.items()}
