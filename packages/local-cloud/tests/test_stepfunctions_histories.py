"""Histories, map runs and refusals as AWS recorded them: the numbers of events follow AWS's, not our own reading.

What was held against the recordings is a table in local_cloud/coverage.md; here the rules that they show, in short.
"""

from __future__ import annotations

import json

import pytest

from local_cloud.stepfunctions.paths import check_path, resolve
from local_cloud.stepfunctions.scope import Context
from tests.test_stepfunctions_states import ROLE, one, run, states  # noqa: F401

PASS = {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}
FAIL = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Mine", "Cause": "mine"}}}
DISTRIBUTED = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}


def chain(states, ended) -> list[tuple[int, int, str]]:  # noqa: F811
    pages = states.get_paginator("get_execution_history").paginate(executionArn=ended["executionArn"])
    return [(e["id"], e["previousEventId"], e["type"]) for page in pages for e in page["events"]]


DOTTED = {
    "$.list.[?(@.year < 1999)]": [{"year": 1990}],
    "$.['list'].[1].year": 2000,
    "$.list[?(@.year == 2000)].year": [2000],
    "$.list..year": [1990, 2000],
    "$['a.[b'].c": 1,
}


@pytest.mark.parametrize("path", DOTTED)
def test_a_dot_before_a_bracket_says_nothing(path):
    data = {"list": [{"year": 1990}, {"year": 2000}], "a.[b": {"c": 1}}
    check_path(path)
    assert resolve(path, data, Context({})) == DOTTED[path]


def test_iterations_follow_each_other_and_their_ends_stand_beside(states):  # noqa: F811
    ended = run(states, one({"Type": "Map", "MaxConcurrency": 1, "ItemProcessor": PASS}), [1, 2])
    assert chain(states, ended)[1:] == [
        (2, 0, "MapStateEntered"),
        (3, 2, "MapStateStarted"),
        (4, 3, "MapIterationStarted"),
        (5, 4, "PassStateEntered"),
        (6, 5, "PassStateExited"),
        (7, 6, "MapIterationSucceeded"),
        (8, 6, "MapIterationStarted"),
        (9, 8, "PassStateEntered"),
        (10, 9, "PassStateExited"),
        (11, 10, "MapIterationSucceeded"),
        (12, 11, "MapStateSucceeded"),
        (13, 11, "MapStateExited"),
        (14, 13, "ExecutionSucceeded"),
    ]


def test_a_failed_attempt_is_written_only_when_no_retry_takes_it(states):  # noqa: F811
    retry = [{"ErrorEquals": ["Mine"], "IntervalSeconds": 1, "MaxAttempts": 1, "MaxDelaySeconds": 1}]
    ended = run(states, one({"Type": "Parallel", "Branches": [FAIL], "Retry": retry}))
    assert chain(states, ended)[1:] == [
        (2, 0, "ParallelStateEntered"),
        (3, 2, "ParallelStateStarted"),
        (4, 3, "FailStateEntered"),
        (5, 4, "ParallelStateStarted"),
        (6, 5, "FailStateEntered"),
        (7, 6, "ParallelStateFailed"),
        (8, 7, "ExecutionFailed"),
    ]


def test_a_distributed_map_is_a_run_with_an_execution_for_each_item(states):  # noqa: F811
    definition = one({"Type": "Map", "Label": "Each", "MaxConcurrency": 2, "ItemProcessor": {**DISTRIBUTED, **PASS}})
    ended = run(states, definition, ["a", "b", "c"])
    assert [kind for _, _, kind in chain(states, ended)][1:] == [
        "MapStateEntered", "MapStateStarted", "MapRunStarted", "MapRunSucceeded", "MapStateSucceeded", "MapStateExited",
        "ExecutionSucceeded",
    ]  # fmt: skip
    assert json.loads(ended["output"]) == ["a", "b", "c"]
    (listed,) = states.list_map_runs(executionArn=ended["executionArn"])["mapRuns"]
    described = states.describe_map_run(mapRunArn=listed["mapRunArn"])
    assert (described["status"], described["maxConcurrency"]) == ("SUCCEEDED", 2)
    assert described["itemCounts"]["succeeded"] == described["executionCounts"]["total"] == 3
    items = states.list_executions(mapRunArn=listed["mapRunArn"])["executions"]
    assert len(items) == 3 and all("/Each:" in item["executionArn"] for item in items)
    inputs = {states.describe_execution(executionArn=item["executionArn"])["input"] for item in items}
    assert inputs == {'"a"', '"b"', '"c"'}
    assert [kind for _, _, kind in chain(states, items[0])][1:] == [
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]


