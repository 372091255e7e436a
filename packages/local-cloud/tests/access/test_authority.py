"""Permissions as a running cloud applies them: to sessions of roles, to jobs, to state machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from local_cloud.testing import RunningCloud, wait_until
from tests.sagemaker.platform import INSTANCE, Platform, new_name, started_platform


def trust(*services: str) -> str:
    principals = {"AWS": "000000000000", "Service": list(services)} if services else {"AWS": "000000000000"}
    statement = {"Effect": "Allow", "Principal": principals, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def policy(*statements: tuple[str | list[str], str]) -> str:
    listed = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": listed})


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A cloud of this module: it changes the mode, which no other test expects."""
    own = started_platform(tmp_path_factory.mktemp("permissions"))
    own.s3.create_bucket(Bucket="photos")
    own.s3.put_object(Bucket="photos", Key="team-a/1.jpg", Body=b"photo")
    yield own
    own.cloud.stop()


def own_call(cloud: RunningCloud, method: str = "GET", body: bytes = b"", query: str = "") -> dict[str, Any]:
    address = f"{cloud.endpoint}/_local/permissions{query}"
    request = AWSRequest(method, address, data=body)
    keys = Credentials(cloud.description["access_key_id"], cloud.description["secret_access_key"])
    SigV4Auth(keys, "sagemaker", cloud.region).add_auth(request)
    answer = requests.request(method, address, data=body, headers=dict(request.headers), timeout=60)
    answer.raise_for_status()
    return answer.json()


@pytest.fixture
def mode(platform: Platform) -> Any:
    """Switches the mode; `report` again afterwards."""

    def switch(name: str) -> None:
        own_call(platform.cloud, "POST", json.dumps({"mode": name}).encode())

    switch("off")
    yield switch
    switch("report")


def role(platform: Platform, document: str, *services: str, **more: Any) -> str:
    iam, name = platform.cloud.client("iam"), new_name("role")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(*services), **more)["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document)
    return arn


def session(platform: Platform, arn: str, service: str, **more: Any) -> Any:
    """A client with the keys of a session of the role."""
    made = platform.cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="bees", **more)["Credentials"]
    return boto3.client(
        service, endpoint_url=platform.cloud.endpoint, region_name=platform.cloud.region,
        aws_access_key_id=made["AccessKeyId"], aws_secret_access_key=made["SecretAccessKey"],
        aws_session_token=made["SessionToken"],
    )  # fmt: skip


def refusal(call: Any, **parameters: Any) -> dict[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]


def denied(platform: Platform) -> list[str]:
    questions = own_call(platform.cloud)["questions"]
    return [f"{each['action']} {each['resource']}" for each in questions if not each["allowed"]]


READER = policy(("s3:GetObject", "arn:aws:s3:::photos/team-a/*"))


def test_what_aws_would_deny_happens_and_is_reported_or_is_denied_in_its_words(platform, mode):
    s3 = session(platform, role(platform, READER), "s3")
    mode("report")
    assert s3.get_object(Bucket="photos", Key="team-a/1.jpg")["Body"].read() == b"photo"
    s3.put_object(Bucket="photos", Key="team-a/2.jpg", Body=b"x")
    assert denied(platform) == ["s3:PutObject arn:aws:s3:::photos/team-a/2.jpg"]
    mode("enforce")
    assert s3.get_object(Bucket="photos", Key="team-a/1.jpg")["Body"].read() == b"photo"
    error = refusal(s3.put_object, Bucket="photos", Key="team-a/3.jpg", Body=b"x")
    assert error["Code"] == "AccessDenied"
    assert error["Message"].startswith("User: arn:aws:sts::000000000000:assumed-role/role-")
    assert error["Message"].endswith(
        "/bees is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::photos/team-a/3.jpg because no "
        "identity-based policy allows the s3:PutObject action"
    )
    assert "NoSuchKey" in refusal(platform.s3.get_object, Bucket="photos", Key="team-a/3.jpg")["Code"]
    mode("off")
    s3.put_object(Bucket="photos", Key="team-a/4.jpg", Body=b"x")
    assert own_call(platform.cloud)["questions"] == []


