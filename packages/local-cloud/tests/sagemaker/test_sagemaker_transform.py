"""Transform jobs: one answer per object, records cut and joined, failures explained."""

from __future__ import annotations

import gzip
import json

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from local_cloud.sagemaker.transform_records import batches
from tests.sagemaker.platform import INSTANCE, new_name


def transform(platform, prefix, model, *, given=None, output=None, **fields):
    name = new_name("transform")
    source = {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": platform.uri(prefix)}}}
    platform.api.create_transform_job(
        TransformJobName=name,
        ModelName=model,
        TransformInput={**source, "ContentType": "text/plain", **(given or {})},
        TransformOutput={"S3OutputPath": platform.uri(f"answers/{name}"), **(output or {})},
        TransformResources={"InstanceType": INSTANCE, "InstanceCount": 1},
        **fields,
    )
    return platform.finished("TransformJob", name)


def answers(platform, job):
    prefix = f"answers/{job['TransformJobName']}/"
    return {key.removeprefix(prefix): platform.read(key) for key in platform.keys(prefix)}


@pytest.fixture(scope="module")
def model(platform):
    return platform.model("m")


def test_every_object_gets_one_answer(platform, model):
    for name in ("a/1.jpg", "a/2.jpg", "3.jpg"):
        platform.put(f"batch/{name}", name)
    job = transform(platform, "batch/", model, MaxConcurrentTransforms=3)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert answers(platform, job) == {"a/1.jpg.out": b"m:a/1.jpg", "a/2.jpg.out": b"m:a/2.jpg", "3.jpg.out": b"m:3.jpg"}


@pytest.mark.parametrize("strategy", ["SingleRecord", "MultiRecord"])
def test_lines_are_records(platform, model, strategy):
    platform.put("lines/x.csv", "1,2\n33,44\n5\n")
    job = transform(
        platform, "lines/", model, given={"ContentType": "text/csv", "SplitType": "Line"}, output={"AssembleWith": "Line"},
        BatchStrategy=strategy,
    )  # fmt: skip
    assert answers(platform, job) == {"x.csv.out": b"3\n5\n1\n"}


def test_an_answer_is_joined_with_its_record(platform, model):
    platform.put("join/x.csv", "ann,1\nbob,22\n")
    job = transform(
        platform, "join/", model,
        given={"ContentType": "text/csv", "SplitType": "Line"}, output={"AssembleWith": "Line", "Accept": "text/csv"},
        DataProcessing={"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
    )  # fmt: skip
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert answers(platform, job) == {"x.csv.out": b"ann,1\nbob,2\n"}


def test_compressed_objects_are_unpacked(platform, model):
    platform.put("zipped/x.gz", gzip.compress(b"text"))
    job = transform(platform, "zipped/", model, given={"CompressionType": "Gzip"})
    assert answers(platform, job) == {"x.gz.out": b"m:text"}


@pytest.mark.parametrize(("body", "text"), [("refuse", "415: not a photo"), ("fail", "500: it broke")])
def test_a_refused_record_fails_the_job_and_says_which(platform, model, body, text):
    platform.put(f"bad-{body}/good.txt", "fine")
    platform.put(f"bad-{body}/worse.txt", body)
    job = transform(platform, f"bad-{body}/", model)
    assert job["TransformJobStatus"] == "Failed"
    assert text in job["FailureReason"] and "worse.txt" in job["FailureReason"]


def test_a_model_that_cannot_start_fails_the_job_with_its_last_words(platform):
    platform.put("batch2/1.jpg")
    broken = platform.model("m", Environment={"BREAK": "1"})
    job = transform(platform, "batch2/", broken)
    assert job["TransformJobStatus"] == "Failed" and "this server cannot start" in job["FailureReason"]


def test_what_cannot_be_transformed_is_refused(platform, model):
    platform.put("some/1.txt")
    for fields, text in (
        ({"given": {"SplitType": "RecordIO"}}, "RecordIO"),
        ({"MaxConcurrentTransforms": 50, "MaxPayloadInMB": 20}, "must not exceed"),
        ({"DataProcessing": {"InputFilter": "$[["}}, "InputFilter"),
    ):
        with pytest.raises(ClientError, match=text):
            transform(platform, "some/", model, **fields)
    with pytest.raises(ClientError, match="Could not find model"):
        transform(platform, "some/", "nobody")
    with pytest.raises(ClientError, match="No S3 objects found"):
        transform(platform, "nothing-here/", model)


@given(st.lists(st.binary(min_size=1, max_size=30).filter(lambda b: b.strip() and b"\n" not in b), min_size=1, max_size=20),
       st.integers(30, 100))  # fmt: skip
def test_batches_lose_no_record_and_keep_the_limit(records, limit):
    made = list(batches(b"\n".join(records), "Line", "MultiRecord", limit))
    assert [record for batch in made for record in batch] == records
    assert all(len(b"\n".join(batch)) <= limit for batch in made)
    assert json.dumps(len(list(batches(b"\n".join(records), "Line", "SingleRecord", limit)))) == str(len(records))
