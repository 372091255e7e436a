"""A step of the pipeline: a piece of the state machine that knows its jobs, and the states that steps are made of.

A state that calls a service knows how long it may take, what is tried again, and what the state machine's role needs for it. It fails
by itself, with AWS's own error and cause: nothing catches it, so that a redrive goes on with it (`darkroom resume`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_cdk import Aws, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from contract.names import execution_key
from infra.settings import Settings
from infra.workflow.job import Job
from infra.workflow.platform import Platform

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
SDK_TROUBLE = (
    *("S3.S3Exception", "Ssm.SsmException", "SageMaker.SageMakerException"),
    *("S3.SdkClientException", "Ssm.SdkClientException", "SageMaker.SdkClientException"),
)
# A spot training that could not finish continues from its checkpoints.
SPOT = {"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 120, "MaxAttempts": 2, "BackoffRate": 2}
# An IAM action and the resources that a state needs it for.
Right = tuple[str, Sequence[str]]


class Step(sfn.StateMachineFragment):
    """A subclass declares its jobs and connects its states; infra/workflow/pipeline.py puts the steps into their order."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        super().__init__(scope, type(self).__name__)
        self.platform = platform
        self._states = self.states()

    @classmethod
    def jobs(cls, settings: Settings) -> tuple[Job, ...]:
        """What it lets run, as far as these settings want it. Roles, docs and tests ask for it before anything is built."""
        return ()

    @classmethod
    def rights(cls, platform: Platform) -> list[iam.PolicyStatement]:
        """What the state machine needs for it beyond what its calls bring themselves."""
        return []

    def states(self) -> sfn.Chain:
        """Its states, connected; what follows the step follows the chain's ends."""
        raise NotImplementedError

    @property
    def start_state(self) -> sfn.State:
        return self._states.start_state

    @property
    def end_states(self) -> list[sfn.INextable]:
        return self._states.end_states


def spot_wait(settings: Settings) -> int:
    """Minutes that a training may wait for spot instances on top of its own time."""
    return settings.max_runtime_minutes.spot_wait if settings.spot_training else 0


def run(
    scope: Construct, job: Job, platform: Platform, *, result: str, request: dict[str, Any] | None = None,
    selector: dict[str, Any] | None = None, minutes: int = 0, retry: Sequence[dict[str, Any]] = (),
) -> sfn.CustomState:  # fmt: skip
    """A SageMaker job that the execution waits for; by default `<result>.job` is its name.

    CDK's typed tasks for training and transform jobs bring roles and rights to every job of the account; ours are narrow, so the state
    is rendered from the request, and `permissions.runs_jobs` has the rights for all.
    """
    return sfn.CustomState(
        scope,
        job.state,
        state_json={
            "Type": "Task",
            "Resource": f"arn:{Aws.PARTITION}:states:::sagemaker:{job.action}.sync",
            "Parameters": job.request(platform) if request is None else request,
            "ResultSelector": selector or {"job.$": f"$.{job.name_field}"},
            "ResultPath": result,
            "TimeoutSeconds": (minutes or job.minutes(platform)) * 60 + OVERHEAD_SECONDS,
            "Retry": [THROTTLED, NO_ROOM, *retry],
        },
    )


def bare_call(
    scope: Construct, name: str, *, action: str, parameters: dict[str, Any], result: str, selector: dict[str, Any],
    retry: dict[str, Any],
) -> sfn.CustomState:  # fmt: skip
    """A request whose rights CDK's typed tasks cannot say: with a condition, or for less than every model of the account."""
    return sfn.CustomState(
        scope,
        name,
        state_json={
            "Type": "Task",
            "Resource": f"arn:{Aws.PARTITION}:states:::{action}",
            "Parameters": parameters,
            "ResultSelector": selector,
            "ResultPath": result,
            "TimeoutSeconds": CALL_SECONDS,
            "Retry": [retry],
        },
    )


def count_objects(scope: Construct, name: str, *, bucket: str, prefix: str, result: str) -> sfn.CustomState:
    """Is there an object of this key? `<result>.count` is 0 or 1. The right to list must name the prefix: `permissions.lists`.

    Asked as a list, because to a role that may not list a missing object is forbidden.
    """
    return bare_call(
        scope, name, action="aws-sdk:s3:listObjectsV2", result=result, selector={"count.$": "$.KeyCount"},
        parameters={"Bucket": bucket, "Prefix.$": prefix, "MaxKeys": 1},
        retry={"ErrorEquals": list(SDK_TROUBLE), "IntervalSeconds": 2, "MaxAttempts": 2, "BackoffRate": 2},
    )  # fmt: skip


def call(
    scope: Construct, name: str, *, action: str, parameters: dict[str, Any], allow: Sequence[Right],
    result: str | None = None, selector: dict[str, Any] | None = None,
) -> tasks.CallAwsService:  # fmt: skip
    """A single request to a service (`s3:putObject`), with the rights that it needs; without `result` its answer is dropped."""
    service, operation = action.split(":")
    (first, resources), *others = allow
    state = tasks.CallAwsService(
        scope, name, service=service, action=operation, parameters=parameters, result_selector=selector,
        # A plain None would be dropped on the way through jsii, and the answer would replace the whole state.
        result_path=result or sfn.JsonPath.DISCARD,
        task_timeout=sfn.Timeout.duration(Duration.seconds(CALL_SECONDS)),
        iam_action=first, iam_resources=list(resources),
        additional_iam_statements=[
            iam.PolicyStatement(actions=[other], resources=list(those)) for other, those in others
        ],
    )  # fmt: skip
    state.add_retry(errors=list(SDK_TROUBLE), interval=Duration.seconds(2), max_attempts=2, backoff_rate=2)
    return state


def read_json(
    scope: Construct, name: str, platform: Platform, *, key: str, result: str, field: str
) -> tasks.CallAwsService:
    """Read a small JSON object of this execution into `<result>.<field>`; `key` is below the execution's folder."""
    return call(
        scope, name, action="s3:getObject", result=result,
        parameters={"Bucket": platform.artifacts.bucket_name, "Key.$": f"States.Format('{{}}/{key}', $.names.key)"},
        selector={f"{field}.$": "States.StringToJson($.Body)"},
        allow=[("s3:GetObject", [of_execution(platform, key)])],
    )  # fmt: skip


def write_json(
    scope: Construct, name: str, platform: Platform, *, key: str, body: str | dict[str, Any],
    result: str | None = None, selector: dict[str, Any] | None = None,
) -> tasks.CallAwsService:  # fmt: skip
    """Write a path's value, or an object, as JSON below the execution's folder. Step Functions makes JSON of a body itself."""
    return call(
        scope, name, action="s3:putObject", result=result, selector=selector,
        parameters={
            "Bucket": platform.artifacts.bucket_name,
            "Key.$": f"States.Format('{{}}/{key}', $.names.key)",
            **({"Body.$": body} if isinstance(body, str) else {"Body": body}),
            "ContentType": "application/json",
        },
        allow=[("s3:PutObject", [of_execution(platform, key)])],
    )  # fmt: skip


def of_execution(platform: Platform, path: str) -> str:
    """ARN of these objects of any execution."""
    return platform.artifacts.arn_for_objects(f"{execution_key('*')}/{path}")
