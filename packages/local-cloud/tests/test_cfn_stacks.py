"""Stacks: what a template says exists, changes and goes; what fails rolls back; what is unknown is refused by name."""

from __future__ import annotations

import json
import re
import uuid

import pytest
from botocore.exceptions import ClientError

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
RULES = {
    "rules": [
        {
            "rulePriority": 1,
            "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 5},
            "action": {"type": "expire"},
        }
    ]
}
CAPABILITIES = ["CAPABILITY_NAMED_IAM"]


@pytest.fixture(scope="module")
def cfn(cloud):
    return cloud.client("cloudformation")


@pytest.fixture
def name() -> str:
    return f"s{uuid.uuid4().hex[:8]}"


def template(resources: dict, **sections) -> str:
    return json.dumps({"Resources": resources, **sections})


def parameter(value: object = "v", **extra) -> dict:
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value, **extra}}


def create(cfn, name: str, body: str, **options) -> dict:
    cfn.create_stack(StackName=name, TemplateBody=body, Capabilities=CAPABILITIES, **options)
    return cfn.describe_stacks(StackName=name)["Stacks"][0]


def outputs(stack: dict) -> dict:
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def code(call, **arguments) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return refused.value.response["Error"]["Code"], refused.value.response["Error"]["Message"]


def physical(cfn, name: str, logical: str) -> str:
    found = cfn.describe_stack_resource(StackName=name, LogicalResourceId=logical)
    return found["StackResourceDetail"]["PhysicalResourceId"]


def test_intrinsic_functions(cfn, name):
    functions = {
        "Sub": {"Fn::Sub": "${AWS::Region}/${P}/${R}/${!literal}/${X}"},
        "Join": {"Fn::Join": ["-", ["a", {"Ref": "P"}, {"Fn::Select": [1, {"Fn::Split": [",", "x,y"]}]}]]},
        "If": {"Fn::If": ["IsProd", "big", {"Fn::FindInMap": ["Sizes", {"Ref": "AWS::Region"}, "small"]}]},
        "Pseudo": {
            "Fn::Join": ["|", [{"Ref": "AWS::AccountId"}, {"Ref": "AWS::Partition"}, {"Ref": "AWS::StackName"}]]
        },
        "Base64": {"Fn::Base64": "abc"},
        "GetAtt": {"Fn::GetAtt": ["R", "Value"]},
        "Dynamic": f"{{{{resolve:ssm:/{name}/r}}}}",
    }
    functions["Sub"]["Fn::Sub"] = [functions["Sub"]["Fn::Sub"], {"X": {"Ref": "P"}}]
    body = template(
        {"R": parameter("r", Name=f"/{name}/r"), "Out": parameter({"Fn::GetAtt": ["R", "Value"]})},
        Parameters={"P": {"Type": "String", "Default": "p"}},
        Mappings={"Sizes": {"us-east-1": {"small": "tiny"}}},
        Conditions={
            "IsProd": {"Fn::And": [{"Fn::Equals": [{"Ref": "P"}, "prod"]}, {"Fn::Not": [{"Fn::Equals": ["a", "b"]}]}]}
        },
        Outputs={key: {"Value": value} for key, value in functions.items()},
    )
    got = outputs(create(cfn, name, body))
    assert got == {
        "Sub": f"us-east-1/p//{name}/r/${{literal}}/p".replace("//", "//"),
        "Join": "a-p-y",
        "If": "tiny",
        "Pseudo": f"000000000000|aws|{name}",
        "Base64": "YWJj",
        "GetAtt": "r",
        "Dynamic": "r",
    }


def test_conditions_and_no_value_leave_things_out(cfn, cloud, name):
    body = template(
        {
            "A": {**parameter(), "Condition": "Never"},
            "B": parameter(Description={"Fn::If": ["Never", "d", {"Ref": "AWS::NoValue"}]}),
        },
        Conditions={"Never": {"Fn::Equals": ["a", "b"]}},
    )
    assert create(cfn, name, body)["StackStatus"] == "CREATE_COMPLETE"
    assert [r["LogicalResourceId"] for r in cfn.describe_stack_resources(StackName=name)["StackResources"]] == ["B"]


