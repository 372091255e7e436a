"""The model registry: versions count up, approval decides what may be deployed."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.sagemaker.platform import new_name


@pytest.fixture
def group(platform):
    name = new_name("group")
    platform.api.create_model_package_group(ModelPackageGroupName=name, ModelPackageGroupDescription="photos")
    return name


def register(platform, group, text="registered", **fields):
    url = platform.model_archive(f"models/{new_name('package')}.tar.gz", text)
    specification = {
        "Containers": [{"Image": platform.server, "ModelDataUrl": url}],
        "SupportedContentTypes": ["image/jpeg"],
        "SupportedResponseMIMETypes": ["application/json"],
    }
    return platform.api.create_model_package(
        ModelPackageGroupName=group, InferenceSpecification=specification, **fields
    )["ModelPackageArn"]  # fmt: skip


def test_versions_count_up_and_are_not_used_twice(platform, group):
    first, second = register(platform, group), register(platform, group)
    assert (first[-2:], second[-2:]) == ("/1", "/2")
    platform.api.delete_model_package(ModelPackageName=second)
    assert register(platform, group).endswith("/3")
    listed = platform.api.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    assert [package["ModelPackageVersion"] for package in listed] == [1, 3]


def test_only_an_approved_package_can_be_deployed(platform, group):
    arn = register(platform, group, CustomerMetadataProperties={"accuracy": "0.9"})
    described = platform.api.describe_model_package(ModelPackageName=arn)
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    model = {
        "ModelName": new_name("model"),
        "Containers": [{"ModelPackageName": arn}],
        "ExecutionRoleArn": platform.role,
    }
    with pytest.raises(ClientError, match="only an Approved package"):
        platform.api.create_model(**model)
    platform.api.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good")
    approved = platform.api.list_model_packages(ModelPackageGroupName=group, ModelApprovalStatus="Approved")
    assert [package["ModelPackageArn"] for package in approved["ModelPackageSummaryList"]] == [arn]
    platform.api.create_model(**model)
    assert platform.invoke(platform.endpoint(model["ModelName"])) == "registered:hello"


def test_a_group_with_packages_cannot_be_deleted(platform, group):
    arn = register(platform, group)
    with pytest.raises(ClientError) as refused:
        platform.api.delete_model_package_group(ModelPackageGroupName=group)
    assert refused.value.response["Error"]["Code"] == "ConflictException"
    platform.api.delete_model_package(ModelPackageName=arn)
    platform.api.delete_model_package_group(ModelPackageGroupName=group)
    with pytest.raises(ClientError, match="does not exist"):
        platform.api.describe_model_package_group(ModelPackageGroupName=group)
