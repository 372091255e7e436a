"""Versioning that is suspended: the null version is replaced, the versions of before stay.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/AddingObjectstoVersionSuspendedBuckets.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeletingObjectsfromVersionSuspendedBuckets.html
"""

from __future__ import annotations

import uuid

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def suspended(cloud):
    """A bucket with a null version, two versions, and versioning suspended; the ids of its versions."""
    s3, name = cloud.client("s3"), f"suspended-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"null-1")
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    ids = [s3.put_object(Bucket=name, Key="k", Body=body)["VersionId"] for body in (b"one", b"two")]
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    return s3, name, ids


def _versions(s3, bucket) -> list[tuple[str, bool]]:
    listed = s3.list_object_versions(Bucket=bucket)
    return [(v["VersionId"], v["IsLatest"]) for v in listed.get("Versions", [])]


def test_a_write_replaces_the_null_version_only(suspended):
    s3, bucket, (one, two) = suspended
    assert _versions(s3, bucket) == [(two, True), (one, False), ("null", False)]
    s3.put_object(Bucket=bucket, Key="k", Body=b"null-2")
    s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k", MetadataDirective="REPLACE", Metadata={"a": "b"})
    assert _versions(s3, bucket) == [("null", True), (two, False), (one, False)]
    read = {v: s3.get_object(Bucket=bucket, Key="k", VersionId=v)["Body"].read() for v in (one, two, "null")}
    assert read == {one: b"one", two: b"two", "null": b"null-2"}
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"null-2"


def test_a_delete_takes_the_null_version_and_leaves_a_null_marker(suspended):
    s3, bucket, (one, two) = suspended
    s3.put_object(Bucket=bucket, Key="k", Body=b"null-2")
    deleted = s3.delete_object(Bucket=bucket, Key="k")
    assert deleted["DeleteMarker"] and deleted["VersionId"] == "null"
    assert _versions(s3, bucket) == [(two, False), (one, False)]
    (marker,) = s3.list_object_versions(Bucket=bucket)["DeleteMarkers"]
    assert (marker["VersionId"], marker["IsLatest"]) == ("null", True)
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="k")
    # A second delete replaces the marker, and a write takes its place.
    s3.delete_object(Bucket=bucket, Key="k")
    assert len(s3.list_object_versions(Bucket=bucket)["DeleteMarkers"]) == 1
    s3.put_object(Bucket=bucket, Key="k", Body=b"null-3")
    assert _versions(s3, bucket) == [("null", True), (two, False), (one, False)]
    assert "DeleteMarkers" not in s3.list_object_versions(Bucket=bucket)


def test_a_named_version_can_be_deleted_and_the_others_stay(suspended):
    s3, bucket, (one, two) = suspended
    assert s3.delete_object(Bucket=bucket, Key="k", VersionId=two)["VersionId"] == two
    assert _versions(s3, bucket) == [(one, True), ("null", False)]
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": "null"}]})
    assert _versions(s3, bucket) == [(one, True)]
    s3.delete_object(Bucket=bucket, Key="k", VersionId=one)
    assert _versions(s3, bucket) == []
    s3.delete_bucket(Bucket=bucket)


def test_versioning_that_is_switched_on_again_adds_versions(suspended):
    s3, bucket, (one, two) = suspended
    s3.put_object(Bucket=bucket, Key="k", Body=b"null-2")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    three = s3.put_object(Bucket=bucket, Key="k", Body=b"three")["VersionId"]
    assert [version for version, _ in _versions(s3, bucket)] == [three, "null", two, one]
