"""TestState: one state alone, for real or with a mock in place of what it calls, and what its data went through.

https://docs.aws.amazon.com/step-functions/latest/dg/test-state-isolation.html
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local_cloud import json_text
from local_cloud.clock import Clock
from local_cloud.errors import AwsError
from local_cloud.stepfunctions import map_items
from local_cloud.stepfunctions.definition import inner_machines, state_faults
from local_cloud.stepfunctions.failures import StateFailure, matches, outcome_of
from local_cloud.stepfunctions.history import Unkept
from local_cloud.stepfunctions.integrations import Integrations, target_of
from local_cloud.stepfunctions.interpreter import DEFAULT_RETRY, RETRIED, Branch
from local_cloud.stepfunctions.moments import iso
from local_cloud.stepfunctions.payload import dump, require_size
from local_cloud.stepfunctions.query import JsonataQuery, query_of
from local_cloud.stepfunctions.scope import Context, Scope
from local_cloud.stepfunctions.store import Store
from local_cloud.stepfunctions.trial_mock import MOCKED, check_context, check_mock, refused

NAME = "StateName"
MAXIMUM_SECONDS = 300
WITHOUT_MOCK = "[Task, Wait, Pass, Succeed, Fail, Choice]"
# What AWS does not show of a state type's data.
UNSHOWN = {"Parallel": ("afterInputPath", "afterParameters", "afterArguments")}


class Trials:
    """TestState."""

    def __init__(self, store: Store, integrations: Integrations):
        self._store = store
        self._integrations = integrations

    def _op_TestState(self, request: dict[str, Any]) -> dict[str, Any]:
        name, state, language = self._state(request)
        mock = request.get("mock")
        settings = request.get("stateConfiguration", {})
        kind = state["Type"]
        result = None
        if mock is not None:
            result = check_mock(mock, state, request)
        else:
            _check_without_mock(kind, state, request, settings)
        given = _json(request.get("input", "{}"), "input")
        trial = _Trial(name, state, given, language, mock, result, settings, self._integrations, self._store.clock)
        variables = _json(request.get("variables", "{}"), "variables")
        if not isinstance(variables, dict):
            raise refused("Variables must be a JSON object.")
        context = (
            check_context(request["context"], state)
            if "context" in request
            else self._context(request, name, kind, given)
        )
        answer = trial.answer(Context(context, variables))
        if request.get("inspectionLevel", "INFO") != "INFO":
            answer["inspectionData"] = trial.inspection()
        return answer

    def _state(self, request: dict[str, Any]) -> tuple[str, dict[str, Any], str]:
        """Name, definition and query language of the state under test; InvalidDefinition for its faults."""
        definition = _definition(request["definition"])
        if "stateName" in request:
            name = request["stateName"]
            state = _found(definition, name)
            language = definition.get("QueryLanguage", "JSONPath")
        else:
            name, state, language = NAME, definition, "JSONPath"
        fault = self._integrations.fault if request.get("mock") is None else lambda resource, parameters: None
        faults = state_faults(state, f"/States/{name}", fault, language)
        if faults:
            told = ", ".join(found.text() for found in faults)
            raise AwsError("InvalidDefinition", f"Invalid State Machine Definition: '{told}'")
        return name, state, language

    def _context(self, request: dict[str, Any], name: str, kind: str, given: Any) -> dict[str, Any]:
        machine, execution, now = str(uuid.uuid4()), str(uuid.uuid4()), iso(self._store.clock.now())
        state = {"Name": name, "EnteredTime": now} | ({"RetryCount": 0} if kind in RETRIED else {})
        return {
            "Execution": {
                "Id": self._store.arn("express", f"{machine}:{execution}"), "Input": given, "Name": execution,
                "RoleArn": request.get("roleArn"), "StartTime": now,
            },
            "StateMachine": {"Id": self._store.arn("stateMachine", machine), "Name": machine},
            "State": state,
        }  # fmt: skip


def _definition(text: str) -> dict[str, Any]:
    try:
        definition = json_text.parse(text)
    except ValueError as fault:
        raise AwsError(
            "InvalidDefinition", f"Invalid State Machine Definition: 'INVALID_JSON_DESCRIPTION: {fault}'"
        ) from None
    if not isinstance(definition, dict):
        raise AwsError(
            "InvalidDefinition",
            "Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object'",
        )
    return definition


def _found(machine: dict[str, Any], name: str) -> dict[str, Any]:
    """A state by its name, wherever it lies."""
    waiting = [machine]
    while waiting:
        states = waiting.pop().get("States")
        for other, state in states.items() if isinstance(states, dict) else ():
            if other == name and isinstance(state, dict):
                return state
            waiting += [inner for _, inner in inner_machines(state)]
    raise refused("State not found in definition")


def _json(text: str, what: str) -> Any:
    try:
        return json_text.parse(text)
    except ValueError as fault:
        raise AwsError("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{what}: {fault}'") from None


def _check_without_mock(kind: str, state: dict[str, Any], request: dict[str, Any], settings: dict[str, Any]) -> None:
    if "mapIterationFailureCount" in settings:
        raise refused("TestState does not support MapIterationFailureCount when a mock is not specified.")
    if kind not in MOCKED:
        return
    if kind != "Task":
        raise AwsError(
            "InvalidDefinition",
            f"TestState API does not support Map or Parallel states. Supported state types include: {WITHOUT_MOCK}",
        )
    if not request.get("roleArn"):
        raise refused("RoleArn must be specified when testing a Task state")
    target = target_of(state["Resource"])
    if target is None or target.pattern:
        raise AwsError(
            "InvalidDefinition",
            "TestState API supports Activity tasks and the service integration patterns '.sync' and '.waitForTaskToken' "
            "only when a mock is specified",
        )


def _spaced(text: str) -> str:
    """JSON as TestState writes it, with a space behind commas and colons (recorded on AWS)."""
    return json.dumps(json.loads(text), ensure_ascii=False)


@dataclass
class _Trial:
    """One test of one state; also the task runner of its branch."""

    name: str
    state: dict[str, Any]
    given: Any
    language: str
    mock: dict[str, Any] | None
    result: Any
    settings: dict[str, Any]
    integrations: Integrations
    clock: Clock
    notes: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)

    def answer(self, context: Context) -> dict[str, Any]:
        """The answer, without the inspection data."""
        scope = Scope(None, MAXIMUM_SECONDS, "States.Timeout", self.clock)
        branch = Branch(Unkept(clock=self.clock), self, scope, context, language=self.language)
        query = query_of(self.state, self.given, branch, self.language)
        query.notes = self.notes
        self.notes["input"] = dump(self.given)
        try:
            output, following, assigned = self._entered(branch, query)
            text = require_size(output, self.name)
        except StateFailure as failure:
            return self._failed(failure, branch, query)
        self.variables = {**context.variables, **assigned}
        return {"status": "SUCCEEDED", "output": _spaced(text), **({"nextState": following} if following else {})}

    def inspection(self) -> dict[str, Any]:
        """What the state's data went through."""
        unshown = UNSHOWN.get(self.state["Type"], ())
        shown = {name: _spaced(text) for name, text in self.notes.items() if name not in unshown}
        if self.variables:
            shown["variables"] = _spaced(dump(self.variables))
        return {**shown, **self.numbers}

    def _entered(self, branch: Branch, query: Any) -> tuple[Any, str | None, dict[str, Any]]:
        kind = self.state["Type"]
        if kind == "Map":
            return self._map(branch, query)
        if kind == "Parallel":
            query.arguments()
            return branch.ended(self.state, query, self._mocked())
        if kind == "Fail" and not isinstance(query, JsonataQuery):
            query.given()
        return branch.enter(self.name, self.state, query)

    def _mocked(self) -> Any:
        assert self.mock is not None
        told = self.mock.get("errorOutput")
        if told is not None:
            raise StateFailure(told.get("error"), told.get("cause"), inside=True)
        return self.result

    def _map(self, branch: Branch, query: Any) -> tuple[Any, str | None, dict[str, Any]]:
        state, given = self.state, query.given()
        items = self._items(query, given)
        self.numbers["maxConcurrency"] = query.number(state, "MaxConcurrency", given)
        count, percentage = map_items.tolerances(state, query, given)
        for name, value in (("ToleratedFailureCount", count), ("ToleratedFailurePercentage", float(percentage))):
            if name in state or f"{name}Path" in state:
                self.numbers[name[0].lower() + name[1:]] = value
        failed = self.settings.get("mapIterationFailureCount", 0)
        if items is not None and failed > len(items):
            raise refused("Map iteration failure count must be less than or equal to the number of Map iterations")
        self._note_items(query, given, items or [], branch)
        result = self._mocked()
        tolerated = max(count, percentage * len(items or []) / 100)
        if tolerated and failed > tolerated:
            raise StateFailure(
                "States.ExceedToleratedFailureThreshold", "The specified tolerated failure threshold was exceeded"
            )
        return branch.ended(state, query, result)

    def _items(self, query: Any, given: Any) -> list[Any] | None:
        if "ItemReader" not in self.state:
            return query.items(given)
        data = self.settings.get("mapItemReaderData")
        return None if data is None else map_items.parsed(self.state["ItemReader"].get("ReaderConfig", {}), data)

    def _note_items(self, query: Any, given: Any, items: list[Any], branch: Branch) -> None:
        if "ItemSelector" in self.state:
            items = [
                query.item(given, value, branch.child(branch.scope, 0, Map={"Item": {"Index": index, "Value": value}}))
                for index, value in enumerate(items)
            ]
            self.notes["afterItemSelector"] = dump(items)
        if "ItemBatcher" in self.state:
            self.notes["afterItemBatcher"] = dump(map_items.batched(self.state["ItemBatcher"], items, query, given))

    def run(
        self, resource: str, arguments: Callable[[], Any], branch: Branch, scope: Scope, times: dict[str, Any]
    ) -> Any:
        """As the branch's task runner: the mock, or the real thing."""
        if self.mock is None:
            result = self.integrations.run(resource, arguments, branch, scope, times)
        else:
            target = target_of(resource)
            if target and target.pattern == "waitForTaskToken":
                branch.context.setdefault("Task", {"Token": uuid.uuid4().hex + uuid.uuid4().hex})
            arguments()
            result = self._mocked()
        self.notes["result"] = dump(result)
        return result

    def _failed(self, failure: StateFailure, branch: Branch, query: Any) -> dict[str, Any]:
        told = outcome_of(failure.error, failure.cause)
        details: dict[str, Any] = {}
        done = self.settings.get("retrierRetryCount", 0)
        for index, given in enumerate(self.state.get("Retry", [])):
            if matches(given["ErrorEquals"], failure):
                retrier = {**DEFAULT_RETRY, **given}
                details["retryIndex"] = index
                if done < retrier["MaxAttempts"]:
                    delay = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** done
                    details["retryBackoffIntervalSeconds"] = int(min(delay, retrier.get("MaxDelaySeconds", delay)))
                    self.numbers["errorDetails"] = details
                    return {"status": "RETRIABLE", **told}
                break
        for index, catcher in enumerate(self.state.get("Catch", [])):
            if matches(catcher["ErrorEquals"], failure):
                details["catchIndex"] = index
                self.numbers["errorDetails"] = details
                output, following, assigned = branch.caught(catcher, failure, query, index)
                self.variables = {**branch.context.variables, **assigned}
                return {"status": "CAUGHT_ERROR", **told, "output": _spaced(dump(output)), "nextState": following}
        if details:
            self.numbers["errorDetails"] = details
        return {"status": "FAILED", **told}
