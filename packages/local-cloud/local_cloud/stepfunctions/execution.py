"""One execution: started, redriven or gone on with, run in a thread of its own, ended exactly once, on disk at every step.

A cloud that ends, cleanly or killed, leaves it RUNNING; the next one goes on with it as if nothing had been.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from local_cloud.errors import words_for
from local_cloud.persistence.database import Database
from local_cloud.stepfunctions.failures import ExecutionCancelled, ExecutionSuspended, StateFailure, outcome_of
from local_cloud.stepfunctions.history import History, Unkept, data_details, past_of, whole
from local_cloud.stepfunctions.interpreter import Branch, TaskRunner
from local_cloud.stepfunctions.map_runs import MapRuns
from local_cloud.stepfunctions.moments import iso
from local_cloud.stepfunctions.past import ENDS, Past
from local_cloud.stepfunctions.payload import dump
from local_cloud.stepfunctions.redrive import begin_again, status_of
from local_cloud.stepfunctions.scope import Context, Scope
from local_cloud.stepfunctions.store import Store

logger = logging.getLogger("local_cloud.stepfunctions")

# Not an error that a Catch could name: the time of the execution itself is over.
EXECUTION_TIMEOUT = "Execution.TimedOut"
# https://docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html
EXPRESS_SECONDS = 300
# A call that a task makes in process may take its time; the cloud does not wait longer for it when it stops.
SUSPENSION_SECONDS = 2

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
        self._log, self._suspended = log, store.suspended
        self._history = (
            Unkept(log, store.clock)
            if self.express
            else History(store.database, record["executionArn"], log, store.clock, store.suspended)
        )
        seconds = self._definition.get("TimeoutSeconds")
        if self.express:
            seconds = min(seconds or EXPRESS_SECONDS, EXPRESS_SECONDS)
        self._scope = Scope(None, seconds, EXECUTION_TIMEOUT, store.clock)
        self._tasks = tasks
        self._map_runs = MapRuns(
            store.database, record, machine, store.keep_execution, save, store.clock, store.executions, store.suspended
        )
        self._past: Past | None = None
        self._first = 0
        # `_ended`: the execution has; `_over`: nothing of it runs here any more.
        self._ended, self._over = threading.Event(), threading.Event()
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
        self._reopen()
        self._history.forget_notes()
        begin_again(self.record, self._clock.now())
        self._save()
        self._note_redrive()
        self._begin()

    def _note_redrive(self) -> None:
        details = {"redriveCount": self.record["redriveCount"]}
        self._first = self._history.add(self._history.last, "ExecutionRedriven", details)

    def take_up(self) -> set[str]:
        """Read where an earlier process left it; the task tokens that it waits for."""
        self._past = past_of(self._database, self.record["executionArn"])
        self._reopen()
        if "TimeoutSeconds" in self._definition:  # its time goes on while the cloud is away
            passed = self._clock.now() - self.record.get("redriveDate", self.record["startDate"])
            self._scope = Scope(None, self._definition["TimeoutSeconds"] - passed, EXECUTION_TIMEOUT, self._clock)
        begun = self._past.lines.get("")
        self._first = begun.last if begun else 0
        runs = self.record.get("mapRuns", [])
        # A run that no event names was begun a moment before the kill; another one takes its place.
        runs[:] = [run for run in runs if run["status"] != "RUNNING" or run["mapRunArn"] in self._past.map_runs]
        return self._past.tokens()

    def go_on(self) -> None:
        """Go on from there, in the background."""
        past = self._past
        assert past is not None, "take_up has read it"
        if not past.lines:  # killed between the record and its first event
            self.start()
        elif (end := past.end) and self.record.get("redriveDate", 0) > end["timestamp"]:
            # Killed between the record of a redrive and its event.
            self._past = Past(whole(self._database, self.record["executionArn"]))
            self._note_redrive()
            self._in_background()
        elif end:  # killed between its last event and the record
            kind = end["type"]
            details = end.get(f"{kind[0].lower()}{kind[1:]}EventDetails", {})
            told = {name: details[name] for name in ("output", "error", "cause") if name in details}
            self.record.update(status=ENDS[kind], stopDate=end["timestamp"], **told)
            self._save()
            self._history.forget_notes()
            self._ended.set()
            self._over.set()
        else:
            self._in_background()

    def give_up(self, cause: str) -> None:
        """It cannot go on: its history is not what was written."""
        self.record.update(status="FAILED", stopDate=self._clock.now(), error="States.Runtime", cause=cause)
        self._save()

    def suspend(self) -> None:
        """The cloud stops: end the thread, and leave everything as it stands."""
        self._scope.suspend()
        self._over.wait(SUSPENSION_SECONDS)

    def _reopen(self) -> None:
        arn = self.record["executionArn"]
        self._history = History.reopened(self._database, arn, self._clock, self._log, self._suspended)

    def stop(self, error: str | None, cause: str | None) -> None:
        """Ask the execution to end as ABORTED; returns when it has."""
        with self._lock:
            if self._stop_reason is None:
                self._stop_reason = (error, cause)
        self._scope.cancel()
        self._over.wait(30)

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
        self._in_background()

    def _in_background(self) -> None:
        threading.Thread(target=self._guarded, name=self.record["name"], daemon=True).start()

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

    def _guarded(self) -> None:
        try:
            self._run()
        finally:
            self._over.set()

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
        except ExecutionSuspended:
            return
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
            self._history.forget_notes()
        except ExecutionSuspended:
            return
        except BaseException:
            self._ended.set()
            raise
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