def test_a_bucket_is_configured_updated_and_replaced(cfn, cloud, name):
    s3 = cloud.client("s3")
    properties = {
        "BucketName": f"{name}-one",
        "VersioningConfiguration": {"Status": "Enabled"},
        "PublicAccessBlockConfiguration": {"BlockPublicAcls": True, "BlockPublicPolicy": True},
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
        "LifecycleConfiguration": {
            "Rules": [
                {
                    "Id": "old",
                    "Status": "Enabled",
                    "Prefix": "x/",
                    "ExpirationInDays": 3,
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
                }
            ]
        },
        "Tags": [{"Key": "k", "Value": "v"}],
        "LoggingConfiguration": {"DestinationBucketName": {"Ref": "Logs"}, "LogFilePrefix": "p/"},
    }
    deny = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": "*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
    resources = {
        "Logs": {"Type": "AWS::S3::Bucket"},
        "B": {"Type": "AWS::S3::Bucket", "Properties": properties},
        "Policy": {"Type": "AWS::S3::BucketPolicy", "Properties": {"Bucket": {"Ref": "B"}, "PolicyDocument": deny}},
    }
    outs = {"Arn": {"Value": {"Fn::GetAtt": ["B", "Arn"]}}}
    assert outputs(create(cfn, name, template(resources, Outputs=outs)))["Arn"] == f"arn:aws:s3:::{name}-one"
    assert s3.get_bucket_versioning(Bucket=f"{name}-one")["Status"] == "Enabled"
    logging = s3.get_bucket_logging(Bucket=f"{name}-one")["LoggingEnabled"]
    assert logging == {"TargetBucket": physical(cfn, name, "Logs"), "TargetPrefix": "p/"}
    rule = s3.get_bucket_lifecycle_configuration(Bucket=f"{name}-one")["Rules"][0]
    assert (rule["Expiration"]["Days"], rule["Filter"]["Prefix"]) == (3, "x/")
    assert json.loads(s3.get_bucket_policy(Bucket=f"{name}-one")["Policy"]) == deny
    version = s3.put_object(Bucket=f"{name}-one", Key="k", Body=b"1", Tagging="a=b")["VersionId"]
    s3.delete_object(Bucket=f"{name}-one", Key="k", VersionId=version)
    assert s3.list_objects_v2(Bucket=logging["TargetBucket"])["KeyCount"] == 0
    properties["BucketName"] = f"{name}-two"
    del properties["LifecycleConfiguration"]
    cfn.update_stack(StackName=name, TemplateBody=template(resources, Outputs=outs))
    assert [
        b["Name"] for b in s3.list_buckets()["Buckets"] if b["Name"].startswith(f"{name}-") and "logs" not in b["Name"]
    ] == [f"{name}-two"]
    cfn.delete_stack(StackName=name)
    assert code(cfn.describe_stacks, StackName=name)[0] == "ValidationError"