def test_the_mode_outlives_the_process(platform, mode):
    mode("enforce")
    platform.cloud.stop()
    platform.cloud.start()
    for name in ("api", "runtime", "s3"):  # clients of the old port
        platform.__dict__.pop(name, None)
    assert own_call(platform.cloud)["mode"] == "enforce"


def test_boundary_session_policy_and_bucket_policy_count(platform, mode):
    mode("enforce")
    iam = platform.cloud.client("iam")
    everything = policy(("s3:*", "*"))
    bound = iam.create_policy(PolicyName=new_name("bound"), PolicyDocument=READER)["Policy"]["Arn"]
    bounded = session(platform, role(platform, everything, PermissionsBoundary=bound), "s3")
    assert bounded.get_object(Bucket="photos", Key="team-a/1.jpg")
    assert "no permissions boundary allows" in refusal(bounded.list_objects_v2, Bucket="photos")["Message"]
    iam.delete_policy(PolicyArn=bound)  # what bounds it is gone: nothing is allowed, not everything
    assert (
        "no permissions boundary allows" in refusal(bounded.get_object, Bucket="photos", Key="team-a/1.jpg")["Message"]
    )
    free = role(platform, everything)
    assert session(platform, free, "s3").list_objects_v2(Bucket="photos")
    limited = session(platform, free, "s3", Policy=READER)
    assert "no session policy allows" in refusal(limited.list_objects_v2, Bucket="photos")["Message"]
    bucket = new_name("bucket")
    platform.s3.create_bucket(Bucket=bucket)
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}",
                 "Condition": {"StringNotLike": {"s3:prefix": "team-a/*"}}}  # fmt: skip
    platform.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    caller = session(platform, free, "s3")
    assert caller.list_objects_v2(Bucket=bucket, Prefix="team-a/ant")["KeyCount"] == 0
    message = refusal(caller.list_objects_v2, Bucket=bucket, Prefix="team-b/")["Message"]
    assert message.endswith("with an explicit deny in a resource-based policy")


def test_a_role_that_trusts_nobody_here_cannot_be_assumed_by_others(platform, mode):
    mode("enforce")
    caller = session(platform, role(platform, policy(("sts:AssumeRole", "*"))), "sts")
    other = platform.role  # trusts SageMaker alone
    error = refusal(caller.assume_role, RoleArn=other, RoleSessionName="bees")
    assert error["Code"] == "AccessDenied" and "no resource-based policy allows the sts:AssumeRole" in error["Message"]


def test_a_job_reads_and_writes_in_the_name_of_its_role(platform, mode):
    image = platform.trainer
    mode("enforce")
    pull = (["ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage",
             "ecr:GetDownloadUrlForLayer"], "*")  # fmt: skip
    lists = ("s3:ListBucket", "arn:aws:s3:::photos")
    reads, writes = ("s3:GetObject", "arn:aws:s3:::photos/team-a/*"), ("s3:PutObject", "arn:aws:s3:::photos/out/*")

    def trained(*statements: Any) -> dict[str, Any]:
        return platform.train(
            'pathlib.Path("/opt/ml/model/x").write_text("y")', channels={"photos": "s3://photos/team-a/"},
            RoleArn=role(platform, policy(*statements), "sagemaker.amazonaws.com"),
            OutputDataConfig={"S3OutputPath": "s3://photos/out/"},
        )  # fmt: skip

    assert image and trained(pull, lists, reads, writes)["TrainingJobStatus"] == "Completed"
    for left_out, action in (
        (reads, "s3:GetObject"),
        (lists, "s3:ListBucket"),
        (pull, "ecr:"),
        (writes, "s3:PutObject"),
    ):
        job = trained(*[each for each in (pull, lists, reads, writes) if each is not left_out])
        assert job["TrainingJobStatus"] == "Failed" and action in job["FailureReason"], job


