"""The optimized integrations that send something: SNS, SQS, EventBridge, and nested executions."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local_cloud.errors import AwsError
from local_cloud.stepfunctions.failures import ExecutionCancelled, StateFailure
from local_cloud.stepfunctions.integrations import Target, call_identity, sdk_metadata
from local_cloud.stepfunctions.payload import dump
from local_cloud.stepfunctions.scope import Scope
from local_cloud.stepfunctions.sdk_tasks import SdkTasks, error_parts

if TYPE_CHECKING:
    from local_cloud.stepfunctions.interpreter import Branch

ACTIONS = {"sns": ("publish",), "sqs": ("sendMessage",), "events": ("putEvents",)}
TEXT_MEMBERS = {"sns": ("Message",), "sqs": ("MessageBody",), "events": ("Detail",)}
SDK_NAMES = {"sns": "sns", "sqs": "sqs", "events": "eventbridge"}
# The first part of an error's name, and what its cause calls the service: the older Java SDK's names.
ERROR_NAMES = {"sns": ("SNS", "AmazonSNS"), "sqs": ("SQS", "AmazonSQS"), "events": ("EventBridge", "AmazonEventBridge")}


class MessageTasks:
    """`arn:aws:states:::sns:publish`, `sqs:sendMessage`, `events:putEvents`, each also with `.waitForTaskToken`."""

    def __init__(self, sdk: SdkTasks):
        self._sdk = sdk

    def fault(self, target: Target, parameters: dict[str, Any]) -> str | None:
        """What AWS would refuse when the state machine is created."""
        if target.action not in ACTIONS[target.service]:
            return f"{target.service}:{target.action} is no integration; there is {ACTIONS[target.service][0]}"
        if target.pattern not in ("", "waitForTaskToken"):
            return f"{target.service}:{target.action} has no pattern .{target.pattern}"
        return self._sdk.fault(Target(SDK_NAMES[target.service], target.action, "", True), parameters)

    def submit(self, target: Target, parameters: dict[str, Any], branch: Branch, scope: Scope) -> Any:
        """Send; objects become JSON text where the API wants text."""
        sent = self._texts(target.service, parameters)
        if target.service == "events":
            sent = _with_resources(sent, branch)
        try:
            answer = self._sdk.call(Target(SDK_NAMES[target.service], target.action, "", True), sent, _capital)
        except ClientError as error:
            raise _failure(*ERROR_NAMES[target.service], error) from error
        if target.service != "events":
            return {**answer, **sdk_metadata()}
        if answer.get("FailedEntryCount"):
            raise StateFailure("EventBridge.FailedEntry", dump(answer))
        return answer

    def await_end(self, target: Target, parameters: dict[str, Any], submitted: Any, scope: Scope) -> Any:
        """Messages have no end."""
        raise NotImplementedError(f"{target.resource} has no .sync")

    def _texts(self, service: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._texts(service, item) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            name: dump(item)
            if name in TEXT_MEMBERS[service] and not isinstance(item, str)
            else self._texts(service, item)
            for name, item in value.items()
        }


def _with_resources(sent: dict[str, Any], branch: Branch) -> dict[str, Any]:
    """Step Functions adds to each event the state machine and the execution that send it."""
    sender = [
        branch.context[what]["Id"] for what in ("StateMachine", "Execution") if "Id" in branch.context.get(what, {})
    ]
    entries = sent.get("Entries")
    if not isinstance(entries, list):
        return sent
    added = [{**e, "Resources": [*(e.get("Resources") or []), *sender]} if isinstance(e, dict) else e for e in entries]
    return {**sent, "Entries": added}


def _started(told: dict[str, Any]) -> dict[str, Any]:
    return {
        "ExecutionArn": told["executionArn"], "StartDate": int(told["startDate"].timestamp() * 1000), **sdk_metadata(),
    }  # fmt: skip


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _failure(prefix: str, service: str, error: ClientError) -> StateFailure:
    code, message, status, request_id = error_parts(error)
    name = code.rpartition(".")[2].removesuffix("Exception")
    return StateFailure(f"{prefix}.{name}Exception", _cause(message, service, status, name, request_id))


def _cause(message: str, service: str, status: int, code: str, request_id: str) -> str:
    told = f"Service: {service}; Status Code: {status}; Error Code: {code}; Request ID: {request_id}; Proxy: null"
    return f"{message} ({told})"


class NestedExecutions:
    """`arn:aws:states:::states:startExecution`, with `.sync` (output as text) and `.sync:2` (output as JSON)."""

    def __init__(
        self,
        start: Callable[[dict[str, Any]], dict[str, Any]],
        describe: Callable[[str], dict[str, Any]],
        join: Callable[..., Any],
        stop: Callable[..., Any],
    ):
        self._start, self._describe, self._join, self._stop = start, describe, join, stop

    def fault(self, target: Target, parameters: dict[str, Any]) -> str | None:
        """What AWS would refuse when the state machine is created."""
        if target.action != "startExecution" or target.pattern == "waitForTaskToken":
            return f"states:{target.resource} is no integration; there are startExecution, .sync and .sync:2"
        known = {"StateMachineArn", "Name", "Input", "TraceHeader"}
        unknown = [name for name in parameters if name.removesuffix(".$") not in known]
        return f"The field {unknown[0]!r} is not supported by Step Functions" if unknown else None

    def submit(self, target: Target, parameters: dict[str, Any], branch: Branch, scope: Scope) -> Any:
        """Start the other execution."""
        # Recorded on AWS: no input, or one that a path made null, is the empty object.
        given = {} if parameters.get("Input") is None else parameters["Input"]
        request = {
            "stateMachineArn": parameters["StateMachineArn"],
            "input": given if isinstance(given, str) else dump(given),
            "name": parameters.get("Name", call_identity(branch)),
        }
        try:
            started = self._start(request)
        except AwsError as error:
            if branch.again_since is not None and (known := self._made_before(request, error, branch.again_since)):
                return known
            cause = _cause(error.message, "AWSStepFunctions", error.status, error.code, str(uuid.uuid4()))
            raise StateFailure(f"StepFunctions.{error.code}Exception", cause) from error
        return _started(started)

    def _made_before(self, request: dict[str, Any], error: AwsError, since: float) -> dict[str, Any] | None:
        """The execution that a killed cloud had started for this very call, and that has ended since."""
        if error.code != "ExecutionAlreadyExists":
            return None
        known = self._describe(error.message.partition("'")[2].rstrip("'"))
        ours = known["input"] == request["input"] and known["startDate"].timestamp() >= since - 0.001
        return _started(known) if ours else None

    def await_end(self, target: Target, parameters: dict[str, Any], submitted: Any, scope: Scope) -> Any:
        """The other execution's description once it succeeded; stops it when nobody waits for it any more."""
        arn = submitted["ExecutionArn"]
        try:
            while not self._join(arn, scope.remaining(0.1)):
                scope.check()
        except (ExecutionCancelled, StateFailure):
            self._stop(arn)
            raise
        described = self._describe(arn)
        shown = {_capital(name): value for name, value in described.items()}
        for details in ("InputDetails", "OutputDetails"):
            if details in shown:
                shown[details] = {"Included": shown[details]["included"]}
        for moment in ("StartDate", "StopDate"):
            shown[moment] = int(shown[moment].timestamp() * 1000)
        if described["status"] != "SUCCEEDED":
            raise StateFailure("States.TaskFailed", dump(shown))
        if target.pattern == "sync:2":
            shown["Output"] = json.loads(shown["Output"])
            shown["Input"] = json.loads(shown["Input"])
        return shown
