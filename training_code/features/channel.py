"""The channels `features` and `weights` of a model, from photos: the one way for `prepare` and for a comparison's candidates.

Everything that takes time is looked up first where features are cached (`FEATURE_CACHE_URI`): the traced backbone, the choice of
arithmetic, the features of each photo. Without a cache all of it is computed, with the same result.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from contract.hyperparameters import Hyperparameters
from training_code.features.cache import FeatureCache, cache_key, open_store
from training_code.features.engine import Engine, identity_of, open_engine
from training_code.features.engine_choice import choose
from training_code.features.extraction import Sample, extract_features
from training_code.features.feature_set import FeatureSet
from training_code.models.catalogue import ModelSpec
from training_code.models.staging import traced_backbone
from training_code.models.weights import Weights

FEATURE_CACHE_URI = "FEATURE_CACHE_URI"


def write_channels(
    out: Path,
    spec: ModelSpec,
    found: Weights | None,
    settings: Hyperparameters,
    samples: Sequence[Sample],
    classes: Sequence[str],
    pixels: Callable[[int], np.ndarray],
) -> FeatureSet:
    """`out/features/` and `out/weights/`; the features, whose facts say how they were come by."""
    uri = os.environ.get(FEATURE_CACHE_URI, "")
    store = open_store(uri) if uri else None
    _write_weights(out / "weights", found, settings)
    traced = traced_backbone(spec, found, out / "weights", settings.seed, store)

    def engine_of(precision: str) -> Engine:
        return open_engine(spec, found.path if found else None, precision, settings.seed, traced)

    indices = [sample.index for sample in samples]
    any_engine = key_of_features(spec, found, settings.seed, "any")
    choice = choose(settings.precision, engine_of, pixels, indices, store, any_engine)
    print(f"arithmetic of the features: {choice.precision} ({choice.reason})", flush=True)
    engine = identity_of(choice.precision)
    key = key_of_features(spec, found, settings.seed, engine)
    features = extract_features(
        samples,
        classes,
        views_of(settings),
        FeatureCache(store, key),
        lambda: engine_of(choice.precision),
        pixels,
        key,
        {
            "model": settings.model,
            "pretrained": settings.pretrained,
            "engine": engine,
            "arithmetic": asdict(choice),
            "preprocessing": spec.preprocessing.to_dict(),
        },
    )
    features.write(out / "features")
    return features


def views_of(settings: Hyperparameters) -> dict[str, tuple[str, ...]]:
    both = ("plain", "flipped")
    return {
        "train": both if settings.flip_view else both[:1],
        "validation": both if settings.test_time_flip else both[:1],
    }


def key_of_features(spec: ModelSpec, found: Weights | None, seed: int, engine: str) -> str:
    """The cache key of a backbone's features; random weights are named by their seed."""
    source = found.sha256 if found else f"random-{seed}"
    return cache_key(source, f"{spec.library}/{spec.architecture}", spec.preprocessing.to_dict(), engine)


def _write_weights(folder: Path, found: Weights | None, settings: Hyperparameters) -> None:
    """The weight file for training; a note where there is none, so that the channel says what it is."""
    if found:
        found.copy_to(folder, settings.model)
        return
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"pretrained": False, "seed": settings.seed})
    (folder / "random.json").write_text(text + "\n", encoding="utf-8")
