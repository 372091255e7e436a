"""Reads an Excel workbook as rows of text, each cell as Excel shows it, so that `01` in a column of text stays `01`.

How Excel shows a date depends on the language of the computer and is not in the file: such a cell is an `Unshown`, which is good
enough for a facet and never for a class. Refused: damaged and encrypted workbooks, and those that unpack to more than a table of photos
can be.
"""

from __future__ import annotations

import datetime
import io
import re
import unicodedata
import warnings
import zipfile
from dataclasses import dataclass, field
from typing import Any

from contract.failure import JobFailure

LARGEST_SHEETS = 64 * 1024 * 1024  # unpacked, with the texts that cells share
LARGEST_REST = 16 * 1024 * 1024  # styles and the like, which are read as a whole
MOST_CELLS = 5_000_000  # a row that is left out counts as one
_SHEETS = ("xl/worksheets/", "xl/sharedstrings")
_OLE = b"\xd0\xcf\x11\xe0"  # Excel 97, and every encrypted workbook
_ZEROS = re.compile(r"0+(\.0+)?")


class UnreadableWorkbook(JobFailure):
    """Says what to do; a workbook beside class folders is no reason to stop."""


class Unshown(str):
    """A cell's value in words of ours; `what` it is, where the file does not say how Excel shows it."""

    what = ""

    @classmethod
    def of(cls, text: str, what: str) -> Unshown:
        cell = cls(text)
        cell.what = what
        return cell


@dataclass
class Sheet:
    """`rows`: (row number, cells). `others`: sheets that are not read."""

    name: str
    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def read_workbook(name: str, data: bytes) -> Sheet:
    """The first sheet that is not hidden."""
    if data.startswith(_OLE):
        raise _unreadable(name, "it is encrypted, or a workbook of Excel 97")
    _refuse_bomb(name, data)
    try:
        return _read(name, data)
    except JobFailure:
        raise
    except Exception as error:  # a damaged workbook raises whatever zipfile, an XML parser or a missing part does
        why = " ".join(str(error).split())[:120]
        raise _unreadable(name, f"{type(error).__name__}: {why}") from None


def _unreadable(name: str, why: str) -> UnreadableWorkbook:
    return UnreadableWorkbook(
        f"dataset: the workbook {name} cannot be read ({why}); open it in Excel, save its sheet as CSV (UTF-8) and remove the workbook."
    )


def _refuse_bomb(name: str, data: bytes) -> None:
    """By the sizes that the archive states: zipfile never unpacks more of a member than its stated size."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except Exception as error:  # BadZipFile, struct.error, …
        raise _unreadable(name, f"it is not a zip as workbooks are: {error}") from None
    sheets = rest = 0
    for member in members:
        if member.filename.lower().startswith(_SHEETS):
            sheets += member.file_size
        elif member.filename.lower().endswith((".xml", ".rels", ".vml")):
            rest += member.file_size
    for size, most, what in ((sheets, LARGEST_SHEETS, "sheets"), (rest, LARGEST_REST, "styles and notes")):
        if size > most:
            raise _unreadable(name, f"its {what} unpack to {size:,} bytes; allowed: at most {most:,}")


def _read(name: str, data: bytes) -> Sheet:
    from openpyxl import load_workbook

    with warnings.catch_warnings():  # openpyxl says what it would lose in writing
        warnings.simplefilter("ignore")
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        try:
            shown = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"] or book.worksheets
            if not shown:
                raise _unreadable(name, "it has no sheet with cells")
            found = Sheet(shown[0].title, others=[sheet.title for sheet in book.worksheets if sheet is not shown[0]])
            found.rows = _rows(name, shown[0])
            return found
        finally:
            book.close()


def _rows(name: str, sheet: Any) -> list[tuple[int, list[str]]]:
    sheet.reset_dimensions()  # what the file says of its size may be anything
    rows, cells = [], 0
    for number, row in enumerate(sheet.iter_rows(), 1):
        cells += 1 + len(row)
        if cells > MOST_CELLS:
            raise _unreadable(
                name, f"row {number:,} is beyond {MOST_CELLS:,} cells, and no table of photos is that large"
            )
        texts = [_text(cell) for cell in row]
        while texts and not texts[-1]:
            texts.pop()
        if texts:
            rows.append((number, texts))
    return rows


def _text(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "e":
        return Unshown.of(str(value), "an error of a formula")
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return _number(value, cell.number_format or "General")
    if isinstance(value, datetime.datetime | datetime.date | datetime.time | datetime.timedelta):
        text = str(value).removesuffix(" 00:00:00")
        return Unshown.of(text, "a time" if isinstance(value, datetime.time | datetime.timedelta) else "a date")
    return unicodedata.normalize("NFC", str(value)).strip()


def _number(value: float, shown_as: str) -> str:
    """General, and formats of zeros (`00`, `0.00`), are what they say; another one (%, currency) is not guessed."""
    if _ZEROS.fullmatch(shown_as):
        before, _, after = shown_as.partition(".")
        digits = f"{abs(value):.{len(after)}f}".zfill(len(shown_as) if after else len(before))
        return f"-{digits}" if value < 0 else digits
    plain = str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.10g}"
    if isinstance(value, int):
        plain = str(value)
    if shown_as in ("General", "@"):
        return plain
    return Unshown.of(plain, f"a number with the format {shown_as[:40]}")
