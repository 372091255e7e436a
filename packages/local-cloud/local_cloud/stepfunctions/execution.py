"""One execution: started or redriven, run in a thread of its own, ended exactly once, on disk at every step."""

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
from local_cloud.stepfunctions.history import History, Unkept, data_details, whole
from local_cloud.stepfunctions.interpreter import Branch, TaskRunner
from local_cloud.stepfunctions.map_runs import MapRuns
from local_cloud.stepfunctions.moments import iso
from local_cloud.stepfunctions.past import Past
from local_cloud.stepfunctions.payload import dump
from local_cloud.stepfunctions.redrive import begin_again, status_of
from local_cloud.stepfunctions.scope import Context, Scope
from local_cloud.stepfunctions.store import Store

logger = logging.getLogger("local_cloud.stepfunctions")

# Not an error that a Catch could name: the time of the execution itself is over.
EXECUTION_TIMEOUT = "Execution.TimedOut"
# https://docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html
EXPRESS_SECONDS = 300


MOMENTS = ("startDate", "stopDate", "redriveDate")
# What EventBridge is told of an execution, with null for what it has not.
TOLD = (
    "executionArn", "stateMachineArn", "stateMachineVersionArn", "stateMachineAliasArn", "name", "status", "input", "output",
    "error", "cause",
)  # fmt: skip


class Execution:
    """A running execution; `record` is what DescribeExecution shows, times as seconds since the epoch."""

    def __init__(
        self, record: dict[str, Any], machine: dict[str, Any], store: Store, tasks: TaskRunner,
        log: Callable[[dict[str, Any]], None] | None, synchronous: bool = False,
    ):  # fmt: skip
        self.record, self._clock = record, store.clock
        self.express = machine["type"] == "EXPRESS"
        self._synchronous = synchronous
        self._database, self._emit = store.database, store.context.emit
        self._definition = json.loads(machine["definition"])
        self._machine = machine
        self._log = log
        self._history = (
            Unkept(log, store.clock)
            if self.express
            else History(store.database, record["executionArn"], log, store.clock)
        )
        seconds = self._definition.get("TimeoutSeconds")
        if self.express:
            seconds = min(seconds or EXPRESS_SECONDS, EXPRESS_SECONDS)
        self._scope = Scope(None, seconds, EXECUTION_TIMEOUT, store.clock)
        self._tasks = tasks
        self._map_runs = MapRuns(
            store.database, record, machine, store.keep_execution, save, store.clock, store.executions
        )
        self._past: Past | None = None
        self._first = 0
        self._ended = threading.Event()
        self._stop_reason: tuple[str | None, str | None] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Write the first event and run in the background."""
        given = self.record["input"]
        details = {**data_details(input=given), "roleArn": self._machine["roleArn"]}
        if not self.express:
            # A process that died between the two writes below leaves an event of an execution that never was.
            self._database.write("DELETE FROM execution_event WHERE arn=?", (self.record["executionArn"],))
        self._history.add(0, "ExecutionStarted", details)
        self._save()
        self._begin()

    def redrive(self) -> None:
        """Go on from the steps that did not succeed, in the background."""
        arn = self.record["executionArn"]
        self._past = Past(whole(self._database, arn))
        if self.record.get("error") == "States.DataLimitExceeded":
            for line in self._past.lines.values():  # AWS runs all branches again: their results together were too large
                line.visit = None
        self._history = History.reopened(self._database, arn, self._clock, self._log)
        begin_again(self.record, self._clock.now())
        self._save()
        details = {"redriveCount": self.record["redriveCount"]}
        self._first = self._history.add(self._history.last, "ExecutionRedriven", details)
        self._begin()

    def stop(self, error: str | None, cause: str | None) -> None:
        """Ask the execution to end as ABORTED; returns when it has."""
        with self._lock:
            if self._stop_reason is None:
                self._stop_reason = (error, cause)
        self._scope.cancel()
        self._ended.wait(30)

    def join(self, seconds: float | None) -> bool:
        """Whether the execution has ended, after waiting at most `seconds`."""
        return self._ended.wait(seconds)

    def _tell(self) -> None:
        """The status as an event; Express workflows have none."""
        if not self.express:
            arn = self.record["executionArn"]
            redrive = status_of(self.record, self._history.last, self._clock.now())
            detail = status_change(self.record, *redrive)
            self._emit("aws.states", "Step Functions Execution Status Change", detail, [arn])

    def _begin(self) -> None:
        self._tell()
        threading.Thread(target=self._run, name=self.record["name"], daemon=True).start()

    def _context(self) -> Context:
        execution = {
            "Id": self.record["executionArn"],
            "Input": json.loads(self.record["input"]),
            "Name": self.record["name"],
            "RoleArn": self._machine["roleArn"],
            "StartTime": iso(self.record["startDate"]),
        }
        if not self._synchronous:
            execution["RedriveCount"] = self.record.get("redriveCount", 0)
        if "redriveDate" in self.record:
            execution["RedriveTime"] = iso(self.record["redriveDate"])
        machine = {"Id": self._machine["stateMachineArn"], "Name": self._machine["name"]}
        return Context({"Execution": execution, "StateMachine": machine, "State": {}})

    def _run(self) -> None:
        # The first state follows 0, not the event of the start: so it is on AWS, in every history.
        language = self._definition.get("QueryLanguage", "JSONPath")
        branch = Branch(
            self._history, self._tasks, self._scope, self._context(), self._first, self._map_runs, language,
            past=self._past,
        )  # fmt: skip
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
            self._save()
        finally:
            self._ended.set()
        self._tell()

    def _save(self) -> None:
        if not self.express:
            save(self._database, self.record)


def status_change(record: dict[str, Any], redrive: str, reason: str | None) -> dict[str, Any]:
    """An execution in EventBridge: https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html"""
    detail = {name: record.get(name) for name in TOLD}
    moments = {name: int(record[name] * 1000) if record.get(name) else None for name in MOMENTS}
    included = {"included": True}
    return {
        **detail, **moments, "redriveCount": record.get("redriveCount", 0), "redriveStatus": redrive,
        "redriveStatusReason": reason, "inputDetails": included, "outputDetails": included if detail["output"] else None,
    }  # fmt: skip


def save(database: Database, record: dict[str, Any]) -> None:
    """Write an execution's record."""
    database.write("INSERT OR REPLACE INTO execution VALUES (?,?)", (record["executionArn"], json.dumps(record)))


def end_abandoned(database: Database, record: dict[str, Any], clock: Clock) -> None:
    """Mark an execution of an earlier process, which nobody runs any more, as aborted; a redrive goes on with it."""
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
