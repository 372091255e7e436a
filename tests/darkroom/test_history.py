"""Steps and orchestration time come from an execution's history alone."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from darkroom.history import orchestration_seconds, read, summarised
from darkroom.live import next_job_state
from darkroom.summary import bias_metrics, failure

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def task(
    first: int, name: str, resource: str, begun: float, ended: float, failed: bool = False, parameters=None
) -> list[dict]:
    """The events of one Task state, with ids from `first`."""
    details = {"resource": resource, "resourceType": "sagemaker", "parameters": json.dumps(parameters or {})}
    end = {"taskFailedEventDetails": {"error": "E", "cause": "c"}} if failed else {}
    events = [
        {"type": "TaskStateEntered", "timestamp": at(begun), "stateEnteredEventDetails": {"name": name}},
        {"type": "TaskScheduled", "timestamp": at(begun), "taskScheduledEventDetails": details},
        {"type": "TaskStarted", "timestamp": at(begun)},
        {"type": "TaskFailed" if failed else "TaskSucceeded", "timestamp": at(ended), **end},
        {"type": "TaskStateExited", "timestamp": at(ended)},
    ]
    return [{"id": first + index, "previousEventId": first + index - 1, **event} for index, event in enumerate(events)]


def job(first: int, begun: float, ended: float, failed: bool = False) -> list[dict]:
    return task(
        first, f"Job {first}", "createTrainingJob.sync", begun, ended, failed, {"TrainingJobName": f"job-{first}"}
    )


def test_a_step_has_its_job_status_and_seconds():
    steps = read([*job(2, 1, 4), *task(7, "Register", "createModelPackage", 4, 4.5), *job(12, 5, 6, failed=True)])
    assert summarised(steps, at(9)) == [
        {"name": "Job 2", "status": "Succeeded", "seconds": 3.0},
        {"name": "Register", "status": "Succeeded", "seconds": 0.5},
        {"name": "Job 12", "status": "Failed", "seconds": 1.0},
    ]
    assert [step.job for step in steps] == ["job-2", None, "job-12"]


def test_a_running_step_counts_up_and_an_aborted_execution_ends_it():
    running = job(2, 1, 4)[:3]
    assert summarised(read(running), at(11))[0] == {"name": "Job 2", "status": "Running", "seconds": 10.0}
    aborted = [*running, {"id": 5, "previousEventId": 4, "type": "ExecutionAborted", "timestamp": at(6)}]
    assert summarised(read(aborted), at(11))[0] == {"name": "Job 2", "status": "Aborted", "seconds": 5.0}


@pytest.mark.parametrize(
    ("intervals", "idle"),
    [
        ([], 10),
        ([(0, 10)], 0),
        ([(1, 4), (6, 8)], 5),
        ([(1, 5), (2, 3), (4, 7)], 4),  # overlapping jobs count once
        ([(8, 12)], 8),  # what lies beyond the end does not count
    ],
)
def test_orchestration_is_the_time_in_which_no_job_runs(intervals, idle):
    events = [event for index, pair in enumerate(intervals) for event in job(2 + 5 * index, *pair)]
    assert orchestration_seconds(read(events), at(0), at(10)) == pytest.approx(idle)


def test_a_call_that_is_no_job_is_orchestration():
    assert orchestration_seconds(read(task(2, "Register", "createModelPackage", 1, 9)), at(0), at(10)) == 10


def test_the_next_state_is_the_nearest_that_runs_a_job():
    states = {
        "A": {"Resource": "arn:x:createTrainingJob.sync", "Next": "B", "Catch": [{"Next": "Failed"}]},
        "B": {"Type": "Choice", "Choices": [{"Next": "C"}], "Default": "D"},
        "C": {"Type": "Pass", "Next": "E"},
        "D": {"Resource": "arn:x:createTransformJob.sync", "End": True},
        "E": {"Type": "Pass", "Next": "A"},
        "Failed": {"Resource": "arn:x:createProcessingJob.sync"},
    }
    assert next_job_state(states, "A") == "D"
    assert next_job_state(states, "D") == ""


def test_a_failure_names_the_state_that_was_entered_and_not_left():
    events = [
        {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "Look"}},
        {"type": "TaskStateExited", "stateExitedEventDetails": {"name": "Look"}},
        {"type": "ChoiceStateEntered", "stateEnteredEventDetails": {"name": "Which?"}},
        {"type": "ExecutionFailed"},
    ]
    described = {"status": "FAILED", "error": "States.NoChoiceMatched", "cause": "No choice rule matched."}
    found = failure(described, events)
    assert (found["name"], found["reason"]) == (
        "States.NoChoiceMatched", "Which? failed: No choice rule matched. (States.NoChoiceMatched)",
    )  # fmt: skip
    assert failure({"status": "ABORTED"}, [])["reason"] == "It was stopped."
    assert failure({"status": "SUCCEEDED"}, []) is None


def test_bias_metrics_are_read_from_clarifys_analysis():
    metrics = [{"name": "CI", "description": "x", "value": 0.25}]
    groups = [{"value_or_threshold": "mono", "metrics": metrics}]
    analysis = {
        "pre_training_bias_metrics": {"label": "y", "facets": {"cell_type": groups}},
        "post_training_bias_metrics": {
            "facets": {"cell_type": [{**groups[0], "metrics": [{"name": "DI", "value": 1.1}]}]}
        },
    }
    assert bias_metrics(analysis) == {"cell_type": {"mono": {"CI": 0.25, "DI": 1.1}}}
    assert bias_metrics(None) is None and bias_metrics({"version": "1.0"}) is None


TUNING = {
    "Prepare": {"Resource": "arn:x:createProcessingJob.sync", "Next": "Choose tuning"},
    "Choose tuning": {
        "Type": "Choice", "Default": "Tune",
        "Choices": [
            {"Variable": "$.plan.tuning.enabled", "BooleanEquals": False, "Next": "Skip tuning"},
            {"Variable": "$.plan.tuning.mode", "StringEquals": "single_job", "Next": "Tune in one job"},
        ],
    },
    "Skip tuning": {"Type": "Pass", "Next": "Train"},
    "Tune": {"Resource": "arn:x:createHyperParameterTuningJob.sync", "Next": "Train"},
    "Tune in one job": {"Resource": "arn:x:createTrainingJob.sync", "Next": "Train"},
    "Train": {"Resource": "arn:x:createTrainingJob.sync", "End": True},
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "following"),
    [
        ({}, "Tune"), ({"tuning": {"max_jobs": 4}}, "Tune"), ({"tuning": {"enabled": False}}, "Train"),
        ({"tuning": {"mode": "single_job"}}, "Tune in one job"),
    ],
)  # fmt: skip
def test_the_next_step_is_the_one_that_the_input_leads_to(given, following):
    from darkroom.live import planned

    assert next_job_state(TUNING, "Prepare", planned(json.dumps(given))) == following


def test_what_is_not_known_yet_leaves_every_way_open():
    states = {
        **TUNING,
        "Choose tuning": {**TUNING["Choose tuning"], "Choices": [{"Variable": "$.x", "IsNull": True, "Next": "Train"}]},
    }
    assert next_job_state(states, "Prepare", {}) in ("Train", "Tune")


def test_a_refused_option_of_a_comparison_is_not_to_be_given_again():
    from darkroom.comparisons import _refused

    assert _refused("models: received 'resnet81'; allowed: any of 1,300 models. Did you mean resnet18?")
    assert not _refused("Train failed: CapacityError")
