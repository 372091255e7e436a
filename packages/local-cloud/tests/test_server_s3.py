"""S3 over HTTP: boto3's defaults work, bytes come back as they went in, refusals carry AWS's codes."""

from __future__ import annotations

import hashlib
import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError


@pytest.fixture(scope="module")
def s3(cloud):
    return cloud.client("s3")


@pytest.fixture(scope="module")
def bucket(s3):
    name = f"photos-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.mark.parametrize(
    "key", ["a.jpg", "with space.jpg", "emoji 🐝.jpg", 'quote\'s "x".jpg', "a/b//c", "plus+and%25", "tail/", "~t=ü&x"]
)
def test_any_key_can_be_put_and_read(s3, bucket, key):
    s3.put_object(
        Bucket=bucket, Key=key, Body=key.encode(), ContentType="text/plain", Metadata={"my_key": "1", "my-key": "2"}
    )
    read = s3.get_object(Bucket=bucket, Key=key)
    assert read["Body"].read() == key.encode()
    assert read["ContentType"] == "text/plain"
    assert read["Metadata"] == {"my_key": "1", "my-key": "2"}
    assert read["ETag"].strip('"') == hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
    assert key in [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    s3.delete_object(Bucket=bucket, Key=key)
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key=key)
    assert refused.value.response["Error"]["Code"] == "NoSuchKey"


def test_ranges_and_heads(s3, bucket):
    s3.put_object(Bucket=bucket, Key="digits", Body=b"0123456789")
    assert s3.get_object(Bucket=bucket, Key="digits", Range="bytes=2-4")["Body"].read() == b"234"
    assert s3.get_object(Bucket=bucket, Key="digits", Range="bytes=-3")["Body"].read() == b"789"
    assert s3.get_object(Bucket=bucket, Key="digits", Range="bytes=8-99")["ContentRange"] == "bytes 8-9/10"
    assert s3.head_object(Bucket=bucket, Key="digits")["ContentLength"] == 10
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="digits", Range="bytes=50-60")
    assert refused.value.response["Error"]["Code"] == "InvalidRange"


def test_conditional_reads(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="conditional", Body=b"0123")["ETag"]
    assert s3.get_object(Bucket=bucket, Key="conditional", IfMatch=etag, Range="bytes=1-2")["Body"].read() == b"12"
    for condition, status in (({"IfMatch": '"other"'}, 412), ({"IfNoneMatch": etag}, 304)):
        with pytest.raises(ClientError) as refused:
            s3.get_object(Bucket=bucket, Key="conditional", **condition)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_multipart_upload_and_ranged_download(s3, bucket, tmp_path):
    source, target = tmp_path / "in.bin", tmp_path / "out.bin"
    source.write_bytes(os.urandom(20_000_000))
    s3.upload_file(str(source), bucket, "big.bin")
    assert s3.head_object(Bucket=bucket, Key="big.bin")["ETag"].endswith('-3"')
    s3.download_file(bucket, "big.bin", str(target))
    assert target.read_bytes() == source.read_bytes()


def test_copy_keeps_the_content_type_and_survives_its_source(s3, bucket):
    s3.put_object(Bucket=bucket, Key="one", Body=b"x" * 100, ContentType="image/png")
    s3.copy_object(Bucket=bucket, Key="two", CopySource={"Bucket": bucket, "Key": "one"})
    s3.delete_object(Bucket=bucket, Key="one")
    copied = s3.get_object(Bucket=bucket, Key="two")
    assert (copied["Body"].read(), copied["ContentType"]) == (b"x" * 100, "image/png")


def test_versions_are_kept_and_deleted_one_by_one(s3):
    name = f"versions-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=name, Key="k", Body=b"1")["VersionId"]
    s3.put_object(Bucket=name, Key="k", Body=b"2")
    s3.delete_object(Bucket=name, Key="k")
    listed = s3.list_object_versions(Bucket=name)
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (2, 1)
    assert s3.get_object(Bucket=name, Key="k", VersionId=first)["Body"].read() == b"1"
    for version in listed["Versions"] + listed["DeleteMarkers"]:
        s3.delete_object(Bucket=name, Key="k", VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=name)


def test_writers_of_one_key_keep_all_versions(s3):
    name = f"race-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    with ThreadPoolExecutor(8) as pool:
        written = list(
            pool.map(lambda i: s3.put_object(Bucket=name, Key="k", Body=str(i).encode())["VersionId"], range(40))
        )
    listed = {version["VersionId"] for version in s3.list_object_versions(Bucket=name)["Versions"]}
    assert listed == set(written)
    read = [s3.get_object(Bucket=name, Key="k", VersionId=version)["Body"].read() for version in written]
    assert read == [str(i).encode() for i in range(40)]


def test_a_body_that_does_not_match_its_checksum_is_refused(s3, bucket):
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="bad", Body=b"abc", ChecksumCRC32="AAAAAA==")
    assert refused.value.response["Error"]["Code"] == "BadDigest"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_presigned_url_works_and_a_tampered_one_does_not(cloud, s3, bucket, version):
    s3.put_object(Bucket=bucket, Key="shared", Body=b"hello")
    signer = cloud.client("s3", config=Config(signature_version=version))
    url = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "shared"})
    assert requests.get(url, timeout=60).content == b"hello"
    assert requests.get(url.replace("shared", "big.bin"), timeout=60).status_code == 403


def test_missing_bucket_and_foreign_etag_are_refused(s3, bucket):
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket="no-such-bucket-here", Key="k", Body=b"")
    assert refused.value.response["Error"]["Code"] == "NoSuchBucket"
    s3.put_object(Bucket=bucket, Key="once", Body=b"1")
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="once", Body=b"2", IfNoneMatch="*")
    assert refused.value.response["Error"]["Code"] == "PreconditionFailed"


def test_operations_that_nobody_answers_are_refused_by_name(s3, bucket):
    metrics = {"Id": "m"}
    with pytest.raises(ClientError, match=r"PutBucketMetricsConfiguration.*coverage"):
        s3.put_bucket_metrics_configuration(Bucket=bucket, Id="m", MetricsConfiguration=metrics)
    with pytest.raises(ClientError, match="CRC32C"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"1", ChecksumCRC32C="AAAAAA==")
