"""Walks a state machine with the local cloud's own interpreter: every path and every request, without a cloud.

Tasks are answered by the test, through the interpreter's seam for them (TaskRunner); time does not pass, so that a wait of half an
hour and the pauses before another attempt take none.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local_cloud.stepfunctions.definition import parse_definition
from local_cloud.stepfunctions.failures import StateFailure
from local_cloud.stepfunctions.interpreter import Branch
from local_cloud.stepfunctions.scope import Context, Scope

EXECUTION = {
    "Id": "arn:aws:states:us-east-1:000000000000:execution:darkroom-dev-pipeline:run-1",
    "Name": "run-1",
    "RedriveCount": 0,
}
TaskFailed = StateFailure


@dataclass
class Outcome:
    """How an execution ended, which states it entered, and what its tasks were asked for."""

    status: str = "RUNNING"
    output: Any = None
    error: str | None = None
    cause: str | None = None
    visited: list[str] = field(default_factory=list)
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Inside a Map a state makes a request for each item; `requests` has the last.
    every_request: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def add(self, previous: int, kind: str, details: dict[str, Any] | None = None, *_: Any) -> int:
        """An event, as the interpreter writes its history."""
        if kind.endswith("StateEntered"):
            self.visited.append((details or {})["name"])
        return previous + 1

    def note(self, line: str, noted: dict[str, Any]) -> None:
        """What a real execution keeps for the case of a kill."""


class Unhurried(Scope):
    """A scope in which waiting takes no time."""

    def wait(self, seconds: float) -> None:
        assert seconds >= 0
        self.check()


class StateMachine:
    """`answer(state, resource, parameters)` gives a task's result or raises TaskFailed."""

    def __init__(self, definition: dict[str, Any], answer: Callable[[str, str, dict[str, Any]], Any]):
        self.definition, self.answer = parse_definition(json.dumps(definition), lambda resource, state: None), answer

    def run(self, given: Any) -> Outcome:
        outcome = Outcome()
        context = Context({"Execution": {**EXECUTION, "Input": given}, "StateMachine": {}, "State": {}})
        branch = Branch(outcome, _Answers(self.answer, outcome), Unhurried(), context)  # type: ignore[arg-type]
        try:
            outcome.output = branch.run(self.definition, given)
            outcome.status = "SUCCEEDED"
        except StateFailure as failure:
            outcome.status, outcome.error, outcome.cause = "FAILED", failure.error, failure.cause
        return outcome


class _Answers:
    """The interpreter's TaskRunner: the test's answers, each request noted."""

    def __init__(self, answer: Callable[[str, str, dict[str, Any]], Any], outcome: Outcome):
        self._answer, self._outcome = answer, outcome

    def run(
        self, resource: str, arguments: Callable[[], Any], branch: Branch, scope: Scope, times: dict[str, Any]
    ) -> Any:
        state, request = branch.context["State"]["Name"], arguments()
        self._outcome.requests[state] = request
        self._outcome.every_request.append((state, request))
        return json.loads(json.dumps(self._answer(state, resource, request)))
