"""What was acknowledged survives `kill -9` and a new start; what is damaged is refused, not dropped."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import re
import sqlite3
import threading
import time

import pytest

from local_cloud.persistence.database import DamagedState, Database
from local_cloud.persistence.earlier import MAGIC
from local_cloud.persistence.pickling import RefusedPickle, restricted_loads
from local_cloud.persistence.snapshot import Snapshot
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
    """The state file of a cloud with one queue in it."""
    database = Database(tmp_path / "rows.sqlite")
    from moto.backends import get_backend

    get_backend("sqs")["000000000000"]["us-east-1"].create_queue("q")
    Snapshot(database, "000000000000").save()
    database.close()
    return tmp_path / "rows.sqlite"


def _row(change):
    """The file after a change of one of its rows."""

    def damage(path):
        with sqlite3.connect(path) as rows:
            rows.execute(change)
        rows.close()

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        _row("UPDATE moto_node SET state=substr(state, 1, length(state) - 2)"),
        _row("UPDATE moto_node SET class='os:_Environ'"),
        _row("UPDATE moto_node SET class='builtins:eval'"),
        _row("DELETE FROM moto_node WHERE number IN (SELECT node FROM moto_root)"),
        _row("PRAGMA user_version=9"),
        lambda path: path.write_bytes(b"\0" * 100 + path.read_bytes()[100:]),
    ],
)
def test_damaged_state_is_refused_with_what_to_do(stopped, damage):
    damage(stopped)
    with pytest.raises(DamagedState) as refused:
        Snapshot(Database(stopped), "000000000000").load()
    assert str(stopped) in str(refused.value) and "empty" in str(refused.value)


def test_a_damaged_state_or_a_second_process_does_not_start(own_cloud):
    own_cloud.start()
    first = own_cloud.process
    with pytest.raises(AssertionError, match="Another local cloud uses"):
        own_cloud.start()
    own_cloud.process = first
    own_cloud.client("sqs").create_queue(QueueName="q")
    own_cloud.kill()
    rows = own_cloud.state / "rows.sqlite"
    _row("UPDATE moto_node SET state=x'00' WHERE class LIKE '%Queue'")(rows)
    with pytest.raises(AssertionError, match="ended with 2"):
        own_cloud.start()
    assert str(rows) in own_cloud.log() and "Traceback" not in own_cloud.log()


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


class _Layout1(pickle.Pickler):
    """As earlier versions wrote what is not stored."""

    def persistent_id(self, value):
        locks = (type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Event)
        return ("fresh", type(value).__name__) if type(value) in locks else None


@pytest.mark.parametrize("layout", [1, 2])
def test_the_files_of_an_earlier_version_are_read_and_replaced(tmp_path, layout):
    from moto.backends import get_backend

    account = f"{layout}" * 12
    queues = get_backend("sqs")[account]["eu-west-1"]
    queues.create_queue("kept")
    buffer = io.BytesIO()
    whole = {"version": 1, "services": {"sqs": {"eu-west-1": queues}}}
    _Layout1(buffer, protocol=5).dump(whole if layout == 1 else {**queues.__dict__})
    payload = buffer.getvalue()
    old = tmp_path / ("services.snapshot" if layout == 1 else "services/sqs.eu-west-1.state")
    old.parent.mkdir(exist_ok=True)
    header = MAGIC + b" %d " % layout + hashlib.sha256(payload).hexdigest().encode() + b"\n"
    old.write_bytes(header + payload[:-5])
    with pytest.raises(DamagedState, match=re.escape(str(old))):
        Snapshot(Database(tmp_path / "rows.sqlite"), account).load()
    old.write_bytes(header + payload)
    queues.delete_queue("kept")
    Snapshot(Database(tmp_path / "rows.sqlite"), account).load()
    assert list(queues.queues) == ["kept"] and not old.exists()
    queues.delete_queue("kept")
    Snapshot(Database(tmp_path / "rows.sqlite"), account).load()
    assert list(queues.queues) == ["kept"], "now from the rows"
