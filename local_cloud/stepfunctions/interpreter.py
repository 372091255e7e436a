"""Runs the states of one execution. One thread per branch; a state is a method that returns its output and its successor."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from local_cloud.stepfunctions import map_items, map_runs
from local_cloud.stepfunctions.choice import holds
from local_cloud.stepfunctions.concurrently import Outcome, run_all
from local_cloud.stepfunctions.failures import ExecutionCancelled, StateFailure, matches
from local_cloud.stepfunctions.history import History, data_details
from local_cloud.stepfunctions.moments import seconds_to_wait
from local_cloud.stepfunctions.paths import place
from local_cloud.stepfunctions.payload import (
    dump,
    effective_input,
    effective_output,
    expression,
    named_expression,
    require_size,
    select,
    template,
)
from local_cloud.stepfunctions.scope import Scope

MAXIMUM_EVENTS = 25_000
DEFAULT_RETRY = {"IntervalSeconds": 1, "MaxAttempts": 3, "BackoffRate": 2.0}
DEFAULT_MAP_CONCURRENCY = 40
# The states that may have Retry: only their context tells a RetryCount (recorded on AWS for a Pass state, which has none).
RETRIED = ("Task", "Parallel", "Map")


class TaskRunner(Protocol):
    """Runs the work of Task states."""

    def run(self, resource: str, parameters: Any, branch: Branch, scope: Scope, state: dict[str, Any]) -> Any: ...


def iso(moment: float) -> str:
    """A time as the context object shows it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@dataclass