def test_a_state_machine_needs_leave_to_create_pass_and_watch_a_job(platform, mode):
    image = platform.trainer
    mode("enforce")
    name = new_name("job")
    arn = f"arn:aws:sagemaker:us-east-1:000000000000:training-job/{name}"
    rule = "arn:aws:events:us-east-1:000000000000:rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule"
    of_job = role(platform, policy(("*", "*")), "sagemaker.amazonaws.com")
    request = {**platform.training_request("say('x')", RoleArn=of_job), "TrainingJobName": name}
    request["AlgorithmSpecification"] |= {"TrainingImage": image}
    request["ResourceConfig"]["InstanceType"] = INSTANCE
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
        "Parameters": request,
        "End": True,
    }
    definition = json.dumps({"StartAt": "Train", "States": {"Train": task}})
    states = platform.cloud.client("stepfunctions")
    needs = [(["sagemaker:CreateTrainingJob", "sagemaker:AddTags", "sagemaker:DescribeTrainingJob",
               "sagemaker:StopTrainingJob"], arn), ("iam:PassRole", of_job),
             (["events:DescribeRule", "events:PutRule", "events:PutTargets"], rule)]  # fmt: skip

    def ended(statements: list[Any]) -> dict[str, Any]:
        machine = states.create_state_machine(
            name=new_name("machine"), definition=definition,
            roleArn=role(platform, policy(*statements), "states.amazonaws.com"),
        )["stateMachineArn"]  # fmt: skip
        execution = states.start_execution(stateMachineArn=machine)["executionArn"]
        wait_until(lambda: states.describe_execution(executionArn=execution)["status"] != "RUNNING", 180, execution)
        return states.describe_execution(executionArn=execution)

    for left_out, action in ((0, "sagemaker:CreateTrainingJob"), (1, "iam:PassRole"), (2, "events:DescribeRule")):
        failed = ended([statement for number, statement in enumerate(needs) if number != left_out])
        assert failed["status"] == "FAILED" and failed["error"] == "SageMaker.AmazonSageMakerException"
        assert f"is not authorized to perform: {action} on resource: " in failed["cause"]
    assert ended(needs)["status"] == "SUCCEEDED"


def test_a_simulation_tells_what_the_policies_of_a_role_allow(platform):
    iam = platform.cloud.client("iam")
    bound = iam.create_policy(PolicyName=new_name("bound"), PolicyDocument=READER)["Policy"]["Arn"]
    arn = role(platform, policy(("s3:*", "*")), PermissionsBoundary=bound)

    def simulated(**asked: Any) -> list[tuple[str, str]]:
        found = iam.simulate_principal_policy(PolicySourceArn=arn, **asked)["EvaluationResults"]
        return [(each["EvalActionName"], each["EvalDecision"]) for each in found]

    photo = "arn:aws:s3:::photos/team-a/1.jpg"
    assert simulated(ActionNames=["s3:GetObject", "s3:PutObject"], ResourceArns=[photo]) == [
        ("s3:GetObject", "allowed"), ("s3:PutObject", "implicitDeny"),
    ]  # fmt: skip
    deny = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}})
    assert simulated(ActionNames=["s3:GetObject"], ResourceArns=[photo], PolicyInputList=[deny]) == [
        ("s3:GetObject", "explicitDeny")
    ]
    nobody = refusal(iam.simulate_principal_policy, PolicySourceArn=arn + "x", ActionNames=["s3:GetObject"])
    assert nobody["Code"] == "NoSuchEntity"
    wrong = refusal(iam.simulate_custom_policy, PolicyInputList=["{"], ActionNames=["s3:GetObject"])
    assert wrong["Code"] == "InvalidInput" and "not valid JSON" in wrong["Message"]


