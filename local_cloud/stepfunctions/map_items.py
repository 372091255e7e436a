"""What a Map state iterates over: an array of its input, or (distributed) a file or a listing in S3."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from local_cloud.stepfunctions.failures import StateFailure
from local_cloud.stepfunctions.payload import expression, resolve, template


def items_of(state: dict[str, Any], given: Any, context: dict[str, Any], tasks: Any) -> list[Any]:
    """The items of a Map state."""
    reader = state.get("ItemReader")
    items = _read(reader, given, context, tasks) if reader else resolve(state.get("ItemsPath", "$"), given, context)
    if (
        isinstance(items, dict)
        and "ItemsPath" in state
        and state.get("ItemProcessor", {}).get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED"
    ):
        items = [{"Key": key, "Value": value} for key, value in items.items()]
    if not isinstance(items, list):
        raise StateFailure("States.Runtime", f"Reference path {state.get('ItemsPath', '$')!r} must point to array.")
    return _batched(state.get("ItemBatcher"), items, given, context)


def number(state: dict[str, Any], name: str, given: Any, context: dict[str, Any]) -> Any:
    """A number of the state, written down or named by `<name>Path`."""
    path = state.get(f"{name}Path")
    return state.get(name, 0) if path is None else expression(path, given, context, "States.Runtime")


def tolerated(state: dict[str, Any], given: Any, context: dict[str, Any], length: int) -> float:
    """How many items may fail."""
    count = number(state, "ToleratedFailureCount", given, context)
    return max(count, number(state, "ToleratedFailurePercentage", given, context) * length / 100)


def _batched(batcher: dict[str, Any] | None, items: list[Any], given: Any, context: dict[str, Any]) -> list[Any]:
    if not batcher:
        return items
    size = number(batcher, "MaxItemsPerBatch", given, context) or len(items)
    extra = {"BatchInput": template(batcher["BatchInput"], given, context)} if "BatchInput" in batcher else {}
    return [{**extra, "Items": items[start : start + size]} for start in range(0, len(items), size)]


def _read(reader: dict[str, Any], given: Any, context: dict[str, Any], tasks: Any) -> list[Any]:
    where = template(reader.get("Parameters", {}), given, context)
    s3 = tasks.client("s3")
    limit = number(reader.get("ReaderConfig", {}), "MaxItems", given, context) or None
    try:
        if reader["Resource"].endswith(":s3:listObjectsV2"):
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=where["Bucket"], Prefix=where.get("Prefix", ""))
            found = [entry for page in pages for entry in page.get("Contents", [])]
            return [
                {"Etag": e["ETag"], "Key": e["Key"], "LastModified": int(e["LastModified"].timestamp()), "Size": e["Size"],
                 "StorageClass": e.get("StorageClass", "STANDARD")}
                for e in found
            ][:limit]  # fmt: skip
        text = s3.get_object(Bucket=where["Bucket"], Key=where["Key"])["Body"].read().decode()
    except Exception as fault:
        raise StateFailure("States.ItemReaderFailed", f"The items of the map could not be read: {fault}") from fault
    return _parsed(reader.get("ReaderConfig", {}), text)[:limit]


def _parsed(config: dict[str, Any], text: str) -> list[Any]:
    kind = config.get("InputType", "JSON")
    if kind == "CSV":
        if config.get("CSVHeaderLocation") == "GIVEN":
            return list(csv.DictReader(io.StringIO(text), fieldnames=config["CSVHeaders"]))
        return list(csv.DictReader(io.StringIO(text)))
    if kind == "JSONL":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if kind != "JSON":
        raise StateFailure("States.ItemReaderFailed", f"The local cloud reads JSON, JSONL and CSV items, not {kind}.")
    items = json.loads(text)
    if not isinstance(items, list):
        raise StateFailure("States.ItemReaderFailed", "The item file does not hold a JSON array.")
    return items
