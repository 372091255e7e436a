"""Runs the states of one execution. One thread per branch; a state is a method that returns its output and its successor.

With a past, a branch goes on where that branch stood: nothing that was done is done again. Of an execution that goes on after
a kill also the attempt that ran is taken up: `told` says which of its events there are.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from local_cloud.stepfunctions import map_runs
from local_cloud.stepfunctions.choice import holds
from local_cloud.stepfunctions.concurrently import Limits, Outcome, run_all
from local_cloud.stepfunctions.failures import ExecutionCancelled, QueryFailed, StateFailure, matches, outcome_of
from local_cloud.stepfunctions.history import History, data_details
from local_cloud.stepfunctions.moments import iso
from local_cloud.stepfunctions.past import BESIDE, LINE, NEXT, Past
from local_cloud.stepfunctions.paths import place
from local_cloud.stepfunctions.payload import dump, require_size, select
from local_cloud.stepfunctions.query import JsonataQuery, PathQuery, is_distributed, query_of
from local_cloud.stepfunctions.reading import JSONATA, PATH, reads
from local_cloud.stepfunctions.scope import Context, Scope

# A state's output, the next state's name (None at the end), and the variables that it assigns.
Ended = tuple[Any, str | None, dict[str, Any]]
MAXIMUM_EVENTS = 25_000
DEFAULT_RETRY = {"IntervalSeconds": 1, "MaxAttempts": 3, "BackoffRate": 2.0}
DEFAULT_MAP_CONCURRENCY = 40
# The states that may have Retry: only their context tells a RetryCount (recorded on AWS for a Pass state, which has none).
RETRIED = ("Task", "Parallel", "Map")


class TaskRunner(Protocol):
    """Runs the work of Task states."""

    def run(
        self, resource: str, arguments: Callable[[], Any], branch: Branch, scope: Scope, times: dict[str, Any]
    ) -> Any: ...


@dataclass
class Branch:
    """One line of control: its context object, its place in the history, its scope."""

    history: History
    tasks: TaskRunner
    scope: Scope
    context: Context
    last_event: int = 0
    map_runs: map_runs.MapRuns | None = None
    language: str = "JSONPath"
    # Which line of control this is, what all of them did before, and the visit of a state that goes on.
    line: str = ""
    past: Past | None = None
    visit: int | None = None
    # After a kill: the events of the attempt that goes on, by type, and what is noted about the state besides.
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    noted: dict[str, Any] = field(default_factory=dict)
    # This line's own last event, the event with which its state was entered, and when that was.
    own_event: int = 0
    entered: int = 0
    # When a call may have been made already that is made now: the moment from which its results are ours.
    again_since: float | None = None

    def event(
        self, kind: str, details: dict[str, Any] | None = None, field_name: str | None = None, **ours: Any
    ) -> int:
        """Append an event to the history, after this branch's last one."""
        ours = {LINE: self.line, **ours} if self.line else ours
        self.last_event = self.own_event = self.history.add(self.last_event, kind, details, field_name, ours)
        return self.last_event

    def event_once(self, kind: str, details: dict[str, Any] | None = None, **ours: Any) -> int:
        """The event, unless the attempt that goes on has it."""
        if kind not in self.told:
            return self.event(kind, details, **ours)
        self.last_event = self.told[kind]["id"]
        return self.last_event

    def side_event(self, kind: str, details: dict[str, Any] | None = None) -> int:
        """Append an event beside the chain: on AWS the next one follows what this one follows."""
        if kind in self.told:
            return self.told[kind]["id"]
        ours = {LINE: self.line, BESIDE: True} if self.line else {BESIDE: True}
        return self.history.add(self.last_event, kind, details, None, ours)

    def note(self, **told: Any) -> None:
        """Keep something about the state that this line is in, for the case of a kill."""
        self.noted = {**self.noted, "entered": self.entered, **told}
        self.history.note(self.line, self.noted)

    def child(
        self, scope: Scope, last_event: int, history: History | None = None, line: str = "", past: Past | None = None,
        **context: Any,
    ) -> Branch:  # fmt: skip
        """A branch that starts behind `last_event`."""
        context = Context({**copy.deepcopy(dict(self.context)), **context}, {} if history else self.context.variables)
        past = past if history else self.past
        return Branch(
            history or self.history, self.tasks, scope, context, last_event, self.map_runs, self.language, line, past
        )

    def begin(self, kind: str, details: dict[str, Any] | None = None) -> int:
        """The event with which branches or iterations start: a new one, or that of the visit that goes on."""
        visit, self.visit = self.visit, None
        return visit or self.event(kind, details)

    def run(self, machine: dict[str, Any], value: Any) -> Any:
        """Run the states of a machine from StartAt, or from where this line stood, to an end; its output."""
        name: str | None = machine["StartAt"]
        entered = None
        stood = self.past.line(self.line) if self.past else None
        if stood:
            self.context.variables |= stood.variables
            if self.past.goes_on:
                self.last_event = self.own_event = stood.last or self.last_event
            if stood.left:
                name, value = stood.following, json.loads(stood.output)
            else:
                name, value, entered, self.visit = stood.state, json.loads(stood.given), stood.entered, stood.visit
                if self.past.goes_on:
                    self.told, self.noted = stood.attempt, self.past.note(self.line)
        while name is not None:
            if entered is None:  # what had begun before a kill ends by itself, and stops what it had started
                self.scope.check()
            if self.last_event >= MAXIMUM_EVENTS:
                raise StateFailure(
                    "States.Runtime", f"The execution reached the maximum of {MAXIMUM_EVENTS} history events."
                )
            value, name = self._state(name, machine["States"][name], value, entered)
            entered = None
        return value

    def _state(self, name: str, state: dict[str, Any], raw: Any, entered: int | None = None) -> tuple[Any, str | None]:
        kind = state["Type"]
        self.context["State"] = {"Name": name, "EnteredTime": iso(self.scope.clock.now())}
        if kind in RETRIED:
            self.context["State"]["RetryCount"] = 0
        before = self.last_event
        if entered is not None and self.past.goes_on:
            self.context["State"]["EnteredTime"] = iso(self.past.line(self.line).entered_at)
        if entered is None:
            self.told, self.noted = {}, {}
            details = {"name": name, **data_details(input=dump(raw))}
            entered = self.event(f"{kind}StateEntered", details, "stateEnteredEventDetails")
        self.entered = entered
        try:
            output, following, assigned = self._with_handlers(name, state, raw, entered, before)
            text = require_size(output, name)
        except StateFailure as failure:
            failure.frame(name, entered)
            raise
        details = {"name": name, **data_details(output=text)}
        if assigned:
            shown = {variable: dump(value) for variable, value in assigned.items()}
            details |= {"assignedVariables": shown, "assignedVariablesDetails": {"truncated": False}}
            self.context.variables |= assigned
        onward = {NEXT: following} if following else {}
        self.event(f"{kind}StateExited", details, "stateExitedEventDetails", **onward)
        return output, following

    @reads("Catch", of=RETRIED)
    @reads("Catch.ErrorEquals", of=RETRIED)
    def _with_handlers(
        self, name: str, state: dict[str, Any], raw: Any, entered: int, before: int
    ) -> tuple[Any, str | None, dict[str, Any]]:
        counts = {int(index): done for index, done in self.noted.get("counts", {}).items()}
        if counts:
            self.context["State"]["RetryCount"] = sum(counts.values())
        query = query_of(state, raw, self, self.language)
        if self.noted.get("after") == self.own_event:  # the kill came before the next attempt
            self._await_retry()
        while True:
            try:
                return self.enter(name, state, query)
            except StateFailure as failure:
                self.scope.check()  # cancelled, or the execution's own time is over: no handler may see that
                failure.frame(name, entered)
                self._tell_query(name, failure, before)
                delay = self._retry_delay(state, failure, counts)
                if delay is not None:
                    self.note(
                        counts=counts, until=self.scope.clock.now() + delay, after=self.own_event, follows=self.last_event
                    )  # fmt: skip
                    self._await_retry()
                    continue
                if state["Type"] in ("Map", "Parallel") and (failure.inside or isinstance(failure, QueryFailed)):
                    self.event_once(f"{state['Type']}StateFailed")
                for index, catcher in enumerate(state.get("Catch", [])):
                    if matches(catcher["ErrorEquals"], failure):
                        try:
                            return (*self.caught(catcher, failure, query, index),)
                        except QueryFailed as other:
                            other.frame(name, entered)
                            self._tell_query(name, other, before)
                            raise
                raise

    def _await_retry(self) -> None:
        """Wait as long as was noted, and forget the attempt before."""
        self.last_event, self.told, self.visit = self.noted["follows"], {}, None
        self.context["State"]["RetryCount"] = sum(self.noted["counts"].values())
        self.scope.wait(max(0.0, self.noted["until"] - self.scope.clock.now()))

    @reads("Type")
    def enter(self, name: str, state: dict[str, Any], query: PathQuery | JsonataQuery) -> Ended:
        """Do once what a state does: no Retry, no Catch."""
        return getattr(self, f"_{state['Type'].lower()}")(name, state, query)

    def _tell_query(self, name: str, failure: StateFailure, before: int) -> None:
        """AWS writes an event of its own for an expression that failed."""
        if not isinstance(failure, QueryFailed) or failure.told:
            return
        failure.told = True
        if "EvaluationFailed" in self.told:
            return
        place = {"location": failure.location} if failure.location else {}
        details = {**outcome_of(failure.error, failure.cause), **place, "state": name}
        ours = {LINE: self.line} if self.line else None
        follows = before if failure.beside else self.last_event
        self.last_event = self.own_event = self.history.add(follows, "EvaluationFailed", details, None, ours)

    @staticmethod
    @reads("Catch.Next", of=RETRIED)
    @reads("Catch.ResultPath", of=RETRIED, by=PATH)
    def caught(
        catcher: dict[str, Any], failure: StateFailure, query: PathQuery | JsonataQuery, index: int
    ) -> tuple[Any, str, dict[str, Any]]:
        """Where a Catch leads, with the output that it makes of the failure, and its variables."""
        # Recorded on AWS: in JSONPath, an error without a cause is caught with null, and a time-out with an empty one.
        caught = {"Error": failure.error, "Cause": failure.cause}
        if failure.error == "States.Timeout" and failure.cause is None and not isinstance(query, JsonataQuery):
            caught["Cause"] = ""
        if isinstance(query, JsonataQuery):
            caught = {part: text for part, text in caught.items() if text is not None}
            assigned = query.assigned(catcher, None, errorOutput=caught)
            return query.caught(catcher, caught, index), catcher["Next"], assigned
        path = catcher.get("ResultPath", "$")
        output = query.raw if path is None else place(path, query.raw, caught)
        return output, catcher["Next"], query.assigned(catcher, caught)

    @staticmethod
    @reads("Retry", "Retry.ErrorEquals", "Retry.IntervalSeconds", "Retry.MaxAttempts", "Retry.BackoffRate", of=RETRIED)
    @reads("Retry.MaxDelaySeconds", "Retry.JitterStrategy", of=RETRIED)
    def _retry_delay(state: dict[str, Any], failure: StateFailure, counts: dict[int, int]) -> float | None:
        for index, given in enumerate(state.get("Retry", [])):
            retrier = {**DEFAULT_RETRY, **given}
            if not matches(retrier["ErrorEquals"], failure):
                continue
            done = counts.get(index, 0)
            if done >= retrier["MaxAttempts"]:
                return None
            counts[index] = done + 1
            delay = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** done
            delay = min(delay, retrier.get("MaxDelaySeconds", delay))
            return random.uniform(0, delay) if retrier.get("JitterStrategy") == "FULL" else delay
        return None

    @reads("Error", "Cause", of="Fail")
    def _fail(self, name: str, state: dict[str, Any], query: PathQuery | JsonataQuery) -> Ended:
        raise StateFailure(query.text("Error"), query.text("Cause"))

    @reads("Next", "Assign", of=("Pass", "Task", "Parallel", "Map"))
    @reads("Next", "Assign", of="Wait", by=JSONATA)
    def ended(self, state: dict[str, Any], query: PathQuery | JsonataQuery, result: Any, source: Any = None) -> Ended:
        """Output, successor and new variables of a state that has one successor; the variables see the old ones."""
        assigned = query.assigned(state, result if source is None else source) if "Assign" in state else {}
        return query.output(result), state.get("Next"), assigned

    def _pass(self, name: str, state: dict[str, Any], query: PathQuery | JsonataQuery) -> Ended:
        return self.ended(state, query, query.passed())

    @reads("OutputPath", of="Succeed", by=PATH)
    def _succeed(self, name: str, state: dict[str, Any], query: PathQuery | JsonataQuery) -> Ended:
        if isinstance(query, JsonataQuery):
            return query.output(query.raw), None, {}
        return select(state.get("OutputPath", "$"), query.given(), self.context), None, {}

    @reads("Choices", "Default", "Assign", of="Choice")
    @reads("OutputPath", of="Choice", by=PATH)
    def _choice(self, name: str, state: dict[str, Any], query: PathQuery | JsonataQuery) -> Ended:
        given = query.given()
        in_jsonata = isinstance(query, JsonataQuery)
        for index, rule in enumerate(state["Choices"]):
            if query.holds(rule, index) if in_jsonata else holds(rule, given, self.context):
                chosen = rule
                break
        else:
            if "Default" not in state:
                raise StateFailure("States.NoChoiceMatched", "No choice rule matched and there is no Default.")
            chosen = {"Next": state["Default"], **({"Assign": state["Assign"]} if "Assign" in state else {})}
        assigned = query.assigned(chosen, given) if "Assign" in chosen else {}
        output = query.chosen(chosen) if in_jsonata else select(state.get("OutputPath", "$"), given, self.context)
        return output, chosen["Next"], assigned

    @reads("Next", "Assign", "OutputPath", of="Wait", by=PATH)
    def _wait(self, name: str, state: dict[str, Any], query: PathQuery | JsonataQuery) -> Ended:
        given = query.given()
        now = self.scope.clock.now()
        if "until" not in self.noted:
            self.note(until=now + query.seconds(given, now))
        self.scope.wait(max(0.0, self.noted["until"] - now))
        if isinstance(query, JsonataQuery):
            return self.ended(state, query, given)
        assigned = query.assigned(state, given) if "Assign" in state else {}
        return select(state.get("OutputPath", "$"), given, self.context), state.get("Next"), assigned

    @reads("Resource", "TimeoutSeconds", "HeartbeatSeconds", of="Task")
    def _task(self, name: str, state: dict[str, Any], query: PathQuery | JsonataQuery) -> Ended:
        given = query.given()
        times = {field: query.time(field, given) for field in ("TimeoutSeconds", "HeartbeatSeconds")}
        scope = Scope(self.scope, self._left(state["Resource"], times["TimeoutSeconds"]), "States.Timeout")
        try:
            result = self.tasks.run(state["Resource"], query.arguments, self, scope, times)
        finally:
            scope.close()
        return self.ended(state, query, result)

    def _left(self, resource: str, seconds: float | None) -> float | None:
        """A task's time; after a kill what is left of it where somebody else answers. Jobs and calls begin again."""
        scheduled = self.told.get("ActivityScheduled")
        if resource.endswith(".waitForTaskToken"):
            scheduled = self.told.get("TaskScheduled")
        if seconds is None or scheduled is None:
            return seconds
        return max(0.0, seconds - (self.scope.clock.now() - scheduled["timestamp"]))

    @reads("Branches", of="Parallel")
    def _parallel(self, name: str, state: dict[str, Any], query: PathQuery | JsonataQuery) -> Ended:
        given = query.arguments()
        started = self.begin("ParallelStateStarted")
        together = Scope(self.scope)

        def work(index: int, machine: dict[str, Any]) -> Callable[[int], Outcome]:
            def run(previous: int) -> Outcome:
                branch = self.child(together, previous, line=f"{self.line}/{started}.{index}")
                return _outcome(branch, lambda: branch.run(machine, copy.deepcopy(given)))

            return run

        works = [work(index, machine) for index, machine in enumerate(state["Branches"])]
        results = self._all(works, len(works), together, 0, "ParallelStateAborted")
        self.side_event("ParallelStateSucceeded")
        return self.ended(state, query, results)

    @reads("MaxConcurrency", "ItemProcessor", "Iterator", of="Map", by=PATH)
    @reads("MaxConcurrency", "ItemProcessor", of="Map", by=JSONATA)
    def _map(self, name: str, state: dict[str, Any], query: PathQuery | JsonataQuery) -> Ended:
        given = query.given()
        concurrency = query.number(state, "MaxConcurrency", given)
        if concurrency < 0:
            raise StateFailure("States.Runtime", "MaxConcurrency cannot be negative.")
        if is_distributed(state):
            return self.ended(state, query, map_runs.run(self, state, query, given, concurrency))
        items = query.items(given)
        started = self.begin("MapStateStarted", {"length": len(items)})
        together = Scope(self.scope)
        machine = state.get("ItemProcessor") or state["Iterator"]
        line = f"{self.line}/{started}"
        works = [
            lambda previous, i=index, v=value: self._iteration(
                name, query, machine, given, i, v, together, previous, f"{line}.{i}"
            )
            for index, value in enumerate(items)
        ]
        results = self._all(works, concurrency or DEFAULT_MAP_CONCURRENCY, together, 0, "MapStateAborted")
        self.side_event("MapStateSucceeded")
        return self.ended(state, query, results)

    def _all(
        self, works: list[Callable[[int], Outcome]], concurrency: int, scope: Scope, tolerated: float, aborted: str
    ) -> list[Any]:
        """All works' results; this branch goes on behind the one that ended last."""
        try:
            results, self.last_event = run_all(
                works, concurrency, scope, Limits.fixed(concurrency, tolerated), self.last_event
            )
        except StateFailure as failure:
            self.last_event, failure.inside = failure.last_event, True
            raise
        except ExecutionCancelled:
            self.event_once(aborted)
            raise
        finally:
            scope.close()
        return results

    def _iteration(
        self, name: str, query: PathQuery | JsonataQuery, machine: dict[str, Any], given: Any, index: int, value: Any,
        scope: Scope, previous: int, line: str,
    ) -> Outcome:  # fmt: skip
        branch = self.child(scope, previous, line=line, Map={"Item": {"Index": index, "Value": value}})
        details = {"name": name, "index": index}
        stood = self.past.line(line) if self.past else None
        if stood and stood.ended and not self.past.goes_on:
            return Outcome(json.loads(stood.output), previous)
        begun = self.past.lines.get(line) if self.past else None
        if begun and self.past.goes_on:
            branch.told, branch.last_event = begun.attempt, begun.last or previous
        if not begun:
            branch.event("MapIterationStarted", details)
        try:
            outcome = _outcome(branch, lambda: branch.run(machine, query.item(given, value, branch)))
        except ExecutionCancelled:
            branch.event_once("MapIterationAborted", details)
            raise
        if outcome.failure:
            branch.side_event("MapIterationFailed", details)
            return outcome
        return replace(outcome, after=branch.side_event("MapIterationSucceeded", details))


def _outcome(branch: Branch, run: Callable[[], Any]) -> Outcome:
    try:
        result = run()
    except StateFailure as failure:
        return Outcome(None, branch.last_event, failure=failure)
    return Outcome(result, branch.last_event)
