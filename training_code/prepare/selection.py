"""What goes into training, validation and test, and what is left out, with the reason.

The test set is as published: copies inside it are reported and kept. Whatever else shows a test photo is taken out of training
and validation, and out of training what shows a validation photo: a number measured on photos that were trained on means
nothing. Where that would take most of a class (a fixed camera), its photos are kept and a warning says what the number is worth;
`near_duplicates` decides otherwise. Refuses a data set from which nothing can be learnt.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from contract.execution_input import NearDuplicates, Split
from contract.failure import JobFailure
from contract.photo_set.splits import fewest_photos
from training_code.prepare.drawing import by_time, draw
from training_code.prepare.duplicates import exact_groups, joined, near_pairs
from training_code.prepare.inspection import Photo

LONGEST_LIST = 700  # characters of faults in one message; SageMaker shows 1,024
SPLITS = ("train", "validation", "test")
MOST_LOST = (
    0.5  # of the photos that a class learns from; more are not left out as almost the same, but kept with a warning
)
_RANK = {"train": 0, "validation": 1, "test": 2}


@dataclass
class Relations:
    """Groups of indices that were found to show the same, for the report; `warnings`: what its reader must know."""

    exact: list[list[int]] = field(default_factory=list)
    near: list[tuple[int, int]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def select(
    photos: Sequence[Photo], shares: Split, seed: int, near_duplicates: NearDuplicates | None = None
) -> Relations:
    """Set `split` and `left_out` of every photo."""
    asked = near_duplicates or NearDuplicates()
    _require_readable(photos)
    relations = Relations(exact_groups(photos), near_pairs(photos, asked.threshold))
    _leave_out_copies(photos, relations.exact)
    near = joined(len(photos), relations.near)
    if asked.treatment == "drop":
        _drop_near(photos, near)
    _require_classes(photos)
    alike = [] if asked.treatment == "keep" else relations.near
    groups = joined(len(photos), [*relations.exact, *alike])
    classes = draw(photos, groups, shares, seed)
    if classes:
        relations.warnings.append(_cut_by_order(photos, classes, groups))
    relations.warnings += _leave_out_leaks(photos, relations.near, asked.treatment, frozenset(classes))
    _require_learnable(photos)
    return relations


def _require_readable(photos: Sequence[Photo]) -> None:
    if not any(photo.readable for photo in photos):
        reasons = Counter(photo.left_out for photo in photos).most_common(3)
        raise JobFailure(
            f"dataset: none of the {len(photos)} photos can be read "
            f"({', '.join(f'{count} {reason}' for reason, count in reasons)}; first: {photos[0].name}: "
            f"{photos[0].detail}). "
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
    """All classes that are too small at once, with why: two photos, or three where test is drawn, too."""
    counts = Counter(photo.label for photo in photos if not photo.left_out)
    labels = {photo.label for photo in photos}
    if len(labels) == 1:
        raise JobFailure(
            f"dataset: received one class, {next(iter(labels))!r}, with {len(photos)} photos; allowed: at least two. "
            "Put the photos of each class into a folder of its own."
        )
    drawn = all(photo.split is None for photo in photos)
    fewest = fewest_photos({photo.split for photo in photos})
    if not drawn:
        if fewest == 1:
            return
        counts = Counter(photo.label for photo in photos if not photo.left_out and photo.split != "test")
    where = "" if drawn else " in train"
    small = [
        f"the class {label!r} has {counts[label]} usable photo(s){where} "
        f"(of {sum(photo.label == label for photo in photos)}{_why_lost(photos, label)})"
        for label in sorted(labels)
        if counts[label] < fewest
    ]
    if small:
        raise JobFailure(
            f"dataset: {_all_of(small)}; allowed: at least {fewest}, one for each split. "
            "Add photos, or remove the class."
        )


def _why_lost(photos: Sequence[Photo], label: str) -> str:
    lost = Counter(photo.left_out for photo in photos if photo.label == label and photo.left_out)
    return "".join(f", {count} left out: {reason.replace('_', ' ')}" for reason, count in lost.items())


def _all_of(faults: Sequence[str]) -> str:
    """Every fault, as far as a message of 1,024 characters holds them."""
    told: list[str] = []
    for fault in faults:
        if sum(map(len, told)) + len(fault) > LONGEST_LIST:
            return f"{'; '.join(told)}; and {len(faults) - len(told)} more"
        told.append(fault)
    return "; ".join(told)


def _drop_near(photos: Sequence[Photo], near: Sequence[int]) -> None:
    """Of photos that are almost the same one is kept, of the highest split; test photos stay as published."""
    together: dict[int, list[Photo]] = defaultdict(list)
    for photo, group in zip(photos, near, strict=True):
        if not photo.left_out:
            together[int(group)].append(photo)
    for group in together.values():
        best = max(group, key=lambda photo: _RANK.get(photo.split or "", -1))
        for photo in group:
            if photo is not best and photo.split != "test":
                reason = "near_duplicate" if photo.split == best.split else "near_leakage"
                _leave_out(photo, reason, f"almost the same picture as {best.name}")


def _cut_by_order(photos: Sequence[Photo], classes: Sequence[str], groups: Sequence[int]) -> str:
    those = [(photo, int(group)) for photo, group in zip(photos, groups, strict=True) if photo.label in classes]
    kept = [(photo, group) for photo, group in those if not photo.left_out]
    order = "the time in their EXIF data" if by_time([photo for photo, _ in kept]) else "the order of their names"
    return (
        f"{len(kept)} photos of {_named(classes)} are only {len({group for _, group in kept})} groups of almost the same "
        f"pictures, too few to hold each group in one split: they are split by {order}, the last for test. Neighbours are in two "
        "splits, so the test says less about new scenes than it seems to. Give splits of your own, or "
        'near_duplicates: {"treatment": "keep"} to draw them at random, "drop" to keep one of each.'
    )


def _named(classes: Sequence[str]) -> str:
    return ", ".join(map(repr, classes[:5])) + (f" and {len(classes) - 5} more classes" if len(classes) > 5 else "")


def _leave_out_leaks(
    photos: Sequence[Photo], pairs: Iterable[tuple[int, int]], treatment: str, cut: frozenset[str]
) -> list[str]:
    """Out of the split that learns goes what shows a photo of a higher one, but not most of a class: then a warning."""
    usable = [i for i, photo in enumerate(photos) if not photo.left_out]
    pairs = [(a, b) for a, b in pairs if not photos[a].left_out and not photos[b].left_out]
    leaks: dict[int, Photo] = {}
    for one, other in pairs:
        low, high = sorted((one, other), key=lambda index: _RANK[photos[index].split or "train"])
        if photos[low].split != photos[high].split:
            leaks.setdefault(low, photos[high])
    learning = Counter(photos[i].label for i in usable if photos[i].split != "test")
    lost = Counter(photos[i].label for i in leaks)
    mostly = {label for label, count in lost.items() if count > MOST_LOST * learning[label]}
    kept = [label for label in mostly if label not in cut and treatment == "group"]
    for index, high in leaks.items():
        photo = photos[index]
        if treatment == "keep" or photo.label in cut or (treatment == "group" and photo.label in mostly):
            photo.notes.append("near_split")
        else:
            _leave_out(photo, "near_leakage", f"almost the same picture is in {high.split}: {high.name}")
    for index in {index for pair in pairs for index in pair}:
        photo = photos[index]
        if not photo.left_out and "near_split" not in photo.notes:
            photo.notes.append("near_duplicate")
    return [_kept_leaks(sorted(kept), lost, learning)] if kept else []


def _kept_leaks(classes: Sequence[str], lost: Counter[str], learning: Counter[str]) -> str:
    numbers = ", ".join(f"{lost[label]} of {learning[label]} of {label!r}" for label in classes[:5])
    return (
        f"Photos that learn show almost the same as photos of test or validation ({numbers}{', …' if len(classes) > 5 else ''}): so many "
        "that they are kept, as of a fixed camera. The test says less about new scenes than it seems to. "
        'near_duplicates: {"treatment": "drop"} leaves them out; a higher "threshold" takes fewer for the same.'
    )


def _require_learnable(photos: Sequence[Photo]) -> None:
    """Every class needs a photo to learn from and one to validate on; a test set needs any. All faults at once."""
    used = [photo for photo in photos if not photo.left_out]
    faults = []
    for split in ("train", "validation"):
        there = {photo.label for photo in used if photo.split == split}
        faults += [
            f"the class {label!r} has no usable photo in {split}{_why_lost(photos, label).replace(', ', ' (', 1)}"
            + (")" if _why_lost(photos, label) else "")
            for label in sorted({photo.label for photo in photos} - there)
        ]
    if faults:
        raise JobFailure(
            f"dataset: {_all_of(faults)}; allowed: at least one. "
            "Add photos that differ from one another, or remove the class."
        )
    if not any(photo.split == "test" for photo in used):
        raise JobFailure(
            "dataset: no usable photo is in test; allowed: at least one. Look at the files in the test folder."
        )
