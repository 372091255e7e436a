"""From split photos to a FeatureSet: what the cache knows is taken from it, the rest is computed once and added.

Only training and validation photos come in here; a test photo is refused, so that nothing which chooses can have seen one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training_code.features.cache import FeatureCache
from training_code.features.engine import Engine, Work
from training_code.features.feature_set import SPLITS, FeatureSet, Part
from training_code.progress import Progress


@dataclass(frozen=True)
class Sample:
    """A photo to compute features of; `index` is what `pixels` understands."""

    index: int
    photo_id: str
    sha256: str
    label: str
    split: str
    group: int | None = None  # photos that show the same have the same number


def extract_features(
    samples: Sequence[Sample],
    classes: Sequence[str],
    views: dict[str, tuple[str, ...]],
    cache: FeatureCache,
    open_engine: Callable[[], Engine],
    pixels: Callable[[int], np.ndarray],
    key: str,
    facts: dict[str, Any],
) -> FeatureSet:
    """`views`: plain, or plain and flipped, of each split. The engine is opened only when something must be computed."""
    for sample in samples:
        if sample.split not in SPLITS:
            raise ValueError(f"photo {sample.photo_id} is of split {sample.split!r}; features are of {SPLITS} only")
    wanted = [(sample, view) for sample in samples for view in views[sample.split]]
    known = {
        view: cache.find(view, (sample.sha256 for sample, of in wanted if of == view))
        for view in dict.fromkeys(view for _, view in wanted)
    }
    missing: dict[tuple[str, str], Work] = {}
    for sample, view in wanted:
        if sample.sha256 not in known[view]:
            missing.setdefault((view, sample.sha256), (sample.index, view))
    if missing:
        print(f"features: {len(wanted) - len(missing)} in the cache, {len(missing)} to compute", flush=True)
        # Both views of a photo one after the other: its pixels are still in the processor's cache.
        order = sorted(missing.items(), key=lambda item: item[1])
        engine = open_engine()  # lives until all is done: OpenVINO must not be taken down by its own last callback
        told = Progress("features", len(order))
        computed = engine.extract([work for _, work in order], told.counted(pixels, [work[0] for _, work in order]))
        for view in known:
            rows = [row for row, ((of, _), _) in enumerate(order) if of == view]
            digests = [order[row][0][1] for row in rows]
            cache.add(view, digests, computed[rows])
            known[view] |= {digest: computed[row] for digest, row in zip(digests, rows, strict=True)}
    number = {name: position for position, name in enumerate(classes)}
    parts = {}
    for split in SPLITS:
        chosen = [sample for sample in samples if sample.split == split]
        arrays = {view: np.stack([known[view][sample.sha256] for sample in chosen]) for view in views[split]}
        labels = np.array([number[sample.label] for sample in chosen], dtype=np.int64)
        groups = [sample.group for sample in chosen]
        known_groups = None if None in groups else np.array(groups, dtype=np.int64)
        ids = [sample.photo_id for sample in chosen]
        parts[split] = Part(arrays["plain"], labels, ids, arrays.get("flipped"), known_groups)
    counted = {"from_cache": len(wanted) - len(missing), "computed": len(missing)}
    return FeatureSet(**parts, classes=list(classes), key=key, facts={**facts, **counted})
