"""Runs the states of one execution. One thread per branch; a state is a method that returns its output and its successor."""

from __future__ import annotations

import copy
import random
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from local_cloud.stepfunctions import map_items
from local_cloud.stepfunctions.choice import holds
from local_cloud.stepfunctions.failures import ExecutionCancelled, StateFailure, matches
from local_cloud.stepfunctions.history import History, data_details
from local_cloud.stepfunctions.paths import place
from local_cloud.stepfunctions.payload import (
    dump,
    effective_input,
    effective_output,
    expression,
    require_size,
    select,
    template,
)
from local_cloud.stepfunctions.scope import Scope

MAXIMUM_EVENTS = 25_000
DEFAULT_RETRY = {"IntervalSeconds": 1, "MaxAttempts": 3, "BackoffRate": 2.0}
DEFAULT_MAP_CONCURRENCY = 40


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
    retries: dict[str, int] = field(default_factory=dict)

    def event(self, kind: str, details: dict[str, Any] | None = None, field_name: str | None = None) -> int:
        """Append an event to the history, after this branch's last one."""
        self.last_event = self.history.add(self.last_event, kind, details, field_name)
        return self.last_event

    def child(self, scope: Scope, **context: Any) -> Branch:
        """A branch that starts where this one is."""
        return Branch(self.history, self.tasks, scope, {**copy.deepcopy(self.context), **context}, self.last_event)

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
        self.context["State"] = {"Name": name, "EnteredTime": iso(time.time()), "RetryCount": 0}
        details = {"name": name, **data_details(input=dump(raw))}
        self.event(f"{kind}StateEntered", details, "stateEnteredEventDetails")
        if kind == "Fail":
            raise self._fail(state, raw)
        output, following = self._with_handlers(name, state, raw)
        text = require_size(output, name)
        self.event(f"{kind}StateExited", {"name": name, **data_details(output=text)}, "stateExitedEventDetails")
        return output, following

    def _with_handlers(self, name: str, state: dict[str, Any], raw: Any) -> tuple[Any, str | None]:
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
                delay = self._retry_delay(state, failure, counts)
                if delay is not None:
                    self.scope.wait(delay)
                    self.context["State"]["RetryCount"] += 1
                    continue
                for catcher in state.get("Catch", []):
                    if matches(catcher["ErrorEquals"], failure):
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
        def text(name: str) -> str:
            if f"{name}Path" in state:
                return str(expression(state[f"{name}Path"], raw, self.context, "States.Runtime"))
            return state.get(name, "")

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
        if "Seconds" in state or "SecondsPath" in state:
            path = state.get("SecondsPath")
            seconds = state["Seconds"] if path is None else expression(path, given, self.context, "States.Runtime")
        else:
            path = state.get("TimestampPath")
            moment = state["Timestamp"] if path is None else expression(path, given, self.context, "States.Runtime")
            try:
                seconds = datetime.fromisoformat(str(moment).replace("Z", "+00:00")).timestamp() - time.time()
            except ValueError:
                raise StateFailure("States.Runtime", f"The Timestamp {moment!r} is not in RFC 3339 form.") from None
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            raise StateFailure("States.Runtime", f"The number of seconds to wait is {seconds!r}.")
        self.scope.wait(max(seconds, 0))
        return given

    def _task(self, name: str, state: dict[str, Any], raw: Any) -> Any:
        given = select(state.get("InputPath", "$"), raw, self.context)
        path = state.get("TimeoutSecondsPath")
        seconds = (
            state.get("TimeoutSeconds") if path is None else expression(path, given, self.context, "States.Runtime")
        )
        scope = Scope(self.scope, seconds, "States.Timeout")
        try:
            return self.tasks.run(state["Resource"], given, self, scope, {**state, "TimeoutSeconds": seconds})
        finally:
            scope.close()

    def _parallel(self, name: str, state: dict[str, Any], raw: Any) -> list[Any]:
        given = effective_input(state, raw, self.context)
        self.event("ParallelStateStarted")
        together = Scope(self.scope)
        branches = [self.child(together) for _ in state["Branches"]]
        works = [
            lambda b=branch, m=machine: b.run(m, copy.deepcopy(given))
            for branch, machine in zip(branches, state["Branches"], strict=True)
        ]
        try:
            results = _run_all(works, len(works), together, tolerated=0)
        except StateFailure:
            self.event("ParallelStateFailed")
            raise
        except ExecutionCancelled:
            self.event("ParallelStateAborted")
            raise
        finally:
            together.close()
        self.event("ParallelStateSucceeded")
        return results

    def _map(self, name: str, state: dict[str, Any], raw: Any) -> list[Any]:
        given = select(state.get("InputPath", "$"), raw, self.context)
        items = map_items.items_of(state, given, self.context, self.tasks)
        self.event("MapStateStarted", {"length": len(items)})
        together = Scope(self.scope)
        machine = state.get("ItemProcessor") or state["Iterator"]
        works = [
            lambda i=index, v=value: self._iteration(name, state, machine, given, i, v, together)
            for index, value in enumerate(items)
        ]
        concurrency = map_items.number(state, "MaxConcurrency", given, self.context) or DEFAULT_MAP_CONCURRENCY
        try:
            tolerated = map_items.tolerated(state, given, self.context, len(items))
            results = _run_all(works, concurrency, together, tolerated)
        except StateFailure:
            self.event("MapStateFailed")
            raise
        except ExecutionCancelled:
            self.event("MapStateAborted")
            raise
        finally:
            together.close()
        self.event("MapStateSucceeded")
        return results

    def _iteration(
        self,
        name: str,
        state: dict[str, Any],
        machine: dict[str, Any],
        given: Any,
        index: int,
        value: Any,
        scope: Scope,
    ) -> Any:
        branch = self.child(scope, Map={"Item": {"Index": index, "Value": value}})
        details = {"name": name, "index": index}
        branch.event("MapIterationStarted", details)
        try:
            chosen = state.get("ItemSelector", state.get("Parameters"))
            entry = value if chosen is None else template(chosen, given, branch.context)
            result = branch.run(machine, entry)
        except StateFailure:
            branch.event("MapIterationFailed", details)
            raise
        except ExecutionCancelled:
            branch.event("MapIterationAborted", details)
            raise
        branch.event("MapIterationSucceeded", details)
        return result


def _run_all(works: list[Any], concurrency: int, scope: Scope, tolerated: float) -> list[Any]:
    """The results of all works, at most `concurrency` at a time; too many failures cancel the rest."""
    results: list[Any] = [None] * len(works)
    failures: list[BaseException] = []
    lock, numbers = threading.Lock(), iter(range(len(works)))

    def worker() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None or scope.cancelled:
                return
            try:
                results[number] = works[number]()
            except ExecutionCancelled:
                return
            except BaseException as fault:
                with lock:
                    failures.append(fault)
                    if len(failures) > tolerated:
                        scope.cancel()
                    else:
                        results[number] = {"Error": getattr(fault, "error", "States.Runtime"), "Cause": str(fault)}

    threads = [threading.Thread(target=worker, name="branch", daemon=True) for _ in range(min(concurrency, len(works)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(failures) > tolerated:
        raise failures[0]
    if scope.cancelled:
        raise ExecutionCancelled
    return results
