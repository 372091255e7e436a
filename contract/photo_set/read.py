"""The whole reading: tables and folders together give each photo its class, split and facets, or the run stops with what to decide.

A table with labels beats folders, wherever it lies. Splits that were given are kept, all of them. Whatever is not used is named.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from contract.failure import JobFailure
from contract.photo_set import folders, names, other_tasks
from contract.photo_set.files import DELIMITED, JSON_LINES, TABLE_ENDINGS, WORKBOOKS, File
from contract.photo_set.folders import NoClasses, names_in_files, place_by_folder
from contract.photo_set.labels import Meaning, meaning_of
from contract.photo_set.path_index import PathIndex
from contract.photo_set.questions import Asked, Layout, Placed, TwoReadings, some
from contract.photo_set.sources import LEFT_BEHIND, Source
from contract.photo_set.splits import given_parts, id_lists, settle_splits, take_parts
from contract.photo_set.table import Table, read_table
from contract.photo_set.words import says_nothing, split_of
from contract.photo_set.workbook import UnreadableWorkbook

MOST_TABLES = 200
MOST_TEXTS = 50  # more .txt files are notes of single photos, not tables


def read_set(source: Source, files: Sequence[File], asked: Asked | None = None) -> Layout:
    """Every photo that has a class, and everything that a person should know about the rest."""
    asked = asked or Asked()
    photos = [file for file in files if file.is_photo]
    if not photos:
        raise JobFailure(_no_photo(files))
    other_tasks.refuse_voc(files, asked)
    first = Layout([])
    photos = list(folders.without_copies(photos, first, lambda a, b: source.read(a) == source.read(b)))
    by_folder, failure = _by_folder(photos, asked)
    index = PathIndex(photos)
    meanings, quiet = _meanings(source, files, index, asked, needed=by_folder is None)
    labelled = [meaning for meaning in meanings if meaning.has_labels and meaning.said]
    if asked.labels == "folders":
        labelled = []
    if labelled and by_folder is not None:
        labelled = _unless_facets(labelled, by_folder)
    layout = _from_tables(labelled, photos, asked, by_folder) if labelled else by_folder
    if layout is None:
        assert failure is not None
        raise _explained(failure, source, files, meanings, quiet)
    layout.notices[:0] = first.notices
    layout.passed_over[:0] = first.passed_over
    take_parts(layout, meanings, labelled, asked)
    id_lists(source, files, layout, index, asked)
    _add_facets(layout, meanings)
    layout.notices += [notice for table in quiet for notice in table.notices if table.file.ending in WORKBOOKS]
    _tell(layout, source, files, meanings, photos)
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


def _meanings(
    source: Source, files: Sequence[File], index: PathIndex, asked: Asked, needed: bool
) -> tuple[list[Meaning], list[Table]]:
    """The tables that speak of photos of the set, and those that do not."""
    texts = sum(file.ending == "txt" for file in files)
    tables = [
        file
        for file in files
        if file.ending in TABLE_ENDINGS and not file.is_photo and (file.ending != "txt" or texts <= MOST_TEXTS)
    ]
    tables = [file for file in tables if "submission" not in file.parts[-1].lower()]
    if len(tables) > MOST_TABLES:
        raise JobFailure(
            f"dataset: received {len(tables):,} tables ({some(f.name for f in tables)}); allowed: at most "
            f"{MOST_TABLES}."
        )
    named, colon, _ = asked.labels.rpartition(":")
    named = named if colon else asked.labels
    if named not in ("auto", "folders", "") and not any(file.name.endswith(named) for file in tables):
        raise JobFailure(
            f"labels: received {asked.labels!r}; allowed: auto, folders, or one of the tables "
            f"{some(f.name for f in tables) or '(none)'}."
        )
    found, quiet = [], []
    for file in tables:
        chosen = named in ("auto", "folders") or file.name.endswith(named)
        try:
            table = read_table(source, file)
        except UnreadableWorkbook as error:
            if needed or (chosen and named not in ("auto", "folders")):
                raise
            quiet.append(Table(file, notices=[f"Not used, because the folders name the classes: {error}"]))
            continue
        meaning = meaning_of(table, index, asked, needed and chosen)
        if meaning is None:
            quiet.append(table)
            continue
        if not chosen:
            meaning.has_labels = False
        found.append(meaning)
    _refuse_bad_metadata(quiet)
    return found, quiet


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


def _unless_facets(labelled: list[Meaning], by_folder: Layout) -> list[Meaning]:
    """A column such as `species` beside class folders may be the class or a facet: where both differ, a person decides."""
    kept = []
    of_folder = {placed.file.parts: placed.label for placed in by_folder.photos}
    for meaning in labelled:
        differ = [said for said in meaning.said if of_folder.get(said.file.parts, said.label) != said.label]
        if meaning.surely_labels or not differ:
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


def _from_tables(meanings: Sequence[Meaning], photos: Sequence[File], asked: Asked, by_folder: Layout | None) -> Layout:
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


def _add_facets(layout: Layout, meanings: Sequence[Meaning]) -> None:
    columns: dict[str, None] = {}
    by_parts = {placed.file.parts: placed for placed in layout.photos}
    for meaning in meanings:
        columns |= dict.fromkeys(meaning.facets)
        for said in meaning.said:
            if said.facets and (placed := by_parts.get(said.file.parts)):
                placed.facets |= said.facets
    for placed in layout.photos:
        placed.facets = {name: placed.facets.get(name, "") for name in columns}


def _tell(
    layout: Layout, source: Source, files: Sequence[File], meanings: Sequence[Meaning], photos: Sequence[File]
) -> None:
    """A line for whatever was not used."""
    for meaning in meanings:
        name = meaning.table.name
        layout.notices += meaning.notices
        if meaning.bad:
            line, why = meaning.bad[0]
            text = f"{name}: {len(meaning.bad):,} line(s) left out, for example line {line}: {why}."
            layout.notices.append(text)
            if len(meaning.bad) > len(meaning.said):
                raise JobFailure(f"dataset: most lines of {name} cannot be used. {text}")
            layout.doubt(text)
        if meaning.unfound:
            layout.passed_over += [(path, f"named in {name}, but not in the data set") for path in meaning.unfound]
            layout.notices.append(
                f"{name} names {len(meaning.unfound):,} file(s) that are not among the photos: {some(meaning.unfound)}."
            )
            layout.doubt(layout.notices[-1])
        if meaning.unclear:
            layout.passed_over += [
                (path, f"named in {name}, but several photos have this name") for path in meaning.unclear
            ]
            layout.notices.append(
                f"{name} names {len(meaning.unclear):,} file(s) that may be several photos: {some(meaning.unclear)}; "
                f"write their folders, too."
            )
            layout.doubt(layout.notices[-1])
    _tell_reasons(layout)
    used = {meaning.table.name for meaning in meanings}
    other = Counter(
        f".{file.ending}" if file.ending else "no ending"
        for file in files
        if not file.is_photo and file.name not in used
    )
    if other:
        counted = ", ".join(f"{count:,} {name}" for name, count in other.most_common(6))
        examples = some(file.name for file in files if not file.is_photo and file.name not in used)
        layout.notices.append(f"Files that are no photos were not looked at: {counted} ({examples}).")
    left = [name for name, why in source.passed_over if why == LEFT_BEHIND]
    if left:
        layout.notices.append(
            f"{len(left):,} file(s) or folder(s) that systems and tools leave behind were passed over: {some(left)}."
        )
    _tell_empty_folders(layout, source, photos)


def _tell_reasons(layout: Layout) -> None:
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, why in layout.passed_over:
        reasons[why].append(name)
    for why, those in reasons.items():
        if "is a copy of the set" not in why and "named in" not in why:
            layout.notices.append(f"{len(those):,} photo(s) not used: {why}: {some(those)}.")
            if "without labels" not in why and "as the input says" not in why:
                layout.doubt(layout.notices[-1])
        elif why.startswith("not named in"):
            layout.notices.append(f"{len(those):,} photo(s) {why}: {some(those)}.")


def _tell_empty_folders(layout: Layout, source: Source, photos: Sequence[File]) -> None:
    full = {file.parts[:end] for file in photos for end in range(1, len(file.parts))}
    parents = Counter(parts[:-1] for parts in full)
    empty = sorted("/".join(parts) for parts in source.folders - full if parents[parts[:-1]] > 1)
    if empty:
        layout.notices.append(f"{len(empty):,} folder(s) hold no photo and are no class: {some(empty)}.")
        layout.doubt(layout.notices[-1])


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
            f"{' and '.join(map(repr, group))} differ only by case or spaces and are {len(group)} classes; "
            'to make one of them, set "alike_names": "merge".'
        )
    layout.notices += [doubt for doubt in layout.doubts if "differ only by case" in doubt]
    present = {photo.label for photo in layout.photos}
    # The numbers are left out of the names; their order is what the user gave.
    numbers = [short[label] for label in names.in_order(labels)] if short else []
    layout.classes = numbers if set(numbers) == present else names.in_order(present)


def _no_photo(files: Sequence[File]) -> str:
    seen = Counter(f".{file.ending}" if file.ending else "files without ending" for file in files).most_common(4)
    other = f" It holds {', '.join(f'{count} {name}' for name, count in seen)} files." if seen else ""
    kinds = {file.ending for file in files}
    packed = kinds & {"parquet", "tfrecord", "npz", "npy", "h5", "hdf5", "rec", "pkl", "zip", "tar", "gz", "7z", "rar"}
    advice = f" Photos inside of .{', .'.join(sorted(packed))} are not read: unpack or export them." if packed else ""
    return f"dataset: no photo was found.{other}{advice} Allowed: JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF and HEIC in a folder per class."


def _explained(
    failure: JobFailure, source: Source, files: Sequence[File], meanings: Sequence[Meaning], quiet: Sequence[Table]
) -> JobFailure:
    """Why there is no class, with what lies beside the photos: boxes of single photos, tables that name none of them."""
    if isinstance(failure, TwoReadings):
        return failure
    if other := other_tasks.boxes_beside(files) or other_tasks.coco(source, files):
        return other
    text = str(failure)
    for name, bad in (*((meaning.table.name, meaning.bad) for meaning in meanings), *((t.name, t.bad) for t in quiet)):
        if bad:
            line, why = bad[0]
            text += f" {name}: {len(bad):,} line(s) cannot be used, for example line {line}: {why}."
    if annotations := [file.name for file in files if file.ending == "json"]:
        text += f" {some(annotations)} cannot be read: allowed is a CSV with file_name and label."
    if quiet:
        text += f" No line of {some(table.name for table in quiet)} names a photo of this set by its file name."
    if meanings:
        text += f" {some(m.table.name for m in meanings)} has no column that names a class (label)."
    return NoClasses(text)