def test_what_a_template_no_longer_says_about_a_bucket_or_a_queue_is_taken_back(cfn, cloud, name):
    """Versioning cannot: it is suspended, and what has versions keeps them."""
    s3, sqs = cloud.client("s3"), cloud.client("sqs")
    bucket, dead = f"{name}-b", {"Type": "AWS::SQS::Queue"}
    queue = {
        "VisibilityTimeout": 77, "DelaySeconds": 5, "Tags": [{"Key": "k", "Value": "v"}],
        "RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": ["Dead", "Arn"]}, "maxReceiveCount": 3},
    }  # fmt: skip
    told = {"Event": "s3:ObjectCreated:*", "Queue": {"Fn::GetAtt": ["Dead", "Arn"]}}
    said = {
        "VersioningConfiguration": {"Status": "Enabled"},
        "LoggingConfiguration": {"DestinationBucketName": {"Ref": "Logs"}, "LogFilePrefix": "p/"},
        "NotificationConfiguration": {"QueueConfigurations": [told]},
    }

    def body(bucket_says: dict, queue_says: dict) -> str:
        return template({
            "Dead": dead, "Logs": {"Type": "AWS::S3::Bucket"}, "Q": {"Type": "AWS::SQS::Queue", "Properties": queue_says},
            "B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": bucket} | bucket_says},
        })  # fmt: skip

    create(cfn, name, body(said, queue))
    url = physical(cfn, name, "Q")
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["VisibilityTimeout"] == "77"
    assert "QueueConfigurations" in s3.get_bucket_notification_configuration(Bucket=bucket)
    cfn.update_stack(StackName=name, TemplateBody=body({}, {}))
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=version)["Body"].read() == b"1"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)
    left = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (left["VisibilityTimeout"], left["DelaySeconds"], "RedrivePolicy" in left) == ("30", "0", False)
    assert not sqs.list_queue_tags(QueueUrl=url).get("Tags")
    s3.delete_object(Bucket=bucket, Key="k", VersionId=version)


def test_a_bucket_with_objects_is_not_deleted(cfn, cloud, name):
    create(cfn, name, template({"B": {"Type": "AWS::S3::Bucket"}}))
    bucket, s3 = physical(cfn, name, "B"), cloud.client("s3")
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    cfn.delete_stack(StackName=name)
    stack = cfn.describe_stacks(StackName=name)["Stacks"][0]
    assert stack["StackStatus"] == "DELETE_FAILED" and "[B]" in stack["StackStatusReason"]
    reasons = [e.get("ResourceStatusReason", "") for e in cfn.describe_stack_events(StackName=name)["StackEvents"]]
    assert any("BucketNotEmpty" in reason for reason in reasons)
    s3.delete_object(Bucket=bucket, Key="k")
    cfn.delete_stack(StackName=name)
    assert code(cfn.describe_stacks, StackName=name)[0] == "ValidationError"


