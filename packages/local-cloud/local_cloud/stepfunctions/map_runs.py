"""Distributed maps: a map run with an execution for each item (or batch), as AWS keeps them.

The parent's history has the run alone; what each item did is in the history of its own execution, which
`ListExecutions(mapRunArn=…)` lists. https://docs.aws.amazon.com/step-functions/latest/dg/concepts-examine-map-run.html
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local_cloud.clock import Clock
from local_cloud.persistence.database import Database
from local_cloud.stepfunctions import map_items, map_results
from local_cloud.stepfunctions.concurrently import Limits, Outcome, run_all
from local_cloud.stepfunctions.failures import ExecutionCancelled, StateFailure, outcome_of
from local_cloud.stepfunctions.history import History, data_details, past_of, whole
from local_cloud.stepfunctions.past import Past
from local_cloud.stepfunctions.payload import dump
from local_cloud.stepfunctions.reading import JSONATA, PATH, reads
from local_cloud.stepfunctions.redrive import begin_again
from local_cloud.stepfunctions.scope import Scope

if TYPE_CHECKING:
    from local_cloud.stepfunctions.interpreter import Branch
    from local_cloud.stepfunctions.query import JsonataQuery, PathQuery

DEFAULT_CONCURRENCY = 1000
# Threads of one machine; AWS starts up to a thousand executions at once.
MAXIMUM_THREADS = 64
COUNTS = ("pending", "running", "succeeded", "failed", "timedOut", "aborted")


@dataclass
class MapRuns:
    """The map runs of one execution: its record, and where executions of items are kept."""

    database: Database
    record: dict[str, Any]
    machine: dict[str, Any]
    keep: Callable[[dict[str, Any]], None]
    save: Callable[[Database, dict[str, Any]], None]
    clock: Clock
    executions: dict[str, dict[str, Any]]
    suspended: threading.Event
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, label: str, **given: Any) -> MapRun:
        """A new run, RUNNING."""
        base = self.machine["stateMachineArn"].replace(":stateMachine:", ":mapRun:")
        run = {
            "mapRunArn": f"{base}/{label}:{uuid.uuid4()}", "executionArn": self.record["executionArn"],
            "stateMachineArn": f"{self.machine['stateMachineArn']}/{label}", "status": "RUNNING",
            "startDate": self.clock.now(), **given, "counts": dict.fromkeys(COUNTS, 0),
            "items": dict.fromkeys(COUNTS, 0),
        }  # fmt: skip
        with self.lock:
            self.record.setdefault("mapRuns", []).append(run)
            self.save(self.database, self.record)
        return MapRun(self, run, label)

    def again(self, arn: str, goes_on: bool) -> MapRun:
        """A run that did not succeed, or that a killed cloud left, RUNNING once more: its executions that succeeded are kept."""
        with self.lock:
            run = next(run for run in self.record["mapRuns"] if run["mapRunArn"] == arn)
            if goes_on:
                run.pop("stopDate", None)
                run["status"] = "RUNNING"
            else:
                begin_again(run, self.clock.now())
            run.update(counts=dict.fromkeys(COUNTS, 0), items=dict.fromkeys(COUNTS, 0))
            self.save(self.database, self.record)
        earlier = {r["index"]: r for r in list(self.executions.values()) if r.get("mapRunArn") == arn}
        if goes_on:  # what was cancelled a moment before the kill is done anew
            earlier = {index: record for index, record in earlier.items() if record["status"] != "ABORTED"}
        return MapRun(self, run, run["stateMachineArn"].rpartition("/")[2], earlier)


class MapRun:
    """One run: `run` is its record, shown by DescribeMapRun; `earlier` its executions before a redrive, by item."""

    def __init__(
        self, runs: MapRuns, run: dict[str, Any], label: str, earlier: dict[int, dict[str, Any]] | None = None
    ):
        self.runs, self.run, self.label = runs, run, label
        self.earlier = earlier or {}

    def concurrency(self) -> int:
        """How many executions may run now."""
        return min(self.run["maxConcurrency"] or DEFAULT_CONCURRENCY, MAXIMUM_THREADS)

    def tolerated(self, total: int) -> float:
        """How many of so many items may fail."""
        return max(self.run["toleratedFailureCount"], self.run["toleratedFailurePercentage"] * total / 100)

    def count(self, change: dict[str, int], size: int) -> None:
        """Move executions, and the `size` items of each, from one status to another."""
        with self.runs.lock:
            for status, number in change.items():
                self.run["counts"][status] += number
                self.run["items"][status] += number * size

    def redrive(self, record: dict[str, Any]) -> tuple[History, Past]:
        """An execution that did not succeed, RUNNING once more: its history, and where it stood."""
        arn = record["executionArn"]
        past = Past(whole(self.runs.database, arn))
        begin_again(record, self.runs.clock.now())
        history = History.reopened(self.runs.database, arn, self.runs.clock, suspended=self.runs.suspended)
        history.forget_notes()
        history.add(history.last, "ExecutionRedriven", {"redriveCount": record["redriveCount"]})
        self.runs.save(self.runs.database, record)
        return history, past

    def settled(self, record: dict[str, Any]) -> bool:
        """Whether the execution of an item ended in the life of the run that goes on: it is not done again."""
        ended = record["status"] not in ("RUNNING", "ABORTED")
        return ended and record["stopDate"] >= self.run.get("redriveDate", 0)

    def go_on(self, record: dict[str, Any]) -> tuple[History, Past]:
        """An execution that a killed cloud left: its history, and where it stands."""
        arn = record["executionArn"]
        history = History.reopened(self.runs.database, arn, self.runs.clock, suspended=self.runs.suspended)
        return history, past_of(self.runs.database, arn)

    def begin(self, value: Any, index: int) -> tuple[dict[str, Any], History]:
        """The execution of one item, RUNNING, and its history."""
        machine = self.runs.machine
        name = str(uuid.uuid4())
        base = machine["stateMachineArn"].replace(":stateMachine:", ":execution:")
        record = {
            "executionArn": f"{base}/{self.label}:{name}", "stateMachineArn": self.run["stateMachineArn"], "name": name,
            "status": "RUNNING", "startDate": self.runs.clock.now(), "input": dump(value), "mapRunArn": self.run["mapRunArn"],
            "machine": self.runs.record["machine"], "index": index,
        }  # fmt: skip
        history = History(
            self.runs.database, record["executionArn"], clock=self.runs.clock, suspended=self.runs.suspended
        )
        history.add(0, "ExecutionStarted", {**data_details(input=record["input"]), "roleArn": machine["roleArn"]})
        self.runs.keep(record)
        self.runs.save(self.runs.database, record)
        return record, history

    def finish(
        self, record: dict[str, Any], history: History, status: str, past: Past | None = None, **told: str
    ) -> None:  # fmt: skip
        """The execution of one item has ended."""
        kind = {"SUCCEEDED": "ExecutionSucceeded", "FAILED": "ExecutionFailed", "ABORTED": "ExecutionAborted"}[status]
        if not (past and past.end):  # else the kill came between this event and the record
            history.add(history.last, kind, data_details(**told) if status == "SUCCEEDED" else told)
        record.update(status=status, stopDate=self.runs.clock.now(), **told)
        self.runs.save(self.runs.database, record)
        history.forget_notes()

    def end(self, status: str) -> None:
        """The run has ended; executions that never began count as aborted."""
        with self.runs.lock:
            for counts in (self.run["counts"], self.run["items"]):
                counts["aborted"] += counts["pending"]
                counts["pending"] = 0
            self.run.update(status=status, stopDate=self.runs.clock.now())
            self.runs.save(self.runs.database, self.runs.record)


def shown_run(run: dict[str, Any]) -> dict[str, Any]:
    """A run as DescribeMapRun shows it."""
    shown = {name: value for name, value in run.items() if name not in ("counts", "items", "resultsWritten")}
    for name in ("startDate", "stopDate", "redriveDate"):
        if name in run:
            shown[name] = datetime.fromtimestamp(run[name], UTC)
    # Recorded on AWS: without a ResultWriter, what succeeded counts as written.
    for name, counts in (("executionCounts", run["counts"]), ("itemCounts", run["items"])):
        shown[name] = {**counts, "total": sum(counts.values()), "resultsWritten": counts["succeeded"]}
    return shown


@reads("ItemReader", "ItemBatcher", "ResultWriter", "Label", "ReaderConfig.MaxItems", of="Map")
def run(branch: Branch, state: dict[str, Any], query: PathQuery | JsonataQuery, given: Any, concurrency: int) -> Any:
    """Run a distributed map; its result, or what ResultWriter leaves of it."""
    reader = state.get("ItemReader")
    items = None if reader else query.items(given)
    stood = branch.past.line(branch.line) if branch.past and branch.visit else None
    branch.begin("MapStateStarted", {"length": 0 if items is None else len(items)})
    limit = query.number(reader.get("ReaderConfig", {}), "MaxItems", given) or None if reader else None
    count, percentage = map_items.tolerances(state, query, given)
    label = state.get("Label") or str(uuid.uuid4())
    if stood and stood.map_run:
        made = branch.map_runs.again(stood.map_run, branch.past.goes_on)
        if not branch.past.goes_on:
            told = {"mapRunArn": made.run["mapRunArn"], "redriveCount": made.run["redriveCount"]}
            branch.event("MapRunRedriven", told)
    else:
        made = branch.map_runs.start(
            label, maxConcurrency=concurrency, toleratedFailureCount=count, toleratedFailurePercentage=percentage
        )
        branch.event("MapRunStarted", {"mapRunArn": made.run["mapRunArn"]})
    try:
        if items is None:
            items = map_items.read(reader, limit, _where(query, reader, given, "ItemReader"), branch.tasks)
        batches = map_items.batched(state.get("ItemBatcher"), items, query, given)
        results = _children(branch, state, query, given, made, batches, len(items))
        answer = _result(state.get("ResultWriter"), query, given, results, made, branch)
    except ExecutionCancelled:
        made.end("ABORTED")
        branch.event_once("MapRunAborted")
        branch.event_once("MapStateAborted")
        raise
    except StateFailure as failure:
        made.end("FAILED")
        branch.event_once("MapRunFailed", outcome_of(failure.error, failure.cause))
        failure.inside = True
        raise
    made.end("SUCCEEDED")
    branch.event_once("MapRunSucceeded")
    branch.side_event("MapStateSucceeded")
    return answer


def _result(
    writer: dict[str, Any] | None, query: PathQuery | JsonataQuery, given: Any, records: list[dict[str, Any]], made: MapRun,
    branch: Branch,
) -> Any:  # fmt: skip
    """The map's result: what its executions gave, or where ResultWriter put it."""
    if writer is None:
        return [map_results.output_of(record) for record in records]
    config = map_results.config_of(writer)
    if "Resource" not in writer:
        return map_results.transformed(records, config[0])
    return map_results.written(_where(query, writer, given, "ResultWriter"), records, made, branch, config)


