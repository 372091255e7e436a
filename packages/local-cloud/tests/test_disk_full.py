"""A disk that is full: the client reads one sentence, and memory knows nothing that the disk does not.

The limit on the size of a file stands in for the full disk: it needs no root, and `write(2)` behaves the same, a short
write first, an error after it. Where the test runs as root, a small file system is filled as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import time
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local_cloud.persistence.database import Database
from local_cloud.persistence.disk import StorageFailed, write_all
from local_cloud.s3.content import ContentStore
from local_cloud.testing import RunningCloud

TRUST = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
)
# Without boto3's own checksum the cloud alone decides whether the object is whole.
PLAIN = Config(request_checksum_calculation="when_required")


@contextlib.contextmanager
def file_size_limit(pid: int, limit: int):
    """No file of this process grows beyond `limit` bytes."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


def _refusal(call, **arguments) -> str:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 507, answer["Error"]
    message = answer["Error"]["Message"]
    assert "Traceback" not in message and "\n" not in message
    return message


class _Reluctant:
    """A raw file that takes three bytes a time, as write(2) may."""

    def __init__(self):
        self.taken = b""

    def write(self, data) -> int:
        self.taken += bytes(data[:3])
        return min(3, len(data))


def test_a_write_that_takes_less_is_continued_until_all_is_written():
    out = _Reluctant()
    write_all(out, b"0123456789")
    assert out.taken == b"0123456789"


@pytest.mark.parametrize("write", ["write", "write_blocks", "copy", "concatenate", "adopt"])
def test_no_content_file_is_kept_that_is_shorter_than_what_was_written(tmp_path, monkeypatch, write):
    store, source = ContentStore(tmp_path / "objects"), tmp_path / "source"
    source.write_bytes(b"x" * 900_001)
    given = {"write": b"x" * 900_001, "write_blocks": [b"x" * 900_001], "concatenate": [source]}.get(write, source)
    if write == "adopt":  # a move between file systems is a copy
        monkeypatch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(OSError(18, "Invalid cross-device link")))
    with file_size_limit(os.getpid(), 442_368), pytest.raises(StorageFailed, match=r"needs 900,001 bytes.*are free"):
        getattr(store, write)(given)
    assert [p for p in store.root.rglob("*") if p.is_file()] == []
    assert source.stat().st_size == 900_001


def test_a_transaction_that_the_disk_refuses_leaves_the_database_usable(tmp_path):
    database = Database(tmp_path / "rows.sqlite")
    with file_size_limit(os.getpid(), 100_000), pytest.raises(StorageFailed, match=r"rows\.sqlite"):
        database.append_metric("x" * 500_000, "m", 1.0, 1.0, "{}")
    with (
        file_size_limit(os.getpid(), 100_000),
        pytest.raises(StorageFailed, match=r"rows\.sqlite"),
        database.transaction() as connection,
    ):
        connection.execute("INSERT INTO metric VALUES ('n','m',1,1,?)", ("x" * 500_000,))
    database.append_metric("n", "m", 2.0, 2.0, "{}")
    assert [row[2] for row in database.metrics()] == [2.0]


WRITES = {
    "ssm": lambda c: c("ssm").put_parameter(Name="/p", Value="v", Type="String"),
    "iam": lambda c: c("iam").create_role(RoleName="r", AssumeRolePolicyDocument=TRUST),
    "s3": lambda c: c("s3").create_bucket(Bucket="never"),
    "logs": lambda c: c("logs").create_log_group(logGroupName="g"),
    "kms": lambda c: c("kms").create_key(),
    "ecr": lambda c: c("ecr").create_repository(repositoryName="repo"),
    "events": lambda c: c("events").put_rule(Name="r", EventPattern='{"source": ["x"]}'),
    "sns": lambda c: c("sns").create_topic(Name="t"),
    "sqs": lambda c: c("sqs").create_queue(QueueName="q"),
    "secretsmanager": lambda c: c("secretsmanager").create_secret(Name="s", SecretString="s"),
    "cloudwatch": lambda c: c("cloudwatch").put_metric_data(
        Namespace="n", MetricData=[{"MetricName": "m", "Value": 1}]
    ),
}
READS = {
    "ssm": lambda c: c("ssm").describe_parameters()["Parameters"],
    "iam": lambda c: c("iam").list_roles()["Roles"],
    "s3": lambda c: [b for b in c("s3").list_buckets()["Buckets"] if b["Name"] != "there"],
    "logs": lambda c: c("logs").describe_log_groups()["logGroups"],
    "kms": lambda c: c("kms").list_keys()["Keys"],
    "ecr": lambda c: c("ecr").describe_repositories()["repositories"],
    "events": lambda c: c("events").list_rules()["Rules"],
    "sns": lambda c: c("sns").list_topics()["Topics"],
    "sqs": lambda c: c("sqs").list_queues().get("QueueUrls", []),
    "secretsmanager": lambda c: c("secretsmanager").list_secrets()["SecretList"],
    "cloudwatch": lambda c: c("cloudwatch").list_metrics(Namespace="n")["Metrics"],
}


