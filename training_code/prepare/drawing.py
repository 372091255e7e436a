"""Draws photos into splits: what shows the same stays together where there are groups enough, else the order decides.

Frames of a few clips and photos of a fixed camera are almost the same by nature. Held together, such a class has one or two groups
and could not be split at all; drawn one by one, test photos would be copies of trained ones. So such a class is cut along time: the
last photos are for test, and a warning says so. Everything else is drawn by content, so that names and order change nothing.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from contract.execution_input import Split
from training_code.prepare.inspection import Photo

ENOUGH = 0.5  # of the photos that a part should have, so that a class is still drawn by groups
Parts = Sequence[tuple[str, float]]


def draw(photos: Sequence[Photo], groups: Sequence[int], shares: Split, seed: int) -> list[str]:
    """Set `split` where there is none, and take validation out of train where it is not given; the classes cut by order."""
    given = {photo.split for photo in photos} - {None}
    if "validation" in given:
        return []
    pool = "train" if given else None
    parts: Parts = [("validation", shares.validation)]
    if not given:
        parts = [("test", shares.test), *parts]
    members: dict[int, list[Photo]] = defaultdict(list)
    for photo, group in zip(photos, groups, strict=True):
        if not photo.left_out and photo.split == pool:
            members[int(group)].append(photo)
    together = list(members.values())
    _by_content(together, parts, seed)
    short = _short(together, parts, pool)
    if short:
        for photo in (photo for group in together for photo in group):
            photo.split = pool
        _by_content([group for group in together if group[0].label not in short], parts, seed)
        for label in short:
            _by_order([photo for group in together for photo in group if photo.label == label], parts)
    for photo in photos:
        photo.split = photo.split or "train"
    return short


def wanted(parts: Parts, count: int) -> list[int]:
    """How many of a class's photos each part should have: at least one, and one is left for each that follows."""
    numbers, left = [], count
    for position, (_, share) in enumerate(parts):
        others = len(parts) - position  # the parts that follow, and train
        numbers.append(max(1, min(round(share * left), left - others)))
        left -= numbers[-1]
    return numbers


def _by_content(together: Sequence[list[Photo]], parts: Parts, seed: int) -> None:
    by_label: dict[str, list[list[Photo]]] = defaultdict(list)
    for group in together:
        by_label[min(photo.label for photo in group)].append(group)
    for label in sorted(by_label):
        # By content, so that neither names nor the order of a listing change the draw.
        waiting = sorted(by_label[label], key=lambda group: min(photo.sha256 for photo in group))
        random.Random(f"{seed}/{label}").shuffle(waiting)
        numbers = wanted(parts, sum(map(len, waiting)))
        for position, ((part, _), free) in enumerate(zip(parts, numbers, strict=True)):
            taken, rest = [], []
            for group in waiting:
                fits = len(group) <= free
                (taken if fits else rest).append(group)
                free -= len(group) if fits else 0
            if not taken and len(rest) > len(parts) - position:
                taken = [min(rest, key=len)]
                rest.remove(taken[0])
            for photo in (photo for group in taken for photo in group):
                photo.split = part
            waiting = rest


def _short(together: Sequence[list[Photo]], parts: Parts, pool: str | None) -> list[str]:
    """Classes whose groups are too few or too large for these parts, and the classes that share a group with them."""
    counts: Counter[tuple[str, str | None]] = Counter(
        (photo.label, photo.split) for group in together for photo in group
    )
    alike = {photo.label for group in together if len(group) > 1 for photo in group}
    short = set()
    for label in alike:
        total = sum(count for (of, _), count in counts.items() if of == label)
        numbers = wanted(parts, total)
        got = [counts[label, part] for part, _ in parts]
        need = [*numbers, total - sum(numbers)]
        if any(have < max(1, ENOUGH * should) for have, should in zip([*got, counts[label, pool]], need, strict=True)):
            short.add(label)
    grown = True
    while grown:
        touched = {photo.label for group in together if any(p.label in short for p in group) for photo in group}
        grown = not touched <= short
        short |= touched
    return sorted(short)


def _by_order(photos: Sequence[Photo], parts: Parts) -> None:
    """The first photos stay for training, the last are for test."""
    ordered = sorted(photos, key=natural if by_time(photos) is None else lambda photo: (photo.taken, natural(photo)))
    for (part, _), count in zip(parts, wanted(parts, len(ordered)), strict=True):
        for photo in ordered[-count:] if len(ordered) > count else []:
            photo.split = part
        ordered = ordered[:-count]


def by_time(photos: Sequence[Photo]) -> bool | None:
    """True where every photo says when it was taken."""
    return True if photos and all(photo.taken for photo in photos) else None


def natural(photo: Photo) -> tuple:
    """Names in the order in which people count: 2 before 10."""
    return tuple(
        (not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", photo.name)
    )
