"""Which class and which split a path means.

A folder per class, below `train`, `val` (or `valid`, `validation`) and `test` or without them; `seg_train/seg_train/CLASS`;
`001.Affenpinscher`; folders below a class folder belong to the class. `seg_pred` and its like hold no labels and are passed
over. With two parts the held-out one is the test set, whatever it is called: hymenoptera publishes its results on `val`.
Refuses a test class that is never trained, and a data set in which no folder names a class.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from contract.failure import JobFailure
from contract.validation import did_you_mean
from training_code.prepare.sources import File

SPLIT_NAMES = {
    "train": "train", "training": "train", "seg_train": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation", "seg_val": "validation",
    "test": "test", "testing": "test", "seg_test": "test",
}  # fmt: skip
UNLABELLED_NAMES = frozenset({"pred", "seg_pred", "unlabelled", "unlabeled", "predict"})
_NUMBERED = re.compile(r"^\d+[._\- ]+(?=\D)")


@dataclass
class Placed:
    """A photo file with what its place, or a table, says about it; `split` None: to be drawn."""

    file: File
    label: str
    split: str | None
    facets: dict[str, str] = field(default_factory=dict)


@dataclass
class Layout:
    photos: list[Placed]
    notices: list[str] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def place_by_folder(files: Sequence[File]) -> Layout:
    """Read label and split of every photo from its path."""
    photos = [file for file in files if file.is_photo]
    if not photos:
        seen = Counter(file.parts[-1].rpartition(".")[2].lower() for file in files).most_common(4)
        other = f" It holds {', '.join(f'{count} .{name}' for name, count in seen)} files." if seen else ""
        raise JobFailure(
            f"dataset: no photo was found.{other} Allowed: JPEG, PNG, WebP, GIF, BMP and TIFF in a folder per class."
        )
    skip = _common_folders(photos)
    layout = Layout([])
    has_splits = any(_split_of(file, skip) for file in photos)
    for file in photos:
        _place(file, skip, has_splits, layout)
    if not layout.photos:
        raise JobFailure(
            "dataset: no folder names a class. Put the photos of each class into a folder of its own "
            "(bees/1.jpg, ants/2.jpg), or add a metadata.csv with the columns file_name and label."
        )
    _shorten_labels(layout)
    settle_splits(layout)
    return layout


def _common_folders(photos: Sequence[File]) -> int:
    """How many leading folders all photos share, as `dataset/` in `dataset/bees/1.jpg`; a split's folder is not one of them."""
    shared = 0
    while all(len(file.parts) > shared + 2 for file in photos):
        names = {file.parts[shared] for file in photos}
        name = next(iter(names)).lower()
        if len(names) > 1 or name in SPLIT_NAMES or name in UNLABELLED_NAMES:
            break
        shared += 1
    return shared


def _split_of(file: File, skip: int) -> str | None:
    return SPLIT_NAMES.get(file.parts[skip].lower()) if len(file.parts) > skip + 1 else None


def _place(file: File, skip: int, has_splits: bool, layout: Layout) -> None:
    folders = list(file.parts[skip:-1])
    split = None
    if folders and folders[0].lower() in UNLABELLED_NAMES and has_splits:
        layout.passed_over.append((file.name, f"{folders[0]} holds photos without labels"))
        return
    if has_splits:
        split = SPLIT_NAMES.get(folders[0].lower()) if folders else None
        if split is None:
            layout.passed_over.append((file.name, "it lies beside the train and test folders, in none of them"))
            return
        first = folders.pop(0)
        while folders and folders[0].lower() == first.lower():  # seg_train/seg_train/…
            folders.pop(0)
    if not folders:
        layout.passed_over.append((file.name, "it lies in no class folder"))
        return
    if len(folders) > 1 and not any("deeper" in notice for notice in layout.notices):
        layout.notices.append(f"Photos in deeper folders ({'/'.join(folders)}) belong to the class of the first one.")
    layout.photos.append(Placed(file, folders[0], split))


def _shorten_labels(layout: Layout) -> None:
    """`001.Affenpinscher` is Affenpinscher, where all classes are numbered and stay different."""
    labels = {photo.label for photo in layout.photos}
    short = {label: _NUMBERED.sub("", label) for label in labels}
    if all(short[label] != label for label in labels) and len(set(short.values())) == len(labels):
        for photo in layout.photos:
            photo.label = short[photo.label]
        layout.notices.append("The numbers in front of the class names are left out.")


def settle_splits(layout: Layout) -> None:
    """Decide what the given parts mean; afterwards every split is train, validation, test, or None (to be drawn)."""
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
            f"dataset: received the part(s) {', '.join(sorted(given))} and no train; allowed: train with or without them."
        )
    elif given == {"train"}:
        for photo in layout.photos:
            photo.split = None
        layout.notices.append("Only a train part: test and validation are drawn from it.")
    trained = {photo.label for photo in layout.photos if photo.split in (None, "train")}
    for photo in layout.photos:
        if photo.label not in trained:
            raise JobFailure(
                f"dataset: the class {photo.label!r} is in {photo.split} and not in train. {did_you_mean(photo.label, trained)} "
                "Give both the same folder name, or remove it."
            )
