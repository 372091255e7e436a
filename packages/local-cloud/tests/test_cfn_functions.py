"""Stacks with functions: their resources, custom resources with their answers, and what CDK's own constructs bring."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

import pytest

from local_cloud.testing import RunningCloud, wait_until
from tests.functions import asked, lines, make

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}}
PROVIDER = """
import cfnresponse
def handler(event, context):
    print("ASKED", event["RequestType"], event["ResourceProperties"], event.get("PhysicalResourceId"))
    wanted = event["ResourceProperties"]
    if wanted.get("Fail") == event["RequestType"]:
        cfnresponse.send(event, context, cfnresponse.FAILED, {}, "none", reason="as it was told")
        return
    cfnresponse.send(event, context, cfnresponse.SUCCESS, {"Doubled": wanted["Text"] * 2}, "made-" + wanted["Text"])
"""


def stack_of(**properties: object) -> dict:
    function = {
        "Runtime": "python3.11", "Handler": "index.handler", "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Timeout": 60,
        "Code": {"ZipFile": PROVIDER},
    }  # fmt: skip
    return {
        "Resources": {
            "Role": ROLE,
            "Provider": {"Type": "AWS::Lambda::Function", "Properties": function},
            "Made": {
                "Type": "Custom::Thing",
                "Properties": {"ServiceToken": {"Fn::GetAtt": ["Provider", "Arn"]}, **properties},
            },
        },
        "Outputs": {
            "Doubled": {"Value": {"Fn::GetAtt": ["Made", "Doubled"]}},
            "Id": {"Value": {"Ref": "Made"}},
            "Provider": {"Value": {"Ref": "Provider"}},
        },
    }


class Deployment:
    """One stack of one test."""

    def __init__(self, cloud: RunningCloud, template: dict):
        self.api, self.name = cloud.client("cloudformation"), f"stack-{uuid.uuid4().hex[:8]}"
        self.api.create_stack(
            StackName=self.name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"]
        )

    def update(self, template: dict) -> None:
        self.api.update_stack(
            StackName=self.name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"]
        )

    def ended(self) -> dict:
        def look() -> dict | None:
            stack: dict = self.api.describe_stacks(StackName=self.name)["Stacks"][0]
            return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

        found: dict = wait_until(look, 180, f"the end of what happens to {self.name}")
        return found

    def reasons(self) -> list[str]:
        """Why resources of it failed."""
        events = self.api.describe_stack_events(StackName=self.name)["StackEvents"]
        return [one.get("ResourceStatusReason", "") for one in events if one["ResourceStatus"].endswith("FAILED")]

    def outputs(self) -> dict:
        return {one["OutputKey"]: one["OutputValue"] for one in self.ended()["Outputs"]}

    def delete(self) -> None:
        self.api.delete_stack(StackName=self.name)

        def gone() -> bool:
            stacks = self.api.list_stacks(StackStatusFilter=["DELETE_COMPLETE"])["StackSummaries"]
            return self.name in {one["StackName"] for one in stacks}

        wait_until(gone, 180, f"the deletion of {self.name}")


def test_a_custom_resource_is_made_changed_replaced_and_deleted_by_its_function(cloud: RunningCloud) -> None:
    stack = Deployment(cloud, stack_of(Text="a", Number=1, Flag=True))
    assert stack.ended()["StackStatus"] == "CREATE_COMPLETE", stack.reasons()
    outputs = stack.outputs()
    assert (outputs["Doubled"], outputs["Id"]) == ("aa", "made-a")
    stack.update(stack_of(Text="b"))
    assert stack.ended()["StackStatus"] == "UPDATE_COMPLETE"
    assert (stack.outputs()["Doubled"], stack.outputs()["Id"]) == ("bb", "made-b")
    stack.delete()
    said = [line.split()[1] for line in lines(cloud, outputs["Provider"]) if line.startswith("ASKED")]
    assert said == ["Create", "Update", "Delete", "Delete"], (
        "another physical id is another resource: the old one is deleted"
    )
    first = next(line for line in lines(cloud, outputs["Provider"]) if line.startswith("ASKED"))
    assert "'Number': '1'" in first and "'Flag': 'true'" in first, "scalars are handed on as text"


def test_a_custom_resource_that_fails_says_why_and_the_stack_is_taken_back(cloud: RunningCloud) -> None:
    stack = Deployment(cloud, stack_of(Text="a", Fail="Create"))
    assert stack.ended()["StackStatus"] == "ROLLBACK_COMPLETE"
    said = "Received response status [FAILED] from custom resource. Message returned: as it was told"
    assert any(said in one for one in stack.reasons())


def test_functions_versions_aliases_permissions_and_sources_are_resources(cloud: RunningCloud) -> None:
    code = "def handler(event, context):\n    return {}\n"
    template = {
        "Resources": {
            "Role": ROLE,
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Runtime": "python3.11", "Handler": "index.handler", "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Timeout": "60",
                    "Code": {"ZipFile": code.format(1)}, "Environment": {"Variables": {"NUMBER": 1}}, "Tags": [{"Key": "a", "Value": "b"}],
                },
            },
            "Version": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Function"}}},
            "Alias": {
                "Type": "AWS::Lambda::Alias",
                "Properties": {
                    "FunctionName": {"Ref": "Function"}, "Name": "live", "FunctionVersion": {"Fn::GetAtt": ["Version", "Version"]},
                },
            },
            "Permission": {
                "Type": "AWS::Lambda::Permission",
                "Properties": {"FunctionName": {"Ref": "Function"}, "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com"},
            },
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Source": {
                "Type": "AWS::Lambda::EventSourceMapping",
                "Properties": {"FunctionName": {"Ref": "Function"}, "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]}},
            },
        },
        "Outputs": {"Name": {"Value": {"Ref": "Function"}}, "Alias": {"Value": {"Ref": "Alias"}}},
    }  # fmt: skip
    stack = Deployment(cloud, template)
    assert stack.ended()["StackStatus"] == "CREATE_COMPLETE", stack.reasons()
    name, functions = stack.outputs()["Name"], cloud.client("lambda")
    assert asked(cloud, stack.outputs()["Alias"])[0] == 1
    template["Resources"]["Function"]["Properties"]["Code"]["ZipFile"] = code.format(2)
    template["Resources"]["Function"]["Properties"].pop("Environment")
    stack.update(template)
    assert stack.ended()["StackStatus"] == "UPDATE_COMPLETE"
    assert [asked(cloud, name)[0], asked(cloud, stack.outputs()["Alias"])[0]] == [2, 1]
    assert functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"] == {}
    assert "sns.amazonaws.com" in functions.get_policy(FunctionName=name)["Policy"]
    stack.delete()
    assert name not in {one["FunctionName"] for one in functions.list_functions()["Functions"]}
    sources = functions.list_event_source_mappings()["EventSourceMappings"]
    assert not [one for one in sources if one["FunctionArn"].endswith(f":{name}")]


def test_a_bucket_notifies_functions_and_queues_as_its_template_says(cloud: RunningCloud) -> None:
    function = make(
        cloud, "def handler(event, context):\n    print('KEY', event['Records'][0]['s3']['object']['key'])\n"
    )
    arn = cloud.client("lambda").get_function(FunctionName=function)["Configuration"]["FunctionArn"]
    rules = {"S3Key": {"Rules": [{"Name": "suffix", "Value": ".csv"}]}}
    events = {
        "QueueConfigurations": [{"Event": "s3:ObjectCreated:*", "Queue": {"Fn::GetAtt": ["Queue", "Arn"]}}],
        "LambdaConfigurations": [{"Event": "s3:ObjectCreated:Put", "Function": arn, "Filter": rules}],
    }
    template = {
        "Resources": {
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"NotificationConfiguration": events}},
        },
        "Outputs": {"Bucket": {"Value": {"Ref": "Bucket"}}},
    }
    stack = Deployment(cloud, template)
    assert stack.ended()["StackStatus"] == "CREATE_COMPLETE", stack.reasons()
    s3, bucket = cloud.client("s3"), stack.outputs()["Bucket"]
    told = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert len(told["QueueConfigurations"]) == len(told["LambdaFunctionConfigurations"]) == 1
    for key in ("a.txt", "b.csv"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert [line for line in lines(cloud, function, "KEY") if line.startswith("KEY")] == ["KEY b.csv\n"]


@pytest.mark.slow
def test_cdk_empties_a_bucket_and_sets_its_notifications_without_a_change(cloud: RunningCloud, tmp_path: Path) -> None:
    """An unmodified stack: `autoDeleteObjects` is a Node.js function of CDK's, bucket notifications one in Python."""
    import aws_cdk as cdk
    from aws_cdk import aws_lambda, aws_s3, aws_s3_notifications

    app = cdk.App(outdir=str(tmp_path / "out"))
    assets = f"assets-{uuid.uuid4().hex[:8]}"
    own = cdk.DefaultStackSynthesizer(file_assets_bucket_name=assets, generate_bootstrap_version_rule=False)
    made = cdk.Stack(app, "Stack", synthesizer=own)
    bucket = aws_s3.Bucket(made, "Bucket", removal_policy=cdk.RemovalPolicy.DESTROY, auto_delete_objects=True)
    source = "def handler(event, context):\n    print('KEY', event['Records'][0]['s3']['object']['key'])\n"
    code = aws_lambda.Code.from_inline(source)
    told = aws_lambda.Function(made, "Told", runtime=aws_lambda.Runtime.PYTHON_3_11, handler="index.handler", code=code)
    bucket.add_event_notification(aws_s3.EventType.OBJECT_CREATED, aws_s3_notifications.LambdaDestination(told))
    cdk.CfnOutput(made, "BucketName", value=bucket.bucket_name)
    cdk.CfnOutput(made, "ToldName", value=told.function_name)
    out = Path(app.synth().directory)
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=assets)
    for asset in json.loads((out / "Stack.assets.json").read_text())["files"].values():
        source = out / asset["source"]["path"]
        if asset["source"]["packaging"] == "zip":
            source = Path(shutil.make_archive(str(tmp_path / source.name), "zip", source))
        for destination in asset["destinations"].values():
            s3.put_object(Bucket=assets, Key=destination["objectKey"], Body=source.read_bytes())
    stack = Deployment(cloud, json.loads((out / "Stack.template.json").read_text()))
    assert stack.ended()["StackStatus"] == "CREATE_COMPLETE", stack.api.describe_stack_events(StackName=stack.name)
    outputs = stack.outputs()
    s3.put_object(Bucket=outputs["BucketName"], Key="a", Body=b"x")
    assert "KEY a\n" in lines(cloud, outputs["ToldName"], "KEY")
    stack.delete()
    assert outputs["BucketName"] not in {one["Name"] for one in s3.list_buckets()["Buckets"]}
