"""Task states: which resource ARNs exist, what the history says about a call, and who makes it.

Optimized integrations (`arn:aws:states:::sagemaker:createTrainingJob.sync`) and AWS SDK integrations
(`arn:aws:states:::aws-sdk:s3:getObject`), activities, and Lambda functions by their own ARN. All other services are refused by name.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from local_cloud.access.authority import acting
from local_cloud.services import COVERAGE_PAGE
from local_cloud.stepfunctions.failures import StateFailure, TaskAnswered, outcome_of
from local_cloud.stepfunctions.history import data_details
from local_cloud.stepfunctions.past import TOKEN
from local_cloud.stepfunctions.payload import dump, require_size
from local_cloud.stepfunctions.scope import Scope
from local_cloud.stepfunctions.tokens import Tokens

if TYPE_CHECKING:
    from local_cloud.stepfunctions.interpreter import Branch

ACTIVITY = re.compile(r"arn:aws[\w-]*:states:[\w-]+:\d+:activity:[^:]+")
FUNCTION = re.compile(r"arn:aws[\w-]*:lambda:[\w-]+:\d{12}:function:[\w-]+(?::(?:\$LATEST|[\w-]+))?")
RESOURCE = re.compile(
    r"arn:aws[\w-]*:states:[\w-]*:\d*:(?P<sdk>aws-sdk:)?(?P<service>[a-z0-9]+):(?P<action>[A-Za-z0-9]+)(?:\.(?P<pattern>sync:2|sync|waitForTaskToken))?"
)


@dataclass(frozen=True)
class Target:
    """A parsed resource ARN; `pattern` is "", "sync", "sync:2" or "waitForTaskToken"."""

    service: str
    action: str
    pattern: str
    sdk: bool

    @property
    def resource_type(self) -> str:
        """As histories show it."""
        return f"aws-sdk:{self.service}" if self.sdk else self.service

    @property
    def resource(self) -> str:
        """As histories show it."""
        return f"{self.action}.{self.pattern}" if self.pattern else self.action


class Integration(Protocol):
    """One family of calls. `submit` makes the call; `await_end` waits for what a `.sync` call started."""

    def fault(self, target: Target, parameters: dict[str, Any]) -> str | None: ...

    def submit(self, target: Target, parameters: dict[str, Any], branch: Branch, scope: Scope) -> Any: ...

    def await_end(self, target: Target, parameters: dict[str, Any], submitted: Any, scope: Scope) -> Any: ...


def target_of(resource: str) -> Target | None:
    """The parsed ARN, or None when it names no service integration."""
    found = RESOURCE.fullmatch(resource)
    return Target(found["service"], found["action"], found["pattern"] or "", bool(found["sdk"])) if found else None


class Integrations:
    """All integrations of this cloud; the interpreter's task runner."""

    def __init__(
        self,
        region: str,
        sdk: Integration,
        optimized: dict[str, Integration],
        tokens: Tokens,
        client: Callable[[str], Any],
        activities: Any = None,
        functions: Any = None,
    ):
        self._region = region
        self._sdk = sdk
        self._optimized = optimized
        self._tokens = tokens
        self.client = client
        self._activities, self._functions = activities, functions

    def fault(self, resource: str, parameters: dict[str, Any]) -> str | None:
        """What is wrong with a Task's resource and the names of its parameters, or None."""
        if ACTIVITY.fullmatch(resource) or FUNCTION.fullmatch(resource):
            return None
        target = target_of(resource)
        if target is None:
            return f"Resource {resource!r}: this is not supported by the local cloud (see {COVERAGE_PAGE})"
        integration = self._integration(target)
        if integration is None:
            return (
                f"Resource {resource!r}: the local cloud has no {target.service} integration; it has "
                f"{', '.join(sorted(self._optimized))} and aws-sdk (see {COVERAGE_PAGE})"
            )
        return integration.fault(target, parameters)

    def run(
        self, resource: str, arguments: Callable[[], Any], branch: Branch, scope: Scope, times: dict[str, Any]
    ) -> Any:
        """Run a Task state; its result, with every step in the history. `arguments` may read the task token."""
        if ACTIVITY.fullmatch(resource):
            return self._activities.run(resource, arguments, branch, scope, times)
        if FUNCTION.fullmatch(resource):
            return self._functions.run(resource, arguments, branch, scope, times)
        target = target_of(resource)
        assert target is not None, "the definition was checked when the state machine was created"
        begun = branch.told.get("TaskScheduled")
        token = None
        if target.pattern:
            token = self._tokens.make(begun[TOKEN] if begun else None)
            branch.context["Task"] = {"Token": token}
        try:
            return self._run(target, arguments, branch, scope, times, token)
        finally:
            if token:
                self._tokens.drop(token)
                branch.context.pop("Task", None)

    def _run(
        self, target: Target, arguments: Callable[[], Any], branch: Branch, scope: Scope, times: dict[str, Any], token: str | None
    ) -> Any:  # fmt: skip
        """The attempt from its beginning; after a kill from where its events end."""
        names = {"resourceType": target.resource_type, "resource": target.resource}
        begun = branch.told.get("TaskScheduled")
        parameters = json.loads(begun["taskScheduledEventDetails"]["parameters"]) if begun else arguments()
        if ended := ended_before(branch.told, "Task"):
            return ended()
        scheduled = {**names, "region": self._region, "parameters": dump(parameters)}
        for field, shown in (("TimeoutSeconds", "timeoutInSeconds"), ("HeartbeatSeconds", "heartbeatInSeconds")):
            if times.get(field) is not None:
                scheduled[shown] = times[field]
        branch.event_once("TaskScheduled", scheduled, **({TOKEN: token} if token else {}))
        branch.event_once("TaskStarted", names)
        branch.again_since = begun["timestamp"] if begun else None
        try:
            result = self._call(target, parameters, branch, scope, names, token, times)
        except StateFailure as failure:
            if failure.error != "States.Runtime":  # AWS: such a task has not failed, the definition has
                kind = "TaskTimedOut" if failure.error == "States.Timeout" else "TaskFailed"
                branch.event(kind, {**names, **outcome_of(failure.error, failure.cause)})
            raise
        finally:
            branch.again_since = None
        text = require_size(result, branch.context.get("State", {}).get("Name", ""))
        branch.event("TaskSucceeded", {**names, **data_details(output=text)})
        return result

    def _call(
        self,
        target: Target,
        parameters: Any,
        branch: Branch,
        scope: Scope,
        names: dict[str, Any],
        token: str | None,
        times: dict[str, Any],
    ) -> Any:
        integration = self._integration(target)
        assert integration is not None
        if told := branch.told.get("TaskSubmitted"):
            submitted = json.loads(told["taskSubmittedEventDetails"]["output"])
        else:
            submitted = self._submitted(integration, target, parameters, branch, names, scope)
        if not target.pattern:
            return submitted
        branch.event_once("TaskSubmitted", {**names, **data_details(output=dump(submitted))})
        assert token is not None
        if target.pattern == "waitForTaskToken":
            return self._tokens.wait(token, scope, times.get("HeartbeatSeconds"))
        waiting = Scope(scope)
        self._tokens.on_answer(token, waiting.answer)
        try:
            return integration.await_end(target, parameters, submitted, waiting)
        except TaskAnswered:
            return self._tokens.wait(token, scope, None)
        finally:
            waiting.close()

    def _submitted(
        self, integration: Integration, target: Target, parameters: Any, branch: Branch, names: dict[str, Any], scope: Scope
    ) -> Any:  # fmt: skip
        execution = branch.context["Execution"]
        try:
            with acting(execution["RoleArn"], execution["Name"]):
                return integration.submit(target, parameters, branch, scope)
        except StateFailure as failure:
            if target.pattern:
                branch.event_once("TaskSubmitFailed", {**names, **outcome_of(failure.error, failure.cause)})
            raise

    def _integration(self, target: Target) -> Integration | None:
        return self._sdk if target.sdk else self._optimized.get(target.service)


