"""`data_report.html` (one file, no network) and `data_report.json`: what the data set is, and what was found in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from contract.execution_input import ExecutionInput
from contract.json_form import to_json
from contract.plan import BiasPlan
from contract.whole_file import write_json, write_text
from training_code.prepare.findings import Finding
from training_code.prepare.inspection import Photo
from training_code.prepare.outputs import Read, thumbnail
from training_code.prepare.selection import SPLITS, Relations

PHOTOS_PER_CLASS = 6
PHOTOS_PER_FINDING = 8
MOST_CLASSES_SHOWN = 60  # photos of more would make a page that no browser likes
NAMES_PER_FINDING = 1000


def write_report(
    folder: Path, execution: ExecutionInput, dataset: Mapping[str, Any], photos: Sequence[Photo], found: Sequence[Finding],
    relations: Relations, notices: Sequence[str], bias: BiasPlan, seconds: Mapping[str, float], read: Read,
) -> None:  # fmt: skip
    """Both files into `folder`."""
    write_json(
        folder / "data_report.json",
        {
            "name": execution.name,
            "dataset": execution.dataset,
            **dataset,
            "photos": len(photos),
            "notices": [*notices, *relations.warnings],
            "warnings": relations.warnings,
            "findings": [_as_json(finding) for finding in found],
            "exact_duplicates": [[photos[i].name for i in group] for group in relations.exact[:NAMES_PER_FINDING]],
            "near_duplicates": [[photos[a].name, photos[b].name] for a, b in relations.near[:NAMES_PER_FINDING]],
            "bias": to_json(bias),
            "split": asdict(execution.split),
            "seed": execution.seed,
            "seconds": dict(seconds),
        },
    )
    page = (
        _environment()
        .get_template("data_report.html.jinja")
        .render(
            name=execution.name,
            dataset=dataset,
            uri=execution.dataset,
            total=len(photos),
            notices=[*notices, *relations.warnings],
            alike=[_pictures([photos[a], photos[b]], read) for a, b in examples(relations.near)],
            findings=[(finding, _pictures(finding.photos[:PHOTOS_PER_FINDING], read)) for finding in found],
            bars=_bars(dataset),
            samples=_samples(dataset["classes"], photos, read),
            hidden_classes=max(0, len(dataset["classes"]) - MOST_CLASSES_SHOWN),
            splits=SPLITS,
            bias=bias,
            sizes=_sizes(photos),
        )
    )
    write_text(folder / "data_report.html", page)


def examples(pairs: Sequence[tuple[int, int]], count: int = 3) -> list[tuple[int, int]]:
    """Pairs of almost the same pictures to look at, spread over all of them."""
    return [pairs[index * len(pairs) // count] for index in range(count)] if len(pairs) > count else list(pairs)


def _environment() -> Environment:
    return Environment(loader=PackageLoader("training_code.prepare", "."), autoescape=True, undefined=StrictUndefined)


def _as_json(finding: Finding) -> dict[str, Any]:
    named = [
        {
            "photo_id": photo.photo_id,
            "file_name": photo.name,
            "label": photo.label,
            "split": photo.split,
            "detail": photo.detail,
        }
        for photo in finding.photos[:NAMES_PER_FINDING]
    ]
    facts = {name: getattr(finding, name) for name in ("kind", "level", "title", "treatment", "count")}
    return {**facts, "photos": named}


def _pictures(photos: Sequence[Photo], read: Read) -> list[dict[str, str]]:
    """Name, detail and data URI (empty for what cannot be decoded) of each photo."""
    shown = []
    for photo in photos:
        uri = ""
        if photo.readable:
            uri = "data:image/jpeg;base64," + base64.b64encode(thumbnail(read(photo))).decode()
        shown.append({"name": photo.name, "detail": photo.detail, "uri": uri})
    return shown


def _samples(classes: Sequence[str], photos: Sequence[Photo], read: Read) -> list[tuple[str, list[dict[str, str]]]]:
    shown = []
    for label in classes[:MOST_CLASSES_SHOWN]:
        those = sorted(
            (photo for photo in photos if photo.label == label and photo.split == "train" and not photo.left_out),
            key=lambda photo: photo.sha256,
        )
        shown.append((label, _pictures(those[:PHOTOS_PER_CLASS], read)))
    return shown


def _bars(dataset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Class balance: widths of the splits' bars, of 100 for the largest class."""
    counts = dataset["class_counts"]
    totals = {label: sum(counts[split][label] for split in SPLITS) for label in dataset["classes"]}
    largest = max(totals.values())
    bars = []
    for label, total in sorted(totals.items(), key=lambda item: (-item[1], item[0])):
        parts = [
            {"split": split, "count": counts[split][label], "width": round(100 * counts[split][label] / largest, 3)}
            for split in SPLITS
        ]
        bars.append({"label": label, "total": total, "parts": parts})
    return bars


def _sizes(photos: Sequence[Photo]) -> str:
    areas = sorted((photo.width * photo.height, photo.width, photo.height) for photo in photos if photo.readable)
    low, middle, high = areas[0], areas[len(areas) // 2], areas[-1]
    if low == high:
        return f"all {low[1]} × {low[2]} pixels"
    return f"{low[1]} × {low[2]} to {high[1]} × {high[2]} pixels, median {middle[1]} × {middle[2]}"
