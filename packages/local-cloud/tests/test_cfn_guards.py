"""What a template, a policy or a request says must be kept, hidden or prevented is kept, hidden and prevented."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from local_cloud.cloudformation.accepted import IDLE, REFUSED
from local_cloud.cloudformation.service import CloudFormationService
from local_cloud.cloudformation.template import read_template
from local_cloud.errors import AwsError
from local_cloud.services import service_model
from tests.test_cfn_stacks import cfn, code, create, name, parameter, physical, template  # noqa: F401

POLICY = {"P": {"Type": "String", "Default": "Delete"}}


def bucket(**extra) -> dict:
    return {"Type": "AWS::S3::Bucket", **extra}


def exists(cloud, bucket_name: str) -> bool:
    try:
        cloud.client("s3").head_bucket(Bucket=bucket_name)
    except ClientError:
        return False
    return True


@pytest.mark.parametrize(("value", "kept"), [("Retain", True), ("Delete", False), ("RetainExceptOnCreate", True)])
def test_a_deletion_policy_that_is_a_parameter_means_its_value(cfn, cloud, name, value, kept):  # noqa: F811
    """A function compared unevaluated never deletes; one of UpdateReplacePolicy always did."""
    body = template({"B": bucket(DeletionPolicy={"Ref": "P"})}, Parameters=POLICY)
    create(cfn, name, body, Parameters=[{"ParameterKey": "P", "ParameterValue": value}])
    made = physical(cfn, name, "B")
    cfn.delete_stack(StackName=name)
    assert exists(cloud, made) is kept


@pytest.mark.parametrize(("prod", "kept"), [("yes", True), ("no", False)])
def test_an_update_replace_policy_that_is_an_if_keeps_what_is_replaced(cfn, cloud, name, prod, kept):  # noqa: F811
    def body(suffix: str) -> str:
        policy = {"Fn::If": ["Prod", {"Fn::FindInMap": ["Keep", "it", "how"]}, "Delete"]}
        return template(
            {"B": bucket(UpdateReplacePolicy=policy, Properties={"BucketName": f"{name}-{suffix}"})},
            Mappings={"Keep": {"it": {"how": "Retain"}}}, Parameters={"Is": {"Type": "String"}},
            Conditions={"Prod": {"Fn::Equals": [{"Ref": "Is"}, "yes"]}},
        )  # fmt: skip

    given = [{"ParameterKey": "Is", "ParameterValue": prod}]
    create(cfn, name, body("one"), Parameters=given)
    cfn.update_stack(StackName=name, TemplateBody=body("two"), Parameters=given)
    assert physical(cfn, name, "B") == f"{name}-two"
    assert exists(cloud, f"{name}-one") is kept


@pytest.mark.parametrize("field", ["DeletionPolicy", "UpdateReplacePolicy"])
@pytest.mark.parametrize("value", ["Retian", {"Ref": "B"}, ["Retain"], "Snapshot", {"Fn::Sub": "${P}d"}])
def test_a_policy_that_means_nothing_is_refused_before_anything_is_made(cfn, name, field, value):  # noqa: F811
    body = template({"B": bucket(**{field: value})}, Parameters=POLICY)
    assert code(cfn.create_stack, StackName=name, TemplateBody=body)[0] == "ValidationError"
    assert code(cfn.describe_stacks, StackName=name)[0] == "ValidationError"


def failing(name: str, **extra) -> str:  # noqa: F811
    """A bucket, then a parameter whose name is taken."""
    return template({
        "B": bucket(DeletionPolicy="Retain", Properties={"BucketName": f"{name}-b"}, **extra),
        "P": {**parameter("x", Name=f"/{name}/taken"), "DependsOn": "B"},
    })  # fmt: skip


@pytest.mark.parametrize(("flag", "kept"), [(False, True), (True, False)])
def test_a_creation_that_fails_keeps_what_is_to_be_retained_unless_told_otherwise(cfn, cloud, name, flag, kept):  # noqa: F811
    cloud.client("ssm").put_parameter(Name=f"/{name}/taken", Value="v", Type="String")
    stack = create(cfn, name, failing(name), RetainExceptOnCreate=flag)
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert exists(cloud, f"{name}-b") is kept


def test_on_failure_delete_leaves_no_stack(cfn, cloud, name):  # noqa: F811
    cloud.client("ssm").put_parameter(Name=f"/{name}/taken", Value="v", Type="String")
    cfn.create_stack(StackName=name, TemplateBody=failing(name), OnFailure="DELETE")
    assert code(cfn.describe_stacks, StackName=name)[0] == "ValidationError"


SECRET = {
    "Secret": {"Type": "String", "NoEcho": True},
    "Default": {"Type": "String", "NoEcho": "true", "Default": "hunter3"},
    "Open": {"Type": "String", "NoEcho": False, "Default": "open"},
}


def test_no_echo_parameters_are_shown_as_asterisks_everywhere(cfn, name):  # noqa: F811
    """Recorded on AWS: DescribeStacks and DescribeChangeSet; outputs and metadata may still give them away."""
    body = template({"A": parameter({"Ref": "Secret"})}, Parameters=SECRET)
    given = [{"ParameterKey": "Secret", "ParameterValue": "hunter2"}]
    stack = create(cfn, name, body, Parameters=given)
    shown = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
    assert shown == {"Secret": "****", "Default": "****", "Open": "open"}
    changed = [{"ParameterKey": "Secret", "ParameterValue": "hunter4"}]
    made = cfn.create_change_set(StackName=name, ChangeSetName="c", TemplateBody=body, Parameters=changed)
    described = cfn.describe_change_set(ChangeSetName=made["Id"])
    summary = cfn.get_template_summary(TemplateBody=body)
    events = cfn.describe_stack_events(StackName=name)["StackEvents"]
    for answer in (
        described,
        events,
        cfn.get_template_summary(StackName=name),
        cfn.validate_template(TemplateBody=body),
        summary,
    ):
        assert "hunter" not in json.dumps(answer, default=str)
    assert {one["ParameterKey"]: one["NoEcho"] for one in summary["Parameters"]} == {
        "Secret": True,
        "Default": True,
        "Open": False,
    }
    cfn.execute_change_set(ChangeSetName=made["Id"])
    assert physical(cfn, name, "A")  # the value itself has arrived
    kept = [{"ParameterKey": "Secret", "UsePreviousValue": True}]
    assert "No updates" in code(cfn.update_stack, StackName=name, TemplateBody=body, Parameters=kept)[1]


def statement(effect: str, action: object, resource: object = "*", **extra) -> dict:
    return {"Effect": effect, "Action": action, "Principal": "*", "Resource": resource, **extra}


ALLOW = statement("Allow", "Update:*")
KINDS = {"StringEquals": {"ResourceType": ["AWS::S3::Bucket"]}}
# Statements; what is done to the bucket (modify, replace, delete); whether the update fails.
GUARDED = [
    ([], "modify", False),
    ([ALLOW], "replace", False),
    ([statement("Deny", "Update:*")], "modify", True),
    ([ALLOW, statement("Deny", "Update:Modify", "LogicalResourceId/B")], "modify", True),
    ([ALLOW, statement("Deny", "Update:Replace", "LogicalResourceId/B")], "modify", False),
    ([ALLOW, statement("Deny", "Update:Replace", "LogicalResourceId/B")], "replace", True),
    ([ALLOW, statement("Deny", ["Update:Delete"], "LogicalResourceId/B*")], "delete", True),
    ([ALLOW, statement("Deny", "Update:Delete", "LogicalResourceId/Other")], "delete", False),
    ([ALLOW, statement("Deny", "Update:*", Condition=KINDS)], "modify", True),
    ([statement("Allow", "Update:*", "LogicalResourceId/Other")], "modify", True),
    ([{"Effect": "Deny", "NotAction": "Update:Delete", "Principal": "*", "NotResource": "LogicalResourceId/Other"}, ALLOW], "modify", True),
]  # fmt: skip


def bodies(name: str, done: str) -> tuple[str, str]:  # noqa: F811
    def body(bucket_name: str, tag: str, kept: bool = True) -> str:
        made = bucket(Properties={"BucketName": bucket_name, "Tags": [{"Key": "k", "Value": tag}]})
        return template({**({"B": made} if kept else {}), "Other": parameter()})

    one = body(f"{name}-one", "one")
    if done == "delete":
        return one, body(f"{name}-one", "one", kept=False)
    return one, body(f"{name}-two" if done == "replace" else f"{name}-one", "two")


@pytest.mark.parametrize(("statements", "done", "fails"), GUARDED)
def test_a_stack_policy_guards_updates(cfn, cloud, name, statements, done, fails):  # noqa: F811
    one, two = bodies(name, done)
    create(cfn, name, one)
    cfn.set_stack_policy(StackName=name, StackPolicyBody=json.dumps({"Statement": statements}))
    cfn.update_stack(StackName=name, TemplateBody=two)
    stack = cfn.describe_stacks(StackName=name)["Stacks"][0]
    assert stack["StackStatus"] == ("UPDATE_ROLLBACK_COMPLETE" if fails else "UPDATE_COMPLETE")
    if fails:
        reasons = [e.get("ResourceStatusReason", "") for e in cfn.describe_stack_events(StackName=name)["StackEvents"]]
        assert [r for r in reasons if "Action denied by stack policy" in r or "Action not allowed by stack policy" in r]
        assert exists(cloud, f"{name}-one")


def test_a_policy_during_an_update_stands_for_that_update_alone(cfn, name):  # noqa: F811
    """Recorded: `test_policy_during_update`, and that a policy set with an update does not judge that update."""
    one, two = bodies(name, "modify")
    deny = json.dumps({"Statement": [statement("Deny", "Update:*")]})
    create(cfn, name, one, StackPolicyBody=deny)
    allow = json.dumps({"Statement": [ALLOW]})
    cfn.update_stack(StackName=name, TemplateBody=two, StackPolicyDuringUpdateBody=allow)
    assert cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "UPDATE_COMPLETE"
    assert json.loads(cfn.get_stack_policy(StackName=name)["StackPolicyBody"]) == json.loads(deny)
    made = cfn.create_change_set(StackName=name, ChangeSetName="back", TemplateBody=one)
    cfn.execute_change_set(ChangeSetName=made["Id"])
    assert cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    cfn.set_stack_policy(StackName=name, StackPolicyBody=allow)
    cfn.update_stack(StackName=name, TemplateBody=one, StackPolicyBody=deny)
    assert cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "UPDATE_COMPLETE"
    assert json.loads(cfn.get_stack_policy(StackName=name)["StackPolicyBody"]) == json.loads(deny)


@pytest.mark.parametrize(
    "policy",
    ["no json", "[]", '{"Statement": "x"}', {"Statement": [{**ALLOW, "Principal": {"AWS": "x"}}]},
     {"Statement": [{**ALLOW, "Action": "Delete:*"}]}, {"Statement": [{**ALLOW, "Effect": "Maybe"}]},
     {"Statement": [{**ALLOW, "Resource": "B"}]}, {"Statement": [{**ALLOW, "Condition": {"Bool": {"a": "b"}}}]}],
)  # fmt: skip
def test_what_is_no_stack_policy_is_refused_as_aws_does(cfn, name, policy):  # noqa: F811
    """Recorded: "Error validating stack policy: Invalid stack policy"."""
    create(cfn, name, template({"A": parameter()}))
    text = policy if isinstance(policy, str) else json.dumps(policy)
    assert code(cfn.set_stack_policy, StackName=name, StackPolicyBody=text) == (
        "ValidationError", "Error validating stack policy: Invalid stack policy",
    )  # fmt: skip


UNHEEDED = [
    {"NotificationARNs": ["arn:aws:sns:us-east-1:000000000000:t"]},
    {"RollbackConfiguration": {"RollbackTriggers": [{"Arn": "arn", "Type": "AWS::CloudWatch::Alarm"}]}},
    {"RoleARN": "arn:aws:iam::000000000000:role/nobody-has-made-it"},
    {"ResourceTypes": ["AWS::S3::*"]},
    {"DisableRollback": True, "OnFailure": "DELETE"},
]


@pytest.mark.parametrize("extra", UNHEEDED)
def test_what_would_not_be_heeded_is_refused_and_makes_nothing(cfn, name, extra):  # noqa: F811
    answer = code(cfn.create_stack, StackName=name, TemplateBody=template({"A": parameter()}), **extra)
    assert answer[0] == "ValidationError" and next(iter(extra))[:8] in answer[1].replace("Role arn", "RoleARN").replace(
        "Role ", "RoleARN"
    )
    assert code(cfn.describe_stacks, StackName=name)[0] == "ValidationError"


def test_resources_are_retained_only_when_a_deletion_has_failed(cfn, cloud, name):  # noqa: F811
    create(cfn, name, template({"B": bucket(Properties={"BucketName": f"{name}-b"})}))
    assert "DELETE_FAILED" in code(cfn.delete_stack, StackName=name, RetainResources=["B"])[1]
    cloud.client("s3").put_object(Bucket=f"{name}-b", Key="k", Body=b"1")
    cfn.delete_stack(StackName=name)
    cfn.delete_stack(StackName=name, RetainResources=["B"])
    assert code(cfn.describe_stacks, StackName=name)[0] == "ValidationError"
    assert exists(cloud, f"{name}-b")


def test_the_same_request_token_does_the_work_once(cfn, name):  # noqa: F811
    body = template({"A": parameter()})
    made = [cfn.create_stack(StackName=name, TemplateBody=body, ClientRequestToken="t")["StackId"] for _ in range(2)]
    assert made[0] == made[1]
    assert {e["ClientRequestToken"] for e in cfn.describe_stack_events(StackName=name)["StackEvents"]} == {"t"}
    assert (
        code(cfn.create_stack, StackName=name, TemplateBody=body, ClientRequestToken="u")[0] == "AlreadyExistsException"
    )


# Members that the service's code reads by their names.
HEEDED = {
    "Capabilities", "ChangeSetName", "ChangeSetType", "ClientRequestToken", "ClientToken", "Description", "DisableRollback",
    "EnableTerminationProtection", "ExportName", "Filters", "LogicalResourceId", "NextToken", "OnFailure", "OnStackFailure",
    "Parameters", "PhysicalResourceId", "ResourceTypes", "RetainExceptOnCreate", "RetainResources", "RoleARN", "StackName",
    "StackPolicyBody", "StackPolicyDuringUpdateBody", "StackPolicyDuringUpdateURL", "StackPolicyURL", "StackStatusFilter", "Tags",
    "TemplateBody", "TemplateURL", "TimeoutInMinutes", "UsePreviousTemplate",
}  # fmt: skip
# DescribeChangeSet answers without values of properties; docs/local-cloud.md says so.
SAID = {"IncludePropertyValues"}


def test_every_member_of_every_request_is_heeded_refused_or_said_to_be_idle():
    model = service_model("cloudformation")
    members: set[str] = set()
    for operation in CloudFormationService.operations():
        members |= set(model.operation_model(operation).input_shape.members)
    assert members - HEEDED - set(REFUSED) - set(IDLE) == SAID


@pytest.mark.parametrize("function", ["Fn::Truth", "Fn::Call", "Fn::GETATT", "Fn::Imported", "Fn::Physical", "Fn::sub"])
def test_a_function_exists_by_its_own_name_only(cfn, name, function):  # noqa: F811
    answer = code(cfn.create_stack, StackName=name, TemplateBody=template({"A": parameter({function: ["A", "Value"]})}))
    assert answer[0] == "ValidationError" and function in answer[1]


def test_json_with_a_comma_too_many_is_yaml_as_on_aws():
    assert read_template('{"Resources": {"A": {"Type": "AWS::SQS::Queue",},}}') == {
        "Resources": {"A": {"Type": "AWS::SQS::Queue"}}
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"Resources": {"A": ', "Template format error: Expecting value"),
        ('{"Resources": {"A": {"Type": NaN}}}', "Template format error"),
        ('{"Resources": {"Fn::Transform": {"Name": "AWS::Include"}}}', "does not support the function Fn::Transform"),
        (
            '{"Transform": "AWS::Serverless-2016-10-31", "Globals": {}}',
            "does not support the template sections Transform",
        ),
    ],
)
def test_a_template_that_cannot_be_read_or_is_not_supported_says_so(text, said):
    with pytest.raises(AwsError, match=said):
        read_template(text)
