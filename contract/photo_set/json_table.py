"""A JSON document as rows of a table: records, lists of paths, labels by path, paths by class or by split, in the shapes that people write.

COCO's annotations are read where they name one category for a photo and no boxes; with boxes or masks they are no table (other_tasks.py
says so). A document of any other shape gives no rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from contract.foreign_json import parse
from contract.photo_set.words import split_of

Row = tuple[int, list[str]]


def rows_of(text: str) -> list[Row]:
    """Rows with their place in the document; a header first where the document names its columns."""
    try:
        document = parse(text)
    except ValueError:
        return []
    rows = _coco(document) if is_coco(document) else _rows(document)
    return list(enumerate(rows, 1))


def is_coco(document: Any) -> bool:
    return isinstance(document, Mapping) and {"images", "annotations", "categories"} <= set(document)


def _rows(document: Any) -> list[list[str]]:
    if isinstance(document, list):
        return _of_list(document)
    if not isinstance(document, Mapping) or not document:
        return []
    values = list(document.values())
    if all(isinstance(value, str | int | float) or value is None for value in values):
        return [[str(key), _text(value)] for key, value in document.items()]
    if all(isinstance(value, list) for value in values):
        return _of_lists(document)
    if all(isinstance(value, Mapping) for value in values):
        return _of_objects(document)
    if set(document) == {"classes", "labels"} and isinstance(document["labels"], Mapping):  # FiftyOne's
        return _of_numbers(document["classes"], document["labels"])
    lists = [value for value in values if isinstance(value, list)]
    return _of_list(lists[0]) if len(lists) == 1 else []


def _of_list(items: Sequence[Any]) -> list[list[str]]:
    if items and all(isinstance(item, Mapping) for item in items):
        flat = [_flat(item) for item in items]
        header = list(dict.fromkeys(name for item in flat for name in item))
        return [header, *([_text(item.get(name)) for name in header] for item in flat)]
    if items and all(isinstance(item, list) for item in items):
        return [[_text(cell) for cell in item] for item in items]
    return [[_text(item)] for item in items if isinstance(item, str)]


def _of_lists(document: Mapping[str, list[Any]]) -> list[list[str]]:
    """`{"train": […], "test": […]}`, `{"cat": [paths]}`, columns of equal length, or one list under a name of its own."""
    filled = {key: value for key, value in document.items() if value}
    if len(filled) == 1 and not split_of(next(iter(filled))):
        return _of_list(next(iter(filled.values())))
    plain = all(isinstance(item, str | int | float) for value in filled.values() for item in value)
    equal = len({len(value) for value in filled.values()}) == 1
    if plain and equal and not all(split_of(key) for key in filled) and _are_columns(filled):
        return [list(filled), *([_text(cell) for cell in row] for row in zip(*filled.values(), strict=True))]
    rows: list[list[str]] = []
    for key, value in filled.items():
        inner = _of_list(value)
        named = bool(value) and isinstance(value[0], Mapping)
        if named and not rows:
            rows.append(["split" if split_of(key) else "label", *inner[0]])
        rows += [[str(key), *row] for row in (inner[1:] if named else inner)]
    return rows


def _of_numbers(classes: Any, labels: Mapping[str, Any]) -> list[list[str]]:
    """Photos with the places of their classes in a list of names; a place that is not there says nothing."""
    names = dict(enumerate(classes)) if isinstance(classes, list) else {}
    shown = {str(path): names.get(place) if isinstance(place, int) else place for path, place in labels.items()}
    return [["file", "label"], *([path, _text(label)] for path, label in shown.items())]


def _are_columns(document: Mapping[str, list[Any]]) -> bool:
    """Columns have names of columns, classes do not: paths stand in one column, and in the list of every class."""
    with_paths = [
        key for key, value in document.items() if isinstance(value[0], str) and ("." in value[0] or "/" in value[0])
    ]
    return len(with_paths) < len(document)


def _of_objects(document: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Columns as pandas writes them (`{"file": {"0": …}}`), or a photo's path with what is known of it."""
    if all(
        set(value) == set(next(iter(document.values()))) and all(str(k).isdecimal() for k in value)
        for value in document.values()
    ):
        keys = list(next(iter(document.values())))
        return [list(document), *([_text(column[key]) for column in document.values()] for key in keys)]
    flat = {key: _flat(value) for key, value in document.items()}
    header = list(dict.fromkeys(name for value in flat.values() for name in value))
    return [
        ["file", *header],
        *([str(key), *(_text(value.get(name)) for name in header)] for key, value in flat.items()),
    ]


def _flat(item: Mapping[str, Any]) -> dict[str, Any]:
    """Label Studio keeps the photo below `data` and the choice below `annotations`; VIA keeps the class below `file_attributes`."""
    found = {name: value for name, value in item.items() if not isinstance(value, Mapping | list)}
    for value in item.values():
        if isinstance(value, Mapping):
            found |= {
                name: inner
                for name, inner in value.items()
                if isinstance(inner, str | int | float) and name not in found
            }
    if isinstance(item.get("data"), Mapping):
        found |= {name: value for name, value in item["data"].items() if isinstance(value, str)}
        found["choice"] = _choice(item.get("annotations"))
    for name, value in item.items():
        if isinstance(value, list) and name not in ("annotations", "predictions"):
            found[name] = value
    return found


def _choice(annotations: Any) -> Any:
    try:
        chosen = annotations[0]["result"][0]["value"]["choices"]
        return chosen[0] if len(chosen) == 1 else chosen
    except (KeyError, IndexError, TypeError):
        return None


def _coco(document: Mapping[str, Any]) -> list[list[str]]:
    """Photos with one category each, where nothing is marked in them."""
    try:
        if any("bbox" in one or "segmentation" in one or "keypoints" in one for one in document["annotations"]):
            return []
        names = {one["id"]: one["name"] for one in document["categories"]}
        files = {one["id"]: one["file_name"] for one in document["images"]}
        rows = [[files[one["image_id"]], _text(names[one["category_id"]])] for one in document["annotations"]]
    except (KeyError, TypeError):
        return []
    return [["file_name", "label"], *rows]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and len(value) == 1:
        return _text(value[0])
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