def ended_before(told: dict[str, dict[str, Any]], what: str) -> Callable[[], Any] | None:
    """How a task, an activity or a function had ended before the kill: its result, or its failure once more. None when it had not."""
    if done := told.get(f"{what}Succeeded"):
        return lambda: json.loads(done[f"{what[0].lower()}{what[1:]}SucceededEventDetails"]["output"])
    for kind in (f"{what}Failed", f"{what}TimedOut"):
        if kind in told:
            details = told[kind][f"{kind[0].lower()}{kind[1:]}EventDetails"]
            return lambda: _fail(details)
    return None


def _fail(details: dict[str, Any]) -> NoReturn:
    error: Any = details.get("error")  # whoever answers a token may leave it out
    raise StateFailure(error, details.get("cause"))


def call_identity(branch: Branch) -> str:
    """The same text whenever the same call of an execution is made, and another one for every other call."""
    identity = f"{branch.context.get('Execution', {}).get('Id') or uuid.uuid4()} {branch.last_event} {branch.line}"
    return str(uuid.uuid5(uuid.NAMESPACE_URL, identity))


def sdk_metadata() -> dict[str, Any]:
    """What optimized integrations add to the answer of a request-response call."""
    request_id = str(uuid.uuid4())
    headers = {"x-amzn-RequestId": [request_id]}
    return {
        "SdkHttpMetadata": {
            "AllHttpHeaders": headers,
            "HttpHeaders": {name: values[0] for name, values in headers.items()},
            "HttpStatusCode": 200,
        },
        "SdkResponseMetadata": {"RequestId": request_id},
    }
