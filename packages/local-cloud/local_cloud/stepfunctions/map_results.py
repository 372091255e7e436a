"""ResultWriter: the executions of a map run as files in S3, by their end, with a manifest that names them; or its results in another form.

https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from local_cloud.stepfunctions.failures import StateFailure
from local_cloud.stepfunctions.moments import iso
from local_cloud.stepfunctions.reading import reads

if TYPE_CHECKING:
    from local_cloud.stepfunctions.interpreter import Branch
    from local_cloud.stepfunctions.map_runs import MapRun

ENDS = ("PENDING", "FAILED", "SUCCEEDED")
# WriterConfig: what stands for an execution, and how a file holds several.
TRANSFORMATIONS = ("NONE", "COMPACT", "FLATTEN")
TYPES = {"JSON": "json", "JSONL": "jsonl"}


def transformed(records: list[dict[str, Any]], transformation: str) -> list[Any]:
    """Executions with all that is known of them, their outputs alone, or these with lists taken apart."""
    if transformation == "NONE":
        return [_entry(record) for record in records]
    results = [output_of(record) for record in records]
    if transformation == "COMPACT":
        return results
    return [part for result in results for part in (result if isinstance(result, list) else [result])]


def output_of(record: dict[str, Any]) -> Any:
    """What one item's execution gives to the map's result."""
    if record["status"] == "SUCCEEDED":
        return json.loads(record["output"])
    return {name.capitalize(): record[name] for name in ("error", "cause") if name in record}


def _file(entries: list[Any], kind: str) -> bytes:
    if kind == "JSON":
        return json.dumps(entries).encode()
    return "".join(f"{json.dumps(entry)}\n" for entry in entries).encode()


@reads("ResultWriter.WriterConfig", "WriterConfig.Transformation", "WriterConfig.OutputType", of="Map")
def config_of(writer: dict[str, Any]) -> tuple[str, str]:
    """How results are to be written: what is not said is as without a WriterConfig."""
    config = writer.get("WriterConfig", {})
    return config.get("Transformation", "NONE" if "Resource" in writer else "COMPACT"), config.get("OutputType", "JSON")


def written(
    where: dict[str, Any], records: list[dict[str, Any]], run: MapRun, branch: Branch, config: tuple[str, str]
) -> Any:
    """Write the results; the state's result says where. States.ResultWriterFailed when S3 refuses."""
    transformation, kind = config
    bucket, prefix = where["Bucket"], where.get("Prefix", "").strip("/")
    folder = "/".join(part for part in (prefix, run.run["mapRunArn"].rpartition(":")[2]) if part)
    s3 = branch.tasks.client("s3")
    files: dict[str, list[dict[str, Any]]] = {end: [] for end in ENDS}
    try:
        for end in ENDS:
            ended = [record for record in records if record["status"] == end]
            if ended:
                key, body = f"{folder}/{end}_0.{TYPES[kind]}", _file(transformed(ended, transformation), kind)
                s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")
                files[end].append({"Key": key, "Size": len(body)})
        manifest = {"DestinationBucket": bucket, "MapRunArn": run.run["mapRunArn"], "ResultFiles": files}
        key = f"{folder}/manifest.json"
        s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(manifest).encode(), ContentType="application/json")
    except Exception as fault:
        raise StateFailure(
            "States.ResultWriterFailed", f"The results of the map could not be written: {fault}"
        ) from fault
    return {"MapRunArn": run.run["mapRunArn"], "ResultWriterDetails": {"Bucket": bucket, "Key": key}}


def _entry(record: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "ExecutionArn": record["executionArn"], "Input": record["input"], "InputDetails": {"Included": True},
        "Name": record["name"], "RedriveCount": 0, "RedriveStatus": "NOT_REDRIVABLE",
        "StartDate": iso(record["startDate"]), "StateMachineArn": record["stateMachineArn"], "Status": record["status"],
        "StopDate": iso(record["stopDate"]),
    }  # fmt: skip
    if "output" in record:
        shown |= {"Output": record["output"], "OutputDetails": {"Included": True}}
    return shown | {name.capitalize(): record[name] for name in ("error", "cause") if name in record}