def test_cloudformation_makes_a_stack_in_the_name_of_its_role(platform, mode):
    arn = role(platform, policy(("ssm:*", "*")), "cloudformation.amazonaws.com")
    cfn, name = platform.cloud.client("cloudformation"), new_name("stack")
    parameter = {"Type": "AWS::SSM::Parameter", "Properties": {"Name": f"/{name}", "Type": "String", "Value": "v"}}
    queue = {"Type": "AWS::SQS::Queue", "DependsOn": "Parameter", "Properties": {"QueueName": name}}
    mode("enforce")

    def created(resources: dict[str, Any]) -> str:
        body = json.dumps({"Resources": resources})
        cfn.create_stack(StackName=name, TemplateBody=body, RoleARN=arn)
        return wait_until(
            lambda: (
                status
                if not (status := cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]).endswith("PROGRESS")
                else ""
            ),
            what="an end of the stack",
        )

    assert created({"Parameter": parameter, "Queue": queue}) == "ROLLBACK_COMPLETE"
    reasons = [
        event.get("ResourceStatusReason", "") for event in cfn.describe_stack_events(StackName=name)["StackEvents"]
    ]
    session_of_it = (
        f"assumed-role/{arn.rsplit('/', 1)[1]}/AWSCloudFormation is not authorized to perform: sqs:CreateQueue"
    )
    assert any(session_of_it in reason for reason in reasons), reasons
    cfn.delete_stack(StackName=name)
    assert created({"Parameter": parameter}) == "CREATE_COMPLETE"
    asked = [
        each for each in own_call(platform.cloud)["questions"] if each["principal"].endswith(arn.rsplit("/", 1)[1])
    ]
    assert {("ssm:PutParameter", True), ("sqs:CreateQueue", False)} <= {(e["action"], e["allowed"]) for e in asked}


def test_a_policy_that_lacks_any_of_its_elements_is_denied_and_what_is_spare_is_named(platform, mode):
    """The proof that a policy is least: each action and each resource is taken out, and the calls are made again."""
    name, s3, ssm = new_name("least"), platform.s3, platform.cloud.client("ssm")
    s3.put_object(Bucket="photos", Key=f"{name}/in/1", Body=b"photo")
    ssm.put_parameter(Name=f"/{name}/p", Value="v", Type="String")
    queue = platform.cloud.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    where = {"in": f"arn:aws:s3:::photos/{name}/in/*", "out": f"arn:aws:s3:::photos/{name}/out/*"}
    least = [
        {"Action": ["s3:GetObject"], "Resource": [where["in"], where["out"]]},
        {"Action": ["s3:PutObject", "s3:DeleteObject"], "Resource": [where["out"]]},
        {"Action": ["ssm:GetParameter", "ssm:PutParameter"], "Resource": [f"arn:aws:ssm:*:*:parameter/{name}/*"]},
        {"Action": ["sqs:SendMessage"], "Resource": [f"arn:aws:sqs:*:*:{name}"]},
    ]
    document = lambda statements: json.dumps(  # noqa: E731
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}
    )
    arn, iam = role(platform, document(least)), platform.cloud.client("iam")
    mine, settings, sent = (session(platform, arn, service) for service in ("s3", "ssm", "sqs"))
    calls = [
        lambda: mine.get_object(Bucket="photos", Key=f"{name}/in/1"),
        lambda: mine.put_object(Bucket="photos", Key=f"{name}/out/1", Body=b"x"),
        lambda: mine.get_object(Bucket="photos", Key=f"{name}/out/1"),
        lambda: mine.delete_object(Bucket="photos", Key=f"{name}/out/1"),
        lambda: settings.get_parameter(Name=f"/{name}/p"),
        lambda: settings.put_parameter(Name=f"/{name}/p", Value="w", Type="String", Overwrite=True),
        lambda: sent.send_message(QueueUrl=queue, MessageBody="m"),
    ]

    def denied_with(statements: list[dict[str, Any]]) -> list[str]:
        iam.put_role_policy(RoleName=arn.rsplit("/", 1)[1], PolicyName="own", PolicyDocument=document(statements))
        found = []
        for call in calls:
            try:
                call()
            except ClientError as refused:
                found.append(refused.response["Error"]["Code"])
        return found

    mode("enforce")
    assert denied_with(least) == []
    survived, taken_out = [], 0
    for number, statement in enumerate(least):
        for element in ("Action", "Resource"):
            for value in statement[element]:
                left = [each for each in statement[element] if each != value]
                changed = [{**statement, element: left}] if left else []
                taken_out += 1
                codes = denied_with([*least[:number], *changed, *least[number + 1 :]])
                if not any(code.startswith("AccessDenied") for code in codes):
                    survived.append((element, value))
    assert (taken_out, survived) == (11, [])
    spare = {
        "Action": ["s3:GetObject", "s3:GetObjectAcl"],
        "Resource": [where["in"], where["out"], "arn:aws:s3:::photos/spare"],
    }
    mode("off")  # forgets what was asked until now
    mode("enforce")
    assert denied_with([spare, *least[1:]]) == []
    told = own_call(platform.cloud, query="?unused")["elements"][arn.rsplit("/", 1)[1]]
    idle = {(each["element"], each["value"]) for each in told if not each["needed"]}
    assert idle == {("Action", "s3:GetObjectAcl"), ("Resource", "arn:aws:s3:::photos/spare")}


