"""Which part each photo belongs to: splits that the user gave, by folders, a column or lists, are kept, all of them, or the run stops.

With two parts the held-out one is the test set, whatever it is called: hymenoptera publishes its results on `val`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from contract.failure import JobFailure
from contract.photo_set.files import File
from contract.photo_set.folder_pattern import parts_among
from contract.photo_set.labels import Meaning
from contract.photo_set.names import alike
from contract.photo_set.path_index import PathIndex
from contract.photo_set.questions import Asked, Layout, Placed, TwoReadings, some
from contract.photo_set.sources import Source
from contract.photo_set.table import read_table
from contract.photo_set.words import part_of_list
from contract.validation import did_you_mean

PARTS = ("train", "validation", "test")
Parts = dict[tuple[str, ...], str]


def given_parts(photos: Sequence[Placed], asked: Asked) -> Parts:
    """The split by folder of photos that a table labels: the first level of folders that is all splits."""
    settled = asked.splits if isinstance(asked.splits, dict) else {}
    for level in range(min((len(photo.file.parts) - 1 for photo in photos), default=0)):
        names = {photo.file.parts[level] for photo in photos}
        found = parts_among(names, settled)
        if len(found) == len(names):
            return {photo.file.parts: found[photo.file.parts[level]] for photo in photos}
        if "train" in found.values() and len(set(found.values())) > 1:
            unknown = sorted(names - set(found))
            answers = {json.dumps({unknown[0]: part}, ensure_ascii=False): f"{unknown[0]} is {what}" for part, what in (
                ("train", "for training"), ("test", "for the test"), ("ignore", "not used"))}  # fmt: skip
            raise TwoReadings(
                "splits",
                f"the folders {some(sorted(found))} are splits; {some(unknown)} beside them says no split.",
                answers,
            )
    return {}


def take_parts(layout: Layout, meanings: Sequence[Meaning], labelled: Sequence[Meaning], asked: Asked) -> None:
    """Splits that tables name: by a column, or by the names of several lists (train.lst and test.lst)."""
    if asked.splits == "draw":
        for photo in layout.photos:
            photo.split = None
        return
    by_column = {said.file.parts: said.split for meaning in meanings for said in meaning.said if said.split}
    by_list = _by_list(meanings, labelled)
    source = by_column or by_list
    if not source:
        return
    differ = [
        photo for photo in layout.photos if photo.split and source.get(photo.file.parts, photo.split) != photo.split
    ]
    if differ:
        text = f"The table's splits are kept, not those of the folders: {len(differ):,} photo(s) differ, for example {differ[0].file.name}."
        layout.notices.append(text)
        layout.doubt(text)
    silent = [photo for photo in layout.photos if photo.file.parts not in source and photo.split is None]
    for photo in layout.photos:
        photo.split = source.get(photo.file.parts, photo.split)
    if silent and by_column:
        layout.notices.append(
            f"{len(silent):,} photo(s) without a word for their split are for training: "
            f"{some(p.file.name for p in silent)}."
        )
    elif (
        silent and "train" not in by_list.values()
    ):  # testing_list.txt and validation_list.txt: all else is for training
        layout.notices.append(
            f"{len(silent):,} photo(s) in none of the lists are for training: {some(p.file.name for p in silent)}."
        )
    elif silent and len(set(by_list.values())) > 1:
        left = {photo.file.parts for photo in silent}
        layout.photos = [photo for photo in layout.photos if photo.file.parts not in left]
        layout.passed_over += [(photo.file.name, "in none of the lists of train and test") for photo in silent]


def _by_list(meanings: Sequence[Meaning], labelled: Sequence[Meaning]) -> Parts:
    named = {}
    for meaning in meanings:
        split = part_of_list(meaning.table.file.parts[-1].rpartition(".")[0])
        if split and meaning.said and not meaning.has_splits and (meaning in labelled or not meaning.facets):
            named[meaning.table.name] = (split, meaning)
    pure = [name for name, (_, meaning) in named.items() if meaning not in labelled]
    if len({split for split, _ in named.values()}) < 2 and not pure:
        return {}  # one train.csv with the labels of all photos says nothing about splits
    if len({split for split, _ in named.values()}) > 2:  # trainval.txt beside train.txt and val.txt
        named = {name: value for name, value in named.items() if "trainval" not in name.lower()}
    found: Parts = {}
    twice: list[str] = []
    for split, meaning in named.values():
        for said in meaning.said:
            if found.setdefault(said.file.parts, split) != split:
                twice.append(said.file.name)
    if twice:
        raise JobFailure(
            f"dataset: {len(twice):,} photo(s) are in more than one of the lists {some(named)}: {some(twice, 3)}; "
            f"allowed: each photo in one. Take them "
            'out of one list, or set "splits": "draw".'
        )
    return found


def id_lists(source: Source, files: Sequence[File], layout: Layout, index: PathIndex, asked: Asked) -> None:
    """Caltech's birds: images.txt gives each photo a number, train_test_split.txt says of each number whether it is for training."""
    by_name = {file.parts[-1].lower(): file for file in files}
    if asked.splits == "draw" or not {"images.txt", "train_test_split.txt"} <= set(by_name):
        return
    paths = {row[0]: row[1] for _, row in read_table(source, by_name["images.txt"]).rows if len(row) == 2}
    parts: Parts = {}
    for _, row in read_table(source, by_name["train_test_split.txt"]).rows:
        found = index.find(paths[row[0]]) if len(row) == 2 and row[0] in paths else []
        if len(found) == 1 and row[1] in ("0", "1"):
            parts[found[0].parts] = "train" if row[1] == "1" else "test"
    for photo in layout.photos:
        photo.split = parts.get(photo.file.parts, photo.split)
    if parts:
        layout.notices.append(f"train_test_split.txt gives the splits of {len(parts):,} photos.")


