"""Whatever fails ends as one sentence: what failed, why, where the log is, what to do."""

from __future__ import annotations

import json

import pytest

from darkroom.failures import explained
from darkroom.history import read


def described(kind: str, **fields: str) -> str:
    """The cause of a failed job, as Step Functions hands it over."""
    return json.dumps({f"{kind}JobName": f"d-{kind}-0-0", f"{kind}JobStatus": "Failed", **fields})


def test_a_processing_job_speaks_for_itself():
    """ExitMessage is what our own code wrote; FailureReason is what SageMaker made of it."""
    cause = described(
        "Processing", ExitMessage="model: resnet1800 is unknown", FailureReason="AlgorithmError: exit code 1"
    )
    assert explained("Prepare dataset", "States.TaskFailed", cause) == {
        "name": "States.TaskFailed",
        "reason": "Prepare dataset failed: model: resnet1800 is unknown",
        "log": "group /aws/sagemaker/ProcessingJobs, streams that begin with d-Processing-0-0",
        "fix": "Correct what the reason names and start again; the log has the details.",
    }


@pytest.mark.parametrize(
    ("kind", "group"),
    [("Processing", "ProcessingJobs"), ("Training", "TrainingJobs"), ("HyperParameterTuning", "TrainingJobs"),
     ("Transform", "TransformJobs")],
)  # fmt: skip
def test_the_jobs_reason_and_its_log_are_named(kind, group):
    found = explained("Step", "States.TaskFailed", described(kind, FailureReason="the machine went away"))
    assert found["reason"] == "Step failed: the machine went away"
    assert found["log"] == f"group /aws/sagemaker/{group}, streams that begin with d-{kind}-0-0"


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("CapacityError: Unable to provision requested ML compute capacity.", "no such instance free"),
        ("ResourceLimitExceeded: The account-level service limit is 0 Instances", "Service Quotas"),
        ("ClientError: AccessDenied on s3://other/photos", "readable_prefixes"),
        ("ClientError: No S3 objects found under S3 URL s3://photos/none", "aws s3 ls"),
        ("MaxRuntimeExceeded: Training job runtime exceeded MaxRuntimeInSeconds", "max_runtime_minutes"),
        ("AlgorithmError: CUDA error: out of memory, exit code: 1", "batch_size"),
        ("AlgorithmError: OutOfMemoryError: the process was killed by the kernel, exit code: 137", "ran out of memory"),
        ("AlgorithmError: the process was killed from outside (SIGKILL), exit code: 137", "killed from outside"),
        ("AlgorithmError: , exit code: 137", "nothing says that memory was short"),
        ("AlgorithmError: learning_rate must be positive", "what the reason names"),
        ("No training job succeeded after 5 attempts. For additional details, please take a look", "`minutes`"),
    ],
)
def test_the_kind_of_error_decides_the_advice(reason, advice):
    assert advice in explained("Train", "States.TaskFailed", described("Training", FailureReason=reason))["fix"]


def test_a_state_that_timed_out_is_told_so():
    found = explained("Batch transform", "States.Timeout", "")
    assert (found["reason"], found["log"]) == ("Batch transform failed: States.Timeout", "")
    assert "max_runtime_minutes" in found["fix"]


@pytest.mark.parametrize("cause", ['{"Status": "Failed"}', "[1]", "not JSON {", '{"TrainingJobName": "x"}'])
def test_a_cause_that_only_looks_like_a_job_is_given_as_it_is(cause):
    assert explained("Train", "States.TaskFailed", cause)["reason"] == f"Train failed: {cause} (States.TaskFailed)"


def test_the_sentences_of_an_older_deployment_are_read():
    cause = "Prepare dataset failed: seed: 'x' | Log: group /aws/sagemaker/ProcessingJobs, streams x | What to do: Give a number."
    assert explained("Execution failed", "PrepareDatasetFailed", cause) == {
        "name": "PrepareDatasetFailed",
        "reason": "Prepare dataset failed: seed: 'x'",
        "log": "group /aws/sagemaker/ProcessingJobs, streams x",
        "fix": "Give a number.",
    }


@pytest.mark.parametrize("follows", ["ExecutionRedriven", "TaskStateEntered"])
def test_a_step_that_was_redriven_is_one_step_with_its_last_job(follows):
    """Nobody has recorded which event AWS says that the redriven task follows."""
    kinds = ["ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskFailed", "ExecutionFailed", "ExecutionRedriven",
             "TaskScheduled", "TaskSucceeded", "TaskStateExited"]  # fmt: skip
    previous = [0, 0, 2, 3, 4, 5, {"ExecutionRedriven": 6, "TaskStateEntered": 2}[follows], 7, 8]
    events = [
        {"id": n + 1, "type": kind, "previousEventId": before, "timestamp": n}
        for n, (kind, before) in enumerate(zip(kinds, previous, strict=True))
    ]
    events[1]["stateEnteredEventDetails"] = {"name": "Train"}
    for n, name in ((2, "t-0"), (6, "t-1")):
        parameters = json.dumps({"TrainingJobName": name})
        events[n]["taskScheduledEventDetails"] = {"resource": "createTrainingJob.sync", "parameters": parameters}
    (step,) = read(events)
    assert (step.name, step.status, step.job, step.error) == ("Train", "Succeeded", "t-1", "")
