"""Reads a table as people's tools write it: Excel, Kaggle, Hugging Face, im2rec, Ground Truth; rows of text with their line numbers.

Delimiter (comma, semicolon, tab, bar, spaces in a .txt or .lst), encoding (UTF-8, UTF-16 and 32, what Windows and Macs write), byte order
mark and line ends are found out. A bad line is kept aside and counted, never fatal. Refuses what is not a table at all.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from charset_normalizer import from_bytes

from contract.failure import JobFailure
from contract.foreign_json import parse
from contract.photo_set import json_table
from contract.photo_set.files import JSON, JSON_LINES, LISTS, PHOTO_ENDINGS, WORKBOOKS, File, ending
from contract.photo_set.sources import Source
from contract.photo_set.workbook import read_workbook

LARGEST_TABLE = 256 * 1024 * 1024
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
# What Windows and Macs write where it is not Unicode, by language; charset-normalizer picks the likeliest.
_LIKELY = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "mac_roman", "shift_jis", "gb18030", "big5", "euc_kr"]
_FEWEST_TO_GUESS = 32  # bytes that are not ASCII; with less, Western Windows is likelier than any guess
csv.field_size_limit(1 << 24)
_WORKBOOK = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # also under the name of a CSV: the content decides
_SEP = re.compile(r'^"?sep=."?$', re.IGNORECASE)
_WORD = re.compile(r"[^\s,;|/\\_.\"'()\[\]{}-]+")
_IN_WORDS = "\u2019\u00ad\u00b7\u2013\u2014"  # l’été, a soft hyphen, paral·lel, dashes
_CELL_ENDS = re.compile(r"[,;\t|]")
_PATH_FIRST = re.compile(rf"^(.*?\.(?:{'|'.join(sorted(PHOTO_ENDINGS))}))\s+(\S.*)$", re.IGNORECASE)


@dataclass
class Table:
    """`rows`: (line number, cells); `documents`: of JSON lines, the objects as they are. `bad`: (line number, why)."""

    file: File
    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    documents: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    bad: list[tuple[int, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)  # what a person should say yes to, where the table is used

    @property
    def name(self) -> str:
        return self.file.name


def read_table(source: Source, file: File) -> Table:
    """The table, whatever wrote it."""
    table = Table(file)
    data = _bytes(source, file)
    if file.ending in WORKBOOKS or data.startswith(_WORKBOOK):
        sheet = read_workbook(file.name, data)
        table.rows = sheet.rows
        if sheet.others:
            table.notices.append(
                f"Of the workbook {table.name} the sheet {sheet.name!r} was read, and not {', '.join(sheet.others)}."
            )
        return table
    text = _text(data, table)
    if file.ending in JSON:
        table.rows = json_table.rows_of(text)
    elif file.ending in JSON_LINES:
        _read_json_lines(text, table)
    else:
        _read_cells(text, table)
    return table


def _bytes(source: Source, file: File) -> bytes:
    try:
        data = source.read(file, LARGEST_TABLE)
    except OSError as error:
        raise JobFailure(f"dataset: the table {file.name} cannot be read ({error}); copy it again.") from None
    if len(data) > LARGEST_TABLE:
        raise JobFailure(
            f"dataset: {file.name} has more than {LARGEST_TABLE:,} bytes; no table of photos is that large."
        )
    return data


def _text(data: bytes, table: Table) -> str:
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    encoding, guessed = (marked, False) if marked else _without_mark(data)
    if encoding not in ("utf-8", "utf-8-sig"):
        shown = next((line for line in data.decode(encoding, "replace").splitlines() if not line.isascii()), "")[:60]
        table.notices.append(f"{table.name} was read as {encoding}, for example {shown!r}.")
        if guessed:
            table.doubts.append(
                f"{table.name} is not Unicode; how it was written had to be guessed ({encoding}: {shown!r}). If that is wrong, save it as "
                "CSV UTF-8."
            )
    text = data.decode(encoding, "replace").replace("\0", "")
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff"))


def _without_mark(data: bytes) -> tuple[str, bool]:
    """The encoding, and whether it is no more than a guess."""
    beginning = data[:4096]
    if beginning.count(0) > len(beginning) // 4:
        return "utf-16-le" if beginning[1::2].count(0) >= beginning[::2].count(0) else "utf-16-be", False
    try:
        data.decode("utf-8")
        return "utf-8", False
    except UnicodeDecodeError:
        pass
    if b"\r" in data and b"\n" not in data:  # only old Macs end lines so
        return "mac_roman", False
    start = data[:65536]
    few = sum(byte > 127 for byte in start) < _FEWEST_TO_GUESS
    if few and not any(map(_unlikely, start.decode("cp1252", "replace").splitlines())):
        return "cp1252", False
    best = from_bytes(start, cp_isolation=_LIKELY).best()
    return best.encoding if best else "cp1252", few or best is None


def _unlikely(line: str) -> bool:
    """Whether a line looks like another language's read as Western."""
    return any(map(_odd, _WORD.findall(line)))


