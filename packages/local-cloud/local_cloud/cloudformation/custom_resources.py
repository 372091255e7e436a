"""Asking the provider of a custom resource, a function or a topic, and waiting until it answers to the URL that it was given.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

from local_cloud.capabilities import Capabilities
from local_cloud.clock import Clock
from local_cloud.errors import AwsError

MAXIMUM_ANSWER_BYTES = 4096
NO_ANSWER = (
    "CloudFormation did not receive a response from your Custom Resource. Please check your logs for requestId [{}]. If you are "
    "using the Python cfn-response module, you may need to update your Lambda function code so that CloudFormation can attach "
    "the updated version."
)


class CustomResources:
    """The requests that wait for an answer."""

    def __init__(self, capabilities: Capabilities, clients: Callable[[str], Any], clock: Clock):
        self._capabilities, self._clients, self._clock = capabilities, clients, clock
        self._stopping, self._waiting = False, set[threading.Event]()

    def stop(self) -> None:
        """Nobody is waited for any more."""
        self._stopping = True
        for event in list(self._waiting):
            event.set()

    def ask(self, token: str, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The provider's answer. Raises AwsError with the reason that it gave, or when it gave none in time."""
        request_id, answered = str(uuid.uuid4()), threading.Event()
        got: list[bytes] = []

        def take(body: bytes) -> bytes:
            got.append(body)
            answered.set()
            return b""

        url = self._capabilities.offer("PUT", "cloudformation-custom-resource-response", take, seconds)
        self._waiting.add(answered)
        try:
            self._send(token, json.dumps({**request, "ResponseURL": url, "RequestId": request_id}))
            self._clock.wait(answered, seconds)
        finally:
            self._waiting.discard(answered)
            self._capabilities.withdraw(url)
        if not got:
            said = (
                "The local cloud was stopped before the custom resource answered."
                if self._stopping
                else NO_ANSWER.format(request_id)
            )
            raise AwsError("ValidationError", said)
        return _read(got[0], request, request_id)

    def _send(self, token: str, text: str) -> None:
        service = token.split(":")[2] if token.count(":") > 4 else ""
        if service == "sns":
            self._clients("sns").publish(
                TopicArn=token, Message=text, Subject="AWS CloudFormation custom resource request"
            )
        elif service == "lambda":
            self._clients("lambda").invoke(FunctionName=token, InvocationType="Event", Payload=text.encode())
        else:
            raise AwsError(
                "ValidationError",
                f"Invalid ServiceToken {token[:200]!r}: it must name a Lambda function or an SNS topic.",
            )


def _read(body: bytes, request: dict[str, Any], request_id: str) -> dict[str, Any]:
    if len(body) > MAXIMUM_ANSWER_BYTES:
        raise AwsError("ValidationError", "Response object is too long.")
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise AwsError("ValidationError", "Invalid response: it is not a JSON object.")
    for name, wanted in (
        ("RequestId", request_id),
        ("StackId", request["StackId"]),
        ("LogicalResourceId", request["LogicalResourceId"]),
    ):
        if answer.get(name) != wanted:
            raise AwsError(
                "ValidationError", f"Invalid response: its {name} is {answer.get(name)!r}, not that of the request."
            )
    if answer.get("Status") == "FAILED":
        raise AwsError(
            "ValidationError",
            f"Received response status [FAILED] from custom resource. Message returned: {answer.get('Reason')} "
            f"(RequestId: {request_id})",
        )
    if answer.get("Status") != "SUCCESS":
        raise AwsError(
            "ValidationError", f"Invalid response: its Status is {answer.get('Status')!r}; allowed: SUCCESS, FAILED."
        )
    if not answer.get("PhysicalResourceId"):
        raise AwsError("ValidationError", "Invalid PhysicalResourceId")
    return answer
