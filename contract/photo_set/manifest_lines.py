"""JSON lines as rows: Ground Truth's augmented manifests, and metadata.jsonl as Hugging Face's image folders have it.

https://docs.aws.amazon.com/sagemaker/latest/dg/augmented-manifest.html
https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html
Refused by what they are: boxes, masks, several labels for a photo.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from contract.failure import JobFailure
from contract.photo_set.columns import several_labels
from contract.photo_set.questions import TwoReadings
from contract.photo_set.table import Table

_TASKS = {
    "object-detection": "boxes (object detection)", "semantic-segmentation": "masks (semantic segmentation)",
    "instance-segmentation": "masks (instance segmentation)", "polygon": "polygons", "polyline": "lines", "keypoint": "key points",
    "text-classification": "labels of texts", "3d-point-cloud": "point clouds", "video": "frames of videos",
}  # fmt: skip


def is_manifest(table: Table) -> bool:
    return any("source-ref" in document for _, document in table.documents)


def flatten(table: Table, wanted: str = "") -> None:
    """Make rows of `table.documents`: a header first, as a CSV would have it. `wanted`: the attribute to take as label."""
    if not is_manifest(table):
        flat = [(number, _inner(document)) for number, document in table.documents]
        header = list(dict.fromkeys(name for _, document in flat for name in document))
        table.rows = [(0, header)]
        table.rows += [(number, [_text(document.get(name)) for name in header]) for number, document in flat]
        return
    attribute = _attribute(table, wanted)
    several: list[str] = []
    table.rows = [(0, ["source-ref", "label"])]
    for number, document in table.documents:
        path = document.get("source-ref")
        described = document.get(f"{attribute}-metadata")
        described = described if isinstance(described, Mapping) else {}
        value = document.get(attribute)
        if not isinstance(path, str):
            table.bad.append((number, "no 'source-ref' with the photo's path"))
        elif "failure-reason" in described or value is None or value == -1:
            table.bad.append((number, f"no label ({described.get('failure-reason', f'no {attribute}')})"))
        elif isinstance(value, list | dict) and not _is_one(value):
            several.append(json.dumps(value))
        else:
            table.rows.append((number, [path, _class_name(value, described)]))
    if several:
        raise several_labels(table.name, len(several), several[0])


def _inner(document: Mapping[str, Any]) -> dict[str, Any]:
    """An object inside of a line cannot be a label, its texts may be (Vertex AI: `classificationAnnotation.displayName`)."""
    found = {name: value for name, value in document.items() if not isinstance(value, Mapping) or name == "objects"}
    for value in document.values():
        if isinstance(value, Mapping):
            for name, inner in value.items():
                if isinstance(inner, str | int | float):
                    found.setdefault(name.rpartition("/")[2], inner)
    return found


def _is_one(value: list[Any] | dict[str, Any]) -> bool:
    """`["cat"]` is a label in a list; `[["cat"]]` is not."""
    return isinstance(value, list) and len(value) == 1 and not isinstance(value[0], list | dict)


def _attribute(table: Table, wanted: str) -> str:
    """The one attribute that is a label of a photo."""
    names: Counter[str] = Counter()
    kinds: dict[str, str] = {}
    for _, document in table.documents:
        for name in document:
            if name.endswith("-metadata"):
                described = document[name] if isinstance(document[name], Mapping) else {}
                kinds.setdefault(name.removesuffix("-metadata"), str(described.get("type", "")))
            elif name != "source-ref":
                names[name] += 1
    if wanted and wanted in names:
        return wanted
    for name in names:
        _refuse(table, name, kinds.get(name, ""), names[name])
    labelled = [name for name in names if kinds.get(name, "").endswith("image-classification")] or list(names)
    if len(labelled) > 1:
        answers = {
            f"{table.name}:{name}": f"the attribute {name} is the class ({names[name]} lines)" for name in labelled[:6]
        }
        raise TwoReadings(
            "labels", f"{table.name} has the attributes {', '.join(labelled)} beside source-ref.", answers
        )
    if not labelled:
        raise JobFailure(
            f"dataset: {table.name} has no attribute beside source-ref; allowed: one, the label, as Ground Truth "
            f"writes it."
        )
    return labelled[0]


def _refuse(table: Table, name: str, kind: str, lines: int) -> None:
    task = kind.removeprefix("groundtruth/")
    found = next((words for begin, words in _TASKS.items() if task.startswith(begin)), None)
    value = next((document[name] for _, document in table.documents if name in document), None)
    if found is None and isinstance(value, dict) and "annotations" in value:
        found = _TASKS["object-detection"]
    if found is None and name.endswith("-ref"):
        found = _TASKS["semantic-segmentation"]
    if found:
        raise JobFailure(
            f"dataset: {table.name} has {found} in the attribute {name!r} ({kind or 'no type given'}); allowed: one "
            f"class for a whole "
            "photo (groundtruth/image-classification). Cut the objects out, or label the photos as a whole."
        )
    if task.startswith("image-classification-multilabel"):
        raise several_labels(table.name, lines, f"{name!r} is {kind}")


def _class_name(value: object, described: Mapping[str, Any]) -> str:
    value = value[0] if isinstance(value, list) else value
    if described.get("class-name") is not None:
        return _text(described["class-name"])
    names = described.get("class-map")
    if isinstance(names, Mapping) and str(value) in names:
        return _text(names[str(value)])
    return _text(value)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else json.dumps(value)