@reads("ItemReader.Parameters", "ResultWriter.Parameters", of="Map", by=PATH)
@reads("ItemReader.Arguments", "ResultWriter.Arguments", of="Map", by=JSONATA)
def _where(query: PathQuery | JsonataQuery, holder: dict[str, Any], given: Any, field: str) -> Any:
    """Bucket, key or prefix: Parameters in JSONPath, Arguments in JSONata."""
    name = "Arguments" if "Arguments" in holder else "Parameters"
    return query.where(holder.get(name, {}), given, f"{field}/{name}")


def _children(
    branch: Branch, state: dict[str, Any], query: PathQuery | JsonataQuery, given: Any, made: MapRun, items: list[Any],
    total: int,
) -> list[dict[str, Any]]:  # fmt: skip
    machine, together = state.get("ItemProcessor") or state["Iterator"], Scope(branch.scope)
    size = (lambda value: len(value["Items"])) if state.get("ItemBatcher") else (lambda value: 1)
    for value in items:
        made.count({"pending": 1}, size(value))

    def work(index: int, value: Any) -> Callable[[int], Outcome]:
        return lambda _: _child(branch, query, machine, given, made, index, value, size(value), together)

    works = [work(index, value) for index, value in enumerate(items)]
    limits = Limits(made.concurrency, lambda: made.tolerated(total))
    try:
        records, _ = run_all(works, MAXIMUM_THREADS, together, limits, 0)
    except StateFailure as failure:
        if not limits.tolerated():
            raise
        raise StateFailure(
            "States.ExceedToleratedFailureThreshold",
            "The specified tolerated failure threshold was exceeded",
        ) from failure
    finally:
        together.close()
    return records


