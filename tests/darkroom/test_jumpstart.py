"""The request for JumpStart's own image: valid by botocore's model, since it can be run on AWS only."""

from __future__ import annotations

import json

import pytest

from darkroom import jumpstart
from darkroom.failure import DarkroomError
from tests.infra.api import problems

ROLE = "arn:aws:iam::000000000000:role/training"
ASKED = {"region": "eu-west-1", "role": ROLE, "dataset": "s3://bucket/photos/", "output": "s3://bucket/out/"}
CREATE = "arn:aws:states:::sagemaker:createTrainingJob.sync"


@pytest.mark.parametrize(
    ("model", "rate"),
    [
        ("pytorch-ic-resnet18", "adam-learning-rate"),
        ("tensorflow-ic-imagenet-inception-v3-classification-4", "learning_rate"),
        ("tensorflow-ic-bit-s-r101x1-ilsvrc2012-classification-1", "learning_rate"),
    ],
)
def test_the_request_is_one_that_sagemaker_accepts(model, rate):
    request = jumpstart.training_request(model, learning_rate=0.002, **ASKED)
    assert problems(CREATE, request) == []
    assert request["HyperParameters"][rate] == "0.002"
    framework = model.split("-")[0]
    image = request["AlgorithmSpecification"]["TrainingImage"]
    assert ".dkr.ecr.eu-west-1.amazonaws.com/" in image and f"{framework}-training:" in image
    weights = request["InputDataConfig"][1]["DataSource"]["S3DataSource"]["S3Uri"]
    assert weights == f"s3://jumpstart-cache-prod-eu-west-1/{framework}-training/train-{model}.tar.gz"


def test_a_wrong_request_would_be_found():
    assert problems(CREATE, jumpstart.training_request("pytorch-ic-resnet18", **{**ASKED, "role": "nobody"}))


@pytest.mark.parametrize(
    ("model", "changed", "named"),
    [
        ("huggingface-llm-x", {}, "huggingface-llm-x"),
        ("pytorch-ic-resnet18", {"dataset": "photos/"}, "photos/"),
        ("pytorch-ic-resnet18", {"region": "mars-1"}, "mars-1"),
    ],
)
def test_what_is_no_jumpstart_classifier_is_refused_by_name(model, changed, named):
    with pytest.raises(DarkroomError, match=named):
        jumpstart.training_request(model, **{**ASKED, **changed})


def test_the_command_prints_the_request_and_starts_nothing(darkroom):
    answer = darkroom(
        "jumpstart-request", "pytorch-ic-resnet18", "--data", "s3://b/p/", "--role", ROLE, "--output", "s3://b/o/"
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["RoleArn"] == ROLE
