"""The samples that AWS's guide trains and tunes with run here, with nothing changed but their ARNs, bucket and image."""

from __future__ import annotations

import json
import uuid

import pytest

from local_cloud.testing import RunningCloud, wait_until
from tests import samples
from tests.functions import make, role
from tests.sagemaker.platform import Platform

# The actions that the guide gives the state machine, the jobs and the functions.
OF_MACHINE = (
    "sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob", "sagemaker:ListTags",
    "sagemaker:AddTags", "sagemaker:CreateModel", "sagemaker:CreateTransformJob", "sagemaker:DescribeTransformJob",
    "sagemaker:StopTransformJob", "sagemaker:CreateHyperParameterTuningJob", "sagemaker:DescribeHyperParameterTuningJob",
    "sagemaker:StopHyperParameterTuningJob", "iam:PassRole", "lambda:InvokeFunction", "events:PutTargets", "events:PutRule",
    "events:DescribeRule",
)  # fmt: skip
OF_JOBS = (
    "cloudwatch:PutMetricData", "logs:CreateLogStream", "logs:PutLogEvents", "logs:CreateLogGroup", "logs:DescribeLogStreams",
    "s3:GetObject", "s3:PutObject", "s3:ListBucket", "ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability",
    "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage",
)  # fmt: skip
OF_FUNCTIONS = ("s3:PutObject", "sagemaker:DescribeTrainingJob", "logs:*")


@pytest.fixture(scope="module")
def image(platform: Platform) -> str:
    return platform.image("xgboost", samples.IMAGE)


def ran(cloud: RunningCloud, definition: dict) -> dict:
    states = cloud.client("stepfunctions")
    arn = states.create_state_machine(
        name=f"sample-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=role(cloud, "states.amazonaws.com", *OF_MACHINE)
    )["stateMachineArn"]  # fmt: skip
    started = states.start_execution(stateMachineArn=arn, name=f"run-{uuid.uuid4().hex[:12]}")["executionArn"]
    wait_until(
        lambda: states.describe_execution(executionArn=started)["status"] != "RUNNING", 240, "the end of the sample"
    )
    execution = states.describe_execution(executionArn=started)
    assert execution["status"] == "SUCCEEDED", execution
    return json.loads(execution["output"])


def predictions(cloud: RunningCloud, bucket: str) -> list[float]:
    body = cloud.client("s3").get_object(Bucket=bucket, Key="output/test.csv.out")["Body"].read().decode()
    return [float(word) for word in body.split()]


def seeded(cloud: RunningCloud) -> tuple[str, str]:
    """A bucket, and a function that seeds it, of the Python that the guide's own is written in."""
    bucket = f"sample-{uuid.uuid4().hex[:8]}"
    cloud.client("s3").create_bucket(Bucket=bucket)
    return bucket, function(cloud, samples.GENERATE, BUCKET=bucket)


def function(cloud: RunningCloud, code: str, **variables: str) -> str:
    allowed = role(cloud, "lambda.amazonaws.com", *OF_FUNCTIONS)
    name = make(cloud, code, Role=allowed, Environment={"Variables": variables})
    return f"arn:aws:lambda:us-east-1:000000000000:function:{name}"


@pytest.mark.slow
def test_the_sample_that_trains_a_model_runs(cloud: RunningCloud, image: str) -> None:
    bucket, generate = seeded(cloud)
    jobs = role(cloud, "sagemaker.amazonaws.com", *OF_JOBS)
    output = ran(cloud, samples.train(bucket, jobs, image, generate))
    assert output["TransformJobStatus"] == "Completed" and output["TransformInput"]["ContentType"] == "text/csv"
    assert len(predictions(cloud, bucket)) == 20 and all(0 <= value <= 1 for value in predictions(cloud, bucket))


@pytest.mark.slow
def test_the_sample_that_tunes_a_model_runs(cloud: RunningCloud, image: str) -> None:
    bucket, generate = seeded(cloud)
    jobs = role(cloud, "sagemaker.amazonaws.com", *OF_JOBS)
    path, name = function(cloud, samples.EXTRACT_PATH), function(cloud, samples.EXTRACT_NAME)
    output = ran(cloud, samples.tune(bucket, jobs, image, generate, path, name))
    assert output["TransformJobStatus"] == "Completed"
    job = cloud.client("sagemaker").describe_training_job(TrainingJobName=output["ModelName"])
    assert "validation:rmse" in {metric["MetricName"] for metric in job["FinalMetricDataList"]}
    assert len(predictions(cloud, bucket)) == 20
