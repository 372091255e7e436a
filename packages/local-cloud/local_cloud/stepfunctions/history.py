"""Execution histories: every event is a row before the next state begins, numbered as AWS numbers them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from local_cloud.clock import MACHINE, Clock
from local_cloud.persistence.database import Database
from local_cloud.stepfunctions.failures import ExecutionSuspended
from local_cloud.stepfunctions.past import Past

# Fields that hold execution data: left out when a caller asks for a history without it.
EXECUTION_DATA = {"input", "output", "parameters", "inputDetails", "outputDetails"}


class History:
    """The history of one execution."""

    def __init__(
        self, database: Database | None, arn: str, log: Callable[[dict[str, Any]], None] | None = None, clock: Clock = MACHINE,
        suspended: threading.Event | None = None,
    ):  # fmt: skip
        """`suspended`: set when the cloud stops; from then on nothing is written, and the execution goes on at its next start."""
        self._clock = clock
        self._database = database
        self._arn = arn
        self._log = log
        self._lock = threading.Lock()
        self._last = 0
        self._suspended = suspended or threading.Event()

    def add(
        self, previous: int, kind: str, details: dict[str, Any] | None = None, field: str | None = None,
        ours: dict[str, Any] | None = None,
    ) -> int:  # fmt: skip
        """Append an event after `previous`; the number of the new event. `ours`: what only past.py reads."""
        event: dict[str, Any] = {"timestamp": self._clock.now(), "type": kind, "previousEventId": previous}
        if details is not None:
            event[field or f"{kind[0].lower()}{kind[1:]}EventDetails"] = details
        with self._lock:
            if self._suspended.is_set():
                raise ExecutionSuspended
            number = event["id"] = self._last + 1
            self._write(number, {**event, **ours} if ours else event)
            self._last = number
        if self._log:
            self._log(event)
        return number

    def _write(self, number: int, event: dict[str, Any]) -> None:
        row = (self._arn, number, json.dumps(event))
        self._database.write("INSERT INTO execution_event VALUES (?,?,?)", row)

    def note(self, line: str, told: dict[str, Any]) -> None:
        """Keep what no event tells about the state in which a line stands, for the execution to go on after a kill."""
        row = (self._arn, line, json.dumps(told))
        self._database.write("INSERT OR REPLACE INTO execution_note VALUES (?,?,?)", row)

    def forget_notes(self) -> None:
        """The execution has ended, or begins again."""
        self._database.write("DELETE FROM execution_note WHERE arn=?", (self._arn,))

    @classmethod
    def reopened(
        cls, database: Database, arn: str, clock: Clock, log: Callable[[dict[str, Any]], None] | None = None,
        suspended: threading.Event | None = None,
    ) -> History:  # fmt: skip
        """The history of an execution that had ended, or of an earlier process."""
        history = cls(database, arn, log, clock, suspended)
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

    def note(self, line: str, told: dict[str, Any]) -> None:
        """Nothing of it goes on after a kill."""

    def forget_notes(self) -> None:
        """There are none."""


def whole(database: Database, arn: str) -> list[dict[str, Any]]:
    """All events of an execution, with the fields that are ours."""
    query = "SELECT event FROM execution_event WHERE arn=? ORDER BY id"
    return [json.loads(text) for (text,) in database.read(query, (arn,))]


def past_of(database: Database, arn: str) -> Past:
    """Where an execution of an earlier process stands, for it to go on."""
    rows = database.read("SELECT line, note FROM execution_note WHERE arn=?", (arn,))
    return Past(whole(database, arn), {line: json.loads(text) for line, text in rows}, goes_on=True)


def forget_notes_but(database: Database, arns: set[str]) -> None:
    """Remove the notes of executions that are not among these: a kill came just after their end."""
    for (arn,) in database.read("SELECT DISTINCT arn FROM execution_note"):
        if arn not in arns:
            database.write("DELETE FROM execution_note WHERE arn=?", (arn,))


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
