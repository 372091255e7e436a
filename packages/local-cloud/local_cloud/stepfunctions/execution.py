"""One execution: started, run in a thread of its own, ended exactly once, on disk at every step."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from local_cloud.clock import Clock
from local_cloud.errors import words_for
from local_cloud.persistence.database import Database
from local_cloud.stepfunctions.failures import ExecutionCancelled, StateFailure, outcome_of
from local_cloud.stepfunctions.history import History, data_details
from local_cloud.stepfunctions.interpreter import Branch, TaskRunner
from local_cloud.stepfunctions.map_runs import MapRuns
from local_cloud.stepfunctions.moments import iso
from local_cloud.stepfunctions.payload import dump
from local_cloud.stepfunctions.scope import Context, Scope

logger = logging.getLogger("local_cloud.stepfunctions")

# Not an error that a Catch could name: the time of the execution itself is over.
EXECUTION_TIMEOUT = "Execution.TimedOut"


class Execution:
    """A running execution; `record` is what DescribeExecution shows, times as seconds since the epoch."""

    def __init__(
        self, record: dict[str, Any], machine: dict[str, Any], database: Database, tasks: TaskRunner,
        log: Callable[[dict[str, Any]], None] | None, keep: Callable[[dict[str, Any]], None],
        clock: Clock,
    ):  # fmt: skip
        self.record, self._clock = record, clock
        self._database = database
        self._definition = json.loads(machine["definition"])
        self._machine = machine
        self._history = History(database, record["executionArn"], log, clock)
        self._scope = Scope(None, self._definition.get("TimeoutSeconds"), EXECUTION_TIMEOUT, clock)
        self._tasks = tasks
        self._map_runs = MapRuns(database, record, machine, keep, save, clock)
        self._ended = threading.Event()
        self._stop_reason: tuple[str | None, str | None] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Write the first event and run in the background."""
        given = self.record["input"]
        details = {**data_details(input=given), "roleArn": self._machine["roleArn"]}
        # A process that died between the two writes below leaves an event of an execution that never was.
        self._database.write("DELETE FROM execution_event WHERE arn=?", (self.record["executionArn"],))
        self._history.add(0, "ExecutionStarted", details)
        save(self._database, self.record)
        threading.Thread(target=self._run, name=self.record["name"], daemon=True).start()

    def stop(self, error: str | None, cause: str | None) -> None:
        """Ask the execution to end as ABORTED; returns when it has."""
        with self._lock:
            if self._stop_reason is None:
                self._stop_reason = (error, cause)
        self._scope.cancel()
        self._ended.wait(30)

    def join(self, seconds: float) -> bool:
        """Whether the execution has ended, after waiting at most `seconds`."""
        return self._ended.wait(seconds)

    def _run(self) -> None:
        values = {
            "Execution": {
                "Id": self.record["executionArn"],
                "Input": json.loads(self.record["input"]),
                "Name": self.record["name"],
                "RoleArn": self._machine["roleArn"],
                "StartTime": iso(self.record["startDate"]),
                "RedriveCount": 0,
            },
            "StateMachine": {"Id": self._machine["stateMachineArn"], "Name": self._machine["name"]},
            "State": {},
        }
        # The first state follows 0, not the event of the start: so it is on AWS, in every history.
        language = self._definition.get("QueryLanguage", "JSONPath")
        branch = Branch(self._history, self._tasks, self._scope, Context(values), 0, self._map_runs, language)
        try:
            output = dump(branch.run(self._definition, json.loads(self.record["input"])))
            self._end("SUCCEEDED", "ExecutionSucceeded", branch.last_event, data_details(output=output), output=output)
        except ExecutionCancelled:
            told = outcome_of(*(self._stop_reason or (None, None)))
            self._end("ABORTED", "ExecutionAborted", 0, told, **told)
        except StateFailure as failure:
            if failure.error == EXECUTION_TIMEOUT:
                self._scope.cancel()
                self._end("TIMED_OUT", "ExecutionTimedOut", 0, {})
            else:
                told = outcome_of(failure.error, failure.cause)
                self._end("FAILED", "ExecutionFailed", branch.last_event, told, **told)
        except Exception as fault:
            logger.exception("The execution %s met a fault of the local cloud", self.record["executionArn"])
            told = outcome_of("States.Runtime", f"The local cloud could not go on: {words_for(fault)}")
            self._end("FAILED", "ExecutionFailed", branch.last_event, told, **told)

    def _end(self, status: str, event: str, previous: int, details: dict[str, Any], **outcome: str) -> None:
        try:
            self._history.add(previous, event, details)
            self.record.update(status=status, stopDate=self._clock.now(), **outcome)
            save(self._database, self.record)
        finally:
            self._ended.set()


def save(database: Database, record: dict[str, Any]) -> None:
    """Write an execution's record."""
    database.write("INSERT OR REPLACE INTO execution VALUES (?,?)", (record["executionArn"], json.dumps(record)))


def end_abandoned(database: Database, record: dict[str, Any], clock: Clock) -> None:
    """Mark an execution of an earlier process, which nobody runs any more, as aborted."""
    told = {
        "error": "LocalCloud.Stopped",
        "cause": "The local cloud stopped while this execution ran.",
    }
    history = History.reopened(database, record["executionArn"], clock)
    history.add(0, "ExecutionAborted", told)
    for run in record.get("mapRuns", []):
        if run["status"] == "RUNNING":
            run.update(status="ABORTED", stopDate=clock.now())
    record.update(status="ABORTED", stopDate=clock.now(), **told)
    save(database, record)
