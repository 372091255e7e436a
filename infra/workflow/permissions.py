"""What a state machine may do beside the calls that bring their own rights: run the jobs of this environment, and list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from aws_cdk import Aws, CfnElement, CfnResource
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra import grants
from infra.settings import Settings

# For `.sync`, Step Functions watches jobs through EventBridge rules of these names:
# https://docs.aws.amazon.com/step-functions/latest/dg/connect-sagemaker.html
EVENT_RULES = ("Processing", "Training", "Tuning", "Transform")


class MachineRole(iam.Role):
    """A role for one state machine; statements come from the functions below."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, statements: Sequence[iam.PolicyStatement]):
        super().__init__(
            scope,
            id,
            description=f"Darkroom {settings.environment}: starts jobs and watches them",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            **grants.company_rules(scope, id, settings),
        )
        for statement in statements:
            self.add_to_policy(statement)

    def comes_before(self, machine: sfn.StateMachine) -> None:
        """The machine waits for the role's policy. CDK makes it wait for the role, too, which its ARN implies (cfn-lint's W3005)."""
        policy = cast(CfnElement, self.node.find_child("DefaultPolicy").node.default_child)
        cast(CfnResource, machine.node.default_child).add_override("DependsOn", [policy.logical_id])


def runs_jobs(settings: Settings) -> list[iam.PolicyStatement]:
    """Create, describe, stop and tag jobs whose names begin with the prefix; the rules by which they are watched."""

    def named(kind: str) -> str:
        return grants.arn("sagemaker", f"{kind}/{settings.prefix}-*")

    jobs = {
        "processing-job": ("CreateProcessingJob", "DescribeProcessingJob", "StopProcessingJob"),
        "training-job": ("CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob"),
        "hyper-parameter-tuning-job": (
            "CreateHyperParameterTuningJob",
            "DescribeHyperParameterTuningJob",
            "StopHyperParameterTuningJob",
        ),
        "transform-job": ("CreateTransformJob", "DescribeTransformJob", "StopTransformJob"),
        "model": ("CreateModel",),
    }
    return [
        *(
            iam.PolicyStatement(actions=[f"sagemaker:{action}" for action in actions], resources=[named(kind)])
            for kind, actions in jobs.items()
        ),
        iam.PolicyStatement(
            actions=["sagemaker:AddTags", "sagemaker:ListTags"], resources=[named(kind) for kind in jobs]
        ),
        iam.PolicyStatement(
            actions=["events:DescribeRule", "events:PutRule", "events:PutTargets"],
            resources=[
                grants.arn("events", f"rule/StepFunctionsGetEventsForSageMaker{kind}JobsRule") for kind in EVENT_RULES
            ],
        ),
    ]


def passes(roles: Sequence[iam.IRole]) -> list[iam.PolicyStatement]:
    """Hand exactly these roles to SageMaker."""
    return [
        iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[role.role_arn for role in roles],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        )
    ]


def lists(bucket: s3.IBucket, *prefixes: str) -> iam.PolicyStatement:
    """List what lies below these prefixes, which may hold `*`."""
    return iam.PolicyStatement(
        actions=["s3:ListBucket"],
        resources=[bucket.bucket_arn],
        conditions={"StringLike": {"s3:prefix": list(prefixes)}},
    )
