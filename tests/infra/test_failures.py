"""Whatever fails ends as one sentence: what failed, why, where the log is, what to do."""

from __future__ import annotations

import pytest

from tests.infra.pipeline_run import SAMPLE, Account
from tests.infra.state_machine import TaskFailed

SINGLE = {"tuning": {"mode": "single_job"}}
NOTHING = {"explain": {"enabled": False}, "bias": {"enabled": False}}


def fail(definition, failing, **given):
    return Account(definition, failing=failing).run({**SAMPLE, **given})


@pytest.mark.parametrize("settings", ["default", "full"])
def test_every_state_that_calls_a_service_has_its_failure_described(request, settings):
    definition = request.getfixturevalue(settings).definition
    tasks = [name for name, state in definition["States"].items() if state["Type"] == "Task"]
    assert len(tasks) >= 20
    # With manual approval the states that publish are not there to fail.
    for name in tasks:
        given = {**(SINGLE if name in ("Tune in one job", "Read best trial") else {}),
                 **(NOTHING if name.startswith("Skip") else {})}  # fmt: skip
        outcome = fail(definition, {name: TaskFailed("Some.Error", "because")}, **given)
        assert outcome.status == "FAILED", name
        assert outcome.visited[-1] == "Execution failed"
        assert outcome.cause.startswith(f"{name} failed: because (Some.Error)")
        assert outcome.error == "".join(word.capitalize() for word in name.split()) + "Failed"
        assert "What to do: " in outcome.cause


def test_a_processing_job_speaks_for_itself(default):
    """ExitMessage is what our own code wrote; FailureReason is what SageMaker made of it."""
    reason = {"ExitMessage": "model: resnet1800 is unknown", "FailureReason": "AlgorithmError: exit code 1"}
    outcome = fail(default.definition, {"Prepare dataset": reason})
    assert outcome.error == "PrepareDatasetFailed"
    assert "Prepare dataset failed: model: resnet1800 is unknown |" in outcome.cause
    assert "/aws/sagemaker/ProcessingJobs" in outcome.cause
    assert outcome.requests["Prepare dataset"]["ProcessingJobName"] in outcome.cause


@pytest.mark.parametrize(
    ("step", "reason", "group"),
    [
        ("Prepare dataset", {"FailureReason": "the machine went away"}, "ProcessingJobs"),
        ("Train best model", {"FailureReason": "AlgorithmError: loss is NaN"}, "TrainingJobs"),
        ("Tune hyperparameters", {"FailureReason": "All trials failed"}, "TrainingJobs"),
        ("Batch transform", {"FailureReason": "ClientError: See job logs"}, "TransformJobs"),
    ],
)
def test_the_jobs_reason_and_its_log_are_named(default, step, reason, group):
    outcome = fail(default.definition, {step: reason})
    assert f"{step} failed: {reason['FailureReason']} |" in outcome.cause
    assert f"Log: group /aws/sagemaker/{group}, streams that begin with darkroom-dev-" in outcome.cause


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
def test_the_kind_of_error_decides_the_advice(default, reason, advice):
    outcome = fail(default.definition, {"Train best model": {"FailureReason": reason}})
    assert advice in outcome.cause.split("What to do: ")[1]


def test_a_state_that_timed_out_is_told_so(default):
    outcome = fail(default.definition, {"Batch transform": TaskFailed("States.Timeout", "")})
    assert "max_runtime_minutes" in outcome.cause


def test_a_cause_that_only_looks_like_a_job_is_given_as_it_is(default):
    outcome = fail(default.definition, {"Train best model": TaskFailed("States.TaskFailed", '{"Status": "Failed"}')})
    assert '{"Status": "Failed"}' in outcome.cause


def test_nothing_is_registered_after_a_failure(default):
    outcome = fail(default.definition, {"Measure bias": {"FailureReason": "x"}})
    assert "Register model" not in outcome.visited


@pytest.mark.parametrize("name", ["Prepare dataset", "Train best model", "Batch transform"])
def test_throttling_is_tried_again_and_a_failed_job_is_not(default, name):
    errors = {error for retry in default.definition["States"][name]["Retry"] for error in retry["ErrorEquals"]}
    assert "SageMaker.ResourceLimitExceededException" in errors
    assert not {"States.ALL", "States.TaskFailed"} & errors


def test_only_spot_training_is_started_again_from_its_checkpoints(full):
    states = full.definition["States"]
    again = {n for n, s in states.items() for r in s.get("Retry", []) if "States.TaskFailed" in r["ErrorEquals"]}
    assert again == {"Train best model", "Tune in one job"}
    request = states["Train best model"]["Parameters"]
    assert request["EnableManagedSpotTraining"] is True
    assert request["StoppingCondition"]["MaxWaitTimeInSeconds"] > request["StoppingCondition"]["MaxRuntimeInSeconds"]
    assert request["CheckpointConfig"]["LocalPath"] == "/opt/ml/checkpoints"


def test_no_state_waits_longer_than_its_job_may_run(default):
    for name, state in default.definition["States"].items():
        if state["Type"] == "Task":
            assert 0 < state["TimeoutSeconds"] < 24 * 3600, name