def _odd(word: str) -> bool:
    """A word of accents alone (`Æóê`), with marks inside (`K„fer`), or with a large letter in the middle (`KÑfer`)."""
    if len(word) > 1 and word.isalpha() and min(word) > "\x7f" and max(word) < "\u0250":
        return True
    for at, sign in enumerate(word):
        kind, inside = unicodedata.category(sign), 0 < at < len(word) - 1
        if sign <= "\x7f" or sign in _IN_WORDS:
            continue
        if sign == "\ufffd" or kind in ("Lm", "Sk") or (inside and kind[0] not in "LMC" and kind != "So"):
            return True
        if inside and kind == "Lu" and word[at - 1].isalpha() and word[at + 1].islower():
            return True
    return False


def _read_json_lines(text: str, table: Table) -> None:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            document = parse(line)
            if not isinstance(document, dict):
                raise ValueError("not an object")
            table.documents.append((number, document))
        except ValueError as error:
            table.bad.append((number, f"not a JSON object ({error}): {line[:60]!r}"))


def _read_cells(text: str, table: Table) -> None:
    text = _unwrapped(text)
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip() and not _is_comment(line)]
    if lines and _SEP.match(lines[0][1]):  # Excel reads it, and does not show it
        text = text.replace(lines[0][1], "", 1)
        lines = lines[1:]
    delimiter = _delimiter([line for _, line in lines[:200]], table.file.ending)
    if delimiter == " ":
        table.rows = [(number, _words(line)) for number, line in lines]
    elif text.count('"') % 2:  # one stray quote would swallow the rest of the table
        table.rows = [(number, _cells_of(line, delimiter, csv.QUOTE_NONE)) for number, line in lines]
    elif '"' in text:
        table.rows = _quoted(text, delimiter, table)
    else:
        table.rows = [(number, [cell.strip() for cell in line.split(delimiter)]) for number, line in lines]


def _is_comment(line: str) -> bool:
    """`# made by me, 2020`; not `#1.jpg,cat`, nor a header whose first column is `#`."""
    if not line.startswith("#"):
        return False
    first, *more = _CELL_ENDS.split(line, maxsplit=1)
    if ending(first.strip(' "')) in PHOTO_ENDINGS or _PATH_FIRST.match(line):
        return False
    return not more or line[1:2] in (" ", "#", "!")


def _unwrapped(text: str) -> str:
    """`"1.jpg,cat"`: a program that expected another delimiter took each line for one cell, and quoted it."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    whole = [line for line in lines if len(line) > 1 and line[0] == line[-1] == '"']
    if not lines or len(whole) < len(lines):
        return text
    inside = [line[1:-1].replace('""', '"') for line in lines]
    if any(len(_cells_of(line, mark, csv.QUOTE_MINIMAL)) > 1 for line in lines[:200] for mark in ",;\t|"):
        return text
    return "\n".join(inside)


def _words(line: str) -> list[str]:
    """`my photo 1.jpg 0`: the path ends with its ending, not with its first space."""
    found = _PATH_FIRST.match(line)
    return [found[1].strip(), *found[2].split()] if found else line.split()


def _quoted(text: str, delimiter: str, table: Table) -> list[tuple[int, list[str]]]:
    rows: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return rows
        except csv.Error as error:
            table.bad.append((reader.line_num, str(error)))
            continue
        if any(cell.strip() for cell in row) and not _is_comment(",".join(row)):
            rows.append((reader.line_num, [cell.strip() for cell in row]))


def _cells_of(line: str, delimiter: str, quoting: Literal[0, 1, 2, 3]) -> list[str]:
    row = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, quoting=quoting), [])
    return [cell.strip().strip('"') for cell in row]


def _delimiter(lines: Sequence[str], end: str) -> str:
    """The one by which most lines have the same number of cells, more than one; a comma where there is only one column."""
    best, best_score = ",", (0.0, 0)
    candidates = ["\t", ",", ";", "|"] if end in LISTS or end in ("tsv", "tab") else [",", ";", "\t", "|"]
    for delimiter in candidates:
        counts = Counter(len(_cells_of(line, delimiter, csv.QUOTE_MINIMAL)) for line in lines)
        if not counts:
            continue
        cells, many = max(counts.items(), key=lambda item: (item[0] > 1, item[1]))
        if cells > 1 and (score := (many / len(lines), cells)) > best_score:
            best, best_score = delimiter, score
    if best_score[0] < 0.5 and end in (*LISTS, "txt"):
        counts = Counter(len(line.split()) for line in lines)
        cells, many = counts.most_common(1)[0] if counts else (1, 0)
        if cells > 1 and many >= 0.9 * len(lines):
            return " "
    return best