def _child(
    branch: Branch, query: PathQuery | JsonataQuery, machine: dict[str, Any], given: Any, made: MapRun, index: int, value: Any,
    size: int, scope: Scope,
) -> Outcome:  # fmt: skip
    item = {"Item": {"Index": index, "Value": value}}
    record, past = made.earlier.get(index), None
    goes_on = branch.past is not None and branch.past.goes_on and record is not None
    if record and record["status"] == "SUCCEEDED":
        made.count({"pending": -1, "succeeded": 1}, size)
        return Outcome(record, 0)
    if goes_on and made.settled(record):
        made.count({"pending": -1, "failed": 1}, size)
        return Outcome(record, 0, failure=StateFailure(record.get("error"), record.get("cause")))
    outer = branch.child(scope, 0, Map=item)
    made.count({"pending": -1, "running": 1}, size)
    if record:
        history, past = made.go_on(record) if goes_on and record["status"] == "RUNNING" else made.redrive(record)
        entry = json.loads(record["input"])
    else:
        entry = query.item(given, value, outer)
        record, history = made.begin(entry, index)
    child = branch.child(scope, history.last if past and not past.goes_on else 0, history, past=past, Map=item)
    child.context["Execution"] = {
        **child.context["Execution"],
        "Id": record["executionArn"],
        "Name": record["name"],
        "Input": entry,
    }
    try:
        output = dump(child.run(machine, entry))
    except ExecutionCancelled:
        made.count({"running": -1, "aborted": 1}, size)
        made.finish(record, history, "ABORTED", past)
        raise
    except StateFailure as failure:
        made.count({"running": -1, "failed": 1}, size)
        made.finish(record, history, "FAILED", past, **outcome_of(failure.error, failure.cause))
        return Outcome(record, 0, failure=failure)
    made.count({"running": -1, "succeeded": 1}, size)
    made.finish(record, history, "SUCCEEDED", past, output=output)
    return Outcome(record, 0)
