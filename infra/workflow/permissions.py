"""What the pipeline's state machine may do: exactly the calls that its states make, on names of this environment."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.names import (
    APPROVED_DATA,
    APPROVED_PACKAGE,
    FIXED_MODELS,
    MULTI_MODEL,
    REGISTERED,
    TARGET_MODELS,
    execution_key,
)
from contract.plan import STATE_FILE
from infra import grants
from infra.images import ImagesStack
from infra.settings import Settings
from infra.storage import StorageStack

OF_EXECUTION = execution_key("*")

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
        )
        for statement in statements:
            self.add_to_policy(statement)

    def comes_before(self, machine: sfn.StateMachine) -> None:
        """The machine waits for the role's policy. CDK makes it wait for the role, too, which its ARN implies (cfn-lint's W3005)."""
        policy = self.node.find_child("DefaultPolicy").node.default_child
        machine.node.default_child.add_override("DependsOn", [policy.logical_id])


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


def keeps_books(
    settings: Settings, storage: StorageStack, images: ImagesStack, group: str
) -> list[iam.PolicyStatement]:
    """Read the plan and the results, write what it knows itself, copy models, register and publish them."""
    written = (APPROVED_DATA, APPROVED_PACKAGE, f"{TARGET_MODELS}*", f"{FIXED_MODELS}*")
    notes = [grants.arn("ssm", f"parameter{settings.parameter(name)}") for name in written]

    def below(bucket, *paths: str) -> list[str]:
        return [bucket.arn_for_objects(path) for path in paths]

    return [
        iam.PolicyStatement(
            actions=["s3:GetObject"],
            resources=[
                *below(
                    storage.artifacts,
                    f"{OF_EXECUTION}/{STATE_FILE}",
                    f"{OF_EXECUTION}/tuning/best.json",
                    f"{OF_EXECUTION}/evaluation/evaluation.json",
                    f"{OF_EXECUTION}/health/verdict.json",
                    f"{OF_EXECUTION}/training/*/output/model.tar.gz",
                ),
                *below(storage.models, f"{REGISTERED}*"),
            ],
        ),
        iam.PolicyStatement(
            actions=["s3:PutObject"],
            resources=[
                *below(
                    storage.artifacts,
                    f"{OF_EXECUTION}/input/input.json",
                    f"{OF_EXECUTION}/outcome/outcome.json",
                    f"{OF_EXECUTION}/explanations/skipped.json",
                    f"{OF_EXECUTION}/bias/skipped.json",
                    *([f"{OF_EXECUTION}/rules/rules.json"] if settings.debugger == "managed" else []),
                ),
                *below(storage.models, f"{REGISTERED}*", f"{MULTI_MODEL}*"),
            ],
        ),
        iam.PolicyStatement(
            actions=["sagemaker:CreateModelPackage"],
            resources=[
                grants.arn("sagemaker", f"model-package-group/{group}"),
                grants.arn("sagemaker", f"model-package/{group}/*"),
            ],
        ),
        # CreateModelPackage looks up the digest of the image; AWS does not say by whose rights.
        iam.PolicyStatement(
            actions=["ecr:BatchGetImage", "ecr:DescribeImages"],
            resources=[images.inference.repository.repository_arn],
        ),
        iam.PolicyStatement(
            actions=["s3:ListBucket"],
            resources=[storage.models.bucket_arn],
            conditions={"StringLike": {"s3:prefix": [f"{MULTI_MODEL}*"]}},
        ),
        iam.PolicyStatement(actions=["ssm:PutParameter"], resources=notes),
        iam.PolicyStatement(actions=["ssm:GetParameter"], resources=notes[-1:]),
    ]
