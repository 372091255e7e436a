"""Listings: every page is the one that AWS's description gives, and costs what it shows."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from botocore.handlers import set_list_objects_encoding_type_url

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


def test_no_page_has_more_than_a_thousand_entries(cloud):
    """Whatever is asked for: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html"""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="thousand-and-one")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: s3.put_object(Bucket="thousand-and-one", Key=f"{n:04}", Body=b""), range(1001)))
    for listing in (s3.list_objects_v2, s3.list_objects):
        page = listing(Bucket="thousand-and-one", MaxKeys=5000)
        assert (len(page["Contents"]), page["IsTruncated"]) == (1000, True)
    assert len(s3.list_object_versions(Bucket="thousand-and-one", MaxKeys=5000)["Versions"]) == 1000


HARD = ["a&b<c>d.txt", 'quo"te', "plus+per%cent", "tab\there", "line\nfeed\rreturn", "blank end ", "é\U0010ffff", "]]>"]


def test_names_of_any_kind_come_back_as_they_were_given(cloud):
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="hard-names")
    for name in HARD:
        s3.put_object(Bucket="hard-names", Key=f"in {name}/{name}", Body=b"")
    assert {e["Key"] for e in s3.list_objects_v2(Bucket="hard-names")["Contents"]} == {f"in {n}/{n}" for n in HARD}
    for name in HARD:
        page = s3.list_objects_v2(Bucket="hard-names", Prefix=f"in {name}/", Delimiter=name, StartAfter="in")
        assert [e["Prefix"] for e in page["CommonPrefixes"]] == [f"in {name}/{name}"]
        assert (page["Prefix"], page["Delimiter"], page["StartAfter"]) == (f"in {name}/", name, "in")
    # Without the encoding that boto3 asks for, as XML can hold them.
    tamed = cloud.client("s3")
    tamed.meta.events.unregister("before-parameter-build.s3.ListObjectsV2", set_list_objects_encoding_type_url)
    plain = [name for name in HARD if name.isprintable()]
    shown = {e["Key"] for e in tamed.list_objects_v2(Bucket="hard-names", Prefix="in ")["Contents"]}
    assert {f"in {name}/{name}" for name in plain} <= shown


def test_a_page_says_what_the_service_model_says_it_says(cloud):
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="told")
    s3.put_object(Bucket="told", Key="k", Body=b"12345", ChecksumAlgorithm="CRC32")
    page = s3.list_objects_v2(Bucket="told", FetchOwner=True, MaxKeys=7)
    (entry,) = page["Contents"]
    head = s3.head_object(Bucket="told", Key="k")
    assert (entry["Key"], entry["Size"], entry["StorageClass"], entry["ETag"]) == ("k", 5, "STANDARD", head["ETag"])
    assert (entry["LastModified"], entry["ChecksumAlgorithm"]) == (head["LastModified"], ["CRC32"])
    assert entry["Owner"]["ID"] and "Owner" not in s3.list_objects_v2(Bucket="told")["Contents"][0]
    assert (page["Name"], page["MaxKeys"], page["KeyCount"], page["IsTruncated"]) == ("told", 7, 1, False)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.list_objects_v2(Bucket="told-nobody")


def test_every_answer_of_s3_has_the_ids_by_which_it_can_be_asked_for(cloud):
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="identified")
    answers = [
        s3.put_object(Bucket="identified", Key="k", Body=b""), s3.get_object(Bucket="identified", Key="k"),
        s3.head_bucket(Bucket="identified"), s3.list_objects_v2(Bucket="identified"), s3.list_buckets(),
    ]  # fmt: skip
    ids = {answer["ResponseMetadata"]["RequestId"] for answer in answers}
    assert len(ids) == len(answers) and "" not in ids
    assert all(answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-id-2"] for answer in answers)
    assert answers[2]["BucketRegion"] == "us-east-1"
    with pytest.raises(ClientError) as missing:
        s3.head_bucket(Bucket="identified-nobody")
    said = missing.value.response["ResponseMetadata"]
    assert said["HTTPStatusCode"] == 404 and said["RequestId"]
    assert said["HTTPHeaders"]["content-type"] == "application/xml"


def test_a_token_that_is_none_is_refused(listed):
    s3, _, _ = listed
    with pytest.raises(ClientError, match="continuation token provided is incorrect"):
        s3.list_objects_v2(Bucket="listed", ContinuationToken="not a token!")
