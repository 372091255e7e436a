"""Executions write to the log group that the state machine's logging configuration names, as on AWS."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from local_cloud.errors import AwsError
from local_cloud.logs import Logs
from local_cloud.stepfunctions.history import without_data

# Which events each level keeps: https://docs.aws.amazon.com/step-functions/latest/dg/cloudwatch-log-level.html
ERROR_EVENTS = ("Failed", "TimedOut", "Aborted", "FailStateEntered")
FATAL_EVENTS = {"ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"}


def checked_logging(configuration: dict[str, Any], logs: Logs) -> dict[str, Any]:
    """A logging configuration as AWS keeps it; InvalidLoggingConfiguration for what AWS refuses."""
    kept = {"level": "OFF", "includeExecutionData": False, **configuration}
    destinations = kept.get("destinations", [])
    if len(destinations) > 1 or (kept["level"] != "OFF" and not destinations):
        raise _invalid("Must specify exactly one Log Destination.")
    for destination in destinations:
        arn = destination.get("cloudWatchLogsLogGroup", {}).get("logGroupArn", "")
        if ":log-group:" not in arn or not logs.has_group(arn.split(":log-group:", 1)[1].removesuffix(":*")):
            raise _invalid("Log Destination not found.")
    return kept


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidLoggingConfiguration", f"Invalid Logging Configuration: {message}")


def logger_for(machine: dict[str, Any], record: dict[str, Any], logs: Logs) -> Callable[[dict[str, Any]], None] | None:
    """What writes an event to the log, or None when the state machine does not log."""
    configuration = machine.get("loggingConfiguration") or {}
    level = configuration.get("level", "OFF")
    arns = [d["cloudWatchLogsLogGroup"]["logGroupArn"] for d in configuration.get("destinations", [])]
    if level == "OFF" or not arns:
        return None
    group = arns[0].split(":log-group:", 1)[1].removesuffix(":*")
    day = datetime.fromtimestamp(record["startDate"], UTC).strftime("%Y-%m-%d")
    stream = logs.stream(group, f"states/{machine['name']}/{day}/{record['name']}")
    with_data = configuration.get("includeExecutionData", False)

    def write(event: dict[str, Any]) -> None:
        kind = event["type"]
        if level == "FATAL" and kind not in FATAL_EVENTS:
            return
        if level == "ERROR" and not kind.endswith(ERROR_EVENTS):
            return
        shown = event if with_data else without_data(event)
        details = next((value for value in shown.values() if isinstance(value, dict)), {})
        milliseconds = int(event["timestamp"] * 1000)
        line = {
            "id": str(event["id"]), "type": kind, "details": details, "previous_event_id": str(event["previousEventId"]),
            "event_timestamp": str(milliseconds), "execution_arn": record["executionArn"],
        }  # fmt: skip
        stream.write([(milliseconds, json.dumps(line))])

    return write
