"""The services that this package itself is: one shape for all, so that whoever asks one need not know which.

A request and its answer are objects in the API's shape, checked against botocore's model before; how they travel (JSON, form
and XML) is application.py's business. What a service cannot do it refuses as an AwsError.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from local_cloud.errors import AwsError
from local_cloud.functions.executions import Invocation
from local_cloud.functions.invoke_api import Queued
from local_cloud.sagemaker.invocation import InvocationResponse


@runtime_checkable
class OwnService(Protocol):
    """One service of the cloud's own."""

    def start(self) -> None:
        """Take up where the last process ended."""

    def stop(self) -> None:
        """End what runs."""

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """One API operation."""

    @classmethod
    def operations(cls) -> list[str]:
        """The operations that `call` knows."""


@runtime_checkable
class JobService(OwnService, Protocol):
    """SageMaker: beside its API, what other parts of the cloud ask of it."""

    def recover(self) -> None:
        """Before anything is asked: what ran when the last process ended has failed."""

    def invoke_endpoint(self, name: str, body: bytes, headers: Mapping[str, str]) -> InvocationResponse:
        """InvokeEndpoint, whose bodies are not JSON."""

    def interrupt_training_job(self, name: str) -> None:
        """Take a spot instance away."""

    def wait_for_change(self, kind: str, name: str, timeout: float) -> None:
        """Return when the status of a job changed, or after so many seconds."""


@runtime_checkable
class FunctionService(OwnService, Protocol):
    """Lambda: beside its API, what other parts of the cloud ask of it."""

    def wait(self, request: dict[str, Any]) -> Invocation:
        """Invoke a function and wait for the outcome."""

    def send(self, request: dict[str, Any]) -> Queued:
        """Hand an event to a function."""


@dataclass(frozen=True)
class OwnServices:
    """All of them."""

    sagemaker: JobService
    states: OwnService
    cloudformation: OwnService
    functions: FunctionService

    def named(self, signing_name: str) -> OwnService:
        """The service that signatures call so."""
        own: dict[str, OwnService] = {
            "sagemaker": self.sagemaker, "states": self.states, "cloudformation": self.cloudformation,
            "lambda": self.functions,
        }  # fmt: skip
        return own[signing_name]

    def tags_of(self, signing_name: str, arn: str) -> dict[str, str]:
        """The tags of one of their resources; none of what is not there, or has none."""
        asked = (
            ("ListTags", {"ResourceArn": arn})
            if signing_name == "sagemaker"
            else ("ListTagsForResource", {"resourceArn": arn})
        )
        try:
            answer = self.named(signing_name).call(*asked)
        except AwsError:
            return {}
        pairs = answer.get("Tags") or answer.get("tags") or ()
        return {pair.get("Key") or pair["key"]: pair.get("Value", pair.get("value", "")) for pair in pairs}
