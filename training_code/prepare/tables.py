"""What tables beside the photos say: facets in `metadata.csv`, labels in an augmented manifest or a `.lst` file.

Photos that a table names are looked for inside the data set (by the end of their path), never fetched from elsewhere: the job
may read the data set and nothing else. Refuses tables without a usable column, line by line with its number.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from contract.failure import JobFailure
from training_code.prepare.layout import SPLIT_NAMES, Layout, Placed, place_by_folder, settle_splits
from training_code.prepare.sources import File, Source

LARGEST_TABLE = 256 * 1024 * 1024
FILE_COLUMNS = ("file_name", "filename", "file")
NOT_FACETS = frozenset({*FILE_COLUMNS, "label", "split"})


class PathIndex:
    """Finds a file of the data set by a path, or an S3 URI, that ends like it."""

    def __init__(self, files: Iterable[File]) -> None:
        self._by_end: dict[str, list[File]] = defaultdict(list)
        for file in files:
            self._by_end[file.parts[-1]].append(file)

    def find(self, path: str, near: tuple[str, ...] = ()) -> File | None:
        """The one file whose path shares most of its end with `path`; relative to the folder `near` first."""
        wanted = [part for part in path.split("/") if part not in ("", ".", "s3:")]
        if not wanted:
            return None
        candidates = self._by_end.get(wanted[-1], [])
        exact = [file for file in candidates if file.parts == (*near, *wanted)]
        if exact:
            return exact[0]
        scored = sorted(candidates, key=lambda file: -_shared_end(file.parts, wanted))
        if not scored:
            return None
        best = _shared_end(scored[0].parts, wanted)
        if len(scored) > 1 and _shared_end(scored[1].parts, wanted) == best:
            return None
        return scored[0]


def _shared_end(parts: Sequence[str], wanted: Sequence[str]) -> int:
    count = 0
    for one, other in zip(reversed(parts), reversed(wanted), strict=False):
        if one != other:
            break
        count += 1
    return count


def read_layout(source: Source, files: Sequence[File]) -> Layout:
    """Labels from a manifest or .lst where there is one, else from folders, else from metadata.csv; then facets."""
    photos = [file for file in files if file.is_photo]
    manifests = [file for file in files if file.parts[-1].lower().endswith((".manifest", ".jsonl"))]
    lists = [file for file in files if file.parts[-1].lower().endswith(".lst")]
    metadata = [file for file in files if file.parts[-1].lower() in ("metadata.csv", "metadata.tsv")]
    if manifests or lists:
        layout = _from_tables(source, manifests or lists, photos, _manifest_rows if manifests else _list_rows)
    else:
        rows = _metadata_rows(source, metadata)
        labelled = [row for _, row in rows if row.get("label")]
        flat = len({file.parts[:-1] for file in photos}) == 1
        layout = _from_metadata(rows, photos) if flat and labelled else place_by_folder(files)
    _add_facets(source, metadata, layout)
    tables = {file.name for file in (*manifests, *lists, *metadata)}
    other = Counter(
        file.parts[-1].rpartition(".")[2].lower() for file in files if not file.is_photo and file.name not in tables
    )
    if other:
        counted = ", ".join(f"{count} .{name}" for name, count in other.most_common(6))
        layout.notices.append(f"Files that are no photos were not looked at: {counted}.")
    return layout


def _text(source: Source, file: File) -> str:
    data = source.read(file, LARGEST_TABLE)
    if len(data) > LARGEST_TABLE:
        raise JobFailure(
            f"dataset: {file.name} has more than {LARGEST_TABLE:,} bytes; no table of photos is that large."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _metadata_rows(source: Source, tables: Sequence[File]) -> list[tuple[File, dict[str, str]]]:
    rows = []
    for table in tables:
        reader = csv.DictReader(
            io.StringIO(_text(source, table)), delimiter="\t" if table.name.endswith(".tsv") else ","
        )
        names = reader.fieldnames or []
        column = next((name for name in FILE_COLUMNS if name in names), None)
        if column is None:
            raise JobFailure(
                f"dataset: {table.name} has the columns {', '.join(names)}; one of them must be file_name."
            )
        for row in reader:
            clean = {name: (value or "").strip() for name, value in row.items() if isinstance(name, str) and name}
            clean["file_name"] = clean.pop(column)
            rows.append((table, clean))
    return rows


def _from_metadata(rows: Sequence[tuple[File, Mapping[str, str]]], photos: Sequence[File]) -> Layout:
    index, layout = PathIndex(photos), Layout([])
    for table, row in rows:
        file = index.find(row["file_name"], table.parts[:-1])
        if file is None or not row.get("label"):
            layout.passed_over.append(
                (row["file_name"], f"in {table.name}, but without a label or not among the photos")
            )
            continue
        layout.photos.append(Placed(file, row["label"], SPLIT_NAMES.get(row.get("split", "").lower())))
    return _finished(layout, photos, "metadata.csv")


def _from_tables(source: Source, tables: Sequence[File], photos: Sequence[File], rows_of) -> Layout:
    index, layout, seen = PathIndex(photos), Layout([]), set()
    several = len(tables) > 1
    for table in tables:
        stem = table.parts[-1].rpartition(".")[0].lower()
        split = SPLIT_NAMES.get(stem) if several else None
        for path, label in rows_of(table, _text(source, table)):
            file = index.find(path, table.parts[:-1])
            if file is None:
                layout.passed_over.append((path, f"named in {table.name}, but not in the data set"))
            elif file.name not in seen:
                seen.add(file.name)
                layout.photos.append(Placed(file, label, split))
    return _finished(layout, photos, ", ".join(table.name for table in tables))


def _finished(layout: Layout, photos: Sequence[File], tables: str) -> Layout:
    if not layout.photos:
        raise JobFailure(f"dataset: none of the photos named in {tables} is in the data set; put them beside it.")
    named = {placed.file.name for placed in layout.photos}
    layout.passed_over += [(file.name, f"not named in {tables}") for file in photos if file.name not in named]
    settle_splits(layout)
    return layout


def _manifest_rows(table: File, text: str) -> Iterable[tuple[str, str]]:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/augmented-manifest.html"""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            path = row["source-ref"]
        except (ValueError, KeyError, TypeError):
            raise JobFailure(
                f"dataset: {table.name} line {number}: not a JSON object with 'source-ref': {line[:80]!r}."
            ) from None
        names = [name for name in row if name != "source-ref" and not name.endswith("-metadata")]
        if len(names) != 1:
            raise JobFailure(
                f"dataset: {table.name} line {number}: received the attributes {names}; allowed: one, the label, beside source-ref."
            )
        described = row.get(f"{names[0]}-metadata")
        name = described.get("class-name") if isinstance(described, dict) else None
        yield path, str(name if name is not None else row[names[0]])


