"""Requests are held to botocore's models, with AWS's words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from local_cloud.errors import AwsError
from local_cloud.validation import Validator

ROLE = "arn:aws:iam::000000000000:role/r"
VALID = {
    "TrainingJobName": "job",
    "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "image"},
    "RoleArn": ROLE,
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}
FAULTS = [
    (
        {"RoleArn": None},
        "1 validation error detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null",
    ),
    (
        {"TrainingJobName": "-x-"},
        "Value '-x-' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular",
    ),
    ({"TrainingJobName": "a" * 64}, "Member must have length less than or equal to 63"),
    (
        {"StoppingCondition": {"MaxRuntimeInSeconds": 0}},
        "at 'stoppingCondition.maxRuntimeInSeconds' failed.*greater than or equal to 1",
    ),
    (
        {"ResourceConfig": {**VALID["ResourceConfig"], "InstanceType": "ml.none"}},
        "Member must satisfy enum value set: \\[",
    ),
    ({"HyperParameters": {"k": "v" * 3000}}, "at 'hyperParameters.k.member' failed.*2500"),
    ({"Tags": [{"Key": ""}]}, "2 validation errors detected.*'tags.1.member.(value|key)'"),
]


@pytest.mark.parametrize(("change", "words"), FAULTS)
def test_constraints(change, words):
    request = {name: value for name, value in {**VALID, **change}.items() if value is not None}
    with pytest.raises(AwsError, match=words) as refused:
        Validator().check("sagemaker", "CreateTrainingJob", request)
    assert refused.value.code == "ValidationException"


@pytest.mark.parametrize(
    "change",
    [{"HyperParameters": {"epochs": 3}}, {"TrainingJobName": 7}, {"Tags": {}}, {"EnableManagedSpotTraining": "yes"}],
)
def test_wrong_json_types_are_serialization_errors(change):
    with pytest.raises(AwsError) as refused:
        Validator().check("sagemaker", "CreateTrainingJob", {**VALID, **change})
    assert refused.value.code == "SerializationException"


def test_times_and_blobs_become_their_types_and_unknown_members_are_ignored():
    checked = Validator().checked("sagemaker", "ListTrainingJobs", {"CreationTimeAfter": 1700000000, "Nonsense": 1})
    assert checked == {"CreationTimeAfter": datetime.fromtimestamp(1700000000, UTC)}
    assert Validator().checked("kms", "Decrypt", {"CiphertextBlob": "YWJj"})["CiphertextBlob"] == b"abc"
    with pytest.raises(AwsError, match="base64"):
        Validator().checked("kms", "Decrypt", {"CiphertextBlob": "!"})


def test_unknown_operations_are_named():
    with pytest.raises(AwsError, match="CreateNothing") as refused:
        Validator().check("sagemaker", "CreateNothing", {})
    assert refused.value.code == "UnknownOperationException"
