"""Listings: every page is the one that AWS's description gives, and costs what it shows."""

from __future__ import annotations

import random

import pytest
from botocore.exceptions import ClientError

ALPHABET = ["a", "b", "/", "é", "\U0010ffff", "Z", "~"]


@pytest.fixture(scope="module")
def listed(cloud):
    """A bucket with awkward names, some of them deleted; its names in the order of their UTF-8 bytes."""
    s3, dice = cloud.client("s3"), random.Random(5)
    s3.create_bucket(Bucket="listed")
    s3.put_bucket_versioning(Bucket="listed", VersioningConfiguration={"Status": "Enabled"})
    names = sorted({"".join(dice.choices(ALPHABET, k=dice.randint(1, 5))) for _ in range(120)} | {"a/", "a/a", "a/b"})
    names = [name for name in names if not name.startswith("/")]
    for name in names:
        s3.put_object(Bucket="listed", Key=name, Body=b"")
    gone = set(names[::7])
    s3.delete_objects(Bucket="listed", Delete={"Objects": [{"Key": name} for name in gone]})
    return s3, sorted((name for name in names if name not in gone), key=str.encode), names


def _expected(names, prefix, delimiter, after) -> list[str]:
    """What ListObjectsV2 is described to show, said as simply as it can be."""
    entries = []
    for name in names:
        rest = name.removeprefix(prefix) if name.startswith(prefix) else None
        if rest is None:
            continue
        entry = prefix + rest.split(delimiter)[0] + delimiter if delimiter and delimiter in rest else name
        if entry not in entries:
            entries.append(entry)
    return [entry for entry in sorted(entries, key=str.encode) if not after or entry.encode() > after.encode()]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(("prefix", "delimiter"), [("", ""), ("", "/"), ("a", "/"), ("a/", "/"), ("a/", ""), ("", "b")])
def test_the_pages_together_are_all_entries_in_order(listed, prefix, delimiter, size):
    s3, names, _ = listed
    found, more = [], {}
    while True:
        page = s3.list_objects_v2(
            Bucket="listed", Prefix=prefix, MaxKeys=size, **({"Delimiter": delimiter} if delimiter else {}), **more
        )
        keys = [e["Key"] for e in page.get("Contents", [])] + [e["Prefix"] for e in page.get("CommonPrefixes", [])]
        assert len(keys) == page["KeyCount"] <= size
        found += sorted(keys, key=str.encode)
        if not page["IsTruncated"]:
            break
        more = {"ContinuationToken": page["NextContinuationToken"]}
    assert found == _expected(names, prefix, delimiter, "")


@pytest.mark.parametrize("after", ["a/", "a/a", "b", "\U0010ffff", "zzz"])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_a_listing_starts_behind_what_it_is_told(listed, after, delimiter):
    s3, names, _ = listed
    options = {"Delimiter": delimiter} if delimiter else {}
    page = s3.list_objects_v2(Bucket="listed", StartAfter=after, **options)
    found = [e["Key"] for e in page.get("Contents", [])] + [e["Prefix"] for e in page.get("CommonPrefixes", [])]
    assert sorted(found, key=str.encode) == _expected(names, "", delimiter, after)
    old = s3.list_objects(Bucket="listed", Marker=after, **options)
    found = [e["Key"] for e in old.get("Contents", [])] + [e["Prefix"] for e in old.get("CommonPrefixes", [])]
    assert sorted(found, key=str.encode) == _expected(names, "", delimiter, after)


def test_the_old_listing_gives_its_next_marker_with_a_delimiter_only(listed):
    s3, names, _ = listed
    pages = list(s3.get_paginator("list_objects").paginate(Bucket="listed", PaginationConfig={"PageSize": 9}))
    assert [e["Key"] for page in pages for e in page["Contents"]] == names
    assert "NextMarker" not in pages[0]
    first = s3.list_objects(Bucket="listed", Delimiter="/", MaxKeys=3)
    assert first["NextMarker"] == _expected(names, "", "/", "")[2]


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_the_pages_of_versions_together_are_all_versions(listed, size):
    s3, _, names = listed
    pages = list(
        s3.get_paginator("list_object_versions").paginate(Bucket="listed", PaginationConfig={"PageSize": size})
    )
    versions = [v["Key"] for page in pages for v in page.get("Versions", [])]
    markers = [m["Key"] for page in pages for m in page.get("DeleteMarkers", [])]
    assert versions == sorted(names, key=str.encode)
    assert markers == sorted(names[::7], key=str.encode)
    latest = {v["Key"] for page in pages for v in page.get("Versions", []) if v["IsLatest"]}
    assert latest == set(names) - set(markers)


def test_a_token_that_is_none_is_refused(listed):
    s3, _, _ = listed
    with pytest.raises(ClientError, match="continuation token provided is incorrect"):
        s3.list_objects_v2(Bucket="listed", ContinuationToken="not a token!")
