"""A step that calls a service: how long it may take, what is tried again, and where its failure goes."""

from __future__ import annotations

from typing import Any

from aws_cdk import Aws
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.settings import Settings

# Starting machines and moving files comes on top of what a job may run itself.
OVERHEAD_SECONDS = 30 * 60
CALL_SECONDS = 5 * 60

# Step Functions names errors of its SageMaker integration so; the general one includes throttling, and invalid
# requests, which is why it is tried again twice only. https://docs.aws.amazon.com/step-functions/latest/dg/connect-sagemaker.html
THROTTLED = {
    "ErrorEquals": ["SageMaker.AmazonSageMakerException", "SageMaker.ThrottlingException", "ThrottlingException"],
    "IntervalSeconds": 2,
    "MaxAttempts": 2,
    "BackoffRate": 2,
    "JitterStrategy": "FULL",
}
# The account's instances are all busy, often with another execution of ours: worth waiting for.
NO_ROOM = {
    "ErrorEquals": ["SageMaker.ResourceLimitExceededException"],
    "IntervalSeconds": 60,
    "MaxAttempts": 4,
    "BackoffRate": 2,
}
# Errors that have no name of their own: throttling, and trouble on the way or on AWS's side.
SDK_TROUBLE = {
    "ErrorEquals": [
        *("S3.S3Exception", "Ssm.SsmException", "SageMaker.SageMakerException"),
        *("S3.SdkClientException", "Ssm.SdkClientException", "SageMaker.SdkClientException"),
    ],
    "IntervalSeconds": 2,
    "MaxAttempts": 2,
    "BackoffRate": 2,
}
# A spot training that could not finish continues from its checkpoints.
SPOT = {"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 120, "MaxAttempts": 2, "BackoffRate": 2}


def spot_wait(settings: Settings) -> int:
    """Minutes that a training may wait for spot instances on top of its own time."""
    return settings.max_runtime_minutes.spot_wait if settings.spot_training else 0


def integration(action: str) -> str:
    """`sagemaker:createModel` or `aws-sdk:s3:getObject` as the Resource of a state."""
    return f"arn:{Aws.PARTITION}:states:::{action}"


def job(
    scope: Construct, name: str, *, action: str, parameters: dict[str, Any], minutes: int, result: str,
    selector: dict[str, Any], retry: list[dict[str, Any]] | None = None,
) -> sfn.CustomState:  # fmt: skip
    """A SageMaker job that the execution waits for."""
    return sfn.CustomState(
        scope,
        name,
        state_json={
            "Type": "Task",
            "Resource": integration(f"sagemaker:{action}.sync"),
            "Parameters": parameters,
            "ResultSelector": selector,
            "ResultPath": result,
            "TimeoutSeconds": minutes * 60 + OVERHEAD_SECONDS,
            "Retry": [THROTTLED, NO_ROOM, *(retry or [])],
        },
    )


def call(
    scope: Construct, name: str, *, action: str, parameters: dict[str, Any], result: str | None,
    selector: dict[str, Any] | None = None,
) -> sfn.CustomState:  # fmt: skip
    """A single request; without `result` its answer is dropped."""
    state: dict[str, Any] = {
        "Type": "Task",
        "Resource": integration(action),
        "Parameters": parameters,
        # A plain None would be dropped on the way through jsii, and the answer would replace the whole state.
        "ResultPath": result or sfn.JsonPath.DISCARD,
        "TimeoutSeconds": CALL_SECONDS,
        "Retry": [SDK_TROUBLE if action.startswith("aws-sdk:") else THROTTLED],
    }
    if selector:
        state["ResultSelector"] = selector
    return sfn.CustomState(scope, name, state_json=state)


def read_json(scope: Construct, name: str, *, bucket: str, key: str, result: str, field: str) -> sfn.CustomState:
    """Read a small JSON object of this execution into `<result>.<field>`; `key` is below the execution's prefix."""
    return call(
        scope, name, action="aws-sdk:s3:getObject", result=result,
        parameters={"Bucket": bucket, "Key.$": f"States.Format('{{}}/{key}', $.names.key)"},
        selector={f"{field}.$": "States.StringToJson($.Body)"},
    )  # fmt: skip
