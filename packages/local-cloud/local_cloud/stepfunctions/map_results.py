"""ResultWriter: the executions of a map run as files in S3, by their end, with a manifest that names them.

https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from local_cloud.stepfunctions.failures import StateFailure
from local_cloud.stepfunctions.moments import iso

if TYPE_CHECKING:
    from local_cloud.stepfunctions.interpreter import Branch
    from local_cloud.stepfunctions.map_runs import MapRun

ENDS = ("PENDING", "FAILED", "SUCCEEDED")


def written(where: dict[str, Any], records: list[dict[str, Any]], run: MapRun, branch: Branch) -> Any:
    """Write the results; the state's result says where. States.ResultWriterFailed when S3 refuses."""
    bucket, prefix = where["Bucket"], where.get("Prefix", "").strip("/")
    folder = "/".join(part for part in (prefix, run.run["mapRunArn"].rpartition(":")[2]) if part)
    s3 = branch.tasks.client("s3")
    files: dict[str, list[dict[str, Any]]] = {end: [] for end in ENDS}
    try:
        for end in ENDS:
            entries = [_entry(record) for record in records if record["status"] == end]
            if entries:
                key, body = f"{folder}/{end}_0.json", json.dumps(entries).encode()
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
