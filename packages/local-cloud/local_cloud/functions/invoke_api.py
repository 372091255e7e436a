"""Invocations, as the API and the cloud's own parts ask for them: waited for, or started and tried again.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_cloud.errors import AwsError
from local_cloud.functions.executions import Executions, Invocation
from local_cloud.functions.function_api import Functions
from local_cloud.functions.names import failure
from local_cloud.rest_json import REQUEST_ID

if TYPE_CHECKING:
    from local_cloud.context import CloudContext

logger = logging.getLogger("local_cloud.functions")
MAXIMUM_REQUEST_BYTES, MAXIMUM_EVENT_BYTES = 6291456, 1024 * 1024
# Between the attempts of an event whose function failed.
RETRY_SECONDS = (60.0, 120.0)


@dataclass(frozen=True)
class Queued:
    """An event that Lambda took: nobody waits for what comes of it."""

    request_id: str


class Invocations:
    """Invoke."""

    def __init__(self, context: CloudContext, functions: Functions, executions: Executions):
        self._context, self._functions, self._executions = context, functions, executions
        self._stopping = threading.Event()

    def stop(self) -> None:
        """No attempt begins any more."""
        self._stopping.set()

    def wait(self, request: dict[str, Any]) -> Invocation:
        """Invoke and wait. Raises what Lambda answers when the function was not run."""
        function, named, version = self._functions.found(request, latest_in_error=True)
        text = _json(request.get("Payload") or b"", MAXIMUM_REQUEST_BYTES)
        client = _client(request.get("ClientContext"))
        arn = function.qualified(named.qualifier)
        return self._executions.invoke(function.versions[version], arn, text, client)

    def start(self, request: dict[str, Any]) -> Queued:
        """Take an event; it is tried up to three times."""
        self._functions.found(request, latest_in_error=True)
        text, request_id = _json(request.get("Payload") or b"", MAXIMUM_EVENT_BYTES), str(uuid.uuid4())
        client = _client(request.get("ClientContext"))
        name = f"event {request_id}"
        threading.Thread(target=self._attempt, args=(request, text, client, request_id), name=name, daemon=True).start()
        return Queued(request_id)

    def _attempt(self, request: dict[str, Any], text: str, client: Any, request_id: str) -> None:
        for pause in (0.0, *RETRY_SECONDS):
            if pause and self._context.clock.wait(self._stopping, pause):
                return
            try:
                function, named, version = self._functions.found(request)
                arn = function.qualified(named.qualifier)
                done = self._executions.invoke(function.versions[version], arn, text, client, request_id)
                if not done.error:
                    return
            except AwsError as fault:
                logger.warning("The event %s for %s was not delivered: %s", request_id, request["FunctionName"], fault)
                if fault.code == "ResourceNotFoundException":
                    return
            except Exception:
                logger.exception(
                    "The event %s for %s met a fault of the local cloud", request_id, request["FunctionName"]
                )
                return
            if self._stopping.is_set():
                return
        logger.warning(
            "The event %s for %s is lost: its function failed three times", request_id, request["FunctionName"]
        )

    def _op_Invoke(self, request: dict[str, Any]) -> dict[str, Any]:
        kind = request.get("InvocationType", "RequestResponse")
        if kind == "DryRun":
            self._functions.found(request, latest_in_error=True)
            return {"StatusCode": 204}
        if kind == "Event":
            return {"StatusCode": 202, REQUEST_ID: self.start(request).request_id}
        done = self.wait(request)
        answer: dict[str, Any] = {
            "StatusCode": 200,
            "ExecutedVersion": done.version,
            "Payload": done.payload.encode(),
            REQUEST_ID: done.request_id,
        }
        if done.error:
            answer["FunctionError"] = done.error
        if request.get("LogType") == "Tail":
            answer["LogResult"] = base64.b64encode(done.tail.encode()).decode()
        return answer


def _json(payload: bytes, maximum: int) -> str:
    """The event as text; nothing at all is an empty object. Raises InvalidRequestContentException."""
    if len(payload) > maximum:
        raise failure(
            "RequestTooLargeException",
            f"Request must be smaller than {maximum} bytes for the InvokeFunction operation",
            413,
        )
    if not payload:
        return "{}"
    try:
        text = payload.decode()
        json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise failure("InvalidRequestContentException", f"Could not parse request body into json: {fault}") from None
    return text


def _client(text: str | None) -> Any:
    if not text:
        return None
    try:
        found = json.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        found = None
    if not isinstance(found, dict):
        raise failure("InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.")
    return found
