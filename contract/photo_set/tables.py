"""Which tables of a set are read, and what they say together: classes, splits and facets of the photos that they name.

A table with labels beats folders, wherever it lies; where both differ, or two tables do, a person decides. Refused: tables that
give most photos several labels.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from contract.failure import JobFailure
from contract.photo_set import columns, folders, names
from contract.photo_set.files import DELIMITED, JSON_LINES, WORKBOOKS, File, is_table
from contract.photo_set.labels import Meaning, meaning_of
from contract.photo_set.path_index import PathIndex, stem
from contract.photo_set.questions import Asked, Layout, Placed, TwoReadings, some
from contract.photo_set.sources import Source
from contract.photo_set.splits import given_parts
from contract.photo_set.table import Table, read_table
from contract.photo_set.words import WORDS, says_nothing, split_of, tokens
from contract.photo_set.workbook import UnreadableWorkbook

MOST_TABLES = 200
MOST_NOTES = 50  # more .txt or .json files are notes of single photos, not tables


def meanings(
    source: Source, files: Sequence[File], index: PathIndex, asked: Asked, by_folder: Layout | None
) -> tuple[list[Meaning], list[Table]]:
    """The tables that speak of photos of the set, and those that do not."""
    tables = _candidates(files)
    placed = {photo.file.parts for photo in by_folder.photos} if by_folder else set()
    chosen, column = _chosen(tables, asked)
    found, quiet = [], []
    for file in tables:
        try:
            table = read_table(source, file)
        except UnreadableWorkbook as error:
            if by_folder is None or asked.labels not in ("auto", "folders"):
                raise
            quiet.append(Table(file, notices=[f"Not used, because the folders name the classes: {error}"]))
            continue
        wanted = column if file in chosen else ""
        meaning = meaning_of(table, index, asked, wanted, lambda file: file.parts not in placed)
        if meaning is None:
            quiet.append(table)
            continue
        if file not in chosen:
            meaning.has_labels = False
        found.append(meaning)
    _refuse_bad_metadata(quiet)
    return found, quiet


def _candidates(files: Sequence[File]) -> list[File]:
    """Notes of single photos are no tables: those that are called like the photo beside them, and, where there are many, the deep ones."""
    beside = {(*file.parts[:-1], stem(file.parts[-1])) for file in files if file.is_photo}
    tables = [file for file in files if is_table(file.parts[-1]) and not file.is_photo]
    tables = [file for file in tables if "submission" not in file.parts[-1].lower()]
    tables = [file for file in tables if (*file.parts[:-1], file.parts[-1].rpartition(".")[0]) not in beside]
    for end in ("txt", "json"):
        notes = [file for file in tables if file.ending == end]
        if len(notes) > MOST_NOTES:
            by_depth = Counter(len(file.parts) for file in notes)
            depths = [
                depth for depth in sorted(by_depth) if sum(n for d, n in by_depth.items() if d <= depth) <= MOST_NOTES
            ]
            tables = [file for file in tables if file.ending != end or len(file.parts) in depths]
    if len(tables) > MOST_TABLES:
        raise JobFailure(
            f"dataset: received {len(tables):,} tables ({some(f.name for f in tables)}); allowed: at most "
            f"{MOST_TABLES}."
        )
    return tables


def _chosen(tables: Sequence[File], asked: Asked) -> tuple[list[File], str]:
    """The tables whose labels count, and the column that the input names: `labels.csv`, `sub/labels.csv` or `labels.csv:breed`.

    Of train.csv and test.csv, which differ only by the part in their names, one stands for both.
    """
    if asked.labels in ("auto", "folders"):
        return list(tables), ""
    named, colon, column = asked.labels.rpartition(":")
    named = named if colon else asked.labels
    chosen = [file for file in tables if file.name == named] or [
        file for file in tables if file.name.endswith(f"/{named}")
    ]
    if not chosen:
        raise JobFailure(
            f"labels: received {asked.labels!r}; allowed: auto, folders, or one of the tables "
            f"{some(f.name for f in tables) or '(none)'}."
        )
    alike = {_without_part(file) for file in chosen}
    return [file for file in tables if file in chosen or _without_part(file) in alike], column if colon else ""


def _without_part(file: File) -> tuple[str, ...]:
    return (*(word for part in file.parts for word in tokens(part) if word not in WORDS), file.ending)


def _refuse_bad_metadata(quiet: Sequence[Table]) -> None:
    """A table that is there for the photos by its name, and names none of them, is a mistake, not a note."""
    for table in quiet:
        stem_of_table = table.file.parts[-1].rpartition(".")[0].lower()
        if (
            stem_of_table != "metadata"
            or table.file.ending not in DELIMITED | JSON_LINES | WORKBOOKS
            or len(table.rows) < 2
        ):
            continue
        header = table.rows[0][1]
        raise JobFailure(
            f"dataset: {table.name} has the columns {', '.join(header)}; one of them must be file_name, with names "
            f"of photos of this set "
            f"(its first line says {some(table.rows[1][1], 4)})."
        )


def unless_facets(labelled: list[Meaning], by_folder: Layout) -> list[Meaning]:
    """A column such as `species` beside class folders may be the class or a facet: where both differ, a person decides."""
    kept = []
    of_folder = {placed.file.parts: placed.label for placed in by_folder.photos}
    for meaning in labelled:
        differ = [said for said in meaning.said if of_folder.get(said.file.parts, said.label) != said.label]
        if meaning.surely_labels or not differ:
            kept.append(meaning)
            continue
        if _one_to_one(meaning, of_folder):  # class numbers of a list beside folders with the names
            meaning.has_labels = False
            continue
        if (
            len({_without_numbers(label) for label in of_folder.values()}) == 1
        ):  # images_001, images_002: parts of one heap
            kept.append(meaning)
            continue
        table = f"{meaning.table.name}:{meaning.column}"
        by_name = some(names.in_order(set(of_folder.values())), 4)
        raise TwoReadings(
            "labels",
            f"the folders name the classes {by_name}, and the column {meaning.column} of {meaning.table.name} may, too "
            f"({some(sorted({said.label for said in meaning.said}), 4)}).",
            {"folders": f"the folders do, and {meaning.column} is only a facet", table: "the table does"},
        )  # fmt: skip
    return kept


def _one_to_one(meaning: Meaning, of_folder: Mapping[tuple[str, ...], str]) -> bool:
    pairs = {(said.label, of_folder[said.file.parts]) for said in meaning.said if said.file.parts in of_folder}
    return len(pairs) == len({label for label, _ in pairs}) == len({folder for _, folder in pairs})


def _without_numbers(label: str) -> str:
    return re.sub(r"\d+", "", label)


def without_numbers_of_names(labelled: list[Meaning]) -> list[Meaning]:
    """A list with class numbers beside a table with the names of the same classes: the table names them, the list may name the part."""
    words = {said.file.parts: said.label for meaning in labelled if not meaning.numbered for said in meaning.said}
    kept = []
    for meaning in labelled:
        common = any(said.file.parts in words for said in meaning.said)
        if meaning.numbered and common and _one_to_one(meaning, words):
            meaning.has_labels = False
        else:
            kept.append(meaning)
    return kept


def without_guesses(labelled: list[Meaning]) -> list[Meaning]:
    """Beside a table whose column is called label, a column that was only taken because folders name no class is a facet."""
    if not any(meaning.surely_labels for meaning in labelled):
        return labelled
    for meaning in labelled:
        if columns.plain(meaning.column) not in columns.CLASS_NAMES and not meaning.surely_labels and meaning.column:
            meaning.has_labels = False
            meaning.facets.insert(0, meaning.column)
            for said in meaning.said:
                said.facets, said.label = {meaning.column: said.label, **said.facets}, ""
    return [meaning for meaning in labelled if meaning.has_labels]


def from_tables(meanings: Sequence[Meaning], photos: Sequence[File], asked: Asked, by_folder: Layout | None) -> Layout:
    layout = Layout([])
    labels: dict[tuple[str, ...], dict[str, Meaning]] = defaultdict(dict)
    placed: dict[tuple[str, ...], Placed] = {}
    for meaning in meanings:
        for said in meaning.said:
            labels[said.file.parts].setdefault(said.label, meaning)
            placed.setdefault(
                said.file.parts,
                Placed(said.file, said.label, None, number=int(said.label) if meaning.numbered else None),
            )
    _refuse_contradictions(labels, meanings, layout, placed)
    layout.photos = list(placed.values())
    named = some(meaning.table.name for meaning in meanings)
    over = [file for file in photos if file.parts not in placed and file.parts not in labels]
    if by_folder is not None and (beside := _labelled_by_folder(placed, by_folder)):
        layout.photos += beside
        named_by_folder = {photo.file.parts for photo in beside}
        over = [file for file in over if file.parts not in named_by_folder]
        layout.notices.append(
            f"{named} gives the classes of {len(placed):,} photos, and folders with the same names those of {len(beside):,} others."
        )
    layout.passed_over += [(file.name, f"not named in {named}") for file in over]
    if over:
        layout.doubt(
            f"{len(over):,} of {len(photos):,} photos are not named in {named} and are left out: "
            f"{some(f.name for f in over)}."
        )
    if any(meaning.numbered for meaning in meanings):
        _name_numbers(layout, meanings)
    if by_folder is not None:
        _compare_with_folders(layout, by_folder, named)
    parts = given_parts(layout.photos, asked)
    for photo in layout.photos:
        photo.split = parts.get(photo.file.parts)
    return layout


def _labelled_by_folder(placed: Mapping[tuple[str, ...], Placed], by_folder: Layout) -> list[Placed]:
    """Photos in class folders, where a table names only other photos, with the same classes: train/CLASS beside a list of the test."""
    if any(photo.file.parts in placed for photo in by_folder.photos):
        return []
    labels = {photo.label for photo in placed.values()}
    return by_folder.photos if labels <= {photo.label for photo in by_folder.photos} else []


def _refuse_contradictions(
    labels: Mapping[tuple[str, ...], Mapping[str, Meaning]],
    meanings: Sequence[Meaning],
    layout: Layout,
    placed: dict[tuple[str, ...], Placed],
) -> None:
    """One photo, two labels: several labels where it is the rule, else those photos are left out."""
    twice = {parts: found for parts, found in labels.items() if len(found) > 1}
    if not twice:
        return
    parts, found = next(iter(twice.items()))
    told = f"{'/'.join(parts)} is {' and '.join(names.in_order(found))}"
    tables = {meaning.table.name for found in twice.values() for meaning in found.values()}
    if len(tables) > 1:
        answers = {name: "it is right" for name in sorted(tables)}
        raise TwoReadings(
            "labels", f"{len(twice):,} photo(s) have different labels in {some(sorted(tables))} ({told}).", answers
        )
    if len(twice) > max(2, len(labels) // 50):
        raise JobFailure(
            f"dataset: {next(iter(tables))} gives {len(twice):,} photo(s) several labels in several lines "
            f"(multi-label, for example {told}); "
            "allowed: one class for each photo."
        )
    for parts in twice:
        del placed[parts]
        layout.passed_over.append(("/".join(parts), f"{next(iter(tables))} gives it two labels"))
    layout.doubt(f"{len(twice):,} photo(s) have two labels and are left out, for example {told}.")


def _name_numbers(layout: Layout, meanings: Sequence[Meaning]) -> None:
    """Where each class number has a folder of its own, the folder names the class; the number stays its place in the answer."""
    tops: dict[str, set[str]] = defaultdict(set)
    skip = folders.common_folders([photo.file for photo in layout.photos])
    for photo in layout.photos:
        inside = [part for part in photo.file.parts[skip:-1] if not split_of(part) and not says_nothing(part)]
        tops[photo.label].add(inside[0] if inside else "")
    unique = {label: next(iter(found)) for label, found in tops.items() if len(found) == 1}
    if len(unique) == len(tops) and len(set(unique.values())) == len(tops) and "" not in unique.values():
        for photo in layout.photos:
            photo.label = unique[photo.label]
    numbers = sorted({photo.number for photo in layout.photos if photo.number is not None})
    if numbers != list(range(len(numbers))):
        layout.notices.append(
            f"The class numbers {some(map(str, numbers), 8)} are not 0 to {len(numbers) - 1}, so they are not the "
            f"positions in the array answer; their order is kept."
        )


def _compare_with_folders(layout: Layout, by_folder: Layout, tables: str) -> None:
    of_folder = {placed.file.parts: placed.label for placed in by_folder.photos}
    differ = [photo for photo in layout.photos if of_folder.get(photo.file.parts, photo.label) != photo.label]
    if not differ:
        return
    first = differ[0]
    text = (
        f"The labels of {tables} are the classes, not the folders: {len(differ):,} photo(s) differ, for example "
        f"{first.file.name} is {first.label!r}. "
        'To go by the folders, set "labels": "folders".'
    )
    layout.notices.append(text)
    if {photo.label for photo in layout.photos} & set(of_folder.values()):
        layout.doubt(text)


def add_facets(layout: Layout, meanings: Sequence[Meaning]) -> None:
    columns: dict[str, None] = {}
    by_parts = {placed.file.parts: placed for placed in layout.photos}
    for meaning in meanings:
        columns |= dict.fromkeys(meaning.facets)
        for said in meaning.said:
            if said.facets and (placed := by_parts.get(said.file.parts)):
                placed.facets |= said.facets
    for placed in layout.photos:
        placed.facets = {name: placed.facets.get(name, "") for name in columns}