TRUST = trust("sagemaker.amazonaws.com")
DEFINITION = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
# Makes something with the tag, and how to read it: the service, both calls.
TAGGED: dict[str, tuple[Any, Any]] = {
    "ssm": (
        lambda c, n, tags: c.put_parameter(Name=f"/{n}", Value="v", Type="String", Tags=tags) and f"/{n}",
        lambda c, made: c.get_parameter(Name=made),
    ),
    "sqs": (
        lambda c, n, tags: c.create_queue(QueueName=n, tags={t["Key"]: t["Value"] for t in tags})["QueueUrl"],
        lambda c, made: c.get_queue_attributes(QueueUrl=made, AttributeNames=["All"]),
    ),
    "sns": (
        lambda c, n, tags: c.create_topic(Name=n, Tags=tags)["TopicArn"],
        lambda c, made: c.get_topic_attributes(TopicArn=made),
    ),
    "secretsmanager": (
        lambda c, n, tags: c.create_secret(Name=n, SecretString="s", Tags=tags)["ARN"],
        lambda c, made: c.get_secret_value(SecretId=made),
    ),
    "iam": (
        lambda c, n, tags: c.create_role(RoleName=n, AssumeRolePolicyDocument=TRUST, Tags=tags)["Role"]["RoleName"],
        lambda c, made: c.get_role(RoleName=made),
    ),
    "ecr": (
        lambda c, n, tags: c.create_repository(repositoryName=n, tags=tags)["repository"]["repositoryName"],
        lambda c, made: c.describe_repositories(repositoryNames=[made]),
    ),
    "events": (
        lambda c, n, tags: c.put_rule(Name=n, EventPattern='{"source": ["s"]}', Tags=tags) and n,
        lambda c, made: c.describe_rule(Name=made),
    ),
    "sagemaker": (
        lambda c, n, tags: c.create_model_package_group(ModelPackageGroupName=n, Tags=tags) and n,
        lambda c, made: c.describe_model_package_group(ModelPackageGroupName=made),
    ),
    "stepfunctions": (
        lambda c, n, tags: c.create_activity(
            name=n, tags=[{"key": t["Key"], "value": t["Value"]} for t in tags]
        )["activityArn"],
        lambda c, made: c.describe_activity(activityArn=made),
    ),
}  # fmt: skip


@pytest.mark.parametrize("service", TAGGED)
def test_the_tags_of_a_resource_decide_who_may_read_it(platform, mode, service):
    make, read = TAGGED[service]
    statement = {
        "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceTag/team": "a"}},
    }  # fmt: skip
    reader = role(platform, json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    made = {
        team: make(platform.cloud.client(service), new_name("tagged"), [{"Key": "team", "Value": team}])
        for team in "ab"
    }
    client = session(platform, reader, service)
    mode("enforce")
    assert read(client, made["a"])
    with pytest.raises(ClientError, match="AccessDenied"):
        read(client, made["b"])
