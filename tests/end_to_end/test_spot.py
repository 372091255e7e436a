"""Managed spot: the pipeline's training loses its instance, starts again, and ends with the model that it would have had."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time

import boto3
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
REQUEST = (
    "AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig", "HyperParameters", "Environment",
)  # fmt: skip


@pytest.fixture(scope="module")
def spot(deployed_with, photos, tmp_path_factory):
    """A deployment with `spot_training`, an execution whose training was interrupted, and clients of its cloud."""
    request = tmp_path_factory.mktemp("input") / "input.json"
    # Enough epochs to be interrupted in the middle: each ends with a checkpoint.
    request.write_text(json.dumps({
        "tuning": {"enabled": False}, "explain": {"enabled": False}, "bias": {"enabled": False},
        "hyperparameters": {"epochs": 600, "batch_size": 8, "observe": "off"}, "quality_gate": {"minimum": 0.3},
    }))  # fmt: skip
    manifest = photos / "photos.manifest"
    labelled = sorted(photos.glob("*/*.jpg"))
    manifest.write_text(
        "\n".join(
            json.dumps({"source-ref": str(path.relative_to(photos)), "label": path.parent.name}) for path in labelled
        )
    )
    command, running = deployed_with("spot_training=true", "endpoints.cpu.enabled=false"), None
    try:
        words = ["darkroom", "run", "--data", str(manifest), "--input", str(request), "--name", "spot-1", "--json"]
        running = subprocess.Popen(
            words, env=command.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        cloud = json.loads((command.home / "cloud" / "cloud.json").read_text())
        session = boto3.Session(cloud["access_key_id"], cloud["secret_access_key"], region_name=cloud["region"])
        sagemaker, s3, logs = (
            session.client(name, endpoint_url=cloud["endpoint"]) for name in ("sagemaker", "s3", "logs")
        )
        name = until(lambda: in_training(running, sagemaker, logs))
        command("interrupt", name)
        out, log = running.communicate(timeout=400)
        assert running.returncode == 0, log
        yield command, json.loads(out), sagemaker, s3, sagemaker.describe_training_job(TrainingJobName=name)
    finally:
        if running and running.poll() is None:
            running.kill()
        manifest.unlink()


def until(ready, seconds=240):
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)
    return found


def in_training(running, sagemaker, logs):
    """The name of a training job that has said something of an epoch: it has a checkpoint now."""
    assert running.poll() is None, running.communicate()
    for job in sagemaker.list_training_jobs()["TrainingJobSummaries"]:
        name = job["TrainingJobName"]
        assert job["TrainingJobStatus"] == "InProgress", sagemaker.describe_training_job(TrainingJobName=name)
        if "epoch=3;" in lines_of(logs, name):
            return name
    return None


def lines_of(logs, job):
    try:
        found = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{job}/")
    except logs.exceptions.ResourceNotFoundException:
        return ""
    return "\n".join(event["message"] for event in found["events"])


def model_of(s3, uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    packed = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return archive.extractfile("model.onnx").read()


def test_an_interrupted_training_starts_again_and_the_pipeline_goes_on(spot):
    _, summary, _, _, job = spot
    assert summary["status"] == "SUCCEEDED"
    statuses = [one["Status"] for one in job["SecondaryStatusTransitions"]]
    assert "Interrupted" in statuses and "Restarting" in statuses and job["TrainingJobStatus"] == "Completed"


def test_it_went_on_from_its_checkpoint_to_the_model_that_it_would_have_had(spot):
    command, _, sagemaker, s3, job = spot
    log = command.shell(
        "aws logs filter-log-events --log-group-name /aws/sagemaker/TrainingJobs --query 'events[].message' --output text"
    ).stdout
    assert "continuing from the checkpoint at epoch" in log
    again = {name: job[name] for name in REQUEST if name in job}
    sagemaker.create_training_job(
        **again, TrainingJobName="uninterrupted", StoppingCondition={"MaxRuntimeInSeconds": 600}
    )
    done = until(
        lambda: (
            found if (found := sagemaker.describe_training_job(TrainingJobName="uninterrupted"))["TrainingJobStatus"]
            != "InProgress" else None
        )
    )  # fmt: skip
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    one, other = (model_of(s3, found["ModelArtifacts"]["S3ModelArtifacts"]) for found in (job, done))
    assert one == other


def test_a_manifest_given_as_data_labels_the_photos(spot):
    _, _, _, s3, job = spot
    bucket = job["OutputDataConfig"]["S3OutputPath"].removeprefix("s3://").partition("/")[0]
    plan = json.loads(s3.get_object(Bucket=bucket, Key="executions/spot-1/plan/plan.json")["Body"].read())
    assert plan["dataset"]["classes"] == ["bars", "diagonals", "stripes"]


def test_what_cannot_be_interrupted_is_refused_in_words(spot):
    command, *_, job = spot
    refused = command("interrupt", job["TrainingJobName"], check=False)
    assert refused.returncode == 1 and "cannot be interrupted: it is Completed" in refused.stderr
