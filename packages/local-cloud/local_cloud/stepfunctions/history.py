"""Execution histories: every event is a row before the next state begins, numbered as AWS numbers them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from local_cloud.clock import MACHINE, Clock
from local_cloud.persistence.database import Database

# Fields that hold execution data: left out when a caller asks for a history without it.
EXECUTION_DATA = {"input", "output", "parameters", "inputDetails", "outputDetails"}


class History:
    """The history of one execution."""

    def __init__(
        self, database: Database, arn: str, log: Callable[[dict[str, Any]], None] | None = None, clock: Clock = MACHINE
    ):
        self._clock = clock
        self._database = database
        self._arn = arn
        self._log = log
        self._lock = threading.Lock()
        self._last = 0

    def add(self, previous: int, kind: str, details: dict[str, Any] | None = None, field: str | None = None) -> int:
        """Append an event after `previous`; the number of the new event."""
        event: dict[str, Any] = {"timestamp": self._clock.now(), "type": kind, "previousEventId": previous}
        if details is not None:
            event[field or f"{kind[0].lower()}{kind[1:]}EventDetails"] = details
        with self._lock:
            self._last += 1
            event["id"] = self._last
            row = (self._arn, self._last, json.dumps(event))
            self._database.write("INSERT INTO execution_event VALUES (?,?,?)", row)
            number = self._last
        if self._log:
            self._log(event)
        return number

    @classmethod
    def reopened(cls, database: Database, arn: str, clock: Clock) -> History:
        """The history of an execution of an earlier process."""
        history = cls(database, arn, clock=clock)
        ((last,),) = database.read("SELECT COALESCE(MAX(id), 0) FROM execution_event WHERE arn=?", (arn,))
        history._last = last
        return history

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self._last


def read(database: Database, arn: str, newest_first: bool, start: int, limit: int, with_data: bool) -> list[dict]:
    """Up to `limit` events of an execution, skipping `start`."""
    order = "DESC" if newest_first else "ASC"
    query = f"SELECT event FROM execution_event WHERE arn=? ORDER BY id {order} LIMIT ? OFFSET ?"  # noqa: S608
    events = [json.loads(text) for (text,) in database.read(query, (arn, limit, start))]
    return events if with_data else [without_data(event) for event in events]


def without_data(event: dict[str, Any]) -> dict[str, Any]:
    """An event without what the execution works on."""
    return {
        name: {k: v for k, v in value.items() if k not in EXECUTION_DATA} if isinstance(value, dict) else value
        for name, value in event.items()
    }


def data_details(**fields: str) -> dict[str, Any]:
    """`input` or `output` together with the details that AWS puts beside it."""
    details: dict[str, Any] = {}
    for name, text in fields.items():
        details[name] = text
        details[f"{name}Details"] = {"truncated": False}
    return details
