"""What `prepare` leaves in the channel `weights`: the weight file with its record, and the backbone already traced.

A training on cached features then writes its model without importing torch, and no job after `prepare` needs the store.
"""

from __future__ import annotations

from pathlib import Path

from training_code.models.catalogue import ModelSpec
from training_code.models.export import backbone_name, backbone_to_onnx
from training_code.models.weights import Weights, key_of


def traced_backbone(spec: ModelSpec, weights: Weights | None, folder: Path, seed: int = 0) -> Path:
    """The backbone as ONNX in this folder (in the store's layout), traced now if it is not there."""
    size = spec.preprocessing.input_size
    place = folder / key_of(spec.name) / backbone_name(weights.sha256 if weights else "", size, seed)
    if not place.is_file():
        from training_code.models import backbone

        place.parent.mkdir(parents=True, exist_ok=True)
        module, _ = backbone.load(spec, weights.path if weights else None, seed)
        backbone_to_onnx(module, size, place)
    return place


def stage(spec: ModelSpec, weights: Weights | None, folder: Path, seed: int = 0) -> Path:
    """Weight file, record and traced backbone; the path of the last."""
    if weights:
        weights.copy_to(folder, spec.name)
    return traced_backbone(spec, weights, folder, seed)
