"""What was acknowledged survives `kill -9` and a new start; what is damaged is refused, not dropped."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import sqlite3
import threading
import time

import pytest

from local_cloud.persistence.database import DamagedState, Database
from local_cloud.persistence.pickling import RefusedPickle, restricted_loads
from local_cloud.persistence.snapshot import MAGIC, Snapshot
from local_cloud.testing import wait_until

TRUST = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
)
DEFINITION = {"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": 1, "End": True}}}
WAITING = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 900, "End": True}}}


def _fill(cloud) -> dict:
    """Something of every service that keeps state."""
    s3, made = cloud.client("s3"), {}
    s3.create_bucket(Bucket="kept")
    s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="kept", Key="a b/ü", Body=b"one", ContentType="image/png", Metadata={"m": "1"})
    s3.put_object(Bucket="kept", Key="a b/ü", Body=b"two", Tagging="k=v")
    s3.put_object(Bucket="kept", Key="gone", Body=b"x")
    s3.delete_object(Bucket="kept", Key="gone")
    upload = s3.create_multipart_upload(Bucket="kept", Key="big")["UploadId"]
    part = s3.upload_part(Bucket="kept", Key="big", UploadId=upload, PartNumber=1, Body=b"p" * 1000)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket="kept", Key="big", UploadId=upload, MultipartUpload=parts)
    made["versions"] = len(s3.list_object_versions(Bucket="kept")["Versions"])
    iam = cloud.client("iam")
    made["role"] = iam.create_role(RoleName="kept", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    iam.attach_role_policy(RoleName="kept", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    made["session"] = cloud.client("sts").assume_role(RoleArn=made["role"], RoleSessionName="kept")["Credentials"]
    kms = cloud.client("kms")
    made["key"] = kms.create_key()["KeyMetadata"]["KeyId"]
    made["secret"] = kms.encrypt(KeyId=made["key"], Plaintext=b"plain")["CiphertextBlob"]
    cloud.client("ssm").put_parameter(Name="/kept", Value="v", Type="String")
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName="kept")
    logs.create_log_stream(logGroupName="kept", logStreamName="s")
    event = {"timestamp": int(time.time() * 1000), "message": "a line"}
    logs.put_log_events(logGroupName="kept", logStreamName="s", logEvents=[event])
    datum = {"MetricName": "m", "Value": 3, "Timestamp": time.time()}
    cloud.client("cloudwatch").put_metric_data(Namespace="kept", MetricData=[datum])
    cloud.client("ecr").create_repository(repositoryName="kept")
    cloud.client("events").put_rule(Name="kept", EventPattern='{"source": ["x"]}')
    made["topic"] = cloud.client("sns").create_topic(Name="kept")["TopicArn"]
    made["queue"] = cloud.client("sqs").create_queue(QueueName="kept")["QueueUrl"]
    cloud.client("sqs").send_message(QueueUrl=made["queue"], MessageBody="kept")
    cloud.client("secretsmanager").create_secret(Name="kept", SecretString="s")
    template = {"Resources": {"B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "of-a-stack"}}}}
    cloud.client("cloudformation").create_stack(StackName="kept", TemplateBody=json.dumps(template))
    states = cloud.client("stepfunctions")
    machine = states.create_state_machine(name="kept", definition=json.dumps(DEFINITION), roleArn=made["role"])[
        "stateMachineArn"
    ]
    made["execution"] = states.start_execution(stateMachineArn=machine)["executionArn"]
    wait_until(lambda: states.describe_execution(executionArn=made["execution"])["status"] == "SUCCEEDED")
    waiting = states.create_state_machine(name="waiting", definition=json.dumps(WAITING), roleArn=made["role"])[
        "stateMachineArn"
    ]
    made["running"] = states.start_execution(stateMachineArn=waiting)["executionArn"]
    return made


@pytest.mark.slow
def test_every_service_survives_a_kill(own_cloud):
    own_cloud.start()
    made = _fill(own_cloud)
    own_cloud.kill()
    own_cloud.start()
    client = own_cloud.client
    s3 = client("s3")
    read = s3.get_object(Bucket="kept", Key="a b/ü")
    assert (read["Body"].read(), read["TagCount"]) == (b"two", 1)
    assert len(s3.list_object_versions(Bucket="kept")["Versions"]) == made["versions"]
    assert s3.get_object(Bucket="kept", Key="big")["Body"].read() == b"p" * 1000
    assert [e["Key"] for e in s3.list_objects_v2(Bucket="kept")["Contents"]] == ["a b/ü", "big"]
    attached = client("iam").list_attached_role_policies(RoleName="kept")["AttachedPolicies"]
    assert attached[0]["PolicyName"] == "ReadOnlyAccess"
    keys = made["session"]
    visitor = client("sts", aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
                     aws_session_token=keys["SessionToken"])  # fmt: skip
    assert visitor.get_caller_identity()["Arn"].endswith("assumed-role/kept/kept")
    assert client("kms").decrypt(CiphertextBlob=made["secret"])["Plaintext"] == b"plain"
    assert client("ssm").get_parameter(Name="/kept")["Parameter"]["Value"] == "v"
    assert client("logs").filter_log_events(logGroupName="kept")["events"][0]["message"] == "a line"
    found = client("cloudwatch").get_metric_statistics(Namespace="kept", MetricName="m", Period=3600, Statistics=["Sum"],
                                                       StartTime=time.time() - 7200, EndTime=time.time() + 3600)  # fmt: skip
    assert found["Datapoints"][0]["Sum"] == 3
    assert client("ecr").describe_repositories()["repositories"][0]["repositoryName"] == "kept"
    assert client("events").list_rules()["Rules"][0]["Name"] == "kept"
    assert client("sns").list_topics()["Topics"] == [{"TopicArn": made["topic"]}]
    assert client("sqs").receive_message(QueueUrl=made["queue"])["Messages"][0]["Body"] == "kept"
    assert client("secretsmanager").get_secret_value(SecretId="kept")["SecretString"] == "s"
    states = client("stepfunctions")
    assert len(states.get_execution_history(executionArn=made["execution"])["events"]) == 4
    assert states.describe_execution(executionArn=made["running"])["status"] == "RUNNING"
    assert client("cloudformation").describe_stacks(StackName="kept")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    client("cloudformation").delete_stack(StackName="kept")
    assert "of-a-stack" not in [b["Name"] for b in s3.list_buckets()["Buckets"]]


@pytest.mark.slow
def test_a_stack_that_was_interrupted_is_completed_by_the_next_deployment(own_cloud):
    own_cloud.start()
    cfn = own_cloud.client("cloudformation")

    def body(value: str, waiting: bool) -> str:
        image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/none:1"
        parameter = {"Type": "AWS::SSM::Parameter", "Properties": {"Name": "/p", "Type": "String", "Value": value}}
        last = {
            "Type": "AWS::SSM::Parameter",
            "DependsOn": "P",
            "Properties": {"Name": "/q", "Type": "String", "Value": image},
        }
        return json.dumps({"Resources": {"P": parameter, **({"Last": last} if waiting else {})}})

    cfn.create_stack(StackName="kept", TemplateBody=body("one", False))
    # As a process leaves it that dies after the first resource: the record says so, the template is the new one.
    database = own_cloud.state / "rows.sqlite"
    own_cloud.kill()
    with sqlite3.connect(database) as rows:
        ((key, record),) = rows.execute("SELECT id, record FROM stack").fetchall()
        torn = {**json.loads(record), "status": "UPDATE_IN_PROGRESS", "unsettled": True, "template": body("two", True)}
        rows.execute("UPDATE stack SET record=? WHERE id=?", (json.dumps(torn), key))
    rows.close()
    own_cloud.start()
    cfn = own_cloud.client("cloudformation")
    stack = cfn.describe_stacks(StackName="kept")["Stacks"][0]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE" and "Deploy again" in stack["StackStatusReason"]
    cfn.update_stack(StackName="kept", TemplateBody=body("two", True))
    assert cfn.describe_stacks(StackName="kept")["Stacks"][0]["StackStatus"] == "UPDATE_COMPLETE"
    assert own_cloud.client("ssm").get_parameter(Name="/p")["Parameter"]["Value"] == "two"
    assert own_cloud.client("ssm").get_parameter(Name="/q")


@pytest.mark.slow
def test_what_a_killed_creation_had_made_is_found_by_the_next_operation(own_cloud):
    """Made, and killed before it was noted as made: the next deployment must not fail with "already exists"."""
    own_cloud.start()
    trust = {"Version": "2012-10-17", "Statement": []}
    resources = {
        "P": {"Type": "AWS::SSM::Parameter", "Properties": {"Name": "/p", "Type": "String", "Value": "v"}},
        "R": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "r", "AssumeRolePolicyDocument": trust}},
        "L": {"Type": "AWS::Logs::LogGroup", "DeletionPolicy": "Retain", "Properties": {"LogGroupName": "/l"}},
        "G": {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": {"ModelPackageGroupName": "g"}},
        "Q": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "q"}},
    }
    body = json.dumps({"Resources": resources})
    create = {"StackName": "torn", "TemplateBody": body, "Capabilities": ["CAPABILITY_NAMED_IAM"]}
    own_cloud.client("cloudformation").create_stack(**create)
    own_cloud.kill()
    with sqlite3.connect(own_cloud.state / "rows.sqlite") as rows:
        ((key, record),) = rows.execute("SELECT id, record FROM stack").fetchall()
        torn = json.dumps({**json.loads(record), "status": "CREATE_IN_PROGRESS"})
        rows.execute("UPDATE stack SET record=? WHERE id=?", (torn, key))
        for name, record in rows.execute("SELECT name, record FROM stack_resource").fetchall():
            noted = {**json.loads(record), "status": "CREATE_IN_PROGRESS", "physical_id": "", "attributes": {}}
            rows.execute("UPDATE stack_resource SET record=? WHERE name=?", (json.dumps(noted), name))
    rows.close()
    own_cloud.start()
    cfn = own_cloud.client("cloudformation")
    cfn.delete_stack(StackName="torn")
    assert not own_cloud.client("ssm").describe_parameters()["Parameters"]
    assert not own_cloud.client("sqs").list_queues().get("QueueUrls")
    cfn.create_stack(**create)
    assert cfn.describe_stacks(StackName="torn")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"


def test_the_keys_stay_and_a_clean_stop_ends_with_zero(own_cloud):
    own_cloud.start()
    first = own_cloud.description
    assert own_cloud.stop() == 0
    assert not (own_cloud.state / "cloud.json").exists()
    own_cloud.start()
    assert own_cloud.description["access_key_id"] == first["access_key_id"]
    assert own_cloud.description["account_id"] == "000000000000"


@pytest.fixture
def stopped(tmp_path):
    """The state files of a cloud without anything in it."""
    Database(tmp_path / "rows.sqlite").close()
    from moto.sqs.models import sqs_backends

    assert sqs_backends["000000000000"]["us-east-1"] is not None  # moto makes a service when it is asked for
    Snapshot(tmp_path / "services.snapshot", "000000000000").save()
    return tmp_path


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("services/sqs.us-east-1.state", lambda data: data[: len(data) - 2]),
        ("services/sqs.us-east-1.state", lambda data: b"something else"),
        ("services/sqs.us-east-1.state", lambda data: data.replace(b"snapshot 2 ", b"snapshot 9 ", 1)),
        ("rows.sqlite", lambda data: b"\0" * 100 + data[100:]),
    ],
)
def test_damaged_state_is_refused_with_what_to_do(stopped, file, damage):
    path = stopped / file
    before = damage(path.read_bytes())
    path.write_bytes(before)
    with pytest.raises(DamagedState) as refused:
        Snapshot(stopped / "services.snapshot", "000000000000").load() if "services" in file else Database(path)
    assert str(path) in str(refused.value) and "empty" in str(refused.value)
    assert path.read_bytes() == before


def test_a_damaged_state_or_a_second_process_does_not_start(own_cloud):
    own_cloud.start()
    first = own_cloud.process
    with pytest.raises(AssertionError, match="Another local cloud uses"):
        own_cloud.start()
    own_cloud.process = first
    own_cloud.client("sqs").create_queue(QueueName="q")
    own_cloud.kill()
    snapshot = own_cloud.state / "services" / "sqs.us-east-1.state"
    snapshot.write_bytes(snapshot.read_bytes()[:100])
    with pytest.raises(AssertionError, match="ended with 2"):
        own_cloud.start()
    assert str(snapshot) in own_cloud.log()


class _Evil:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(_Evil()),
        pickle.dumps(os.getcwd),
        pickle.dumps(pickle.loads),
        b"cmoto.core.utils\ninspect\n.",  # what a moto module imported
        b"cmoto.core.utils\nunix_time\n.",  # a function of moto
        b"clocal_cloud.documents\nwrite_json\n.",  # a function of ours
        b"cbuiltins\neval\n.",
    ],
)
def test_a_snapshot_cannot_name_code(data):
    with pytest.raises(RefusedPickle):
        restricted_loads(data)


def test_a_change_writes_the_services_that_it_touched_and_no_other(own_cloud):
    """Else each write costs what all services hold."""
    own_cloud.start()
    sns, sqs = own_cloud.client("sns"), own_cloud.client("sqs")
    queue = sqs.create_queue(QueueName="q")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    own_cloud.client("ssm").put_parameter(Name="/p", Value="v", Type="String")

    def written(change) -> set[str]:
        files = list((own_cloud.state / "services").glob("*.state"))
        before = {path.name: path.stat().st_ino for path in files}
        change()
        return {
            path.name
            for path in (own_cloud.state / "services").glob("*.state")
            if path.stat().st_ino != before.get(path.name)
        }

    topic = sns.create_topic(Name="t")["TopicArn"]
    assert written(lambda: sns.create_topic(Name="u")) == {"sns.us-east-1.state"}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    assert (
        {"sns.us-east-1.state", "sqs.us-east-1.state"}
        >= written(lambda: sns.publish(TopicArn=topic, Message="m"))
        > set()
    )
    assert written(sns.list_topics) == set()
    own_cloud.kill()
    own_cloud.start()
    assert "m" in own_cloud.client("sqs").receive_message(QueueUrl=queue)["Messages"][0]["Body"]
    assert len(own_cloud.client("sns").list_topics()["Topics"]) == 2
    assert own_cloud.client("ssm").get_parameter(Name="/p")["Parameter"]["Value"] == "v"


class _Layout1(pickle.Pickler):
    """As earlier versions wrote what is not stored."""

    def persistent_id(self, value):
        locks = (type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Event)
        return ("fresh", type(value).__name__) if type(value) in locks else None


def test_the_one_file_of_an_earlier_version_is_read_and_replaced(tmp_path):
    from moto.backends import get_backend

    account = "111111111111"
    queues = get_backend("sqs")[account]["eu-west-1"]
    queues.create_queue("kept")
    buffer = io.BytesIO()
    _Layout1(buffer, protocol=5).dump({"version": 1, "services": {"sqs": {"eu-west-1": queues}}})
    payload, old = buffer.getvalue(), tmp_path / "services.snapshot"
    old.write_bytes(MAGIC + b" 1 " + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)
    queues.delete_queue("kept")
    Snapshot(old, account).load()
    assert list(get_backend("sqs")[account]["eu-west-1"].queues) == ["kept"] and not old.exists()
    queues.delete_queue("kept")
    Snapshot(old, account).load()
    assert list(queues.queues) == ["kept"], "now from the new files"
