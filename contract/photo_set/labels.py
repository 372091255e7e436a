"""What a table says about photos: for each row the photo, its class, its split, and its further columns as facets.

A bad line is left out and counted. Refused, or asked about: several labels for a photo, boxes, masks, columns of which two may be
the class, words for splits that say nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from contract.failure import JobFailure
from contract.photo_set import columns, manifest_lines
from contract.photo_set.files import JSON_LINES, LISTS, PHOTO_ENDINGS, File, ending
from contract.photo_set.header import header_and_body
from contract.photo_set.path_index import PathIndex
from contract.photo_set.questions import Asked, some
from contract.photo_set.table import Table
from contract.photo_set.words import part_of_list, split_of
from contract.photo_set.workbook import Unshown

SAMPLE = 400  # rows by which the columns are told apart
LONGEST_NUMBER = 15  # digits; what is longer is a name


@dataclass
class Said:
    """One row: `line` of the table, the photo it means, what it says; empty texts where it says nothing."""

    line: int
    file: File
    label: str = ""
    split: str = ""
    facets: dict[str, str] = field(default_factory=dict)


@dataclass
class Meaning:
    """One table; `unfound`: paths that are no photo of the set; `bad`: lines that say nothing usable."""

    table: Table
    said: list[Said] = field(default_factory=list)
    has_labels: bool = False
    has_splits: bool = False
    surely_labels: bool = True  # by the column's name; else `species` beside class folders may be a facet
    column: str = ""
    numbered: bool = False  # the label column holds class numbers
    facets: list[str] = field(default_factory=list)
    unfound: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    bad: list[tuple[int, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def meaning_of(
    table: Table,
    index: PathIndex,
    asked: Asked,
    wanted: str = "",
    unplaced: Callable[[File], bool] = lambda file: False,
) -> Meaning | None:
    """None: the table is not about the photos of the set. `wanted`: the column that the input names.

    `unplaced`: whether no folder names the class of a photo. A table of such photos is taken to have the classes even where no
    column says so by its name.
    """
    if table.file.ending in JSON_LINES:
        if not table.documents and not table.bad:
            return None
        manifest_lines.flatten(table, wanted)
    if not table.rows:
        return Meaning(table, bad=list(table.bad)) if table.bad else None
    if table.file.ending in LISTS:
        return _of_list(table, index)
    sample = _spread([row for _, row in table.rows])
    near, part = table.file.parts[:-1], part_of_list(table.file.parts[-1].rpartition(".")[0])

    def find(cell: str) -> list[File]:
        return index.find(cell, near, part)

    at_file = columns.file_column(table.rows[0][1], sample, find)
    if at_file is None:
        return None
    first = next(
        n for n, (_, row) in enumerate(table.rows)
        if at_file < len(row) and (find(row[at_file]) or ending(row[at_file]) in PHOTO_ENDINGS)
    )  # fmt: skip
    header, body = header_and_body(table, at_file, first)
    named = [files[0] for row in sample if at_file < len(row) and (files := find(row[at_file]))]
    needed = sum(map(unplaced, named)) * 2 > len(named)
    return _Reader(table, index, asked, wanted, header, body, at_file, needed).read()


def _spread(rows: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    return (
        rows if len(rows) <= SAMPLE else [*rows[: SAMPLE // 2], *rows[SAMPLE // 2 :: max(1, len(rows) * 2 // SAMPLE)]]
    )


class _Reader:
    """One table with its columns."""

    def __init__(
        self, table: Table, index: PathIndex, asked: Asked, wanted: str, header: Sequence[str], body: Sequence[tuple[int, list[str]]],
        at_file: int, needed: bool,
    ) -> None:  # fmt: skip
        self.table, self.index, self.asked, self.header, self.body, self.at_file = (
            table,
            index,
            asked,
            header,
            body,
            at_file,
        )
        self.meaning = Meaning(table, bad=list(table.bad), notices=list(table.notices))
        self.cells = [row for _, row in body]
        self.width = max([len(header), *map(len, self.cells)])
        self.by_hand = bool(wanted)
        free = [
            at for at in range(self.width) if at != at_file and any(at < len(row) and row[at] for row in self.cells)
        ]
        if header and not wanted and asked.labels != "folders":
            columns.refuse_other_tasks(table.name, header)
        self.at_split = columns.split_column(header, self.cells, at_file)
        free = [at for at in free if at != self.at_split]
        self.flags, self.at_label = None, None
        if wanted:
            self.at_label = self._wanted(wanted)
        elif asked.labels != "folders":
            self.at_label = columns.label_column(table.name, header, free, self.cells, False)
            if self.at_label is None and header and (needed or "classes" in table.file.parts[-1].lower()):
                self.flags = columns.one_hot(
                    table.name, header, free, [row for row in self.cells if len(row) > max(free, default=0)]
                )
            if self.at_label is None and not self.flags and needed:
                self.at_label = columns.label_column(table.name, header, free, self.cells, True)
        taken = {self.at_label, *(self.flags or ())}
        self.facets = {at: header[at] for at in free if header and at not in taken and at < len(header) and header[at]}
        self.settled = dict(asked.splits) if isinstance(asked.splits, Mapping) else {}

    def _wanted(self, name: str) -> int:
        for at in range(self.width):
            if (self.header and at < len(self.header) and self.header[at] == name) or (
                not self.header and name == str(at + 1)
            ):
                return at
        raise JobFailure(
            f"labels: received {self.asked.labels!r}, but {self.table.name} has no column {name!r}; it has "
            f"{some(self.header or [str(at + 1) for at in range(self.width)], 20)}."
        )

    def read(self) -> Meaning:
        unknown: Counter[str] = Counter()
        stem = part_of_list(self.table.file.parts[-1].rpartition(".")[0])
        for line, row in self.body:
            if len(row) <= self.at_file or not row[self.at_file]:
                self.meaning.bad.append((line, "no name of a photo"))
                continue
            found = self.index.find(row[self.at_file], self.table.file.parts[:-1], stem)
            if len(found) > 1:
                found = self._in_their_part(found, row)
            if len(found) != 1:
                (self.meaning.unclear if found else self.meaning.unfound).append(row[self.at_file])
                continue
            said = Said(
                line, found[0], facets={name: row[at] if at < len(row) else "" for at, name in self.facets.items()}
            )
            try:
                said.label, said.split = self._label(row), self._split(row)
            except ValueError as error:
                unknown[str(error)] += 1
                continue
            if (self.at_label is not None or self.flags) and not said.label:
                self.meaning.bad.append((line, f"no label for {row[self.at_file]}"))
                continue
            self.meaning.said.append(said)
        if unknown:
            raise self._unknown_parts(unknown)
        self.meaning.has_labels = self.at_label is not None or bool(self.flags)
        self.meaning.has_splits = self.at_split is not None
        if self.at_label is not None:
            self.meaning.column = self._column(self.at_label)
            self.meaning.surely_labels = self.by_hand or columns.plain(self.meaning.column) in columns.SURELY_LABEL
        self.meaning.facets = list(self.facets.values())
        self._check_labels()
        return self.meaning

    def _in_their_part(self, found: list[File], row: Sequence[str]) -> list[File]:
        """Of train/0.png and test/0.png the one in the part that the row says."""
        part = split_of(row[self.at_split]) if self.at_split is not None and self.at_split < len(row) else None
        return [file for file in found if part in map(split_of, file.parts[:-1])] or found if part else found

    def _label(self, row: Sequence[str]) -> str:
        if self.flags:
            return next((self.header[at] for at in self.flags if at < len(row) and row[at] in ("1", "1.0")), "")
        return row[self.at_label] if self.at_label is not None and self.at_label < len(row) else ""

    def _split(self, row: Sequence[str]) -> str:
        if self.at_split is None or self.at_split >= len(row) or self.asked.splits == "draw":
            return ""
        return columns.split_value(self.table.name, self._column(self.at_split), row[self.at_split], self.settled) or ""

    def _column(self, at: int) -> str:
        return self.header[at] if at < len(self.header) else str(at + 1)

    def _unknown_parts(self, unknown: Counter[str]) -> JobFailure:
        column = self._column(self.at_split) if self.at_split is not None else ""
        told = ", ".join(f"{value!r} ({count:,})" for value, count in unknown.most_common(8))
        parts = (
            ("train", "test") if len(unknown) > 1 else ("test",)
        )  # the most frequent word is likeliest the one for training
        example = ", ".join(
            f'"{value}": "{part}"' for (value, _), part in zip(unknown.most_common(), parts, strict=False)
        )
        return JobFailure(
            f"dataset: the column {column} of {self.table.name} has {told}, which says neither train, validation nor "
            f"test. Say what is meant: "
            f'"splits": {{{example}}} (each train, validation, test or ignore), or "splits": "draw" to draw the '
            f"parts anew."
        )

    def _check_labels(self) -> None:
        if not self.meaning.has_labels:
            return
        several = []
        unshown = [(said.line, said.label) for said in self.meaning.said if isinstance(said.label, Unshown)]
        if unshown:
            raise _not_text(self.table.name, self.meaning.column, unshown)
        for said in self.meaning.said:
            value = columns.single(said.label)
            if isinstance(value, list):
                several.append(said.label)
            else:
                said.label = value
        if several:
            raise columns.several_labels(self.table.name, len(several), several[0])
        counts = Counter(said.label for said in self.meaning.said)
        if not self.by_hand and (example := columns.looks_multi(counts)):
            raise columns.several_labels(
                self.table.name, sum(counts[v] for v in counts if len(v) >= len(example)), repr(example)
            )
        self.meaning.numbered = all(
            len(label) <= LONGEST_NUMBER and label.removesuffix(".0").isdecimal() for label in counts
        )
        if self.meaning.numbered and any("." in label for label in counts):
            for said in self.meaning.said:
                said.label = said.label.removesuffix(".0")


def _not_text(table: str, column: str, unshown: Sequence[tuple[int, Unshown]]) -> JobFailure:
    line, cell = unshown[0]
    return JobFailure(
        f"dataset: in {len(unshown):,} row(s) of {table} the class (column {column}) is not a text, for example in row {line}: "
        f"{cell.what}, {str(cell)!r}. How it is shown depends on the computer; allowed: text and plain numbers. Give the column "
        "the format Text, write the names of the classes again, or save the sheet as CSV (UTF-8) and remove the workbook."
    )


def _of_list(table: Table, index: PathIndex) -> Meaning:
    """MXNet's list: number, class number, path; more numbers are several labels or boxes."""
    meaning = Meaning(table, bad=list(table.bad), notices=list(table.notices), has_labels=True, numbered=True)
    stem = part_of_list(table.file.parts[-1].rpartition(".")[0])
    wide = [row for _, row in table.rows if len(row) > 3 and all(map(columns.is_number, row[:3]))]
    if wide and len(wide) * 2 > len(table.rows):
        raise JobFailure(
            f"dataset: {table.name} has {len(wide):,} lines with several numbers for a photo, for example "
            f"{some(wide[0], 8)}: several labels "
            "(multi-label) or boxes (object detection); allowed: number, class, path between tabs."
        )
    for line, row in table.rows:
        if len(row) == 2:  # class and path, without the number
            row = ["", *row]
        if len(row) < 3 or _class_number(row[1]) is None:
            meaning.bad.append((line, f"not number, class, path between tabs: {' '.join(row)[:60]!r}"))
            continue
        path = " ".join(row[2:])
        found = index.find(path, table.file.parts[:-1], stem)
        if len(found) == 1:
            meaning.said.append(Said(line, found[0], str(_class_number(row[1]))))
        else:
            (meaning.unclear if found else meaning.unfound).append(path)
    return meaning


def _class_number(text: str) -> int | None:
    """im2rec writes class 1 as 1.000000; None for what is not a whole number."""
    number = float(text) if columns.is_number(text) else math.nan
    return int(number) if number.is_integer() and abs(number) < 10**LONGEST_NUMBER else None
