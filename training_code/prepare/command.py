"""`prepare`: check the whole execution input, look at every photo, split, compute features, write the plan.

    python -m training_code prepare --model-name NAME

Reads `<base>/processing/input/`: `request/input.json` (the execution input) and `dataset/` (a tree or one zip). Writes
below `<base>/processing/output/`: see docs/data.md. What a user can get wrong is checked before the first photo is read.
`plan/plan.json` comes last: where it is, all else is. In the image without PyTorch, a backbone that only PyTorch can run ends the job
before the first photo, with a `plan/state.json` that says so: the state machine then runs it again in the other image.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contract.decode import decode
from contract.execution_input import ExecutionInput
from contract.failure import base_directory
from contract.json_form import to_json
from contract.photo_set.read import read_set
from contract.photo_set.sources import open_source
from contract.plan import EVALUATION_FILE, PLAN_FILE, STATE_FILE, BiasPlan, DataSet, Features, Plan, PyTorch, make_plan
from contract.state_file import read_state_file
from contract.whole_file import write_json
from training_code.features.cache import open_store
from training_code.features.channel import FEATURE_CACHE_URI, write_channels
from training_code.features.engine import has_gpu_device
from training_code.features.extraction import Sample
from training_code.features.feature_set import FeatureSet
from training_code.features.pixel_store import PixelStore
from training_code.models import catalogue, weights
from training_code.models.staging import is_traced
from training_code.prepare import outputs
from training_code.prepare.data_report import write_report
from training_code.prepare.duplicates import joined
from training_code.prepare.facets import bias_plan
from training_code.prepare.findings import findings, note_odd_photos
from training_code.prepare.inspection import Photo, inspect_all
from training_code.prepare.selection import SPLITS, select
from training_code.progress import Progress
from training_code.pytorch import has_torch

WEIGHTS_URI = "WEIGHTS_URI"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m training_code prepare")
    parser.add_argument("--model-name", default="none", help="the SageMaker model that explanations will ask")
    given = parser.parse_args(arguments)
    folder = base_directory() / "processing"
    execution = ExecutionInput.from_json(read_request(folder))
    if not in_other_image(execution, folder):
        prepare(execution, given.model_name, folder)
    return 0


def read_request(folder: Path) -> Any:
    """The input as the state machine saved it: arguments of a job are limited to 256 characters."""
    file = folder / "input" / "request" / "input.json"
    return read_state_file("execution input", file.read_bytes() if file.is_file() else "")


def prepare(execution: ExecutionInput, model_name: str, folder: Path) -> Plan:
    """The whole job in `folder` (input/, output/); its plan."""
    out = folder / "output"
    seconds: dict[str, float] = {}
    settings = execution.resolved_hyperparameters
    _ = execution.ranges  # a wrong range is found now, not after the photos
    with timed("model", seconds):
        spec, found = _model(execution)
    source = open_source(folder / "input" / "dataset")
    layout = read_set(source, source.files(), execution.reading)
    placed = layout.photos
    say(f"dataset: {len(placed):,} photos of {len(layout.classes):,} classes")
    for notice in layout.notices:
        say(f"dataset: {notice}")

    def read(photo: Photo) -> bytes:
        return source.read(photo.placed.file)

    wanted = [index for index, photo in enumerate(placed) if photo.split != "test"]
    with PixelStore(wanted, spec.preprocessing, lambda index: decode(source.read(placed[index].file))) as pixels:
        with timed("look at photos", seconds):
            photos = inspect_all(placed, source, pixels.keep, Progress("photos looked at", len(placed)).reached)
        with timed("select", seconds):
            relations = select(photos, execution.split, execution.seed, execution.near_duplicates)
            for warning in relations.warnings:
                say(f"warning: {warning}")
            note_odd_photos(photos)
        classes = layout.classes
        bias = bias_plan(execution.bias, photos, classes)
        with timed("write photos", seconds):
            objects = outputs.write_test(out / "test", photos, read)
            outputs.write_photos(out / "photos", photos, read, classes)
            explained = outputs.write_explain(
                out / "explain", photos, read, execution.explain.photos, classes, model_name,
                execution.instances.transform, execution.seed,
            )  # fmt: skip
        with timed("features", seconds):
            groups = joined(len(photos), relations.near)
            samples = [
                Sample(i, p.photo_id, p.sha256, p.label, p.split, int(groups[i]))
                for i, p in enumerate(photos)
                if _learns_from(p)
            ]
            given = "given" if any(photo.placed.split == "validation" for photo in photos) else "drawn"
            features = write_channels(out, spec, found, settings, samples, classes, pixels.load, given)
    dataset = describe(photos, classes)
    plan = _plan(execution, dataset, bias, features, explained)
    outputs.write_manifest(out / "prepared" / "manifest.csv", photos, objects)
    with timed("report", seconds):
        found_out = findings(photos, [*layout.passed_over, *source.passed_over], layout.alike)
        write_report(
            out / "prepared", execution, dataset, photos, found_out, relations, layout.notices, bias, seconds, read
        )
    write_json(out / EVALUATION_FILE, plan.for_evaluation())
    write_json(out / STATE_FILE, plan.for_state())
    write_json(out / PLAN_FILE, plan.to_json())
    totals = ", ".join(f"{dataset['counts'][split]} {split}" for split in SPLITS)
    times = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    say(f"prepared: {totals}, {dataset['left_out']} left out; {times}")
    return plan


def _plan(
    execution: ExecutionInput,
    dataset: Mapping[str, Any],
    bias: BiasPlan,
    features: FeatureSet,
    explained: Sequence[str],
) -> Plan:
    """Photos of every class in every split are for the report alone."""
    described = DataSet(dataset["fingerprint"], dataset["counts"], dataset["left_out"], tuple(dataset["classes"]))
    facts = {name: features.facts[name] for name in ("engine", "arithmetic", "from_cache", "computed", "depths")}
    return make_plan(execution, described, bias, Features(features.key, features.width, **facts), tuple(explained))


def in_other_image(execution: ExecutionInput, folder: Path) -> bool:
    """Whether only the image with PyTorch can compute these features; then `state.json` says so. Asked before the first photo is read."""
    if has_torch():
        return False
    spec, found = _model(execution)
    uri = os.environ.get(FEATURE_CACHE_URI, "")
    if has_gpu_device():
        reason = "features are computed with PyTorch on a GPU"
    elif is_traced(spec, found, execution.seed, open_store(uri) if uri else None):
        return False
    else:
        reason = f"{spec.name} has not been traced to ONNX yet"
    say(f"this image has no PyTorch, which is needed: {reason}; nothing was prepared")
    write_json(folder / "output" / STATE_FILE, {"pytorch": to_json(PyTorch(prepare=True, reason=reason))})
    return True


def _model(execution: ExecutionInput) -> tuple[catalogue.ModelSpec, weights.Weights | None]:
    spec = catalogue.resolve(execution.model, execution.image_size)
    uri = os.environ.get(WEIGHTS_URI, "")
    return spec, weights.resolve(execution.model, None, uri) if execution.pretrained else None


def describe(photos: Sequence[Photo], classes: Sequence[str]) -> dict[str, Any]:
    """Fingerprint, classes and counts of the data set, for the plan and the report."""
    counts = Counter((photo.split, photo.label) for photo in photos if not photo.left_out)
    return {
        "fingerprint": outputs.fingerprint(photos),
        "classes": list(classes),
        "counts": {split: sum(counts[split, label] for label in classes) for split in SPLITS},
        "class_counts": {split: {label: counts[split, label] for label in classes} for split in SPLITS},
        "left_out": sum(bool(photo.left_out) for photo in photos),
    }


def _learns_from(photo: Photo) -> bool:
    return photo.split in ("train", "validation") and not photo.left_out


def say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def timed(name: str, seconds: dict[str, float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = round(seconds.get(name, 0.0) + time.perf_counter() - start, 3)