class Branch:
    """One line of control: its context object, its place in the history, its scope."""

    history: History
    tasks: TaskRunner
    scope: Scope
    context: dict[str, Any]
    last_event: int = 0
    map_runs: map_runs.MapRuns | None = None

    def event(self, kind: str, details: dict[str, Any] | None = None, field_name: str | None = None) -> int:
        """Append an event to the history, after this branch's last one."""
        self.last_event = self.history.add(self.last_event, kind, details, field_name)
        return self.last_event

    def side_event(self, kind: str, details: dict[str, Any] | None = None) -> int:
        """Append an event beside the chain: on AWS the next one follows what this one follows."""
        return self.history.add(self.last_event, kind, details)

    def child(self, scope: Scope, last_event: int, history: History | None = None, **context: Any) -> Branch:
        """A branch that starts behind `last_event`."""
        context = {**copy.deepcopy(self.context), **context}
        return Branch(history or self.history, self.tasks, scope, context, last_event, self.map_runs)

    def run(self, machine: dict[str, Any], value: Any) -> Any:
        """Run the states of a machine from StartAt to an end; its output."""
        name: str | None = machine["StartAt"]
        while name is not None:
            self.scope.check()
            if self.last_event >= MAXIMUM_EVENTS:
                raise StateFailure(
                    "States.Runtime", f"The execution reached the maximum of {MAXIMUM_EVENTS} history events."
                )
            value, name = self._state(name, machine["States"][name], value)
        return value

    def _state(self, name: str, state: dict[str, Any], raw: Any) -> tuple[Any, str | None]:
        kind = state["Type"]
        self.context["State"] = {"Name": name, "EnteredTime": iso(time.time())}
        if kind in RETRIED:
            self.context["State"]["RetryCount"] = 0
        details = {"name": name, **data_details(input=dump(raw))}
        entered = self.event(f"{kind}StateEntered", details, "stateEnteredEventDetails")
        try:
            if kind == "Fail":
                raise self._fail(state, raw)
            output, following = self._with_handlers(name, state, raw, entered)
            text = require_size(output, name)
        except StateFailure as failure:
            failure.frame(name, entered)
            raise
        self.event(f"{kind}StateExited", {"name": name, **data_details(output=text)}, "stateExitedEventDetails")
        return output, following

    def _with_handlers(self, name: str, state: dict[str, Any], raw: Any, entered: int) -> tuple[Any, str | None]:
        counts: dict[int, int] = {}
        while True:
            try:
                result = getattr(self, f"_{state['Type'].lower()}")(name, state, raw)
                if state["Type"] in ("Choice", "Succeed"):
                    return result
                if state["Type"] == "Wait":
                    return select(state.get("OutputPath", "$"), result, self.context), state.get("Next")
                return effective_output(state, raw, result, self.context), state.get("Next")
            except StateFailure as failure:
                if self.scope.cancelled:
                    raise ExecutionCancelled from failure
                self.scope.check()  # the execution's own time is over: no handler may see that
                failure.frame(name, entered)
                delay = self._retry_delay(state, failure, counts)
                if delay is not None:
                    self.scope.wait(delay)
                    self.context["State"]["RetryCount"] += 1
                    continue
                if failure.inside and state["Type"] in ("Map", "Parallel"):
                    self.event(f"{state['Type']}StateFailed")
                for catcher in state.get("Catch", []):
                    if matches(catcher["ErrorEquals"], failure):
                        # Recorded on AWS: an error without a cause is caught with null.
                        caught = {"Error": failure.error, "Cause": failure.cause}
                        path = catcher.get("ResultPath", "$")
                        return (raw if path is None else place(path, raw, caught)), catcher["Next"]
                raise

    @staticmethod
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

    def _fail(self, state: dict[str, Any], raw: Any) -> StateFailure:
        def text(name: str) -> str | None:
            if f"{name}Path" in state:
                return str(named_expression(f"{name}Path", state[f"{name}Path"], raw, self.context))
            return state.get(name)

        return StateFailure(text("Error"), text("Cause"))

    def _pass(self, name: str, state: dict[str, Any], raw: Any) -> Any:
        given = effective_input(state, raw, self.context)
        return copy.deepcopy(state["Result"]) if "Result" in state else given

    def _succeed(self, name: str, state: dict[str, Any], raw: Any) -> tuple[Any, None]:
        given = select(state.get("InputPath", "$"), raw, self.context)
        return select(state.get("OutputPath", "$"), given, self.context), None

    def _choice(self, name: str, state: dict[str, Any], raw: Any) -> tuple[Any, str]:
        given = select(state.get("InputPath", "$"), raw, self.context)
        following = next((rule["Next"] for rule in state["Choices"] if holds(rule, given, self.context)), None)
        following = following or state.get("Default")
        if following is None:
            raise StateFailure("States.NoChoiceMatched", "No choice rule matched and there is no Default.")
        return select(state.get("OutputPath", "$"), given, self.context), following

    def _wait(self, name: str, state: dict[str, Any], raw: Any) -> Any:
        given = select(state.get("InputPath", "$"), raw, self.context)
        self.scope.wait(seconds_to_wait(state, given, self.context))
        return given

    def _task(self, name: str, state: dict[str, Any], raw: Any) -> Any:
        given = select(state.get("InputPath", "$"), raw, self.context)
        times = {
            name: expression(state[f"{name}Path"], given, self.context) if f"{name}Path" in state else state.get(name)
            for name in ("TimeoutSeconds", "HeartbeatSeconds")
        }
        scope = Scope(self.scope, times["TimeoutSeconds"], "States.Timeout")
        try:
            return self.tasks.run(state["Resource"], given, self, scope, {**state, **times})
        finally:
            scope.close()

    def _parallel(self, name: str, state: dict[str, Any], raw: Any) -> list[Any]:
        given = effective_input(state, raw, self.context)
        self.event("ParallelStateStarted")
        together = Scope(self.scope)

        def work(machine: dict[str, Any]) -> Callable[[int], Outcome]:
            def run(previous: int) -> Outcome:
                branch = self.child(together, previous)
                return _outcome(branch, lambda: branch.run(machine, copy.deepcopy(given)))

            return run

        works = [work(machine) for machine in state["Branches"]]
        results = self._all(works, len(works), together, 0, "ParallelStateAborted")
        self.side_event("ParallelStateSucceeded")
        return results

    def _map(self, name: str, state: dict[str, Any], raw: Any) -> list[Any]:
        given = select(state.get("InputPath", "$"), raw, self.context)
        concurrency = map_items.concurrency(state, given, self.context)
        if map_runs.is_distributed(state):
            return map_runs.run(self, name, state, given, concurrency)
        items = map_items.items_of(state, given, self.context)
        self.event("MapStateStarted", {"length": len(items)})
        together = Scope(self.scope)
        machine = state.get("ItemProcessor") or state["Iterator"]
        works = [
            lambda previous, i=index, v=value: self._iteration(name, state, machine, given, i, v, together, previous)
            for index, value in enumerate(items)
        ]
        results = self._all(works, concurrency or DEFAULT_MAP_CONCURRENCY, together, 0, "MapStateAborted")
        self.side_event("MapStateSucceeded")
        return results

    def _all(
        self, works: list[Callable[[int], Outcome]], concurrency: int, scope: Scope, tolerated: float, aborted: str
    ) -> list[Any]:
        """All works' results; this branch goes on behind the one that ended last."""
        try:
            results, self.last_event = run_all(works, concurrency, scope, tolerated, self.last_event)
        except StateFailure as failure:
            self.last_event, failure.inside = failure.last_event, True
            raise
        except ExecutionCancelled:
            self.event(aborted)
            raise
        finally:
            scope.close()
        return results

    def _iteration(
        self, name: str, state: dict[str, Any], machine: dict[str, Any], given: Any, index: int, value: Any,
        scope: Scope, previous: int,
    ) -> Outcome:  # fmt: skip
        branch = self.child(scope, previous, Map={"Item": {"Index": index, "Value": value}})
        details = {"name": name, "index": index}
        branch.event("MapIterationStarted", details)
        try:
            outcome = _outcome(branch, lambda: branch.run(machine, item_input(state, given, value, branch.context)))
        except ExecutionCancelled:
            branch.event("MapIterationAborted", details)
            raise
        if outcome.failure:
            branch.side_event("MapIterationFailed", details)
            return outcome
        return replace(outcome, after=branch.side_event("MapIterationSucceeded", details))


def item_input(state: dict[str, Any], given: Any, value: Any, context: dict[str, Any]) -> Any:
    """What an iteration starts with."""
    chosen = state.get("ItemSelector", state.get("Parameters"))
    return value if chosen is None else template(chosen, given, context)


def _outcome(branch: Branch, run: Callable[[], Any]) -> Outcome:
    try:
        result = run()
    except StateFailure as failure:
        return Outcome(None, branch.last_event, failure=failure)
    return Outcome(result, branch.last_event)
