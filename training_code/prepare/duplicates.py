"""Which photos show the same thing: the same bytes, or pictures that differ by little more than their encoding.

Perceptual hashes propose pairs; thumbnails decide, because photos of one kind (solar cells, X-rays) have similar hashes by
nature. Blank photos resemble one another without being duplicates and are left to their own finding. The limits were measured
(docs/data.md): 94 to 100 % of photos saved again or scaled are found, and no two different cells of 2,624 are taken for one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from contract.execution_input import NearDuplicates
from training_code.prepare.inspection import Photo

LEAST_CORRELATION = NearDuplicates.threshold  # of 32 × 32 thumbnails, shading taken out

MOST_DIFFERENT_BITS = 3  # then at least one of four 16-bit bands is equal, and no pair is missed
MOST_DIFFERENCE = 6.0  # mean difference of their grey levels, of 255, but for one being brighter as a whole
LEAST_CONTRAST = 0.03
_BLOCK = 2048


def exact_groups(photos: Sequence[Photo]) -> list[list[int]]:
    """Indices of photos with the same bytes, two or more together."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, photo in enumerate(photos):
        if photo.readable:
            groups[photo.sha256].append(index)
    return [group for group in groups.values() if len(group) > 1]


def near_pairs(photos: Sequence[Photo], least: float = LEAST_CORRELATION) -> list[tuple[int, int]]:
    """Pairs of indices (lower first) of different files that show the same picture."""
    usable = [i for i, photo in enumerate(photos) if photo.readable and photo.contrast >= LEAST_CONTRAST]
    if len(usable) < 2:
        return []
    hashes = np.array([photos[i].perceptual_hash for i in usable], dtype=np.uint64)
    thumbs = np.stack([photos[i].thumbnail for i in usable]).reshape(len(usable), -1)
    found = set()
    for first, second in _candidates(hashes):
        same = _same_picture(thumbs[first], thumbs[second], least)
        for a, b in zip(first[same], second[same], strict=True):
            one, other = sorted((usable[a], usable[b]))
            if photos[one].sha256 != photos[other].sha256:
                found.add((one, other))
    return sorted(found)


def _candidates(hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for band in range(4):
        keys = (hashes >> np.uint64(16 * band)) & np.uint64(0xFFFF)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=-1.0))
        for bucket in np.split(order, starts[1:]):
            for begin in range(0, len(bucket), _BLOCK):
                rows = bucket[begin : begin + _BLOCK]
                bits = np.bitwise_count(hashes[rows, None] ^ hashes[None, bucket])
                one, other = np.nonzero(bits <= MOST_DIFFERENT_BITS)
                first, second = rows[one], bucket[other]
                keep = first < second
                if keep.any():
                    yield first[keep], second[keep]


def _same_picture(first: np.ndarray, second: np.ndarray, least: float) -> np.ndarray:
    """Whether thumbnails (n × pixels, uint8) agree after the common shading of a 32 × 32 picture is taken out."""
    kept = []
    for begin in range(0, len(first), 20_000):
        a, b = first[begin : begin + 20_000].astype(np.float32), second[begin : begin + 20_000].astype(np.float32)
        brighter = (a - b).mean(axis=1, keepdims=True)
        close = np.abs(a - b - brighter).mean(axis=1) <= MOST_DIFFERENCE
        a, b = _details(a), _details(b)
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        kept.append(close & ((a * b).sum(axis=1) >= least * np.maximum(norms, 1e-6)))
    return np.concatenate(kept)


def _details(thumbs: np.ndarray) -> np.ndarray:
    """Without each photo's row and column means, which photos of one kind share (a cell's bars, a horizon)."""
    grid = thumbs.reshape(len(thumbs), 32, 32)
    grid = (
        grid
        - grid.mean(axis=1, keepdims=True)
        - grid.mean(axis=2, keepdims=True)
        + grid.mean(axis=(1, 2), keepdims=True)
    )
    return grid.reshape(len(thumbs), -1)


def joined(count: int, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """For each of `count` items the lowest index that it is connected with."""
    parent = list(range(count))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for group in groups:
        for item in group[1:]:
            one, other = sorted((root(group[0]), root(item)))
            parent[other] = one
    return np.array([root(item) for item in range(count)])
