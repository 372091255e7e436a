"""Findings of cdk-nag's AwsSolutions that stay, each with the reason. A finding that is not here fails the tests, and so does
an entry that nothing needs any more.

`rule` and `path` are regular expressions for the whole name of the finding and the whole path of the construct.
"""

from __future__ import annotations

from typing import NamedTuple


class Acknowledged(NamedTuple):
    rule: str
    path: str
    reason: str


ARTIFACTS = r"Darkroom-Storage:ExportsOutputFnGetAttArtifacts\w+"
MODELS = r"Darkroom-Storage:ExportsOutputFnGetAttModels\w+"
DATA = r"Darkroom-Storage:ExportsOutputFnGetAttData\w+"
ROLE = r"Darkroom-\w+/\w*(Roles/\w+|Role)/DefaultPolicy/Resource"


def wildcard(resource: str) -> str:
    return rf"AwsSolutions-IAM5\[Resource::{resource}\]"


def arn(rest: str) -> str:
    return rf"arn:<AWS::Partition>:{rest}"


ACKNOWLEDGED = (
    Acknowledged(
        wildcard(rf"{ARTIFACTS}/(executions|comparisons|weights|feature-cache)/[\w./*-]*"), ROLE,
        "The execution's name is not known before it starts, and a job's objects have many names. What a role may reach "
        "is limited to the folders that its kind of job reads or writes.",
    ),
    Acknowledged(
        wildcard(rf"{MODELS}/(registered|multi-model)/\*"), ROLE,
        "Models are stored by execution and by the user's name for them, neither of which is known at deploy time.",
    ),
    Acknowledged(
        wildcard(rf"{DATA}/\*"), ROLE,
        "The data bucket holds nothing but data sets, and an execution may name any of them.",
    ),
    Acknowledged(
        wildcard(r"\*"), ROLE,
        "Only for actions that have no resource: ecr:GetAuthorizationToken, cloudwatch:PutMetricData (limited by "
        "namespace), X-Ray and the delivery of Step Functions' logs. test_roles.py lists them.",
    ),
    Acknowledged(
        wildcard(arn(r"logs:<AWS::Region>:<AWS::AccountId>:log-group:/aws/sagemaker/\w+:log-stream:darkroom-dev-\*")),
        ROLE, "Log streams are named after the job, which has the execution's id in its name.",
    ),
    Acknowledged(
        wildcard(arn(r"logs:<AWS::Region>:<AWS::AccountId>:log-group:/aws/sagemaker/Endpoints/darkroom-dev-(\?{8}-)?\*.*")),
        ROLE, "One log group for each endpoint of this environment, shadow endpoints of Clarify among them.",
    ),
    Acknowledged(
        wildcard(arn(r"sagemaker:<AWS::Region>:<AWS::AccountId>:[\w-]+/darkroom-dev-(\?{8}-)?\*")), ROLE,
        "Jobs, models and shadow endpoints have the execution's id in their names; the prefix is this environment's.",
    ),
    Acknowledged(
        wildcard(arn(r"states:<AWS::Region>:<AWS::AccountId>:execution:darkroom-dev-pipeline:\*")),
        ROLE,
        "The report reads the history of its own execution, whose name is not known at deploy time.",
    ),
    Acknowledged(
        wildcard(arn(r"ssm:<AWS::Region>:<AWS::AccountId>:parameter/darkroom/dev/(target|fixed)-models/\*")), ROLE,
        "One parameter for each name that a user gives to models.",
    ),
    Acknowledged(
        wildcard(arn(r"sagemaker:<AWS::Region>:<AWS::AccountId>:model-package/darkroom-dev/\*")), ROLE,
        "SageMaker numbers the versions of the model package group.",
    ),
)  # fmt: skip