def test_retained_resources_stay(cfn, cloud, name):
    resources = {"B": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain"}, "P": parameter()}
    create(cfn, name, template(resources))
    bucket = physical(cfn, name, "B")
    cfn.delete_stack(StackName=name)
    assert cloud.client("s3").head_bucket(Bucket=bucket)


def test_a_failed_creation_rolls_back_and_tells_why(cfn, cloud, name):
    resources = {
        "First": parameter(Name=f"/{name}/first"),
        "Second": {**parameter("x", Name=f"/{name}/taken"), "DependsOn": "First"},
    }
    cloud.client("ssm").put_parameter(Name=f"/{name}/taken", Value="v", Type="String")
    assert create(cfn, name, template(resources))["StackStatus"] == "ROLLBACK_COMPLETE"
    events = cfn.describe_stack_events(StackName=name)["StackEvents"]
    failed = [e for e in events if e["ResourceStatus"] == "CREATE_FAILED"]
    assert [e["LogicalResourceId"] for e in failed] == ["Second"]
    assert "ParameterAlreadyExists" in failed[0]["ResourceStatusReason"]
    assert cloud.client("ssm").get_parameters(Names=[f"/{name}/first"])["Parameters"] == []


def test_a_failed_update_goes_back_to_what_was(cfn, cloud, name):
    ssm = cloud.client("ssm")
    good = {"A": parameter("one", Name=f"/{name}/a"), "Gone": parameter("g", Name=f"/{name}/g")}
    create(cfn, name, template(good))
    bad = {
        "A": parameter("two", Name=f"/{name}/a"),
        "New": parameter("n", Name=f"/{name}/n"),
        "Bad": {**parameter("x", Name=f"/{name}/taken"), "DependsOn": ["A", "New"]},
    }
    ssm.put_parameter(Name=f"/{name}/taken", Value="v", Type="String")
    cfn.update_stack(StackName=name, TemplateBody=template(bad))
    assert cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert ssm.get_parameter(Name=f"/{name}/a")["Parameter"]["Value"] == "one"
    assert ssm.get_parameter(Name=f"/{name}/g")["Parameter"]["Value"] == "g"
    assert ssm.get_parameters(Names=[f"/{name}/n"])["Parameters"] == []
    assert cfn.get_template(StackName=name)["TemplateBody"] == json.loads(template(good))


def test_state_machines_are_visible_run_and_are_updated(cfn, cloud, name):
    states = cloud.client("stepfunctions")
    definition = {"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": "${Word}", "End": True}}}
    machine = {
        "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
        "Definition": definition,
        "DefinitionSubstitutions": {"Word": "one"},
    }
    resources = {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": TRUST,
                "Policies": [
                    {
                        "PolicyName": "p",
                        "PolicyDocument": {
                            "Version": "2012-10-17",
                            "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
                        },
                    }
                ],
            },
        },
        "M": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine},
    }
    outs = {"Arn": {"Value": {"Ref": "M"}}, "Name": {"Value": {"Fn::GetAtt": ["M", "Name"]}}}
    made = outputs(create(cfn, name, template(resources, Outputs=outs)))
    execution = states.start_execution(stateMachineArn=made["Arn"])["executionArn"]
    assert made["Arn"].endswith(f":stateMachine:{made['Name']}")
    machine["DefinitionSubstitutions"]["Word"] = "two"
    cfn.update_stack(StackName=name, TemplateBody=template(resources, Outputs=outs), Capabilities=CAPABILITIES)
    assert "two" in states.describe_state_machine(stateMachineArn=made["Arn"])["definition"]
    assert states.describe_execution(executionArn=execution)["status"] in ("RUNNING", "SUCCEEDED")
    role = physical(cfn, name, "Role")
    cfn.delete_stack(StackName=name)
    assert code(states.describe_state_machine, stateMachineArn=made["Arn"])[0] == "StateMachineDoesNotExist"
    assert code(cloud.client("iam").get_role, RoleName=role)[0] == "NoSuchEntity"


def test_exports_are_imported_and_guarded(cfn, name):
    exporter = template(
        {"P": parameter("e")}, Outputs={"E": {"Value": {"Fn::GetAtt": ["P", "Value"]}, "Export": {"Name": f"{name}:e"}}}
    )
    create(cfn, name, exporter)
    create(cfn, f"{name}-user", template({"Q": parameter({"Fn::ImportValue": f"{name}:e"})}))
    assert cfn.list_imports(ExportName=f"{name}:e")["Imports"] == [f"{name}-user"]
    assert "in use by" in code(cfn.delete_stack, StackName=name)[1]
    cfn.delete_stack(StackName=f"{name}-user")
    cfn.delete_stack(StackName=name)
    assert f"{name}:e" not in [e["Name"] for e in cfn.list_exports()["Exports"]]


