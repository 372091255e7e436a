"""AWS gives lists in pages: no call of the command line stops at the first one."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.stub import Stubber

from contract.names import Names
from darkroom import executions, jobs, stacks, story
from darkroom.commands import cloud
from darkroom.removal import Removal

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("cloudformation", "logs", "s3", "sagemaker", "ssm", "stepfunctions", "ecr", "iam", "sts")
# Asked for one thing, which is one page: by its name, or whether there is any.
OF_ONE = {"describe_stacks": {"StackName"}, "list_objects_v2": {"MaxKeys"}}


def paginated() -> set[str]:
    """Operations of these services that botocore has a paginator for, as boto3 spells them."""
    session, found = botocore.session.get_session(), set()
    for service in SERVICES:
        client = session.create_client(
            service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        found |= {name for name in client.meta.method_to_api_mapping if client.can_paginate(name)}
    return found - {"search"}  # of regular expressions, too


def unpaged(source: str, operations: set[str]) -> list[str]:
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    return [
        f"line {call.lineno}: {call.func.attr}"
        for call in calls
        if call.func.attr in operations
        and not OF_ONE.get(call.func.attr, {""}) & {keyword.arg for keyword in call.keywords}
    ]


def test_no_operation_with_pages_is_called_without_its_paginator():
    operations = paginated()
    assert {"list_model_package_groups", "describe_stacks", "list_endpoints", "list_executions"} <= operations
    assert unpaged("client.list_endpoints(NameContains='x')", operations) and not unpaged(
        "client.describe_stacks(StackName='x')", operations
    )
    found = {
        str(path.relative_to(ROOT)): bad
        for path in sorted((ROOT / "darkroom").rglob("*.py"))
        if (bad := unpaged(path.read_text(encoding="utf-8"), operations))
    }
    assert not found


class Account:
    """A target whose clients answer from pages that botocore holds against AWS's own models."""

    is_local, home, names, named, found = True, SimpleNamespace(), Names(), frozenset(), None
    parameters: dict[str, str] = {"state-machine-arn": "arn:aws:states:us-east-1:000000000000:stateMachine:m"}  # noqa: RUF012

    def __init__(self) -> None:
        self.clients: dict[str, Any] = {}
        self.stubs: dict[str, Stubber] = {}

    def client(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = boto3.client(
                service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
            )
            self.stubs[service] = Stubber(self.clients[service])
            self.stubs[service].activate()
        return self.clients[service]

    def parameter(self, name: str) -> str:
        return self.parameters[name]

    def answers(self, service: str, operation: str, *pages: dict[str, Any]) -> None:
        self.client(service)
        for page in pages:
            self.stubs[service].add_response(operation, page)

    def all_read(self) -> None:
        for stub in self.stubs.values():
            stub.assert_no_pending_responses()


def stack(name: str, **more: Any) -> dict[str, Any]:
    ours = [{"Key": key, "Value": value} for key, value in Names().tags.items()]
    return {"StackName": name, "StackId": f"arn:{name}", "CreationTime": datetime.now(UTC), "StackStatus": "CREATE_COMPLETE",
            "Tags": ours, **more}  # fmt: skip


@pytest.fixture
def account():
    made = Account()
    yield made
    made.all_read()


def test_stacks_on_the_second_page_are_found(account):
    account.answers(
        "cloudformation", "describe_stacks",
        {"Stacks": [stack("Darkroom-Pipeline"), stack("Of-Somebody", Tags=[])], "NextToken": "2"},
        {"Stacks": [stack("Darkroom-Storage")]},
    )  # fmt: skip
    assert [one.name for one in stacks.of(account, Names())] == ["Darkroom-Storage", "Darkroom-Pipeline"]


def test_a_stack_of_our_name_that_says_another_project_or_nothing_is_not_ours(account):
    other = [{"Key": "darkroom:project", "Value": "bees"}, {"Key": "darkroom:environment", "Value": "dev"}]
    page = [stack("Darkroom-Storage", Tags=other), stack("Darkroom-Images", Tags=[], Description="a shop of cameras")]
    account.answers("cloudformation", "describe_stacks", {"Stacks": page})
    assert stacks.of(account, Names()) == []


def test_executions_on_the_second_page_are_found(account):
    def run(name: str, hour: int) -> dict[str, Any]:
        machine = account.parameters["state-machine-arn"]
        moment = datetime(2026, 1, 1, hour, tzinfo=UTC)
        said = {"executionArn": f"{machine}:{name}", "stateMachineArn": machine, "name": name, "startDate": moment}
        return said | {"status": "SUCCEEDED"}

    account.answers(
        "stepfunctions",
        "list_executions",
        {"executions": [run("old", 1)], "nextToken": "2"},
        {"executions": [run("new", 2)]},
    )
    assert [one["name"] for one in executions.recent(account, 5)] == ["new", "old"]


def test_everything_that_destroy_counts_is_read_to_the_last_page(account):
    account.answers("cloudformation", "describe_stacks", {"Stacks": [stack("Darkroom-Storage")]})
    made = [
        {"LogicalResourceId": kind, "PhysicalResourceId": kind.lower().replace("::", "-"), "ResourceType": f"AWS::{kind}",
         "ResourceStatus": "CREATE_COMPLETE", "LastUpdatedTimestamp": datetime.now(UTC)}
        for kind in ("S3::Bucket", "SageMaker::ModelPackageGroup")
    ]  # fmt: skip
    for _ in range(2):  # once for buckets, once for groups
        account.answers(
            "cloudformation", "list_stack_resources", {"StackResourceSummaries": made[:1], "NextToken": "2"},
            {"StackResourceSummaries": made[1:]},
        )  # fmt: skip
        account.answers("cloudformation", "get_template", {"TemplateBody": "{}"})
    removal = Removal(account)
    versions = [{"Key": str(place), "VersionId": "v"} for place in range(3)]
    account.answers(
        "s3", "list_object_versions", {"Versions": versions[:2], "IsTruncated": True, "NextKeyMarker": "1", "NextVersionIdMarker": "v"},
        {"Versions": versions[2:], "IsTruncated": False},
    )  # fmt: skip
    package = {"ModelPackageGroupName": "g", "CreationTime": datetime.now(UTC), "ModelPackageStatus": "Completed"}
    arns = [f"arn:aws:sagemaker:us-east-1:000000000000:model-package/g/{place}" for place in (1, 2)]
    account.answers(
        "sagemaker", "list_model_packages", {"ModelPackageSummaryList": [{**package, "ModelPackageArn": arns[0]}], "NextToken": "2"},
        {"ModelPackageSummaryList": [{**package, "ModelPackageArn": arns[1]}]},
    )  # fmt: skip
    models = [
        {"ModelName": f"darkroom-dev-0000000{place}-model", "ModelArn": "arn:aws:sagemaker:us-east-1:000000000000:model/m",
         "CreationTime": datetime.now(UTC)} for place in (1, 2)
    ]  # fmt: skip
    account.answers("sagemaker", "list_models", {"Models": models[:1], "NextToken": "2"}, {"Models": models[1:]})
    ends = [endpoint("darkroom-dev-cpu"), endpoint("darkroom-dev-0a1b2c3d-explain-1")]
    account.answers("sagemaker", "list_endpoints", {"Endpoints": ends[:1], "NextToken": "2"}, {"Endpoints": ends[1:]})
    plan = "\n".join(removal.plan())
    assert (
        "with 3 object versions" in plan
        and plan.count("model package ") == 2
        and plan.count("\nmodel darkroom-dev-") == 2
    )
    assert "endpoint darkroom-dev-0a1b2c3d-explain-1" in plan and "darkroom-dev-cpu" not in plan


def endpoint(name: str) -> dict[str, Any]:
    arn = f"arn:aws:sagemaker:us-east-1:000000000000:endpoint/{name}"
    moment = datetime.now(UTC)
    said = {"EndpointName": name, "EndpointArn": arn, "CreationTime": moment, "LastModifiedTime": moment}
    return said | {"EndpointStatus": "InService"}


def test_objects_that_s3_does_not_delete_stop_the_removal(account):
    account.answers("cloudformation", "describe_stacks", {"Stacks": []})
    removal = Removal(account)
    removal.buckets = ["data"]
    account.answers("s3", "put_bucket_logging", {})
    account.answers("s3", "list_object_versions", {"Versions": [{"Key": "a", "VersionId": "v"}]})
    refused = {"Key": "a", "VersionId": "v", "Code": "AccessDenied", "Message": "locked"}
    account.answers("s3", "delete_objects", {"Errors": [refused]})
    with pytest.raises(Exception, match="1 objects of the bucket data cannot be deleted; a: AccessDenied, locked"):
        removal._empty()


def test_waiting_packages_on_the_second_page_are_found(account):
    package = {"ModelPackageGroupName": "g", "CreationTime": datetime.now(UTC), "ModelPackageStatus": "Completed"}
    arn = "arn:aws:sagemaker:us-east-1:000000000000:model-package/g/1"
    account.answers(
        "sagemaker", "list_model_packages", {"ModelPackageSummaryList": [], "NextToken": "2"},
        {"ModelPackageSummaryList": [{**package, "ModelPackageArn": arn}]},
    )  # fmt: skip
    assert story._packages(account.client("sagemaker"), "g") == [arn]


def test_endpoints_and_log_streams_on_the_second_page_are_found(account):
    account.answers("cloudformation", "describe_stacks", {"Stacks": []})
    ends = [endpoint("darkroom-dev-cpu"), endpoint("darkroom-dev-gpu")]
    account.answers("sagemaker", "list_endpoints", {"Endpoints": ends[:1], "NextToken": "2"}, {"Endpoints": ends[1:]})
    account.answers("stepfunctions", "list_executions", {"executions": []})
    assert len(cloud._parts(account)["endpoints"]) == 2
    account.answers(
        "logs", "describe_log_streams", {"logStreams": [{"logStreamName": "a"}], "nextToken": "2"},
        {"logStreams": [{"logStreamName": "b"}]},
    )  # fmt: skip
    assert jobs._streams(account, "g", "") == ["a", "b"]
