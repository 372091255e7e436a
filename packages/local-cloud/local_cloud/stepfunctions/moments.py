"""How long a Wait state waits, in AWS's forms and with AWS's refusals."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from local_cloud.stepfunctions.failures import PathMissing, StateFailure
from local_cloud.stepfunctions.payload import expression
from local_cloud.stepfunctions.reading import PATH, reads

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)")
# Recorded on AWS: 24,855 days are waited for, 24,856 are not.
MAXIMUM_WAIT_SECONDS = 2**31 - 1


def iso(moment: float) -> str:
    """A time as the context object shows it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def timestamp(text: Any) -> datetime | None:
    """The moment that an RFC 3339 text names, or None when it is not one."""
    if not isinstance(text, str) or not TIMESTAMP.fullmatch(text):
        return None
    try:
        # Python reads at most six digits of a second.
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text).replace("Z", "+00:00"))
    except ValueError:
        return None


def from_now(moment: datetime, now: float) -> float:
    """Seconds until a moment; negative when it is over."""
    return moment.timestamp() - now


@reads("Seconds", "SecondsPath", "Timestamp", "TimestampPath", of="Wait", by=PATH)
def seconds_to_wait(state: dict[str, Any], given: Any, context: dict[str, Any], now: float) -> float:
    """Seconds from now; States.Runtime for what AWS refuses."""
    if "Seconds" in state:
        seconds = state["Seconds"]
    elif "SecondsPath" in state:
        seconds = _seconds(state["SecondsPath"], given, context)
    elif "Timestamp" in state:
        seconds = from_now(timestamp(state["Timestamp"]), now)
    else:
        seconds = _until(state["TimestampPath"], given, context, now)
    if seconds > MAXIMUM_WAIT_SECONDS:
        raise StateFailure("States.Runtime", "Wait state delay is too long.")
    return max(seconds, 0)


def _seconds(path: str, given: Any, context: dict[str, Any]) -> int:
    value = _value("SecondsPath", path, given, context)
    if isinstance(value, bool) or not isinstance(value, int):
        raise StateFailure(
            "States.Runtime", f"The SecondsPath parameter cannot be parsed as a long value: {path} == {value}"
        )
    if value < 0:
        raise StateFailure(
            "States.Runtime", f"The SecondsPath parameter references a negative value: {path} == {value}"
        )
    return value


def _until(path: str, given: Any, context: dict[str, Any], now: float) -> float:
    value = _value("TimestampPath", path, given, context)
    moment = timestamp(value)
    if moment is None:
        raise StateFailure(
            "States.Runtime",
            "The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string: "
            f"{path} == {value}",
        )
    return from_now(moment, now)


def _value(field: str, path: str, given: Any, context: dict[str, Any]) -> Any:
    try:
        return expression(path, given, context)
    except PathMissing:
        raise StateFailure(
            "States.Runtime", f"The {field} parameter does not reference an input value: {path}"
        ) from None
