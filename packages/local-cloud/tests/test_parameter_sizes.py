"""What a parameter holds, and its tier: as Parameter Store says it, so that no deployment works here and fails on AWS."""

from __future__ import annotations

import json
import uuid

import pytest
from botocore.exceptions import ClientError


@pytest.fixture(scope="module")
def ssm(cloud):
    return cloud.client("ssm")


@pytest.fixture
def name() -> str:
    return f"/sizes/{uuid.uuid4().hex}"


def put(ssm, name: str, size: int, **more) -> str:
    """The tier that the parameter has then."""
    more.setdefault("Type", "String")
    return ssm.put_parameter(Name=name, Value="v" * size, **more)["Tier"]


@pytest.mark.parametrize(
    ("tier", "size", "becomes"),
    [
        (None, 4096, "Standard"),
        ("Standard", 4096, "Standard"),
        ("Advanced", 8192, "Advanced"),
        ("Intelligent-Tiering", 4096, "Standard"),
        ("Intelligent-Tiering", 4097, "Advanced"),
    ],
)
def test_a_value_that_fits_its_tier_is_kept_whole(ssm, name, tier, size, becomes):
    assert put(ssm, name, size, **({"Tier": tier} if tier else {})) == becomes
    assert len(ssm.get_parameter(Name=name)["Parameter"]["Value"]) == size


@pytest.mark.parametrize(
    ("tier", "size", "most"),
    [(None, 4097, 4096), ("Standard", 4097, 4096), ("Advanced", 8193, 8192), ("Intelligent-Tiering", 8193, 8192)],
)
@pytest.mark.parametrize("kind", ["String", "StringList", "SecureString"])
def test_a_value_that_is_longer_is_refused_and_the_parameter_is_as_before(ssm, name, tier, size, most, kind):
    put(ssm, name, 1, Type=kind)
    with pytest.raises(ClientError) as refused:
        put(ssm, name, size, Type=kind, Overwrite=True, **({"Tier": tier} if tier else {}))
    error = refused.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert f"a maximum parameter value of {most} characters" in error["Message"]
    assert len(ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]) == 1
    assert len(ssm.get_parameter_history(Name=name)["Parameters"]) == 1


def test_an_advanced_parameter_stays_one_and_is_not_made_a_standard_one(ssm, name):
    put(ssm, name, 5000, Tier="Advanced")
    assert put(ssm, name, 6000, Overwrite=True) == "Advanced"
    assert put(ssm, name, 10, Overwrite=True, Tier="Intelligent-Tiering") == "Advanced"
    with pytest.raises(ClientError, match="can't downgrade"):
        put(ssm, name, 10, Overwrite=True, Tier="Standard")


def test_a_template_with_a_longer_value_fails_with_the_reason_of_parameter_store(cloud, name):
    cloudformation, stack = cloud.client("cloudformation"), f"s{uuid.uuid4().hex[:8]}"
    long = {"Type": "AWS::SSM::Parameter", "Properties": {"Name": name, "Type": "String", "Value": "v" * 4097}}
    cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps({"Resources": {"Long": long}}))
    assert cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] == "ROLLBACK_COMPLETE"
    reasons = [
        one.get("ResourceStatusReason", "")
        for one in cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    ]
    assert any("4096 characters" in reason for reason in reasons)
