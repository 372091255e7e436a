"""The whole reading: tables and folders together give each photo its class, split and facets, or the run stops with what to decide.

A table with labels beats folders, wherever it lies. Splits that were given are kept, all of them. Whatever is not used is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from contract.failure import JobFailure
from contract.photo_set import copies, masks, names, notes, other_tasks, tables
from contract.photo_set.files import PACKS, RAW_ENDINGS, UNREAD_TABLES, WORKBOOKS, File
from contract.photo_set.folder_pattern import NoClasses, names_in_files
from contract.photo_set.folders import place_by_folder
from contract.photo_set.labels import Meaning
from contract.photo_set.path_index import PathIndex
from contract.photo_set.questions import Asked, Layout, TwoReadings, some
from contract.photo_set.sources import Source
from contract.photo_set.splits import id_lists, settle_splits, take_parts
from contract.photo_set.table import Table


def read_set(source: Source, files: Sequence[File], asked: Asked | None = None) -> Layout:
    """Every photo that has a class, and everything that a person should know about the rest."""
    asked = asked or Asked()
    photos = [file for file in files if file.is_photo]
    if not photos:
        raise JobFailure(_no_photo(files))
    other_tasks.refuse_voc(files, asked)
    first = Layout([])
    photos = list(copies.without_copies(photos, first, lambda a, b: source.read(a) == source.read(b)))
    if asked.layout == "auto":
        photos = masks.without_masks(photos, first)
    by_folder, failure = _by_folder(photos, asked)
    index = PathIndex(photos)
    found, quiet = tables.meanings(source, files, index, asked, by_folder)
    labelled = [meaning for meaning in found if meaning.has_labels and meaning.said]
    if asked.labels == "folders":
        labelled = []
    labelled = tables.without_guesses(tables.without_numbers_of_names(labelled))
    if labelled and by_folder is not None:
        labelled = tables.unless_facets(labelled, by_folder)
    layout = tables.from_tables(labelled, photos, asked, by_folder) if labelled else by_folder
    if layout is None:
        assert failure is not None
        raise _explained(failure, source, files, first, found, quiet)
    layout.notices[:0] = first.notices
    layout.passed_over[:0] = first.passed_over
    for doubt in first.doubts:
        layout.doubt(doubt)
    take_parts(layout, found, labelled, asked)
    id_lists(source, files, layout, index, asked)
    tables.add_facets(layout, found)
    layout.notices += [notice for table in quiet for notice in table.notices if table.file.ending in WORKBOOKS]
    notes.tell(layout, source, files, found)
    _name_classes(layout, asked)
    settle_splits(layout, asked)
    return layout


def _by_folder(photos: Sequence[File], asked: Asked) -> tuple[Layout | None, JobFailure | None]:
    """What the folders alone say, or why they say nothing; a question is only put where no table answers it."""
    try:
        layout = place_by_folder(photos, asked)
    except (NoClasses, TwoReadings, JobFailure) as failure:
        return None, failure
    if len({photo.label for photo in layout.photos}) > 1:
        return layout, None
    only = layout.photos[0].label
    hint = (
        f' The file names seem to name classes ({some(found)}): if so, set "layout": "name".'
        if (found := names_in_files(photos))
        else ""
    )
    return None, NoClasses(
        f"dataset: received one class, {only!r}, with {len(layout.photos)} photos; allowed: at least two. Put the "
        f"photos of each class into a "
        f"folder of its own, or add a metadata.csv with the columns file_name and label.{hint}"
    )


def _name_classes(layout: Layout, asked: Asked) -> None:
    labels = {photo.label for photo in layout.photos}
    numbered = {photo.label: photo.number for photo in layout.photos if photo.number is not None}
    if len(numbered) == len(labels):
        layout.classes = sorted(labels, key=lambda label: (numbered[label], label))
        return
    if short := names.without_running_numbers(labels):
        for photo in layout.photos:
            photo.label = short[photo.label]
        layout.notices.append("The numbers in front of the class names are left out.")
    layout.alike = names.alike(photo.label for photo in layout.photos)
    if layout.alike and asked.alike_names == "merge":
        into = {label: group[0].strip() for group in layout.alike for label in group}
        for photo in layout.photos:
            photo.label = into.get(photo.label, photo.label)
        told = "; ".join(" = ".join(map(repr, group)) for group in layout.alike)
        layout.notices.append(f"Class names that differ only by case or spaces were merged: {told}.")
        layout.alike = []
    for group in layout.alike:
        layout.doubt(
            f"{' and '.join(map(repr, group))} differ only by case{names.copied(group)} or spaces and are {len(group)} classes; "
            'to make one of them, set "alike_names": "merge".'
        )
    layout.notices += [doubt for doubt in layout.doubts if "differ only by case" in doubt]
    if odd := names.doubtful(photo.label for photo in layout.photos):
        layout.notices.append(
            f"{some(map(repr, odd))}: such a name is hardly meant as a class, but its photos would be learnt as one. "
            "Move them away, or go on."
        )
        layout.doubt(layout.notices[-1])
    present = {photo.label for photo in layout.photos}
    # The numbers are left out of the names; their order is what the user gave.
    numbers = [short[label] for label in names.in_order(labels)] if short else []
    layout.classes = numbers if set(numbers) == present else names.in_order(present)


def _no_photo(files: Sequence[File]) -> str:
    seen = Counter(f".{file.ending}" if file.ending else "files without ending" for file in files).most_common(4)
    other = f" It holds {', '.join(f'{count} {name}' for name, count in seen)} files." if seen else ""
    kinds = {file.ending for file in files}
    packed = kinds & (PACKS | {"pkl"})
    advice = f" Photos inside of .{', .'.join(sorted(packed))} are not read: unpack or export them." if packed else ""
    if raw := sorted(kinds & RAW_ENDINGS):
        advice += f" Pictures of the kinds .{', .'.join(raw)} are not read: save them as JPEG or PNG."
    if "parquet" in packed:
        advice += " For Parquet, as Hugging Face stores sets, docs/data.md has a program that writes the photos into a folder per class."
    return f"dataset: no photo was found.{other}{advice} Allowed: JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF and HEIC in a folder per class."


def _first_line(quiet: Sequence[Table]) -> str:
    rows = next((table.rows for table in quiet if len(table.rows) > 1), None)
    return f" (the cells of its line {rows[1][0]}: {some(map(repr, rows[1][1]), 4)})" if rows else ""


def _may_be_table(file: File) -> bool:
    known = file.ending in UNREAD_TABLES or file.parts[-1].lower().endswith((".csv.gz", ".csv.zip"))
    return known or (not file.is_photo and not file.ending)


def _explained(
    failure: JobFailure,
    source: Source,
    files: Sequence[File],
    first: Layout,
    meanings: Sequence[Meaning],
    quiet: Sequence[Table],
) -> JobFailure:
    """Why there is no class, with what lies beside the photos: boxes of single photos, tables that name none of them."""
    if isinstance(failure, TwoReadings):
        return failure
    if other := other_tasks.boxes_beside(files) or other_tasks.coco(source, files):
        return other
    text = str(failure)
    if first.doubts:
        text += f" {' '.join(first.doubts)}"
    for name, bad in (*((meaning.table.name, meaning.bad) for meaning in meanings), *((t.name, t.bad) for t in quiet)):
        if bad:
            line, why = bad[0]
            text += f" {name}: {len(bad):,} line(s) cannot be used, for example line {line}: {why}."
    if unread := [file.name for file in files if _may_be_table(file)]:
        text += (
            f" Not read: {some(unread)}. If the classes are there, save them as CSV with the columns file_name and label"
            f"{' (docs/data.md shows how to write photos out of Parquet)' if any('.parquet' in one for one in unread) else ''}."
        )
    if quiet:
        text += f" No line of {some(table.name for table in quiet)} names a photo of this set by its file name{_first_line(quiet)}."
    unclear = [meaning for meaning in meanings if meaning.unclear]
    if unclear:
        examples = some((path for meaning in unclear for path in meaning.unclear), 3)
        named = some(meaning.table.name for meaning in unclear)
        text += f" What {named} names may be several photos ({examples}): write their folders and endings, too (train/1.jpg)."
    if plain := [meaning.table.name for meaning in meanings if not meaning.has_labels]:
        text += f" {some(plain)} has no column that names a class (label)."
    return NoClasses(text)
