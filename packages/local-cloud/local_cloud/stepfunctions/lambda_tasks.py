"""Lambda functions as tasks: `arn:aws:states:::lambda:invoke`, also with `.waitForTaskToken`, and a function's own ARN.

https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html
"""

from __future__ import annotations

import base64
import json
import threading
import uuid
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from local_cloud.access.actions import needed
from local_cloud.access.authority import Authority, acting, become, current
from local_cloud.errors import AwsError
from local_cloud.functions.executions import Invocation
from local_cloud.own_services import FunctionService
from local_cloud.stepfunctions.failures import StateFailure, outcome_of
from local_cloud.stepfunctions.history import data_details
from local_cloud.stepfunctions.integrations import Target, ended_before
from local_cloud.stepfunctions.payload import dump, require_size
from local_cloud.stepfunctions.scope import LONGEST_WAIT_SECONDS, Scope

if TYPE_CHECKING:
    from local_cloud.stepfunctions.interpreter import Branch

MEMBERS = (
    "FunctionName",
    "Payload",
    "InvocationType",
    "LogType",
    "ClientContext",
    "Qualifier",
    "TenantId",
    "DurableExecutionName",
)


class LambdaTasks:
    """Invokes functions in the name of the state machine's role."""

    def __init__(self, functions: FunctionService, authority: Authority):
        self._functions, self._authority = functions, authority

    def fault(self, target: Target, parameters: dict[str, Any]) -> str | None:
        """What AWS would refuse when the state machine is created."""
        if target.action != "invoke":
            return f"lambda:{target.action} is no integration; there is invoke"
        if target.pattern not in ("", "waitForTaskToken"):
            return f"lambda:invoke has no pattern .{target.pattern}"
        unknown = [name for name in parameters if name.removesuffix(".$") not in MEMBERS]
        return f"The field {unknown[0].removesuffix('.$')!r} is not supported by Step Functions" if unknown else None

    def submit(self, target: Target, parameters: dict[str, Any], branch: Branch, scope: Scope) -> Any:
        """Invoke; the answer as the optimized integration shows it."""
        kind = parameters.get("InvocationType", "RequestResponse")
        given = parameters.get("Payload")
        # Recorded on AWS: a text is the event as it stands, JSON by itself.
        payload = b"" if given is None else (given if isinstance(given, str) else dump(given)).encode()
        request = {name: parameters[name] for name in ("ClientContext", "Qualifier") if parameters.get(name)}
        request |= {"FunctionName": parameters["FunctionName"], "Payload": payload}
        if kind == "Event":
            self._permit(request)
            queued = self._told(lambda: self._functions.send(request))
            return {"StatusCode": 202, **_metadata(202, queued.request_id, {}, 0)}
        done = self._wait(request, scope)
        if done.error:
            raise _failed(done, compact=True)
        headers, answer = {"X-Amz-Executed-Version": done.version}, {"ExecutedVersion": done.version}
        if parameters.get("LogType") == "Tail":
            log = base64.b64encode(done.tail.encode()).decode()
            headers["X-Amz-Log-Result"], answer["LogResult"] = log, log
        told = _metadata(200, done.request_id, headers, len(done.payload.encode()))
        return {**answer, "Payload": _value(done.payload), **told, "StatusCode": 200}

    def await_end(self, target: Target, parameters: dict[str, Any], submitted: Any, scope: Scope) -> Any:
        """Functions have no end of their own."""
        raise NotImplementedError(f"{target.resource} has no .sync")

    def run(
        self, resource: str, arguments: Callable[[], Any], branch: Branch, scope: Scope, times: dict[str, Any]
    ) -> Any:
        """A Task whose resource is a function: its input is the event, its result the answer."""
        if ended := ended_before(branch.told, "LambdaFunction"):
            return ended()
        begun = branch.told.get("LambdaFunctionScheduled")
        text = begun["lambdaFunctionScheduledEventDetails"]["input"] if begun else dump(arguments())
        scheduled: dict[str, Any] = {**data_details(input=text), "resource": resource}
        for field, shown in (("TimeoutSeconds", "timeoutInSeconds"), ("HeartbeatSeconds", "heartbeatInSeconds")):
            if times.get(field) is not None:
                scheduled[shown] = times[field]
        branch.event_once("LambdaFunctionScheduled", scheduled)
        branch.event_once("LambdaFunctionStarted", {})
        execution = branch.context["Execution"]
        try:
            with acting(execution["RoleArn"], execution["Name"]):
                done = self._wait({"FunctionName": resource, "Payload": text.encode()}, scope)
            if done.error:
                raise _failed(done)
            result = _value(done.payload)
            output = require_size(result, resource)
        except StateFailure as failure:
            kind = "LambdaFunctionTimedOut" if failure.error == "States.Timeout" else "LambdaFunctionFailed"
            branch.event(kind, outcome_of(failure.error, failure.cause))
            raise
        branch.event("LambdaFunctionSucceeded", data_details(output=output))
        return result

    def _permit(self, request: dict[str, Any]) -> None:
        try:
            self._authority.check_here("lambda", needed("lambda", "Invoke", request, self._authority.place))
        except AwsError as fault:
            raise _refused(fault) from fault

    def _wait(self, request: dict[str, Any], scope: Scope) -> Invocation:
        """The outcome; the task's own time-out and a stop of the execution end the wait, not the function."""
        self._permit(request)
        found: list[Invocation | BaseException] = []
        ended, actor = threading.Event(), current()

        def work() -> None:
            become(actor)
            try:
                found.append(self._functions.wait(request))
            except BaseException as fault:
                found.append(fault)
            ended.set()

        threading.Thread(target=work, name="function of a task", daemon=True).start()
        with scope.waking(ended):
            while not found:
                scope.wait_for(ended, LONGEST_WAIT_SECONDS)
        outcome = found[0]
        if isinstance(outcome, Invocation):
            return outcome
        if isinstance(outcome, AwsError):
            raise _refused(outcome)
        raise outcome

    @staticmethod
    def _told(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except AwsError as fault:
            raise _refused(fault) from fault


def _value(payload: str) -> Any:
    """What a function answered; a text where its bytes are not JSON."""
    try:
        return json.loads(payload)
    except ValueError:
        return payload


def _failed(done: Invocation, compact: bool = False) -> StateFailure:
    """A function that failed: the type of its error is the error's name, all that it answered the cause.

    The integration writes that anew, without spaces; a function's own ARN hands it on as it is (both recorded on AWS).
    """
    try:
        answer = json.loads(done.payload)
        return StateFailure(answer.get("errorType") or "Lambda.Unknown", dump(answer) if compact else done.payload)
    except (ValueError, AttributeError):
        return StateFailure("Lambda.Unknown", done.payload)


def _refused(fault: AwsError) -> StateFailure:
    """A call that Lambda refused, in the words of the older Java SDK."""
    code = {"AccessDeniedException": "AWSLambdaException"}.get(fault.code, fault.code)
    told = f"Service: AWSLambda; Status Code: {fault.status}; Error Code: {fault.code}; Request ID: {uuid.uuid4()}; Proxy: null"
    return StateFailure(f"Lambda.{code}", f"{fault.message} ({told})")


def _word() -> str:
    """A random word of hexadecimal digits."""
    return uuid.uuid4().hex


def _metadata(status: int, request_id: str, more: dict[str, str], size: int) -> dict[str, Any]:
    headers = {
        **more, "x-amzn-Remapped-Content-Length": "0", "Connection": "keep-alive", "x-amzn-RequestId": request_id,
        "Content-Length": str(size), "Date": formatdate(usegmt=True),
        "X-Amzn-Trace-Id": f"Root=1-{_word()[:8]}-{_word()[:24]};Parent={_word()[:16]};Sampled=0;Lineage=1:{_word()[:8]}:0",
        "Content-Type": "application/json",
    }  # fmt: skip
    return {
        "SdkHttpMetadata": {
            "AllHttpHeaders": {name: [value] for name, value in headers.items()}, "HttpHeaders": headers, "HttpStatusCode": status,
        },
        "SdkResponseMetadata": {"RequestId": request_id},
    }  # fmt: skip
