"""The model artifact of a training: calibrated, exported, checked, described; and what the report needs beside it."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from contract.failure import JobFailure
from contract.manifest import MANIFEST_FILE, MODEL_FILE, Manifest
from training_code.models.depths import deepened
from training_code.models.export import (
    FEATURES,
    Layer,
    classifier_to_onnx,
    loading_of,
    logits_of,
    run_onnx,
    softmax,
    verify,
)
from training_code.models.staging import traced_backbone
from training_code.train.checkpoints import write_whole
from training_code.train.job import Job
from training_code.train.measures import expected_calibration_error, fit_temperature
from training_code.train.record import write_predictions

_LIBRARIES = ("torch", "torchvision", "timm", "onnx", "openvino", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class Outcome:
    """What a training ends with, whichever way it was trained. `backbone`: a traced one, or None for the staged one."""

    layers: list[Layer]
    validation_logits: np.ndarray
    validation_labels: np.ndarray
    validation_ids: list[str]
    classes: list[str]
    metrics: Mapping[str, float]
    data_fingerprint: str
    backbone: Path | None = None
    facts: Mapping[str, Any] | None = None


def refit_facts(ids: Sequence[str], epochs: int) -> dict[str, Any]:
    """What `training.json` says of a refit that begins now, and the log too."""
    print(f"refit: {len(ids)} training and validation photos together, {epochs} epochs", flush=True)
    return {"refit": {"photos": len(ids), "epochs": epochs}}


def write_artifact(job: Job, outcome: Outcome) -> Path:
    """`model.onnx`, then `manifest.json`: a folder without a manifest is unfinished."""
    calibration = calibrate(job, outcome)
    weights = job.weights()
    with tempfile.TemporaryDirectory(prefix="darkroom-") as scratch:
        backbone = outcome.backbone or _staged_backbone(job, weights, Path(scratch))
        depths = int((outcome.facts or {}).get("depths", 1))
        if depths > 1:
            staged, backbone = backbone, Path(scratch) / "depths.onnx"
            deepened(staged, FEATURES, backbone, depths)
        job.model_dir.mkdir(parents=True, exist_ok=True)
        model = Path(scratch) / MODEL_FILE
        temperature = calibration["temperature"]
        expected = _expected(job, backbone, outcome.layers, temperature)
        classifier_to_onnx(backbone, outcome.layers, model, temperature=temperature, flip=job.settings.test_time_flip)
        verify(model, *expected)
        loading = loading_of(model)
        write_whole(job.model_dir / MODEL_FILE, lambda target: target.write_bytes(model.read_bytes()) and None)
    manifest = Manifest(
        architecture=job.settings.model,
        classes=tuple(outcome.classes),
        preprocessing=job.spec.preprocessing,
        metrics=dict(outcome.metrics),
        data_fingerprint=outcome.data_fingerprint,
        pretrained=weights.source if weights else False,
        loading=loading,
        fine_tune=job.settings.fine_tune,
        hyperparameters=job.settings.to_strings(),
        calibration=calibration,
        library_versions=_versions(),
    )
    return manifest.write(job.model_dir / MANIFEST_FILE)


def _versions() -> dict[str, str]:
    """Of what is installed: not every image has PyTorch."""
    found = {}
    for name in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _staged_backbone(job: Job, weights: Any, scratch: Path) -> Path:
    from training_code.models.export import backbone_name
    from training_code.models.weights import key_of

    size, seed = job.spec.preprocessing.input_size, job.settings.seed
    channel = job.channel("weights")
    if channel:
        staged = channel / key_of(job.spec.name) / backbone_name(weights.sha256 if weights else "", size, seed)
        if staged.is_file():
            return staged
    return traced_backbone(job.spec, weights, scratch, seed)


def _expected(job: Job, backbone: Path, layers: list[Layer], temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Three made-up photos, and what the file as a whole must answer: the backbone, then the head's own arithmetic."""
    images = np.random.default_rng(0).normal(size=(3, 3, *job.spec.preprocessing.input_size)).astype(np.float32)
    features = run_onnx(backbone, images)
    if features.shape[1] != len(layers[0].weight):
        raise JobFailure(
            f"channel 'features': received features of the width {len(layers[0].weight)}; {job.spec.name} gives "
            f"{features.shape[1]}. They were made with another model: run `prepare` with model={job.spec.name}."
        )
    logits = logits_of(features, layers)
    if job.settings.test_time_flip:
        logits = (logits + logits_of(run_onnx(backbone, images[..., ::-1].copy()), layers)) / 2
    return images, softmax(logits / temperature)


def calibrate(job: Job, outcome: Outcome) -> dict[str, Any]:
    """The temperature from the validation photos, and how much nearer to the truth it brings the probabilities there."""
    logits, labels = outcome.validation_logits, outcome.validation_labels
    temperature = fit_temperature(logits, labels) if job.settings.calibrate else 1.0
    return {
        "temperature": temperature,
        "fitted_on": (outcome.facts or {}).get("judged_by", "validation") if job.settings.calibrate else None,
        "expected_calibration_error_before": expected_calibration_error(logits, labels),
        "expected_calibration_error_after": expected_calibration_error(logits / temperature, labels),
        "test_time_flip": job.settings.test_time_flip,
    }


def write_validation(job: Job, outcome: Outcome, decisions: Mapping[str, Any]) -> None:
    """`validation_predictions.csv` and `training.json` (what was decided by default or by measuring)."""
    temperature = (
        fit_temperature(outcome.validation_logits, outcome.validation_labels) if job.settings.calibrate else 1.0
    )
    write_predictions(
        job.output_data / "validation_predictions.csv",
        outcome.validation_ids,
        outcome.validation_labels,
        softmax(outcome.validation_logits / temperature),
        outcome.classes,
    )
    text = json.dumps({**decisions, "metrics": dict(outcome.metrics)}, indent=2) + "\n"
    write_whole(job.output_data / "training.json", lambda target: target.write_text(text, encoding="utf-8") and None)
