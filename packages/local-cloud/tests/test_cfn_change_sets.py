"""Change sets say what AWS's say: with values and without, refusals at once, secrets never."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

KNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"


@pytest.fixture(scope="module")
def cfn(cloud):
    return cloud.client("cloudformation")


@pytest.fixture
def name():
    return f"s{uuid.uuid4().hex[:8]}"


def topic(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SNS::Topic", "Properties": properties}


def parameter(value: Any, **others: Any) -> dict[str, Any]:
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value, **others}}


def proposed(
    cfn, name: str, resources: dict, kind: str = "UPDATE", parameters: dict | None = None, **sections: Any
) -> str:
    """The id of a change set that brings the stack to these resources."""
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in (parameters or {}).items()]
    body = json.dumps({"Resources": resources, **sections})
    return cfn.create_change_set(
        StackName=name,
        ChangeSetName=f"c{uuid.uuid4().hex[:8]}",
        ChangeSetType=kind,
        TemplateBody=body,
        Parameters=given,
    )["Id"]


def deployed(cfn, name: str, resources: dict, kind: str = "CREATE", **options: Any) -> str:
    made = proposed(cfn, name, resources, kind, **options)
    cfn.execute_change_set(ChangeSetName=made)
    assert cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"].endswith(f"{kind}_COMPLETE")
    return made


def changes(cfn, change_set: str, values: bool = True) -> dict[str, dict]:
    found = cfn.describe_change_set(ChangeSetName=change_set, IncludePropertyValues=values)["Changes"]
    return {change["ResourceChange"]["LogicalResourceId"]: change["ResourceChange"] for change in found}


def context(change: dict, which: str) -> dict:
    return json.loads(change[f"{which}Context"])["Properties"]


def test_values_before_and_after_are_shown_on_request_and_what_is_not_known_yet_is_marked(cfn, name):
    first = {
        "T": topic(TopicName=f"{name}-1", DisplayName="one"),
        "P": parameter({"Fn::GetAtt": ["T", "TopicName"]}),
        "R": topic(),
    }
    deployed(cfn, name, first)
    second = {
        "T": topic(TopicName=f"{name}-2", DisplayName="one"),
        "P": first["P"],
        "N": parameter({"Fn::Sub": "a-${T}-z"}),
    }
    found = changes(cfn, proposed(cfn, name, second))
    assert {key: change["Action"] for key, change in found.items()} == {
        "N": "Add",
        "P": "Modify",
        "R": "Remove",
        "T": "Modify",
    }
    assert context(found["T"], "Before") == {"TopicName": f"{name}-1", "DisplayName": "one"}
    assert context(found["T"], "After") == {"TopicName": f"{name}-2", "DisplayName": "one"}
    [detail] = found["T"]["Details"]
    assert detail["Target"] == {
        "Attribute": "Properties", "Name": "TopicName", "Path": "/Properties/TopicName", "AttributeChangeType": "Modify",
        "BeforeValue": f"{name}-1", "AfterValue": f"{name}-2", "RequiresRecreation": "Always",
    }  # fmt: skip
    assert (found["T"]["Replacement"], found["T"]["PolicyAction"]) == ("True", "ReplaceAndDelete")
    assert context(found["P"], "After")["Value"] == KNOWN and context(found["N"], "After")["Value"] == f"a-{KNOWN}-z"
    assert found["R"]["PolicyAction"] == "Delete" and context(found["R"], "Before") == {}
    plain = changes(cfn, proposed(cfn, name, second), values=False)
    assert not [key for change in plain.values() for key in change if key.endswith("Context")]
    assert not [
        key for change in plain.values() for d in change["Details"] for key in d["Target"] if key.endswith("Value")
    ]


def test_without_values_whoever_reads_an_attribute_of_a_changed_resource_may_change(cfn, name):
    first = {
        "T": topic(DisplayName="one"),
        "A": parameter({"Fn::GetAtt": "T.DisplayName"}),
        "B": parameter({"Ref": "T"}),
    }
    deployed(cfn, name, first)
    second = proposed(cfn, name, {**first, "T": topic(DisplayName="two")})
    plain = changes(cfn, second, values=False)
    assert set(plain) == {"T", "A"}, "Ref gives the same ARN as before"
    [detail] = plain["A"]["Details"]
    assert (detail["Evaluation"], detail["ChangeSource"], detail["CausingEntity"]) == (
        "Dynamic", "ResourceAttribute", "T.DisplayName",
    )  # fmt: skip
    assert set(changes(cfn, second)) == {"T"}


def test_a_secret_is_shown_in_no_context_neither_a_noecho_parameter_nor_a_dynamic_reference(cloud, cfn, name):
    cloud.client("secretsmanager").create_secret(Name=name, SecretString="first-secret")
    reference = f"{{{{resolve:secretsmanager:{name}}}}}"
    resources = {"P": parameter({"Ref": "Word"}, Description=reference)}
    declared = {"Parameters": {"Word": {"Type": "String", "NoEcho": True}}}
    deployed(cfn, name, resources, parameters={"Word": "hunter2"}, **declared)
    made = proposed(cfn, name, resources, parameters={"Word": "hunter3"}, **declared)
    answer = json.dumps(cfn.describe_change_set(ChangeSetName=made, IncludePropertyValues=True), default=str)
    assert "hunter" not in answer and "first-secret" not in answer
    found = changes(cfn, made)["P"]
    assert context(found, "After") == {"Type": "String", "Value": "****", "Description": reference}
    assert {(d["ChangeSource"], d["Evaluation"]) for d in found["Details"]} == {
        ("ParameterReference", "Static"), ("DirectModification", "Dynamic"),
    }  # fmt: skip


MAPPED = {"Mappings": {"M": {"A": {"B": "c"}}}}
REFUSED = [
    ({"T": topic(DisplayName={"Fn::FindInMap": ["M", "A", "X"]})}, MAPPED, "Unable to get mapping for M::A::X"),
    ({"T": topic(DisplayName={"Fn::Select": [3, ["a"]]})}, {}, "Fn::Select requires a list argument"),
    (
        {"T": topic(DisplayName={"Fn::GetAtt": ["U"]}), "U": topic()},
        {},
        "every Fn::GetAtt object requires two non-empty",
    ),
    ({"T": topic(DisplayName={"Ref": "Nothing"})}, {}, r"Unresolved resource dependencies \[Nothing\]"),
    ({"T": {"Properties": {}}}, {}, r"\[/Resources/T\] Every Resources object must contain a Type member"),
    ({"T-1": topic()}, {}, "Resource name T-1 is non alphanumeric"),
    ({"T": topic()}, {"Parameters": {"P": {"Type": "String"}}}, r"Parameters: \[P\] must have values"),
]


@pytest.mark.parametrize(("resources", "sections", "words"), REFUSED)
def test_what_aws_refuses_in_create_change_set_is_refused_there_and_leaves_no_stack(
    cfn, name, resources, sections, words
):
    with pytest.raises(ClientError, match=words) as refused:
        proposed(cfn, name, resources, "CREATE", **sections)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="does not exist"):
        cfn.describe_stacks(StackName=name)


def test_a_template_that_only_describes_itself_otherwise_is_no_change(cfn, name):
    deployed(cfn, name, {"T": topic()})
    made = proposed(cfn, name, {"T": topic()}, Metadata={"Written": "again"}, Description="anew")
    found = cfn.describe_change_set(ChangeSetName=made)
    assert found["Status"] == "FAILED" and "didn't contain changes" in found["StatusReason"]
    with pytest.raises(ClientError, match="No updates are to be performed"):
        cfn.update_stack(StackName=name, TemplateBody=json.dumps({"Resources": {"T": topic()}, "Description": "anew"}))
    cfn.update_stack(
        StackName=name, TemplateBody=json.dumps({"Resources": {"T": topic()}, "Outputs": {"O": {"Value": "x"}}})
    )
    assert cfn.describe_stacks(StackName=name)["Stacks"][0]["Outputs"] == [{"OutputKey": "O", "OutputValue": "x"}]


def test_the_change_set_that_was_executed_is_described_and_not_listed(cfn, name):
    made = deployed(cfn, name, {"T": topic()})
    stack = cfn.describe_stacks(StackName=name)["Stacks"][0]
    assert stack["ChangeSetId"] == made and stack["LastUpdatedTime"] and stack["RollbackConfiguration"] == {}
    assert not {"Outputs", "Parameters", "Capabilities"} & set(stack), "AWS leaves out what is empty"
    assert cfn.describe_change_set(ChangeSetName=made)["ExecutionStatus"] == "EXECUTE_COMPLETE"
    assert cfn.list_change_sets(StackName=name)["Summaries"] == []
    with pytest.raises(ClientError, match="EXECUTE_COMPLETE"):
        cfn.execute_change_set(ChangeSetName=made)
    with pytest.raises(ClientError, match="already exists and cannot be created again with the changeSet"):
        proposed(cfn, name, {"T": topic()}, "CREATE")


def test_a_property_that_leaves_the_template_has_its_default_again(cloud, cfn, name):
    sqs, sns = cloud.client("sqs"), cloud.client("sns")
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 7, "Tags": [{"Key": "a", "Value": "1"}]}}
    listening = {"Type": "AWS::SNS::Subscription", "Properties": {
        "TopicArn": {"Ref": "T"}, "Protocol": "sqs", "Endpoint": {"Fn::GetAtt": "Q.Arn"}, "RawMessageDelivery": True}}  # fmt: skip
    first = {"Q": queue, "T": topic(DisplayName="one", Tags=[{"Key": "a", "Value": "1"}]), "S": listening}
    deployed(
        cfn,
        name,
        first,
        Outputs={"Q": {"Value": {"Ref": "Q"}}, "T": {"Value": {"Ref": "T"}}, "S": {"Value": {"Ref": "S"}}},
    )
    made = {o["OutputKey"]: o["OutputValue"] for o in cfn.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]}
    plain = {**listening, "Properties": {k: v for k, v in listening["Properties"].items() if k != "RawMessageDelivery"}}
    second = {"Q": {"Type": "AWS::SQS::Queue"}, "T": topic(Tags=[{"Key": "b", "Value": "2"}]), "S": plain}
    deployed(cfn, name, second, "UPDATE")
    assert (
        sqs.get_queue_attributes(QueueUrl=made["Q"], AttributeNames=["All"])["Attributes"]["VisibilityTimeout"] == "30"
    )
    assert sqs.list_queue_tags(QueueUrl=made["Q"]).get("Tags", {}) == {}
    assert sns.list_tags_for_resource(ResourceArn=made["T"])["Tags"] == [{"Key": "b", "Value": "2"}]
    assert sns.get_topic_attributes(TopicArn=made["T"])["Attributes"]["DisplayName"] == ""
    # The subscription is the same one, changed in place.
    assert sns.get_subscription_attributes(SubscriptionArn=made["S"])["Attributes"]["RawMessageDelivery"] == "false"


def test_fifo_queues_and_topics_need_no_name_and_cors_rules_all_their_headers(cloud, cfn, name):
    rules = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "ExposedHeaders": ["Date"], "MaxAge": 5, "Id": "r"}]
    resources = {
        "Q": {"Type": "AWS::SQS::Queue", "Properties": {"FifoQueue": "true"}}, "T": topic(FifoTopic=True),
        "B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name, "CorsConfiguration": {"CorsRules": rules}}},
        "P": parameter({"Fn::GetAtt": ["B", "BucketName"]}),
    }  # fmt: skip
    deployed(cfn, name, resources)
    found = {
        r["LogicalResourceId"]: r["PhysicalResourceId"]
        for r in cfn.describe_stack_resources(StackName=name)["StackResources"]
    }
    assert found["Q"].endswith(".fifo") and found["T"].endswith(".fifo")
    assert cloud.client("s3").get_bucket_cors(Bucket=name)["CORSRules"][0]["ExposeHeaders"] == ["Date"]
    assert cloud.client("ssm").get_parameter(Name=found["P"])["Parameter"]["Value"] == name, (
        "an attribute that is a property"
    )


@pytest.mark.parametrize(("call", "words"), [
    (lambda c: c.describe_stack_events(StackName="none"), r"Stack \[none\] does not exist"),
    (lambda c: c.describe_stack_resource(StackName="none", LogicalResourceId="T"), "Stack 'none' does not exist"),
    (lambda c: c.describe_change_set(StackName="none", ChangeSetName="c"), r"Stack \[none\] does not exist"),
    (lambda c: c.delete_change_set(ChangeSetName="c"), "StackName must be specified if ChangeSetName is not specified as an ARN"),
    (lambda c: c.get_template(), "StackName is required if ChangeSetName is not specified"),
    (lambda c: c.validate_template(TemplateBody="Resources:\n  A: [\n"), "YAML not well-formed"),
    (lambda c: c.validate_template(TemplateURL="https://example.com/t.yml"), "TemplateURL must be a supported URL"),
    (lambda c: c.validate_template(TemplateURL="s3://bucket/t.yml"), "Domain name specified in bucket is not a valid S3 domain"),
])  # fmt: skip
def test_refusals_have_the_words_of_aws(cfn, call, words):
    with pytest.raises(ClientError, match=words) as refused:
        call(cfn)
    assert refused.value.response["Error"]["Code"] == "ValidationError"


def test_a_function_of_what_is_not_known_yet_is_not_known_either_and_no_reason_to_refuse(cfn, name):
    """As CDK writes an image's address: parts of a repository's ARN, which has colons as the marker has."""
    parts = {"Fn::Split": [":", {"Fn::GetAtt": ["T", "TopicArn"]}]}
    address = {"Fn::Join": ["", [{"Fn::Select": [4, parts]}, ".example"]]}
    made = proposed(
        cfn, name, {"T": topic(), "P": parameter(address, Tags={"a": {"Fn::Sub": "${T.TopicName}-x"}})}, "CREATE"
    )
    found = context(changes(cfn, made)["P"], "After")
    assert found == {"Type": "String", "Value": KNOWN, "Tags": {"a": f"{KNOWN}-x"}}
    cfn.execute_change_set(ChangeSetName=made)
    assert cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
