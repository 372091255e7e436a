"""What the States Language says about time, to the second and in no time: the interpreter on a clock that the test moves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_cloud.persistence.database import Database
from local_cloud.stepfunctions.failures import ExecutionCancelled, HeartbeatMissed, StateFailure
from local_cloud.stepfunctions.history import History, read
from local_cloud.stepfunctions.interpreter import Branch
from local_cloud.stepfunctions.scope import Context, Scope
from local_cloud.stepfunctions.tokens import Tokens
from local_cloud.testing import ManualClock

ARN = "arn:aws:states:us-east-1:000000000000:execution:m:e"


class Work:
    """What the Task state does at each call: fail with an error, take so many seconds, or be done (None)."""

    def __init__(self, *calls: str | float | None):
        self.calls = list(calls)

    def run(self, resource: str, arguments: Any, branch: Branch, scope: Scope, times: dict[str, Any]) -> Any:
        call = self.calls.pop(0)
        if isinstance(call, str):
            raise StateFailure(call, "as the test says")
        if call is not None:
            scope.wait(call)
        return {"done": True}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "rows.sqlite")
    yield database
    database.close()


@pytest.fixture
def run(database, clock):
    def run(work: Work, **fields: Any) -> Any:
        task = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": True, **fields}
        caught = {"Type": "Pass", "Result": "caught", "End": True}
        machine = {"StartAt": "T", "States": {"T": task, "C": caught}}
        branch = Branch(History(database, ARN, clock=clock), work, Scope(clock=clock), Context({}))
        return branch.run(machine, {})

    run.events = lambda: read(database, ARN, False, 0, 100, True)
    return run


def retry(**fields: Any) -> list[dict[str, Any]]:
    return [{"ErrorEquals": ["States.ALL"], **fields}]


# "say your IntervalSeconds is 3, MaxAttempts is 3, and BackoffRate is 2. The first retry attempt takes place three seconds
# after the error occurs. The second retry takes place six seconds after the first retry attempt. While the third retry takes
# place 12 seconds after the second": https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
def test_each_retry_waits_longer_by_the_backoff_rate_as_in_awss_own_example(run, clock):
    with pytest.raises(StateFailure):
        run(Work(*["E"] * 4), Retry=retry(IntervalSeconds=3, MaxAttempts=3, BackoffRate=2))
    assert clock.waits == [3, 6, 12]


def test_without_numbers_three_retries_wait_one_two_and_four_seconds(run, clock):
    with pytest.raises(StateFailure):
        run(Work(*["E"] * 4), Retry=retry())
    assert clock.waits == [1, 2, 4]


def test_a_backoff_rate_of_one_and_a_half_multiplies_once_for_each_earlier_retry(run, clock):
    run(Work("E", "E", "E", None), Retry=retry(IntervalSeconds=4, MaxAttempts=9, BackoffRate=1.5))
    assert clock.waits == [4, 6, 9]


def test_no_retry_waits_longer_than_the_maximum_delay(run, clock):
    with pytest.raises(StateFailure):
        run(Work(*["E"] * 6), Retry=retry(IntervalSeconds=3, MaxAttempts=5, BackoffRate=2, MaxDelaySeconds=10))
    assert clock.waits == [3, 6, 10, 10, 10]


def test_full_jitter_waits_anything_from_nothing_to_the_delay(run, clock):
    with pytest.raises(StateFailure):
        run(Work(*["E"] * 41), Retry=retry(IntervalSeconds=8, MaxAttempts=40, BackoffRate=1.0, JitterStrategy="FULL"))
    assert all(0 <= wait <= 8 for wait in clock.waits)
    assert (
        len({round(wait, 6) for wait in clock.waits}) > 30
    )  # they are spread: eight equal ones would be a thundering herd


def test_no_attempts_means_no_retry(run, clock):
    with pytest.raises(StateFailure):
        run(Work("E"), Retry=retry(MaxAttempts=0))
    assert clock.waits == []


def test_each_retrier_counts_its_own_retries_and_backs_off_from_its_own_start(run, clock):
    retriers = [{"ErrorEquals": [error], "IntervalSeconds": seconds} for error, seconds in (("A", 1), ("B", 10))]
    run(Work("A", "B", "A", "B", None), Retry=retriers)
    assert clock.waits == [1, 10, 2, 20]


# "States.TaskFailed acts as a wildcard that matches any known error name except for States.Timeout": same page.
CATCH = {"Catch": [{"ErrorEquals": ["States.TaskFailed"], "Next": "C"}]}


@pytest.mark.parametrize("error", ["E", "SageMaker.AmazonSageMakerException", "States.Permissions"])
def test_task_failed_catches_any_error_of_a_task(run, error):
    assert run(Work(error), **CATCH) == "caught"


def test_task_failed_does_not_catch_a_task_whose_time_is_over(run, clock):
    with pytest.raises(StateFailure) as caught:
        run(Work(61), TimeoutSeconds=60, **CATCH)
    assert caught.value.error == "States.Timeout"
    assert sum(clock.waits) == 60


def test_task_failed_does_not_retry_a_task_whose_time_is_over(run, clock):
    with pytest.raises(StateFailure):
        run(Work(61, None), TimeoutSeconds=60, Retry=[{"ErrorEquals": ["States.TaskFailed"]}])
    assert sum(clock.waits) == 60


@pytest.mark.parametrize("name", ["States.Timeout", "States.ALL"])
def test_a_task_whose_time_is_over_is_caught_by_name_and_by_all(run, name):
    assert run(Work(61), TimeoutSeconds=60, Catch=[{"ErrorEquals": [name], "Next": "C"}]) == "caught"


def test_a_task_that_is_done_within_its_time_is_done(run):
    assert run(Work(59), TimeoutSeconds=60) == {"done": True}


def test_each_retry_has_the_whole_time_again(run, clock):
    run(Work(61, 59), TimeoutSeconds=60, Retry=[{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 5}])
    assert sum(clock.waits) == 60 + 5 + 59


def test_events_are_stamped_by_the_clock(run, clock):
    began = clock.now()
    run(Work(30))
    stamps = {event["type"]: event["timestamp"] - began for event in run.events()}
    assert stamps == {"TaskStateEntered": 0, "TaskStateExited": 30}


def test_a_token_without_a_heartbeat_in_time_fails_the_task(clock, database):
    tokens = Tokens(clock, database)
    token = tokens.make()
    with pytest.raises(HeartbeatMissed):
        tokens.wait(token, Scope(clock=clock), 30)
    assert sum(clock.waits) == 30


def test_each_heartbeat_starts_the_time_again(clock, database):
    tokens, began = Tokens(clock, database), clock.now()
    token = tokens.make()
    for moment in (12, 40):
        clock.at(moment, lambda: tokens.beat(token))
    with pytest.raises(HeartbeatMissed):
        tokens.wait(token, Scope(clock=clock), 30)
    assert clock.now() - began == 40 + 30


def test_a_heartbeat_that_comes_too_late_is_too_late(clock, database):
    tokens, began = Tokens(clock, database), clock.now()
    token = tokens.make()
    clock.at(31, lambda: tokens.beat(token))
    with pytest.raises(HeartbeatMissed):
        tokens.wait(token, Scope(clock=clock), 30)
    assert clock.now() - began == 30


def test_success_ends_the_wait_for_a_token_at_once(clock, database):
    tokens, began = Tokens(clock, database), clock.now()
    token = tokens.make()
    clock.at(7, lambda: tokens.succeed(token, json.dumps({"answer": 42})))
    assert tokens.wait(token, Scope(clock=clock), 30) == {"answer": 42}
    assert clock.now() - began == 7


def test_whoever_stops_an_execution_wakes_what_waits_for_a_token(clock, database):
    tokens, scope, began = Tokens(clock, database), Scope(clock=clock), clock.now()
    clock.at(7, scope.cancel)
    with pytest.raises(ExecutionCancelled):
        tokens.wait(tokens.make(), Scope(scope), None)
    assert clock.now() - began == 7


def test_the_time_of_a_task_ends_before_its_heartbeat(clock, database):
    tokens = Tokens(clock, database)
    scope = Scope(Scope(clock=clock), 20, "States.Timeout")
    with pytest.raises(StateFailure) as caught:
        tokens.wait(tokens.make(), scope, 30)
    assert not isinstance(caught.value, HeartbeatMissed)
    assert sum(clock.waits) == 20
