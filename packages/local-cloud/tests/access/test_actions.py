"""Which permission a call needs: held against AWS's service authorization reference, operation by operation."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local_cloud.access.actions import Needed, Place, needed, needed_of_s3
from local_cloud.environment import isolate

PLACE = Place("111122223333", "us-east-1")
# One value for each member that names a resource.
NAMES = {
    "sagemaker": {"TrainingJobName": "Bees", "HyperParameterTuningJobName": "bees", "ProcessingJobName": "bees",
                  "TransformJobName": "bees", "EndpointName": "bees", "EndpointConfigName": "bees", "ModelName": "bees",
                  "ModelPackageGroupName": "bees", "ModelPackageName": "bees", "ResourceArn": PLACE.arn("sagemaker", "model/bees")},
    "states": {"stateMachineArn": PLACE.arn("states", "stateMachine:M"), "executionArn": PLACE.arn("states", "execution:M:e"),
               "mapRunArn": PLACE.arn("states", "mapRun:M/l:u"), "resourceArn": PLACE.arn("states", "stateMachine:M"), "name": "M"},
    "ecr": {"repositoryName": "bees"},
    "events": {"Rule": "r", "Name": "r"},
    "sns": {"TopicArn": PLACE.arn("sns", "t"), "Name": "t"},
    "sqs": {"QueueUrl": "http://127.0.0.1:1/111122223333/q", "QueueName": "q"},
    "kms": {"KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab"},
    "logs": {"logGroupName": "/aws/x", "logStreamName": "s"},
    "ssm": {"Name": "/pipeline/model"},
    "iam": {"GroupName": "g", "InstanceProfileName": "i", "RoleName": "r", "UserName": "u",
            "PolicyArn": "arn:aws:iam::111122223333:policy/p"},
    "secretsmanager": {"SecretId": "s", "Name": "s"},
    "cloudformation": {"StackName": "s"},
    "monitoring": {"AlarmName": "a", "DashboardName": "d"},
    "sts": {"RoleArn": "arn:aws:iam::111122223333:role/r"},
}  # fmt: skip

# Operations that botocore knows and the reference does not, yet.
UNKNOWN = {
    "cloudwatch:DescribeAlarmContributors", "ecr:ListImageReferrers", "kms:Decapsulate", "kms:Encapsulate",
    "secretsmanager:AssociateCrossAccountReplica", "secretsmanager:DisassociateCrossAccountReplica",
    "secretsmanager:ListResourcePolicies",
}  # fmt: skip


def reference(actions: list[str]) -> dict[str, list[str] | None]:
    """The ARN patterns of each action's resources; None for an action that AWS does not have."""
    told = subprocess.run(
        [Path(sys.executable).with_name("node"), Path(__file__).with_name("reference.mjs")],
        input="".join(f"{action}\n" for action in actions), capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    return {action: found and found["arns"] for action, found in zip(actions, lines, strict=True)}


def fits(arn: str, pattern: str) -> bool:
    """Whether an ARN is of the reference's form, `arn:${Partition}:sagemaker:${Region}:${Account}:model/${ModelName}`."""
    parts = [".*" if part.startswith("${") else re.escape(part) for part in re.split(r"(\$\{[^}]*\})", pattern)]
    return re.fullmatch("".join(parts), arn, re.IGNORECASE) is not None


def offered() -> list[tuple[str, str, dict[str, str]]]:
    """Each operation that this cloud answers, S3's apart, with values for the members that name resources."""
    isolate("us-east-1")
    from local_cloud.cloudformation.service import CloudFormationService
    from local_cloud.sagemaker.service import OPERATIONS
    from local_cloud.services import SERVICES, service_model
    from local_cloud.stepfunctions.service import StatesService

    own = {
        "sagemaker": OPERATIONS, "states": StatesService.operations(), "cloudformation": CloudFormationService.operations(),
    }  # fmt: skip
    found = []
    for name, members in NAMES.items():
        model = service_model(SERVICES[name].model)
        for operation in own.get(name, model.operation_names):
            shape = model.operation_model(operation).input_shape
            given = {
                member: value for member, value in members.items() if shape is not None and member in shape.members
            }
            if (given or name in own) and operation != "ListAlarmMuteRules":
                found.append((name, operation, given))
    return found


def test_every_permission_is_one_that_aws_has_on_a_resource_that_it_has():
    asked: list[Needed] = []
    for service, operation, parameters in offered():
        asked += needed(service, operation, parameters, PLACE)
    actions = sorted({permission.action for permission in asked})
    known = reference(actions)
    assert {action for action in actions if known[action] is None} <= UNKNOWN, "AWS has no such actions"
    for permission in asked:
        arns = known[permission.action]
        if permission.resource == "*" or not arns:
            continue
        assert any(fits(permission.resource, arn) for arn in arns), (permission, arns)


def test_what_aws_decides_by_resource_is_not_asked_for_everything():
    calls = [("sagemaker", "CreateTrainingJob"), ("sagemaker", "DescribeEndpoint"), ("states", "StartExecution"),
             ("ecr", "DescribeRepositories"), ("ecr", "BatchGetImage"), ("ssm", "GetParameter"), ("logs", "PutLogEvents"),
             ("sns", "Publish"), ("sqs", "SendMessage"), ("kms", "Decrypt"), ("iam", "GetRole"), ("events", "PutRule")]  # fmt: skip
    for service, operation in calls:
        assert needed(service, operation, NAMES[service], PLACE)[0].resource != "*", operation


@pytest.mark.parametrize(
    ("operation", "key", "query", "headers", "permissions"),
    [
        ("HeadObject", "a.jpg", {}, {}, ["s3:GetObject b/a.jpg"]),
        ("GetObject", "a.jpg", {"versionId": "1"}, {}, ["s3:GetObjectVersion b/a.jpg"]),
        ("ListObjectsV2", "", {"prefix": "p/"}, {}, ["s3:ListBucket b"]),
        ("CopyObject", "a.jpg", {}, {"x-amz-copy-source": "/c/d%20e.jpg"}, ["s3:PutObject b/a.jpg", "s3:GetObject c/d e.jpg"]),
        ("CompleteMultipartUpload", "a.jpg", {}, {}, ["s3:PutObject b/a.jpg"]),
        ("DeleteObjects", "", {}, {}, ["s3:DeleteObject b/x", "s3:DeleteObject b/y"]),
        ("PutPublicAccessBlock", "", {}, {}, ["s3:PutBucketPublicAccessBlock b"]),
    ],
)  # fmt: skip
def test_s3_calls_need_the_actions_of_the_user_guide(operation, key, query, headers, permissions):
    keys = ["x", "y"] if operation == "DeleteObjects" else []
    found = needed_of_s3(operation, "b", key, query, headers, keys)
    assert [f"{each.action} {each.resource.removeprefix('arn:aws:s3:::')}" for each in found] == permissions


def test_every_action_of_s3_exists():
    from local_cloud.access.actions import OF_VERSION, S3

    assert None not in reference([f"s3:{name}" for name in sorted({*S3.values(), *OF_VERSION})]).values()


def test_a_role_that_is_handed_on_needs_pass_role_with_the_service():
    role = "arn:aws:iam::111122223333:role/r"
    request = {"ProcessingJobName": "bees", "RoleArn": role, "Tags": [{"Key": "team", "Value": "a"}]}
    found = needed("sagemaker", "CreateProcessingJob", request, PLACE)
    assert Needed("iam:PassRole", role, {"iam:passedtoservice": ["sagemaker.amazonaws.com"]}) in found
    tags = next(each for each in found if each.action == "sagemaker:AddTags")
    assert tags.context["aws:requesttag/team"] == ["a"] and tags.context["aws:tagkeys"] == ["team"]