def test_parameters_come_from_ssm_and_a_new_value_is_a_change(cfn, cloud, name):
    ssm = cloud.client("ssm")
    ssm.put_parameter(Name=f"/{name}/source", Value="one", Type="String")
    body = template(
        {"P": parameter({"Ref": "Given"}, Name=f"/{name}/copy")},
        Parameters={"Given": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": f"/{name}/source"}},
    )
    stack = create(cfn, name, body)
    assert stack["Parameters"][0]["ResolvedValue"] == "one"
    assert code(cfn.update_stack, StackName=name, TemplateBody=body) == (
        "ValidationError",
        "No updates are to be performed.",
    )
    ssm.put_parameter(Name=f"/{name}/source", Value="two", Type="String", Overwrite=True)
    cfn.update_stack(StackName=name, TemplateBody=body)
    assert ssm.get_parameter(Name=f"/{name}/copy")["Parameter"]["Value"] == "two"


def test_change_sets_tell_what_they_would_do(cfn, name):
    first = {"A": parameter("1", Name=f"/{name}/a"), "B": parameter("b")}
    made = cfn.create_change_set(
        StackName=name, ChangeSetName="one", ChangeSetType="CREATE", TemplateBody=template(first)
    )
    assert cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"
    cfn.execute_change_set(ChangeSetName=made["Id"])
    second = {"A": parameter("2", Name=f"/{name}/a2"), "C": parameter("c")}
    cfn.create_change_set(StackName=name, ChangeSetName="two", TemplateBody=template(second))
    described = cfn.describe_change_set(StackName=name, ChangeSetName="two")
    told = {
        c["ResourceChange"]["LogicalResourceId"]: (
            c["ResourceChange"]["Action"],
            c["ResourceChange"].get("Replacement"),
        )
        for c in described["Changes"]
    }
    assert told == {"A": ("Modify", "True"), "C": ("Add", None), "B": ("Remove", None)}
    cfn.create_change_set(StackName=name, ChangeSetName="none", TemplateBody=template(first))
    same = cfn.describe_change_set(StackName=name, ChangeSetName="none")
    assert same["Status"] == "FAILED" and "didn't contain changes" in same["StatusReason"]


REFUSED = [
    (
        {"F": {"Type": "AWS::Lambda::LayerVersion", "Properties": {}}},
        "AWS::Lambda::LayerVersion.*layers are not offered",
    ),
    ({"F": {"Type": "AWS::Lambda::Function", "Properties": {"FunctionScalingConfig": {}}}}, "FunctionScalingConfig"),
    ({"F": {"Type": "AWS::SageMaker::Pipeline", "Properties": {}}}, "AWS::SageMaker::Pipeline"),
    ({"P": parameter(Colour="red")}, "Colour"),
    ({"P": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String"}}}, "Value"),
    ({"P": parameter({"Fn::Transform": {"Name": "x"}})}, "Fn::Transform"),
    ({"P": parameter({"Ref": "Nobody"})}, "Nobody"),
    ({"P": {**parameter(), "DependsOn": "Q"}, "Q": {**parameter(), "DependsOn": "P"}}, "Circular"),
    ({"R": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}}}, "CAPABILITY_IAM"),
]


@pytest.mark.parametrize(("resources", "words"), REFUSED)
def test_what_cannot_be_deployed_is_refused_by_name(cfn, name, resources, words):
    body = template(resources)
    try:
        cfn.create_stack(StackName=name, TemplateBody=body)
        stack = cfn.describe_stacks(StackName=name)["Stacks"][0]
        assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
        told = stack.get("StackStatusReason", "") + str(cfn.describe_stack_events(StackName=name)["StackEvents"])
    except ClientError as refused:
        told = refused.response["Error"]["Message"]
    assert re.search(words, told)


def test_types_without_effect_are_named_in_the_stack(cfn, name):
    create(
        cfn,
        name,
        template({"CDKMetadata": {"Type": "AWS::CDK::Metadata", "Properties": {"Analytics": "x"}}, "P": parameter()}),
    )
    found = {
        r["LogicalResourceId"]: r["ResourceStatus"]
        for r in cfn.describe_stack_resources(StackName=name)["StackResources"]
    }
    assert found == {"CDKMetadata": "CREATE_COMPLETE", "P": "CREATE_COMPLETE"}


def test_everything_else_that_templates_hold(cfn, cloud, name):
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "*", "Resource": "*"}],
    }
    resources = {
        "Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": policy, "EnableKeyRotation": True}},
        "Alias": {
            "Type": "AWS::KMS::Alias",
            "Properties": {"AliasName": f"alias/{name}", "TargetKeyId": {"Ref": "Key"}},
        },
        "Repo": {
            "Type": "AWS::ECR::Repository",
            "Properties": {
                "ImageTagMutability": "IMMUTABLE",
                "LifecyclePolicy": {"LifecyclePolicyText": json.dumps(RULES)},
            },
        },
        "Log": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 7}},
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "d"}},
        "TopicPolicy": {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {"Topics": [{"Ref": "Topic"}], "PolicyDocument": policy},
        },
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 30}},
        "QueuePolicy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {"Queues": [{"Ref": "Queue"}], "PolicyDocument": policy},
        },
        "Sub": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {
                "TopicArn": {"Ref": "Topic"},
                "Protocol": "sqs",
                "Endpoint": {"Fn::GetAtt": ["Queue", "Arn"]},
            },
        },
        "Rule": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "EventPattern": {"source": ["aws.sagemaker"]},
                "Targets": [{"Id": "t", "Arn": {"Ref": "Topic"}}],
            },
        },
        "Alarm": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "ComparisonOperator": "GreaterThanThreshold",
                "EvaluationPeriods": "1",
                "MetricName": "m",
                "Namespace": "n",
                "Period": 60,
                "Statistic": "Sum",
                "Threshold": 1,
                "AlarmActions": [{"Ref": "Topic"}],
            },
        },
        "Board": {
            "Type": "AWS::CloudWatch::Dashboard",
            "Properties": {"DashboardName": name, "DashboardBody": {"Fn::Sub": '{"widgets": []}'}},
        },
        "Secret": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {"GenerateSecretString": {"PasswordLength": 12}},
        },
        "Managed": {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
                },
                "Roles": [{"Ref": "Role"}],
            },
        },
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": TRUST,
                "ManagedPolicyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
            },
        },
        "Inline": {
            "Type": "AWS::IAM::Policy",
            "Properties": {
                "PolicyName": "inline",
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}],
                },
                "Roles": [{"Ref": "Role"}],
            },
        },
        "Group": {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": {"ModelPackageGroupName": name}},
    }
    stack = create(
        cfn, name, template(resources, Outputs={"Uri": {"Value": {"Fn::GetAtt": ["Repo", "RepositoryUri"]}}})
    )
    events = cfn.describe_stack_events(StackName=name)["StackEvents"]
    assert stack["StackStatus"] == "CREATE_COMPLETE", [
        e["ResourceStatusReason"] for e in events if "FAILED" in e["ResourceStatus"]
    ]
    assert outputs(stack)["Uri"].startswith("000000000000.dkr.ecr.us-east-1.amazonaws.com/")
    resources["Log"]["Properties"]["RetentionInDays"] = 14
    resources["Alarm"]["Properties"]["Threshold"] = 2
    resources["Key"]["Properties"]["Description"] = "changed"
    resources["Role"]["Properties"]["ManagedPolicyArns"] = []
    cfn.update_stack(StackName=name, TemplateBody=template(resources), Capabilities=CAPABILITIES)
    log = physical(cfn, name, "Log")
    assert cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "UPDATE_COMPLETE"
    assert cloud.client("logs").describe_log_groups(logGroupNamePrefix=log)["logGroups"][0]["retentionInDays"] == 14
    cfn.delete_stack(StackName=name)
    assert code(cfn.describe_stacks, StackName=name)[0] == "ValidationError"


def test_a_failing_endpoint_fails_the_stack_with_its_reason(cfn, name):
    model = {
        "ExecutionRoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
        "PrimaryContainer": {"Image": "000000000000.dkr.ecr.us-east-1.amazonaws.com/none:1"},
    }
    variant = {
        "VariantName": "all",
        "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": "1",
    }
    resources = {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}},
        "Model": {"Type": "AWS::SageMaker::Model", "Properties": model},
        "Config": {"Type": "AWS::SageMaker::EndpointConfig", "Properties": {"ProductionVariants": [variant]}},
        "Endpoint": {
            "Type": "AWS::SageMaker::Endpoint",
            "Properties": {"EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]}},
        },
    }
    stack = create(cfn, name, template(resources))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    failed = [
        e for e in cfn.describe_stack_events(StackName=name)["StackEvents"] if e["ResourceStatus"] == "CREATE_FAILED"
    ]
    assert failed and "none:1" in failed[0]["ResourceStatusReason"]
