"""`prepare-comparison`: the photos once for all candidates, and the list of what to train.

    python -m training_code prepare-comparison

As `prepare`, without features (each candidate has its own). Where there is an input `second-dataset` beside `dataset`, the
candidates are judged on it again: all its readable photos are test photos. Outputs below `<base>/processing/output/`:
`prepared`, `photos`, `test`, `asked` (`request.json`, for the page), `plan` (`plan.json`, for the state machine), and
`second` and `second-test` for a second set. It refuses a second set that shares no class with the first.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import contract
from contract.comparison_input import ComparisonInput
from contract.failure import JobFailure, base_directory
from contract.photo_set.questions import Asked
from contract.photo_set.read import read_set
from contract.photo_set.sources import Source, open_source
from contract.whole_file import write_json
from training_code.comparison.estimate import Work, estimate, within_budget
from training_code.models import catalogue
from training_code.prepare import outputs
from training_code.prepare.command import describe, read_request, say
from training_code.prepare.inspection import Photo, inspect_all
from training_code.prepare.selection import select
from training_code.progress import Progress


def main(arguments: Sequence[str]) -> int:
    if arguments:
        raise JobFailure(f"prepare-comparison: received {list(arguments)}; it takes no argument.")
    folder = base_directory() / "processing"
    prepare(ComparisonInput.from_json(read_request(folder)), folder)
    return 0


def prepare(asked: ComparisonInput, folder: Path) -> dict[str, Any]:
    """The plan; unknown models are refused before the first photo is read."""
    candidates = []
    for candidate in asked.candidates:
        catalogue.resolve(candidate.model, asked.image_size)
        candidates.append(
            {
                "name": candidate.name,
                "model": candidate.model,
                "description": candidate.description(),
                "hyperparameters": asked.hyperparameters_of(candidate.model, candidate.pretrained),
            }
        )
    photos, read, classes = _look(folder / "input" / "dataset", asked.reading)
    select(photos, asked.split, asked.seed)
    second, read_second = _second(asked, folder / "input" / "second-dataset", classes)
    candidates, left_out = within_budget(
        estimate(asked, candidates, _work(photos, second, classes)),
        asked.budget_minutes,
        asked.base or candidates[0]["name"],
    )
    out = folder / "output"
    objects = outputs.write_test(out / "test", photos, read)
    outputs.write_photos(out / "photos", photos, read, classes)
    outputs.write_manifest(out / "prepared" / "manifest.csv", photos, objects)
    if second:
        objects = outputs.write_test(out / "second-test", second, read_second)
        outputs.write_manifest(out / "second" / "manifest.csv", second, objects)
    dataset = describe(photos, classes)
    write_json(out / "asked" / "request.json", _request(asked, dataset, candidates, left_out))
    plan = {
        "key": asked.key(dataset["fingerprint"], outputs.fingerprint(second) if second else "", code_version()),
        # No names of classes: this plan travels in the execution's state, which is limited to 256 KiB.
        "dataset": {name: dataset[name] for name in ("fingerprint", "counts", "left_out")},
        "second": bool(asked.evaluate_on),
        "start_pipeline": asked.start_pipeline,
        "candidates": candidates,
        "estimate_seconds": sum(candidate["estimate_seconds"] for candidate in candidates),
        "left_out": [{name: one[name] for name in ("name", "reason", "estimate_seconds")} for one in left_out],
    }
    write_json(out / "plan" / "plan.json", plan)
    say(f"prepared {sum(not p.left_out for p in photos)} photos for {len(candidates)} candidates")
    return plan


def _second(asked: ComparisonInput, folder: Path, classes: Sequence[str]) -> tuple[list[Photo], outputs.Read]:
    """Every readable photo of the second set as a test photo; none where no second set was asked for."""
    if not asked.evaluate_on:
        return [], lambda photo: b""
    photos, read, _ = _look(folder, Asked(splits="draw", alike_names=asked.alike_names))
    for photo in photos:
        photo.split = "test"
    if all(photo.left_out for photo in photos):
        raise JobFailure(f"evaluate_on: none of the {len(photos)} photos of {asked.evaluate_on} can be read.")
    found = sorted({photo.label for photo in photos if not photo.left_out})
    if not set(found) & set(classes):
        raise JobFailure(
            f"evaluate_on: received {asked.evaluate_on} with the classes {', '.join(found[:10])}; none of them is a class of "
            f"the photos that are learnt from: {', '.join(classes[:10])}. Name the folders alike."
        )
    return photos, read


def code_version() -> str:
    """Names the code that trains, so that what an older one has measured is not taken for an answer of this one."""
    digest = hashlib.sha256()
    for folder in (Path(__file__).parents[1], Path(contract.__file__).parent):
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _look(folder: Path, asked: Asked) -> tuple[list[Photo], outputs.Read, list[str]]:
    source: Source = open_source(folder)
    layout = read_set(source, source.files(), asked)
    for notice in layout.notices:
        say(f"dataset: {notice}")
    photos = inspect_all(layout.photos, source, progress=Progress("photos looked at", len(layout.photos)).reached)
    return photos, lambda photo: source.read(photo.placed.file), layout.classes


def _work(photos: list[Photo], second: list[Photo], classes: Sequence[str]) -> Work:
    counts = Counter(photo.split for photo in photos if not photo.left_out)
    judged = sum(photo.label in classes for photo in second if not photo.left_out)
    return Work(counts["train"], counts["validation"], counts["test"], judged)


def _request(
    asked: ComparisonInput, dataset: dict[str, Any], candidates: list[dict[str, Any]], left_out: list[dict[str, Any]]
) -> dict[str, Any]:
    """What the page says was asked, with the pipeline's input for whoever wins."""
    pipeline = asked.as_execution(candidates[0]["model"]).to_json()
    kept = ("dataset", "name", "model", "image_size", "fine_tune", "pretrained", "seed", "split")
    return {
        **asdict(asked),
        "counts": dataset["counts"],
        "fingerprint": dataset["fingerprint"],
        "estimates": {one["name"]: one["estimate_seconds"] for one in [*candidates, *left_out]},
        "left_out": [{"candidate": one, "state": "left out", "cause": one["reason"]} for one in left_out],
        "pipeline_input": {name: pipeline[name] for name in kept},
    }