def test_what_a_full_disk_refuses_is_known_to_no_service_before_or_after_a_restart(own_cloud):
    own_cloud.start()
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="there")
    s3.put_object(Bucket="there", Key="k", Body=b"kept")
    upload = s3.create_multipart_upload(Bucket="there", Key="half")["UploadId"]
    with file_size_limit(own_cloud.process.pid, 90):
        for service, write in WRITES.items():
            with pytest.raises(ClientError) as refused:
                write(own_cloud.client)
            message = str(refused.value)
            assert "could not be" in message and "Traceback" not in message and str(own_cloud.state) in message, service
            assert READS[service](own_cloud.client) == [], service
        assert s3.get_object(Bucket="there", Key="k")["Body"].read() == b"kept"
    # What was there before is still at hand: objects, uploads in progress, and every service can be written again.
    part = s3.upload_part(Bucket="there", Key="half", UploadId=upload, PartNumber=1, Body=b"part")
    done = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket="there", Key="half", UploadId=upload, MultipartUpload=done)
    own_cloud.client("ssm").put_parameter(Name="/after", Value="v", Type="String")
    own_cloud.kill()
    own_cloud.start()
    names = [p["Name"] for p in own_cloud.client("ssm").describe_parameters()["Parameters"]]
    assert names == ["/after"] and READS["iam"](own_cloud.client) == []
    assert own_cloud.client("s3").get_object(Bucket="there", Key="half")["Body"].read() == b"part"


def test_an_object_that_does_not_fit_leaves_the_old_one_and_says_how_much_is_needed(own_cloud):
    own_cloud.start()
    s3 = own_cloud.client("s3", config=PLAIN)
    s3.create_bucket(Bucket="bkt")
    s3.put_object(Bucket="bkt", Key="k", Body=b"old", Tagging="a=1")
    s3.put_object(Bucket="bkt", Key="large", Body=b"y" * 800_000)
    upload = s3.create_multipart_upload(Bucket="bkt", Key="k")["UploadId"]
    part = s3.upload_part(Bucket="bkt", Key="k", UploadId=upload, PartNumber=1, Body=b"z" * 5_300_000)
    last = s3.upload_part(Bucket="bkt", Key="k", UploadId=upload, PartNumber=2, Body=b"z")
    done = {"Parts": [{"PartNumber": n, "ETag": p["ETag"]} for n, p in ((1, part), (2, last))]}
    with file_size_limit(own_cloud.process.pid, 442_368):
        assert "900,001 bytes" in _refusal(s3.put_object, Bucket="bkt", Key="k", Body=b"x" * 900_001)
        assert "800,000 bytes" in _refusal(s3.copy_object, Bucket="bkt", Key="k", CopySource="bkt/large")
        complete = {"Bucket": "bkt", "Key": "k", "UploadId": upload, "MultipartUpload": done}
        assert "5,300,001 bytes" in _refusal(s3.complete_multipart_upload, **complete)
        assert s3.get_object(Bucket="bkt", Key="k")["Body"].read() == b"old"
    with file_size_limit(own_cloud.process.pid, 20_000):  # the bytes fit, the row does not
        _refusal(s3.put_object, Bucket="bkt", Key="k", Body=b"new")
        _refusal(s3.delete_object, Bucket="bkt", Key="k")
        _refusal(s3.put_object_tagging, Bucket="bkt", Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "2"}]})
        read = s3.get_object(Bucket="bkt", Key="k")
        assert (read["Body"].read(), read["TagCount"]) == (b"old", 1)
    assert s3.get_object_tagging(Bucket="bkt", Key="k")["TagSet"] == [{"Key": "a", "Value": "1"}]
    # The upload was not lost with the attempt.
    s3.complete_multipart_upload(Bucket="bkt", Key="k", UploadId=upload, MultipartUpload=done)
    assert s3.head_object(Bucket="bkt", Key="k")["ContentLength"] == 5_300_001
    files = [p for p in (own_cloud.state / "objects").rglob("*") if p.is_file()]
    assert len(files) == 2  # nothing of what was refused


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of a few megabytes, where one may be mounted."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(mounted)], capture_output=True)
    if made.returncode:
        pytest.skip("only root may mount a small file system")
    yield mounted
    subprocess.run(["umount", "-l", str(mounted)], check=True)


def test_a_small_disk_runs_full_and_nothing_acknowledged_is_lost(small_disk):
    cloud = RunningCloud(small_disk / "state")
    cloud.start()
    try:
        s3, kept = cloud.client("s3", config=PLAIN), {}
        s3.create_bucket(Bucket="bkt")
        for number in range(60):
            body = os.urandom(900_001)
            try:
                s3.put_object(Bucket="bkt", Key=f"k{number}", Body=body)
                kept[f"k{number}"] = body
            except ClientError as refused:
                assert "the disk is full" in str(refused)
                break
        (small_disk / "filler").write_bytes(b"")
        with open(small_disk / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(b"f" * 4096):
                pass
        assert "the disk is full" in _refusal(
            cloud.client("ssm").put_parameter, Name="/p", Value="v" * 4000, Type="String"
        )
        assert cloud.client("ssm").describe_parameters()["Parameters"] == []
        cloud.kill()
        (small_disk / "filler").unlink()
        cloud.start()
        s3 = cloud.client("s3")
        listed = {entry["Key"]: entry["Size"] for entry in s3.list_objects_v2(Bucket="bkt")["Contents"]}
        assert listed == dict.fromkeys(kept, 900_001)
        assert all(s3.get_object(Bucket="bkt", Key=key)["Body"].read() == body for key, body in kept.items())
    finally:
        cloud.kill()


def test_log_lines_and_metric_values_that_were_refused_are_not_shown(own_cloud):
    own_cloud.start()
    logs = own_cloud.client("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")

    def put(text: str) -> None:
        event = {"timestamp": int(time.time() * 1000), "message": text}
        logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[event])

    put("first")
    with file_size_limit(own_cloud.process.pid, 20_000), pytest.raises(ClientError):
        put("second")
    put("third")
    shown = [event["message"] for event in logs.filter_log_events(logGroupName="g")["events"]]
    assert shown == ["first", "third"]
