"""Executions write to the log group that the state machine's logging configuration names, as on AWS."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from local_cloud.errors import AwsError
from local_cloud.logs import Logs
from local_cloud.stepfunctions.history import without_data

# Which events each level keeps: https://docs.aws.amazon.com/step-functions/latest/dg/cloudwatch-log-level.html
ERROR_EVENTS = ("Failed", "TimedOut", "Aborted", "FailStateEntered")
FATAL_EVENTS = {"ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"}


# AWS makes it when a state machine gets a log group.
VALIDATION_STREAM = "log_stream_created_by_aws_to_validate_log_delivery_subscriptions"


def checked_logging(configuration: dict[str, Any], logs: Logs) -> dict[str, Any]:
    """A logging configuration as AWS keeps it; InvalidLoggingConfiguration for what AWS refuses."""
    kept = {"level": "OFF", "includeExecutionData": False, **configuration}
    destinations = kept.get("destinations", [])
    if len(destinations) > 1 or (kept["level"] != "OFF" and not destinations):
        raise _invalid("Must specify exactly one Log Destination.")
    for destination in destinations:
        arn = destination.get("cloudWatchLogsLogGroup", {}).get("logGroupArn", "")
        group = arn.partition(":log-group:")[2].removesuffix(":*")
        if not group or not logs.has_group(group):
            raise _invalid("Log Destination not found.")
        logs.stream(group, VALIDATION_STREAM)
    return kept


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidLoggingConfiguration", f"Invalid Logging Configuration: {message}")


def _stream_name(machine: dict[str, Any], record: dict[str, Any]) -> str:
    """As on AWS, the executions of a state machine share a stream; here for a day."""
    day = datetime.fromtimestamp(record["startDate"], UTC).strftime("%Y-%m-%d-00-00")
    number = zlib.crc32(f"{machine['stateMachineArn']} {day}".encode())
    return f"states/{machine['name']}/{day}/{number:08x}"


def logger_for(machine: dict[str, Any], record: dict[str, Any], logs: Logs) -> Callable[[dict[str, Any]], None] | None:
    """What writes an event to the log, or None when the state machine does not log."""
    configuration = machine.get("loggingConfiguration") or {}
    level = configuration.get("level", "OFF")
    arns = [d["cloudWatchLogsLogGroup"]["logGroupArn"] for d in configuration.get("destinations", [])]
    if level == "OFF" or not arns:
        return None
    group = arns[0].split(":log-group:", 1)[1].removesuffix(":*")
    stream = logs.stream(group, _stream_name(machine, record))
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
            "redrive_count": str(record.get("redriveCount", 0)),
        }  # fmt: skip
        stream.write([(milliseconds, json.dumps(line))])

    return write
