"""What a template no longer says is taken back; which changes replace a resource is held against AWS's own schemas (cfn-lint has them)."""

from __future__ import annotations

import json
import uuid

import pytest
from botocore.exceptions import WaiterError
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from local_cloud.cloudformation.resources.kinds import TYPES

# What we replace and AWS's schema does not say so, with AWS's documentation of that property.
REPLACED_THOUGH_THE_SCHEMA_DOES_NOT_SAY_SO = {
    # "Update requires: Replacement"
    "AWS::Events::Rule": {"EventBusName"},
    # The old policy is deleted under its own name: the same end.
    "AWS::IAM::Policy": {"PolicyName"},
    # S3 cannot take Object Lock away from a bucket; AWS fails such an update.
    "AWS::S3::Bucket": {"ObjectLockEnabled"},
    # PutParameter cannot change a type; a parameter has its value in the template.
    "AWS::SSM::Parameter": {"Type"},
}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "open", "Effect": "Allow", "Principal": "*", "Action": "SNS:Publish", "Resource": "*"}],
}


@pytest.fixture(scope="module")
def cfn(cloud):
    return cloud.client("cloudformation")


@pytest.fixture
def name() -> str:
    return f"s{uuid.uuid4().hex[:8]}"


def deploy(cfn, name: str, resources: dict) -> None:
    """Create or update the stack, which must succeed."""
    exists = any(stack["StackName"] == name for stack in cfn.describe_stacks()["Stacks"])
    call, kind = (cfn.update_stack, "update") if exists else (cfn.create_stack, "create")
    call(StackName=name, TemplateBody=json.dumps({"Resources": resources}), Capabilities=["CAPABILITY_NAMED_IAM"])
    try:
        cfn.get_waiter(f"stack_{kind}_complete").wait(StackName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600})
    except WaiterError as error:
        events = cfn.describe_stack_events(StackName=name)["StackEvents"]
        raise AssertionError([one.get("ResourceStatusReason") for one in events]) from error


def physical(cfn, name: str, logical: str) -> str:
    found = cfn.describe_stack_resource(StackName=name, LogicalResourceId=logical)
    return found["StackResourceDetail"]["PhysicalResourceId"]


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_a_change_replaces_what_awss_schema_says_and_nothing_else(kind):
    ours = TYPES[kind]
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    theirs = {path.split("/")[2] for path in schema.get("createOnlyProperties", [])} & set(ours.properties)
    assert set(ours.replacing) == theirs | REPLACED_THOUGH_THE_SCHEMA_DOES_NOT_SAY_SO.get(kind, set())


def test_a_topic_that_leaves_a_policy_has_that_of_a_new_topic_again(cfn, cloud, name):
    sns = cloud.client("sns")

    def policy(topic: str) -> dict:
        return json.loads(sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])

    def resources(*topics: str) -> dict:
        both = {topic: {"Type": "AWS::SNS::Topic"} for topic in ("One", "Two")}
        said = {"Topics": [{"Ref": topic} for topic in topics], "PolicyDocument": POLICY}
        return {**both, **({"Policy": {"Type": "AWS::SNS::TopicPolicy", "Properties": said}} if topics else {})}

    new = sns.create_topic(Name=name)["TopicArn"]
    deploy(cfn, name, resources("One", "Two"))
    one, two = physical(cfn, name, "One"), physical(cfn, name, "Two")
    assert policy(one) == policy(two) == POLICY
    deploy(cfn, name, resources("One"))
    assert policy(one) == POLICY
    assert json.dumps(policy(two)).replace(two, new) == json.dumps(policy(new))
    deploy(cfn, name, resources())
    assert json.dumps(policy(one)).replace(one, new) == json.dumps(policy(new))


def test_tags_of_what_cannot_be_changed_are_changed_in_place(platform, name):
    cfn, sagemaker = platform.cloud.client("cloudformation"), platform.cloud.client("sagemaker")

    def resources(**tags: str) -> dict:
        said = [{"Key": key, "Value": value} for key, value in tags.items()]
        trust = {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}]}  # fmt: skip
        image = {"Image": platform.server}
        variant = {"VariantName": "all", "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]}, "InitialInstanceCount": 1,
                   "InstanceType": "ml.m5.large"}  # fmt: skip
        return {
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}},
            "Model": {"Type": "AWS::SageMaker::Model", "Properties": {
                "ExecutionRoleArn": {"Fn::GetAtt": ["Role", "Arn"]}, "PrimaryContainer": image, "Tags": said}},
            "Config": {"Type": "AWS::SageMaker::EndpointConfig", "Properties": {"ProductionVariants": [variant], "Tags": said}},
            "Group": {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": {"ModelPackageGroupName": name, "Tags": said}},
            "Parameter": {"Type": "AWS::SSM::Parameter", "Properties": {
                "Name": f"/{name}", "Type": "String", "Value": "v", "Tags": tags}},
        }  # fmt: skip

    deploy(cfn, name, resources(kept="1", changed="1", gone="1"))
    before = {one: physical(cfn, name, one) for one in ("Model", "Config", "Group")}
    deploy(cfn, name, resources(kept="1", changed="2"))
    for logical, arn in before.items():
        assert physical(cfn, name, logical) == arn
        tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
        assert {key: value for key, value in tags.items() if not key.startswith("aws:")} == {
            "kept": "1",
            "changed": "2",
        }
    listed = platform.cloud.client("ssm").list_tags_for_resource(ResourceType="Parameter", ResourceId=f"/{name}")[
        "TagList"
    ]
    assert {tag["Key"]: tag["Value"] for tag in listed if not tag["Key"].startswith("aws:")} == {
        "kept": "1",
        "changed": "2",
    }


def test_a_key_that_cannot_be_changed_is_kept_and_the_update_fails(cfn, cloud, name):
    def resources(**said: object) -> dict:
        return {"Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": POLICY, **said}}}

    deploy(cfn, name, resources())
    key = physical(cfn, name, "Key")
    cfn.update_stack(
        StackName=name, TemplateBody=json.dumps({"Resources": resources(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")})
    )
    reasons = [one.get("ResourceStatusReason") for one in cfn.describe_stack_events(StackName=name)["StackEvents"]]
    assert cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE", reasons
    assert any("KeySpec, KeyUsage of a KMS key cannot be changed" in (reason or "") for reason in reasons)
    assert physical(cfn, name, "Key") == key
    assert cloud.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


def test_a_key_is_enabled_again_when_the_template_no_longer_disables_it(cfn, cloud, name):
    resources = {"Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": POLICY, "Enabled": False}}}
    deploy(cfn, name, resources)
    state = lambda: cloud.client("kms").describe_key(KeyId=physical(cfn, name, "Key"))["KeyMetadata"]["KeyState"]  # noqa: E731
    assert state() == "Disabled"
    del resources["Key"]["Properties"]["Enabled"]
    deploy(cfn, name, resources)
    assert state() == "Enabled"


def test_a_log_group_gets_a_key_and_gives_it_back(cfn, cloud, name):
    def resources(**said: object) -> dict:
        return {
            "Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": POLICY}},
            "Log": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": name, **said}},
        }

    def key() -> str | None:
        return cloud.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"][0].get("kmsKeyId")

    deploy(cfn, name, resources(RetentionInDays=7))
    assert key() is None
    deploy(cfn, name, resources(RetentionInDays=7, KmsKeyId={"Fn::GetAtt": ["Key", "Arn"]}))
    assert key().endswith(f"key/{physical(cfn, name, 'Key')}")
    deploy(cfn, name, resources(RetentionInDays=7))
    assert key() is None
