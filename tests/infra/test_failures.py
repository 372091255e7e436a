"""Whatever fails ends the execution there, with AWS's own error and cause (tests/darkroom/test_failures.py: what they mean)."""

from __future__ import annotations

import pytest

from darkroom.failures import explained
from tests.infra.pipeline_run import SAMPLE, Account
from tests.infra.state_machine import TaskFailed

SINGLE = {"tuning": {"mode": "single_job"}}
NOTHING = {"explain": {"enabled": False}, "bias": {"enabled": False}}


TRACE = "Prepare with PyTorch"


def fail(definition, failing, traced=True, **given):
    return Account(definition, failing=failing, traced=traced).run({**SAMPLE, **given})


@pytest.mark.parametrize("settings", ["default", "full"])
def test_every_state_that_calls_a_service_fails_by_itself(request, settings):
    """A redrive goes on at the state that failed: a Catch that leads elsewhere would be repeated in its place."""
    definition = request.getfixturevalue(settings).definition
    tasks = [name for name, state in definition["States"].items() if state["Type"] == "Task"]
    assert len(tasks) >= 20
    # With manual approval the states that publish are not there to fail.
    for name in tasks:
        given = {**(SINGLE if name in ("Tune in one job", "Read best trial") else {}),
                 **(NOTHING if name.startswith("Skip") else {})}  # fmt: skip
        outcome = fail(definition, {name: TaskFailed("Some.Error", "because")}, traced=name != TRACE, **given)
        assert (outcome.status, outcome.visited[-1]) == ("FAILED", name)
        assert (outcome.error, outcome.cause) == ("Some.Error", "because")


def test_the_only_failure_that_is_caught_is_a_name_that_somebody_else_has_claimed(default, full):
    caught = {
        name: catcher["ErrorEquals"]
        for stack in (default, full)
        for name, state in stack.definition["States"].items()
        for catcher in state.get("Catch", [])
    }
    assert set(caught) == {"Claim fixed name"}
    assert not {"States.ALL", "States.TaskFailed"} & set(caught["Claim fixed name"])


def test_a_jobs_name_holds_the_number_of_the_redrive(default, full):
    """SageMaker takes each name once: the job that a redrive starts must not have the failed one's."""
    for stack in (default, full):
        for name, state in stack.definition["States"].items():
            if state["Type"] == "Task" and state["Resource"].endswith(".sync"):
                names = [value for field, value in state["Parameters"].items() if field.endswith("JobName.$")]
                assert names and all("$$.Execution.RedriveCount" in value for value in names), name


def test_the_failure_of_a_job_is_explained_from_what_aws_says(default):
    """ExitMessage is what our own code wrote; FailureReason is what SageMaker made of it."""
    reason = {"ExitMessage": "model: resnet1800 is unknown", "FailureReason": "AlgorithmError: exit code 1"}
    outcome = fail(default.definition, {"Prepare dataset": reason})
    told = explained(outcome.visited[-1], outcome.error, outcome.cause)
    assert (told["name"], told["reason"]) == (
        "States.TaskFailed", "Prepare dataset failed: model: resnet1800 is unknown",
    )  # fmt: skip
    assert told["log"].endswith(outcome.requests["Prepare dataset"]["ProcessingJobName"])


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