def test_more_failed_items_than_tolerated_fail_the_run_and_fewer_do_not(states):  # noqa: F811
    choice = {
        "StartAt": "C",
        "States": {
            "C": {
                "Type": "Choice",
                "Choices": [{"Variable": "$", "NumericGreaterThan": 1, "Next": "F"}],
                "Default": "Ok",
            },
            "Ok": {"Type": "Succeed"},
            **FAIL["States"],
        },
    }
    state = {"Type": "Map", "MaxConcurrency": 1, "ItemProcessor": {**DISTRIBUTED, **choice}}
    fewer = run(states, one({**state, "ToleratedFailureCount": 1}), [1, 2])
    assert json.loads(fewer["output"]) == [1, {"Error": "Mine", "Cause": "mine"}]
    more = run(states, one({**state, "ToleratedFailurePercentage": 30}), [2, 2, 1])
    assert more["error"] == "States.ExceedToleratedFailureThreshold"
    kinds = [kind for _, _, kind in chain(states, more)]
    assert kinds[-3:] == ["MapRunFailed", "MapStateFailed", "ExecutionFailed"]


REFUSED = [
    (
        {"Type": "Pass", "Parameters": {"value.$": "$.no"}},
        "The JSONPath '$.no' specified for the field 'value.$' could not be found in the input '{\"n\":-1}'",
    ),
    ({"Type": "Pass", "InputPath": "$.no"}, "Invalid path '$.no' : No results for path: $['no']"),
    ({"Type": "Pass", "InputPath": "$.no.such"}, "Invalid path '$.no.such' : Missing property in path $['no']"),
    ({"Type": "Wait", "SecondsPath": "$.n"}, "The SecondsPath parameter references a negative value: $.n == -1"),
    ({"Type": "Wait", "SecondsPath": "$.no"}, "The SecondsPath parameter does not reference an input value: $.no"),
    (
        {"Type": "Map", "MaxConcurrencyPath": "$", "ItemProcessor": PASS},
        'The MaxConcurrencyPath field refers to value "{"n":-1}" which is not a valid integer: $',
    ),
]


@pytest.mark.parametrize(("state", "cause"), REFUSED)
def test_a_fault_of_the_definition_is_told_with_its_state_in_aws_words(states, state, cause):  # noqa: F811
    ended = run(states, one(state), {"n": -1})
    where = "An error occurred while executing the state 'S' (entered at the event id #2). "
    assert (ended["error"], ended["cause"]) == ("States.Runtime", where + cause)


@pytest.mark.parametrize(
    "text", ["2016-12-05 21:29:29Z", "2016-12-05T21:29:29", "2016-13-05T21:29:29Z", "05-12-2016T21:29:29Z"]
)
def test_a_timestamp_in_another_form_is_refused_in_the_definition_and_in_the_input(states, text):  # noqa: F811
    definition = one({"Type": "Wait", "Timestamp": text})
    with pytest.raises(states.exceptions.InvalidDefinition, match="String does not match RFC3339 timestamp"):
        states.create_state_machine(name="never", definition=json.dumps(definition), roleArn=ROLE)
    ended = run(states, one({"Type": "Wait", "TimestampPath": "$"}), text)
    assert ended["cause"].endswith(f"extended offset date-time format string: $ == {text}")


def test_what_the_context_gave_out_does_not_change_with_it(states):  # noqa: F811
    definition = {
        "StartAt": "A",
        "States": {
            "A": {"Type": "Pass", "Parameters": {"c.$": "$$"}, "Next": "B"},
            "B": {"Type": "Pass", "End": True},
        },
    }
    assert json.loads(run(states, definition)["output"])["c"]["State"]["Name"] == "A"


def test_logging_is_filled_in_or_refused_as_on_aws(states):  # noqa: F811
    destination = {"cloudWatchLogsLogGroup": {"logGroupArn": "arn:aws:logs:us-east-1:000000000000:log-group:/none:*"}}
    for given, told in (
        ({"level": "ALL"}, "exactly one Log Destination"),
        ({"level": "ALL", "destinations": [destination]}, "Log Destination not found"),
    ):
        with pytest.raises(states.exceptions.InvalidLoggingConfiguration, match=told):
            states.create_state_machine(
                name="logs", definition=json.dumps(PASS), roleArn=ROLE, loggingConfiguration=given
            )
    arn = states.create_state_machine(
        name="logs-off", definition=json.dumps(PASS), roleArn=ROLE, loggingConfiguration={}
    )
    shown = states.describe_state_machine(stateMachineArn=arn["stateMachineArn"])["loggingConfiguration"]
    assert shown == {"level": "OFF", "includeExecutionData": False}


def test_an_arn_that_is_none_is_told_apart_from_one_that_names_nothing(states):  # noqa: F811
    with pytest.raises(states.exceptions.InvalidArn, match="Invalid ARN prefix: nonsense"):
        states.describe_execution(executionArn="nonsense")
