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
        self, database: Database | None, arn: str, log: Callable[[dict[str, Any]], None] | None = None, clock: Clock = MACHINE
    ):  # fmt: skip
        self._clock = clock
        self._database = database
        self._arn = arn
        self._log = log
        self._lock = threading.Lock()
        self._last = 0

    def add(
        self, previous: int, kind: str, details: dict[str, Any] | None = None, field: str | None = None,
        ours: dict[str, Any] | None = None,
    ) -> int:  # fmt: skip
        """Append an event after `previous`; the number of the new event. `ours`: what only past.py reads."""
        event: dict[str, Any] = {"timestamp": self._clock.now(), "type": kind, "previousEventId": previous}
        if details is not None:
            event[field or f"{kind[0].lower()}{kind[1:]}EventDetails"] = details
        with self._lock:
            self._last += 1
            number = event["id"] = self._last
            self._write(number, {**event, **ours} if ours else event)
        if self._log:
            self._log(event)
        return number

    def _write(self, number: int, event: dict[str, Any]) -> None:
        row = (self._arn, number, json.dumps(event))
        self._database.write("INSERT INTO execution_event VALUES (?,?,?)", row)

    @classmethod
    def reopened(
        cls, database: Database, arn: str, clock: Clock, log: Callable[[dict[str, Any]], None] | None = None
    ) -> History:
        """The history of an execution that had ended, or of an earlier process."""
        history = cls(database, arn, log, clock)
        ((last,),) = database.read("SELECT COALESCE(MAX(id), 0) FROM execution_event WHERE arn=?", (arn,))
        history._last = last
        return history

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self._last


class Unkept(History):
    """The history of an express execution: it goes to the log, if any, and nowhere else."""

    def __init__(self, log: Callable[[dict[str, Any]], None] | None = None, clock: Clock = MACHINE):
        super().__init__(None, "", log, clock)

    def _write(self, number: int, event: dict[str, Any]) -> None:
        return


def whole(database: Database, arn: str) -> list[dict[str, Any]]:
    """All events of an execution, with the fields that are ours."""
    query = "SELECT event FROM execution_event WHERE arn=? ORDER BY id"
    return [json.loads(text) for (text,) in database.read(query, (arn,))]


def read(
    database: Database, arn: str, newest_first: bool, start: int, limit: int, with_data: bool
) -> list[dict[str, Any]]:
    """Up to `limit` events of an execution, skipping `start`."""
    order = "DESC" if newest_first else "ASC"
    query = f"SELECT event FROM execution_event WHERE arn=? ORDER BY id {order} LIMIT ? OFFSET ?"  # noqa: S608
    rows = database.read(query, (arn, limit, start))
    events = [{k: v for k, v in json.loads(text).items() if k[0] != "_"} for (text,) in rows]
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
