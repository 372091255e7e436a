"""The channels `features` and `weights` of a model, from photos: the one way for `prepare` and for a comparison's candidates.

Everything that takes time is looked up first where features are cached (`FEATURE_CACHE_URI`): the traced backbone, the choice of
arithmetic, the features of each photo. Without a cache all of it is computed, with the same result.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from contract.failure import JobFailure
from contract.hyperparameters import Hyperparameters
from training_code.features.cache import FeatureCache, cache_key, open_store
from training_code.features.engine import Engine, has_gpu, identity_of, open_engine
from training_code.features.engine_choice import choose
from training_code.features.extraction import Sample, extract_features
from training_code.features.feature_set import FeatureSet
from training_code.models.catalogue import ModelSpec
from training_code.models.depths import MOST, deepened
from training_code.models.export import FEATURES
from training_code.models.staging import traced_backbone
from training_code.models.weights import Weights

FEATURE_CACHE_URI = "FEATURE_CACHE_URI"
LARGEST = 2**30  # bytes of features of several depths; larger sets keep to fewer


def write_channels(
    out: Path,
    spec: ModelSpec,
    found: Weights | None,
    settings: Hyperparameters,
    samples: Sequence[Sample],
    classes: Sequence[str],
    pixels: Callable[[int], np.ndarray],
    validation: str = "drawn",
) -> FeatureSet:
    """`out/features/` and `out/weights/`; the features, whose facts say how they were come by. `validation`: drawn or given."""
    with tempfile.TemporaryDirectory(prefix="backbone-") as scratch:
        return _write(out, spec, found, settings, samples, classes, pixels, validation, Path(scratch))


def _write(
    out: Path, spec: ModelSpec, found: Weights | None, settings: Hyperparameters, samples: Sequence[Sample],
    classes: Sequence[str], pixels: Callable[[int], np.ndarray], validation: str, scratch: Path,
) -> FeatureSet:  # fmt: skip
    uri = os.environ.get(FEATURE_CACHE_URI, "")
    store = open_store(uri) if uri else None
    _write_weights(out / "weights", found, settings)
    traced = traced_backbone(spec, found, out / "weights", settings.seed, store)
    traced, widths = _with_depths(traced, settings, len(samples), scratch)

    def engine_of(precision: str) -> Engine:
        return open_engine(spec, found.path if found else None, precision, settings.seed, traced)

    indices = [sample.index for sample in samples]
    any_engine = key_of_features(spec, found, settings.seed, "any", len(widths))
    choice = choose(settings.precision, engine_of, pixels, indices, store, any_engine)
    print(f"arithmetic of the features: {choice.precision} ({choice.reason})", flush=True)
    engine = identity_of(choice.precision)
    key = key_of_features(spec, found, settings.seed, engine, len(widths))
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
            "validation": validation,
            "depths": max(1, len(widths)),
            **({"widths": widths} if widths else {}),
        },
    )
    features.write(out / "features")
    return features


def _with_depths(traced: Path, settings: Hyperparameters, photos: int, scratch: Path) -> tuple[Path, list[int]]:
    """The backbone that gives features of several depths, and their columns, where a head is solved; else the one there is.

    On a GPU the backbone runs in PyTorch, which has no cuts: its last layer alone.
    """
    if not settings.is_exact:
        return traced, []
    most = 1 if has_gpu() else settings.depths or MOST
    deep = scratch / "backbone.onnx"
    widths = deepened(traced, FEATURES, deep, most)
    fitting = max(1, sum(4 * width * photos <= LARGEST for width in widths))
    if settings.depths > len(widths):
        raise JobFailure(
            f"hyperparameters.depths: received {settings.depths}; {settings.model} has {len(widths)}"
            f"{' on a GPU' if has_gpu() else ''}. Choose fewer, or leave it out."
        )
    if fitting < len(widths) and not settings.depths:
        widths = deepened(traced, FEATURES, deep, fitting)
    return (deep, widths) if len(widths) > 1 else (traced, widths)


def views_of(settings: Hyperparameters) -> dict[str, tuple[str, ...]]:
    both = ("plain", "flipped")
    return {
        "train": both if settings.flip_view else both[:1],
        "validation": both if settings.test_time_flip else both[:1],
    }


def key_of_features(spec: ModelSpec, found: Weights | None, seed: int, engine: str, depths: int = 1) -> str:
    """The cache key of a backbone's features; random weights are named by their seed."""
    source = found.sha256 if found else f"random-{seed}"
    return cache_key(source, f"{spec.library}/{spec.architecture}", spec.preprocessing.to_dict(), engine, depths)


def _write_weights(folder: Path, found: Weights | None, settings: Hyperparameters) -> None:
    """The weight file for training; a note where there is none, so that the channel says what it is."""
    if found:
        found.copy_to(folder, settings.model)
        return
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"pretrained": False, "seed": settings.seed})
    (folder / "random.json").write_text(text + "\n", encoding="utf-8")
