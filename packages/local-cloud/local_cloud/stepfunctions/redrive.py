"""Redrive: which executions may be redriven, and how one begins again.

https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
"""

from __future__ import annotations

from typing import Any

REDRIVABLE_SECONDS = 14 * 24 * 3600
MAXIMUM_OPEN_SECONDS = 365 * 24 * 3600
MAXIMUM_EVENTS = 24_999


def status_of(record: dict[str, Any], events: int, now: float) -> tuple[str, str | None]:
    """`redriveStatus` and `redriveStatusReason` of an execution with so many events."""
    if record["status"] in ("RUNNING", "SUCCEEDED"):
        return "NOT_REDRIVABLE", f"Execution is {record['status']} and cannot be redriven"
    if events >= MAXIMUM_EVENTS:
        return "NOT_REDRIVABLE", "Execution history event limit exceeded"
    if now - record["startDate"] > MAXIMUM_OPEN_SECONDS:
        return "NOT_REDRIVABLE", "Execution has exceeded the max execution time"
    if now - record["stopDate"] > REDRIVABLE_SECONDS:
        return "NOT_REDRIVABLE", "Execution redrivable period exceeded"
    return ("REDRIVABLE_BY_MAP_RUN" if "mapRunArn" in record else "REDRIVABLE"), None


def begin_again(record: dict[str, Any], now: float) -> None:
    """An execution or a map run is RUNNING once more: how it ended before is no longer true."""
    for name in ("stopDate", "error", "cause", "output"):
        record.pop(name, None)
    record.update(status="RUNNING", redriveCount=record.get("redriveCount", 0) + 1, redriveDate=round(now, 3))