def settle_splits(layout: Layout, asked: Asked) -> None:
    """Decide what the given parts mean; afterwards every split is train, validation, test, or None (to be drawn)."""
    ignored = [photo for photo in layout.photos if photo.split == "ignore"]
    if ignored:
        layout.passed_over += [(photo.file.name, "not used, as `splits` of the input says") for photo in ignored]
        layout.notices.append(
            f"{len(ignored):,} photo(s) not used, as `splits` of the input says: {some(p.file.name for p in ignored)}."
        )
        layout.photos = [photo for photo in layout.photos if photo.split != "ignore"]
    if asked.splits == "draw":
        for photo in layout.photos:
            photo.split = None
    given = {photo.split for photo in layout.photos} - {None}
    if given:  # a table that names the split of some photos means the others for training
        for photo in layout.photos:
            photo.split = photo.split or "train"
        given = {photo.split for photo in layout.photos}
    if given == {"train", "validation"}:
        for photo in layout.photos:
            if photo.split == "validation":
                photo.split = "test"
        layout.notices.append(
            "Two parts: the held-out one (validation) is the test set; validation comes out of train."
        )
    elif given and "train" not in given:
        raise JobFailure(
            f"dataset: received the part(s) {', '.join(sorted(map(str, given)))} and no train; allowed: train with "
            f"or without them."
        )
    elif given == {"train"}:
        for photo in layout.photos:
            photo.split = None
        layout.notices.append("Only a train part: test and validation are drawn from it.")
    elif given:
        layout.notices.append("The splits are kept as given.")
    _check_classes(layout)
    _refuse_one_class(layout)


def fewest_photos(splits: Collection[str | None]) -> int:
    """Photos that a class must have outside of the test: one for each part that is drawn from them."""
    if all(split is None for split in splits):
        return 3
    return 1 if "validation" in splits else 2


def _refuse_one_class(layout: Layout) -> None:
    labels = {photo.label for photo in layout.photos}
    if len(labels) < 2:
        received = f"one class, {next(iter(labels))!r}" if labels else "no class"
        raise JobFailure(
            f"dataset: received {received}, with {len(layout.photos):,} photos; allowed: at least two. {' '.join(layout.doubts)}".rstrip()
        )


def refuse_small(layout: Layout) -> None:
    """All classes that are too small before any photo was looked at; `prepare` looks at those that can be used."""
    splits = {photo.split for photo in layout.photos}
    counts = Counter(photo.label for photo in layout.photos if photo.split != "test")
    small = [label for label in layout.classes if counts[label] < fewest_photos(splits)]
    if small:
        told = some([f"{label!r} ({counts[label]})" for label in small], 20)
        where = "" if splits == {None} else " outside of the test"
        raise JobFailure(
            f"dataset: {len(small):,} class(es) have too few photos{where}: {told}; allowed: at least {fewest_photos(splits)}, one for "
            "each split. Add photos, or take the classes out."
        )


def _check_classes(layout: Layout) -> None:
    """A class that is tested and never trained is refused, all of them at once; one that is only trained is told."""
    where: dict[str, Counter[str]] = defaultdict(Counter)
    for photo in layout.photos:
        where[photo.label][photo.split or "train"] += 1
    trained = {label for label, parts in where.items() if parts["train"]}
    lost = sorted(set(where) - trained)
    if lost:
        groups = [group for group in alike(where) if set(group) & trained]
        if all(any(label in group for group in groups) for label in lost):
            told = "; ".join(" and ".join(map(repr, group)) for group in groups)
            raise TwoReadings(
                "alike_names",
                f"{some(map(repr, lost))} would be tested and never trained: only case or spaces tell them from classes of train ({told}).",
                {"merge": "both are one class; else rename one"},
            )
        first = " ".join(
            f"The class {label!r} is in {' and '.join(part for part in PARTS if where[label][part])} and not in "
            f"train. {did_you_mean(label, trained)}".rstrip()
            for label in lost[:8]
        )
        more = f" And {len(lost) - 8} more." if len(lost) > 8 else ""
        raise JobFailure(f"dataset: {first[0].lower()}{first[1:]}{more} Give both the same folder name, or remove it.")
    if any(photo.split == "test" for photo in layout.photos):
        untested = sorted(label for label, parts in where.items() if not parts["test"])
        if untested:
            layout.notices.append(
                f"{len(untested):,} class(es) have no test photo, so nothing will be measured for them: "
                f"{some(untested)}."
            )
            layout.doubt(layout.notices[-1])
