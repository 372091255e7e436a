"""InvokeEndpoint: one request to one container and the answer, or AWS's error for every way in which it can fail.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from local_cloud.errors import AwsError
from local_cloud.sagemaker.connections import Answer, ContainerTimeout, ContainerUnreachable
from local_cloud.sagemaker.deployment import Deployment, Instance, Variant
from local_cloud.sagemaker.multi_model import LoadRefused
from local_cloud.sagemaker.runtime import Runtime

MAXIMUM_BODY = 6_291_456
CONTAINER_SECONDS = 60.0
FORWARDED = (
    "content-type",
    "accept",
    "x-amzn-sagemaker-custom-attributes",
    "x-amzn-sagemaker-inference-id",
    "x-amzn-sagemaker-target-model",
)
UNSUPPORTED = (
    "x-amzn-sagemaker-target-container-hostname",
    "x-amzn-sagemaker-inference-component",
    "x-amzn-sagemaker-enable-explanations",
    "x-amzn-sagemaker-session-id",
)
METRIC_SECONDS = 1.0


@dataclass(frozen=True)
class InvocationResponse:
    """An HTTP answer of the runtime API."""

    status: int
    headers: dict[str, str]
    body: bytes


def invoke(
    deployment: Deployment, runtime: Runtime, body: bytes, headers: Mapping[str, str], meter: "Meter"
) -> InvocationResponse:
    """Forwards one call to the container that is to answer it."""
    if len(body) > MAXIMUM_BODY:
        return InvocationResponse(
            413,
            {"Content-Type": "application/json"},
            json.dumps({"message": f"HTTP content length exceeded {MAXIMUM_BODY} bytes."}).encode(),
        )
    given = {name.lower(): value for name, value in headers.items()}
    for name in UNSUPPORTED:
        if given.get(name):
            raise AwsError("ValidationError", f"The local cloud does not support the header {name} of InvokeEndpoint.")
    variant = deployment.choose(given.get("x-amzn-sagemaker-target-variant"))
    instance = variant.least_busy()
    forwarded = {name: given[name] for name in FORWARDED if name in given}
    clock = runtime.context.clock
    began = clock.ticks()
    try:
        answer = _call(instance, given.get("x-amzn-sagemaker-target-model"), body, forwarded, deployment)
    except ContainerTimeout:
        return _model_error(
            runtime,
            deployment,
            instance,
            0,
            "Your invocation timed out while waiting for a response from "
            "container primary. Review the latency metrics for each container in Amazon CloudWatch, resolve "
            "the issue, and try again.",
        )
    except ContainerUnreachable as error:
        return _model_error(runtime, deployment, instance, 503, str(error))
    except LoadRefused as refused:
        answer = refused.answer
    finally:
        meter.note(deployment.endpoint, variant.name, clock.ticks() - began)
    if answer.status >= 300:
        return _model_error(runtime, deployment, instance, answer.status, answer.body.decode("utf-8", "replace"))
    return _response(answer, variant)


def _call(
    instance: Instance, target: str | None, body: bytes, headers: dict[str, str], deployment: Deployment
) -> Answer:
    if instance.models is not None:
        if not target:
            raise AwsError(
                "ValidationError", f"Endpoint {deployment.endpoint} is a multi-model endpoint: TargetModel is required."
            )
        return instance.models.invoke(target, body, headers, CONTAINER_SECONDS)
    if target:
        raise AwsError(
            "ValidationError",
            f"Endpoint {deployment.endpoint} is not a multi-model endpoint: TargetModel {target!r} is not allowed.",
        )
    return instance.server.call("POST", "/invocations", body, headers, CONTAINER_SECONDS)


def _response(answer: Answer, variant: Variant) -> InvocationResponse:
    headers = {"Content-Type": answer.content_type, "x-Amzn-Invoked-Production-Variant": variant.name}
    if attributes := answer.headers.get("x-amzn-sagemaker-custom-attributes"):
        headers["X-Amzn-SageMaker-Custom-Attributes"] = attributes
    return InvocationResponse(200, headers, answer.body)


def _model_error(
    runtime: Runtime, deployment: Deployment, instance: Instance, status: int, text: str
) -> InvocationResponse:
    context = runtime.context
    arn = f"arn:aws:logs:{context.region}:{context.account_id}:log-group:{deployment.log_group}"
    who = "server" if status >= 500 or not status else "client"
    message = (
        text
        if not status
        else (
            f'Received {who} error ({status}) from primary with message "{text}". See the log group '
            f"{deployment.log_group} in account {context.account_id} for more information."
        )
    )
    body = {
        "ErrorCode": "CLIENT_ERROR_FROM_MODEL" if who == "client" else "INTERNAL_FAILURE_FROM_MODEL",
        "LogStreamArn": f"{arn}:log-stream:{instance.log_stream}",
        "Message": message,
        "OriginalMessage": text,
        "OriginalStatusCode": status,
    }
    return InvocationResponse(
        424, {"Content-Type": "application/json", "x-amzn-ErrorType": "ModelError"}, json.dumps(body).encode()
    )


class Meter:
    """Counts calls, and puts them into CloudWatch once a second in its own thread: no call waits for that."""

    def __init__(self, runtime: Runtime):
        self._runtime, self._wake = runtime, threading.Condition()
        self._calls: dict[tuple[str, str], list[float]] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="endpoint metrics", daemon=True)
        self._thread.start()

    def note(self, endpoint: str, variant: str, seconds: float) -> None:
        with self._wake:
            if not self._calls:
                self._wake.notify()
            self._calls.setdefault((endpoint, variant), []).append(seconds)

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(5)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._calls)
                if not self._closed:
                    self._wake.wait_for(lambda: self._closed, METRIC_SECONDS)
                calls, self._calls, closed = self._calls, {}, self._closed
            for (endpoint, variant), seconds in calls.items():
                dimensions = {"EndpointName": endpoint, "VariantName": variant}
                put, now = self._runtime.context.metrics.put, self._runtime.context.clock.now()
                put("AWS/SageMaker", "Invocations", len(seconds), now, dimensions)
                put("AWS/SageMaker", "ModelLatency", 1e6 * sum(seconds) / len(seconds), now, dimensions)
            if closed:
                return
