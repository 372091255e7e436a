"""Where moto's EventBridge differs from AWS's recorded answers: details that are no objects."""

from __future__ import annotations

import json
from typing import Any

MALFORMED = {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}


def install() -> None:
    """Adjust moto's classes; before EventBridge has state."""
    _refuse_details_that_are_no_objects()


def _refuse_details_that_are_no_objects() -> None:
    """moto sends a text or a number as a detail to the targets, or fails on it."""
    from moto.events.models import EventsBackend

    plain = EventsBackend.put_events

    def put_events(self: Any, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        good = [event for event in events if not _is_malformed(event)]
        answers = iter(plain(self, good))
        return [dict(MALFORMED) if _is_malformed(event) else next(answers) for event in events]

    EventsBackend.put_events = put_events


def _is_malformed(event: dict[str, Any]) -> bool:
    if not (event.get("Source") and event.get("DetailType") and event.get("Detail")):
        return False  # moto says what is missing
    try:
        return not isinstance(json.loads(event["Detail"]), dict)
    except (TypeError, ValueError):
        return True
