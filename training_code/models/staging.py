"""What `prepare` leaves in the channel `weights`: the weight file with its record, and the backbone already traced.

The traced backbone is made once: features are extracted with it, a training on cached features writes its model with it without
importing torch, and later executions take it from where features are cached. No job after `prepare` needs the store.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from contract.whole_file import write_bytes
from training_code.models.catalogue import ModelSpec
from training_code.models.export import backbone_name, backbone_to_onnx
from training_code.models.lite_graph import lite_to_onnx
from training_code.models.weight_values import values_of
from training_code.models.weights import Weights, key_of
from training_code.pytorch import require_torch

if TYPE_CHECKING:
    from training_code.features.cache import Store

VERSION = "backbones-4"  # raise it when the tracing itself changes


def traced_backbone(
    spec: ModelSpec, weights: Weights | None, folder: Path, seed: int = 0, store: Store | None = None
) -> Path:
    """The backbone as ONNX in this folder (in the store's layout), traced now if neither folder nor cache has it."""
    size = spec.preprocessing.input_size
    name = f"{key_of(spec.name)}/{backbone_name(weights.sha256 if weights else '', size, seed)}"
    place = folder / name
    if place.is_file():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    if store is not None and _fetched(store, name, place):
        return place
    if weights and spec.library == "efficientnet_lite":
        lite_to_onnx(values_of(weights.path), spec, place)
    else:
        require_torch(f"to trace {spec.name}")
        from training_code.models import backbone

        module, _ = backbone.load(spec, weights.path if weights else None, seed)
        backbone_to_onnx(module, size, place)
    if store is not None:
        _keep(store, name, place)
    return place


def is_traced(spec: ModelSpec, weights: Weights | None, seed: int = 0, store: Store | None = None) -> bool:
    """Whether the backbone is there as ONNX, or can be made without PyTorch."""
    if weights and spec.library == "efficientnet_lite":
        return True
    name = (
        f"{key_of(spec.name)}/{backbone_name(weights.sha256 if weights else '', spec.preprocessing.input_size, seed)}"
    )
    return store is not None and _is_held(store, name)


def _is_held(store: Store, name: str) -> bool:
    try:
        return f"{VERSION}/{name}.sha256" in store.list(f"{VERSION}/{name.partition('/')[0]}/")
    except Exception as error:
        _warn(f"the traced backbone could not be looked for in the cache ({error})")
        return False


def _fetched(store: Store, name: str, place: Path) -> bool:
    """A cache saves work and nothing depends on it: what is missing or damaged is made again."""
    if not _is_held(store, name):
        return False
    try:
        expected, data = store.read(f"{VERSION}/{name}.sha256").decode(), store.read(f"{VERSION}/{name}")
    except Exception as error:
        _warn(f"the traced backbone could not be read from the cache ({error})")
        return False
    if hashlib.sha256(data).hexdigest() != expected:
        _warn(f"the traced backbone {name} in the cache is damaged")
        return False
    write_bytes(place, data)
    return True


def _keep(store: Store, name: str, place: Path) -> None:
    try:
        data = place.read_bytes()
        store.write(f"{VERSION}/{name}", data)
        store.write(f"{VERSION}/{name}.sha256", hashlib.sha256(data).hexdigest().encode())
    except Exception as error:
        _warn(f"the traced backbone could not be cached ({error})")


def _warn(message: str) -> None:
    print(f"warning: {message}; it is traced where it is needed", file=sys.stderr, flush=True)


def stage(spec: ModelSpec, weights: Weights | None, folder: Path, seed: int = 0, store: Store | None = None) -> Path:
    """Weight file, record and traced backbone; the path of the last."""
    if weights:
        weights.copy_to(folder, spec.name)
    return traced_backbone(spec, weights, folder, seed, store)