def _list_rows(table: File, text: str) -> Iterable[tuple[str, str]]:
    """MXNet's list: number, class index, path, separated by tabs; the folder names the class where each class has its own."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        columns = line.split("\t")
        if line.strip() and len(columns) != 3:
            raise JobFailure(
                f"dataset: {table.name} line {number}: received {line[:80]!r}; allowed: number, class, path between tabs."
            )
        if line.strip():
            rows.append((columns[2].strip(), _class_number(columns[1].strip())))
    folders: dict[str, set[str]] = defaultdict(set)
    for path, label in rows:
        folders[label].add(path.split("/")[-2] if "/" in path else "")
    names = {label: next(iter(found)) for label, found in folders.items() if len(found) == 1}
    one_to_one = len(names) == len(folders) and len(set(names.values())) == len(folders) and "" not in names.values()
    for path, label in rows:
        yield path, names[label] if one_to_one else label


def _class_number(text: str) -> str:
    """im2rec writes class 1 as 1.000000."""
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def _add_facets(source: Source, tables: Sequence[File], layout: Layout) -> None:
    index = PathIndex(placed.file for placed in layout.photos)
    by_name = {placed.file.name: placed for placed in layout.photos}
    unknown, columns = 0, {}
    for table, row in _metadata_rows(source, tables):
        columns |= dict.fromkeys(name for name in row if name not in NOT_FACETS)
        file = index.find(row["file_name"], table.parts[:-1])
        if file is None:
            unknown += 1
        else:
            by_name[file.name].facets = {name: value for name, value in row.items() if name not in NOT_FACETS}
    if unknown:
        layout.notices.append(f"metadata.csv names {unknown} file(s) that are not among the photos, or are ambiguous.")
    for placed in layout.photos:
        placed.facets = {name: placed.facets.get(name, "") for name in columns}
