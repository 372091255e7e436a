"""JSONata and variables: what goes in, what comes out, and AWS's words where an expression fails."""

from __future__ import annotations

import json

import pytest

from tests.test_stepfunctions_histories import DISTRIBUTED, chain
from tests.test_stepfunctions_states import one, run, states  # noqa: F401


def in_jsonata(state: dict) -> dict:
    return {"QueryLanguage": "JSONata", **one(state)}


# Expected values are those of JSONata's own documentation (docs.jsonata.org) and of AWS's page on Step Functions' functions.
EXPRESSIONS = {
    "$states.input.a + 1": 3,
    "$states.input.list[0]": {"n": 1},
    "$states.input.list.n": [1, 2],
    "$sum($states.input.list.n)": 3,
    "null": None,
    "$exists($states.input.none)": False,
    "$states.context.State.Name": "S",
    "$partition([1,2,3,4,5], 2)": [[1, 2], [3, 4], [5]],
    "$range(0, 6, 3)": [0, 3, 6],
    "$hash('abc', 'SHA-1')": "a9993e364706816aba3e25717850c26c9cd0d89d",
    "$parse('{\"x\": [1]}')": {"x": [1]},
    "$length($uuid())": 36,
    "$random(7) = $random(7)": True,
    "($f := function($x){$x * 2}; $map([1,2], $f))": [2, 4],
}


def test_expressions_have_the_values_of_jsonata_and_of_step_functions(states):  # noqa: F811
    output = {str(index): f"{{% {text} %}}" for index, text in enumerate(EXPRESSIONS)}
    ended = run(states, in_jsonata({"Type": "Pass", "Output": output}), {"a": 2, "list": [{"n": 1}, {"n": 2}]})
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    got = json.loads(ended["output"])
    assert {text: got[str(index)] for index, text in enumerate(EXPRESSIONS)} == EXPRESSIONS


FAILURES = [
    (
        {"Output": {"r": "{% $none %}"}},
        "Output/r",
        "'$none' specified for the field 'Output/r' returned nothing (undefined).",
    ),
    ({"Output": "{% $f := function($x){$x} %}"}, "Output", "returned an unsupported result type."),
    ({"Assign": {"v": "{% 'a' + 1 %}"}}, "Assign/v", "threw an error during evaluation. T2001: "),
]


@pytest.mark.parametrize(("fields", "location", "cause"), FAILURES)
def test_an_expression_that_fails_is_told_with_its_field(states, fields, location, cause):  # noqa: F811
    ended = run(states, in_jsonata({"Type": "Pass", **fields}))
    assert ended["error"] == "States.QueryEvaluationError"
    assert ended["cause"].startswith("An error occurred while executing the state 'S' (entered at the event id #2). ")
    assert cause in ended["cause"]
    events = states.get_execution_history(executionArn=ended["executionArn"])["events"]
    failed = next(event for event in events if event["type"] == "EvaluationFailed")
    assert (failed["previousEventId"], failed["evaluationFailedEventDetails"]["location"]) == (0, location)


def test_variables_are_seen_inside_and_never_leave_the_inside(states):  # noqa: F811
    inner = {
        "StartAt": "I",
        "States": {
            "I": {
                "Type": "Pass",
                "Assign": {"mine": "{% $outer + 1 %}"},
                "Output": "{% $outer * $states.input %}",
                "End": True,
            }
        },
    }
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "A",
        "States": {
            "A": {"Type": "Pass", "Assign": {"outer": 10}, "Next": "M"},
            "M": {"Type": "Map", "Items": [1, 2], "ItemProcessor": inner, "Assign": {"all": "{% $states.result %}"}, "Next": "B"},
            "B": {"Type": "Pass", "Output": {"all": "{% $all %}", "leaked": "{% $exists($mine) %}"}, "End": True},
        },
    }  # fmt: skip
    assert json.loads(run(states, definition)["output"]) == {"all": [10, 20], "leaked": False}


def test_a_distributed_map_sees_no_variables_of_outside(states):  # noqa: F811
    inner = {"StartAt": "I", "States": {"I": {"Type": "Pass", "Output": "{% $exists($outer) %}", "End": True}}}
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "A",
        "States": {
            "A": {"Type": "Pass", "Assign": {"outer": 1}, "Next": "M"},
            "M": {"Type": "Map", "Items": [1], "ItemProcessor": {**DISTRIBUTED, **inner}, "End": True},
        },
    }
    assert json.loads(run(states, definition)["output"]) == [False]


def test_variables_in_jsonpath_are_the_old_ones_until_the_state_has_ended(states):  # noqa: F811
    definition = {
        "StartAt": "A",
        "States": {
            "A": {"Type": "Pass", "Result": {"q": 1}, "Assign": {"x.$": "$.q", "list": [1, 2]}, "Next": "B"},
            "B": {
                "Type": "Pass", "Parameters": {"old.$": "$x", "first.$": "$list[0]", "f.$": "States.Format('{}', $x)"},
                "Assign": {"x": 2}, "Next": "C",
            },
            "C": {"Type": "Choice", "Choices": [{"Variable": "$x", "NumericEquals": 2, "Next": "D"}]},
            "D": {"Type": "Succeed"},
        },
    }  # fmt: skip
    ended = run(states, definition)
    assert json.loads(ended["output"]) == {"old": 1, "first": 1, "f": "1"}
    events = states.get_execution_history(executionArn=ended["executionArn"])["events"]
    assigned = [e["stateExitedEventDetails"].get("assignedVariables") for e in events if e["type"] == "PassStateExited"]
    assert assigned == [{"x": "1", "list": "[1,2]"}, {"x": "2"}]


def test_conditions_waits_arguments_and_catches_speak_jsonata(states):  # noqa: F811
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "W",
        "States": {
            "W": {"Type": "Wait", "Seconds": "{% $states.input.s %}", "Next": "C"},
            "C": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $states.input.go %}", "Next": "T", "Assign": {"way": "rule"}}],
                "Default": "E",
            },
            "T": {
                "Type": "Task", "Resource": "arn:aws:states:::aws-sdk:ssm:getParameter",
                "Arguments": {"Name": "{% '/none/' & $way %}"},
                "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "E", "Output": "{% $states.errorOutput.Error & $way %}"}],
                "End": True,
            },
            "E": {"Type": "Succeed"},
        },
    }  # fmt: skip
    ended = run(states, definition, {"s": 0, "go": True})
    assert json.loads(ended["output"]) == "Ssm.ParameterNotFoundExceptionrule"
    wrong = run(states, definition, {"s": 0, "go": 1})
    assert "Expected 'boolean', but was 'number' for value: 1" in wrong["cause"]
    assert [kind for _, _, kind in chain(states, wrong)][-2:] == ["EvaluationFailed", "ExecutionFailed"]
