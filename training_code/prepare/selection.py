"""What goes into training, validation and test, and what is left out, with the reason.

The test set is as published: copies inside it are reported and kept. Whatever else shows a test photo is taken out of training
and validation, and out of training what shows a validation photo: a number measured on photos that were trained on means
nothing. Photos that show the same are drawn into the same split. Refuses a data set from which nothing can be learnt.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from contract.execution_input import Split
from contract.failure import JobFailure
from training_code.prepare.duplicates import exact_groups, joined, near_pairs
from training_code.prepare.inspection import Photo

SPLITS = ("train", "validation", "test")
_RANK = {"train": 0, "validation": 1, "test": 2}


@dataclass
class Relations:
    """Groups of indices that were found to show the same, for the report."""

    exact: list[list[int]] = field(default_factory=list)
    near: list[tuple[int, int]] = field(default_factory=list)


def select(photos: Sequence[Photo], shares: Split, seed: int) -> Relations:
    """Set `split` and `left_out` of every photo."""
    _require_readable(photos)
    relations = Relations(exact_groups(photos), near_pairs(photos))
    _leave_out_copies(photos, relations.exact)
    groups = joined(len(photos), [*relations.exact, *relations.near])
    _require_classes(photos)
    _draw(photos, groups, shares, seed)
    _leave_out_leaks(photos, relations.near)
    _require_learnable(photos)
    return relations


def _require_readable(photos: Sequence[Photo]) -> None:
    if not any(photo.readable for photo in photos):
        reasons = Counter(photo.left_out for photo in photos).most_common(3)
        raise JobFailure(
            f"dataset: none of the {len(photos)} photos can be read "
            f"({', '.join(f'{count} {reason}' for reason, count in reasons)}; first: {photos[0].name}: {photos[0].detail}). "
            "Allowed: JPEG, PNG, WebP, GIF, BMP, TIFF."
        )


def _leave_out(photo: Photo, reason: str, detail: str) -> None:
    if not photo.left_out:
        photo.left_out, photo.detail = reason, detail


def _leave_out_copies(photos: Sequence[Photo], groups: Iterable[Sequence[int]]) -> None:
    for group in groups:
        copies = [photos[i] for i in group]
        labels = sorted({photo.label for photo in copies})
        if len(labels) > 1:
            for photo in copies:
                detail = f"the same file is in the classes {', '.join(labels)}"
                if photo.split == "test":
                    photo.notes.append("conflicting_label")
                else:
                    _leave_out(photo, "conflicting_label", detail)
            continue
        best = max(copies, key=lambda photo: _RANK.get(photo.split or "", -1))
        for photo in copies:
            if photo is best:
                continue
            if photo.split == "test":
                photo.notes.append("exact_duplicate")
            elif photo.split == best.split:
                _leave_out(photo, "exact_duplicate", f"the same file as {best.name}")
            else:
                _leave_out(photo, "leakage", f"the same file is in {best.split}: {best.name}")


def _require_classes(photos: Sequence[Photo]) -> None:
    counts = Counter(photo.label for photo in photos if not photo.left_out)
    labels = {photo.label for photo in photos}
    if len(labels) == 1:
        raise JobFailure(
            f"dataset: received one class, {next(iter(labels))!r}, with {len(photos)} photos; allowed: at least two. "
            "Put the photos of each class into a folder of its own."
        )
    drawn = all(photo.split is None for photo in photos)
    fewest = 3 if drawn else 2
    for label in sorted(labels):
        usable = (
            counts[label]
            if drawn
            else sum(1 for photo in photos if not photo.left_out and photo.label == label and photo.split != "test")
        )
        if usable < fewest and (drawn or not any(photo.split == "validation" for photo in photos)):
            raise JobFailure(
                f"dataset: the class {label!r} has {usable} usable photo(s) {'' if drawn else 'in train '}"
                f"(of {sum(photo.label == label for photo in photos)}); allowed: at least {fewest}, one for each split. "
                "Add photos, or remove the class."
            )


def _draw(photos: Sequence[Photo], groups: Sequence[int], shares: Split, seed: int) -> None:
    """Draw what has no split; where train and test are given, validation comes out of train."""
    given = {photo.split for photo in photos} - {None}
    if not given:
        _draw_stratified(photos, groups, None, (("test", shares.test), ("validation", shares.validation)), seed)
        for photo in photos:
            photo.split = photo.split or "train"
        return
    if "validation" not in given:
        _draw_stratified(photos, groups, "train", (("validation", shares.validation),), seed)


def _draw_stratified(
    photos: Sequence[Photo], groups: Sequence[int], pool: str | None, parts: Sequence[tuple[str, float]], seed: int
) -> None:
    members: dict[int, list[Photo]] = defaultdict(list)
    for photo, group in zip(photos, groups, strict=True):
        if not photo.left_out and photo.split == pool:
            members[int(group)].append(photo)
    by_label: dict[str, list[list[Photo]]] = defaultdict(list)
    for group in members.values():
        by_label[min(photo.label for photo in group)].append(group)
    for label in sorted(by_label):
        # By content, so that neither names nor the order of a listing change the draw.
        together = sorted(by_label[label], key=lambda group: min(photo.sha256 for photo in group))
        random.Random(f"{seed}/{label}").shuffle(together)
        left = sum(map(len, together))
        for position, (part, share) in enumerate(parts):
            others = len(parts) - position  # the parts that follow, and train: each keeps at least one photo
            wanted = max(1, min(round(share * left), left - others))
            left -= wanted
            remaining = []
            for group in together:
                if len(group) <= wanted:
                    wanted -= len(group)
                    for photo in group:
                        photo.split = part
                else:
                    remaining.append(group)
            together = remaining


def _leave_out_leaks(photos: Sequence[Photo], near: Iterable[tuple[int, int]]) -> None:
    for one, other in near:
        low, high = sorted((photos[one], photos[other]), key=lambda photo: _RANK[photo.split or "train"])
        if low.left_out or high.left_out:
            continue
        if low.split != high.split:
            _leave_out(low, "near_leakage", f"almost the same picture is in {high.split}: {high.name}")
        else:
            for photo in (low, high):
                if "near_duplicate" not in photo.notes:
                    photo.notes.append("near_duplicate")


def _require_learnable(photos: Sequence[Photo]) -> None:
    """Every class needs a photo to learn from and one to validate on; a test set needs any."""
    used = [photo for photo in photos if not photo.left_out]
    for split in ("train", "validation"):
        there = {photo.label for photo in used if photo.split == split}
        missing = sorted({photo.label for photo in photos} - there)
        if missing:
            lost = Counter(photo.left_out for photo in photos if photo.label == missing[0] and photo.left_out)
            why = f" ({', '.join(f'{count} left out: {reason}' for reason, count in lost.items())})" if lost else ""
            raise JobFailure(
                f"dataset: the class {missing[0]!r} has no usable photo in {split}{why}; allowed: at least one. "
                "Add photos that differ from one another, or remove the class."
            )
    if not any(photo.split == "test" for photo in used):
        raise JobFailure(
            "dataset: no usable photo is in test; allowed: at least one. Look at the files in the test folder."
        )
