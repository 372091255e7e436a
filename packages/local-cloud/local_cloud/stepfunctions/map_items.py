"""What a Map state iterates over: an array of its input, or (distributed) a file or a listing in S3."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

from local_cloud.stepfunctions.failures import StateFailure
from local_cloud.stepfunctions.paths import resolve
from local_cloud.stepfunctions.payload import dump, expression
from local_cloud.stepfunctions.reading import PATH, reads

# https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html
DELIMITERS = {"COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "SPACE": " ", "TAB": "\t"}


@reads("ItemsPath", of="Map", by=PATH)
def items_of(state: dict[str, Any], given: Any, context: dict[str, Any]) -> list[Any]:
    """The items that are in a Map state's input."""
    path = state.get("ItemsPath", "$")
    items = resolve(path, given, context)
    if (
        isinstance(items, dict)
        and "ItemsPath" in state
        and "ProcessorConfig" in state.get("ItemProcessor", {})
        and (state["ItemProcessor"]["ProcessorConfig"].get("Mode") == "DISTRIBUTED")
    ):
        items = [{"Key": key, "Value": value} for key, value in items.items()]
    if not isinstance(items, list):
        shown = path[1:] if path.startswith("$$") else path  # so it is on AWS
        raise StateFailure("States.Runtime", f'Reference path "{shown}" must point to array.')
    return items


@reads("MaxConcurrencyPath", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath", of="Map", by=PATH)
@reads("ItemBatcher.MaxItemsPerBatchPath", "ReaderConfig.MaxItemsPath", of="Map", by=PATH)
def number(state: dict[str, Any], name: str, given: Any, context: dict[str, Any], kind: type = int) -> Any:
    """A number of the state, written down or named by `<name>Path`; 0 when there is neither."""
    path = state.get(f"{name}Path")
    if path is None:
        return state.get(name, 0)
    value = expression(path, given, context)
    if isinstance(value, str) and re.fullmatch(r"-?\d+" if kind is int else r"-?\d+(\.\d+)?", value):
        value = kind(value)  # recorded on AWS: a text of digits is a number here
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        told = value if isinstance(value, str) else dump(value)
        raise StateFailure(
            "States.Runtime",
            f'The {name}Path field refers to value "{told}" which is not a valid '
            f"{'integer' if kind is int else 'float'}: {path}",
        )
    return value


@reads("ToleratedFailureCount", "ToleratedFailurePercentage", of="Map")
def tolerances(state: dict[str, Any], query: Any, given: Any) -> tuple[int, float]:
    """How many items may fail, and how many in a hundred."""
    count = query.number(state, "ToleratedFailureCount", given)
    if count < 0:
        raise StateFailure("States.Runtime", "ToleratedFailureCount cannot be negative.")
    percentage = query.number(state, "ToleratedFailurePercentage", given, float)
    if not 0 <= percentage <= 100:
        raise StateFailure("States.Runtime", "ToleratedFailurePercentage must be between 0 and 100.")
    return count, percentage


@reads("ItemBatcher.MaxItemsPerBatch", "ItemBatcher.BatchInput", of="Map")
def batched(batcher: dict[str, Any] | None, items: list[Any], query: Any, given: Any) -> list[Any]:
    """The items, or batches of them."""
    if not batcher:
        return items
    size = query.number(batcher, "MaxItemsPerBatch", given) or len(items)
    extra = {}
    if "BatchInput" in batcher:
        extra = {"BatchInput": query.where(batcher["BatchInput"], given, "ItemBatcher/BatchInput")}
    return [{**extra, "Items": items[start : start + size]} for start in range(0, len(items), size)]


@reads("ItemReader.Resource", "ItemReader.ReaderConfig", of="Map")
def read(reader: dict[str, Any], limit: int | None, where: dict[str, Any], tasks: Any) -> list[Any]:
    """The items that an ItemReader names."""
    if limit is not None and limit < 0:
        raise StateFailure("States.ItemReaderFailed", "field MaxItems must be positive")
    s3 = tasks.client("s3")
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
    return parsed(reader.get("ReaderConfig", {}), text)[:limit]


def in_hash_order(names: list[str]) -> list[str]:
    """Names in the order in which Java's HashMap gives them: so rows of CSV items come on AWS (recorded)."""
    capacity = 16
    while len(names) > capacity * 3 // 4:
        capacity *= 2

    def bucket(name: str) -> int:
        code = 0
        encoded = name.encode("utf-16-be")
        for high, low in zip(encoded[::2], encoded[1::2], strict=True):
            code = (31 * code + high * 256 + low) & 0xFFFFFFFF
        return (code ^ code >> 16) & capacity - 1

    return sorted(names, key=bucket)


@reads("ReaderConfig.InputType", "ReaderConfig.CSVHeaders", "ReaderConfig.CSVHeaderLocation", of="Map")
@reads("ReaderConfig.CSVDelimiter", of="Map")
def parsed(config: dict[str, Any], text: str) -> list[Any]:
    """The items of a file, as its ReaderConfig says."""
    kind = config.get("InputType", "JSON")
    if kind == "CSV":
        mark = config.get("CSVDelimiter", "COMMA")
        if mark not in DELIMITERS:
            raise StateFailure("States.ItemReaderFailed", f"CSVDelimiter {mark!r} is none of {', '.join(DELIMITERS)}.")
        rows = list(csv.reader(io.StringIO(text), delimiter=DELIMITERS[mark]))
        headers = config["CSVHeaders"] if config.get("CSVHeaderLocation") == "GIVEN" else rows.pop(0) if rows else []
        if len(set(headers)) != len(headers):
            raise StateFailure("States.ItemReaderFailed", "CSV headers cannot contain duplicates.")
        # Fields without a header are left out, headers without a field are empty texts.
        made = [dict(zip(headers, row + [""] * (len(headers) - len(row)), strict=False)) for row in rows if row]
        ordered = in_hash_order(headers)
        return [{name: row[name] for name in ordered} for row in made]
    if kind == "JSONL":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if kind != "JSON":
        raise StateFailure("States.ItemReaderFailed", f"The local cloud reads JSON, JSONL and CSV items, not {kind}.")
    items = json.loads(text)
    if not isinstance(items, list):
        raise StateFailure("States.ItemReaderFailed", "Attempting to map over non-iterable node.")
    return items
