"""Express state machines, TestState and the diagnostics of definitions."""

from __future__ import annotations

import json
import uuid

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local_cloud.testing import wait_until
from tests.test_stepfunctions_states import ROLE, one


@pytest.fixture(scope="module")
def states(cloud):
    """A client that puts no `sync-` before the host: `local-cloud env` sets the same for every client."""
    return cloud.client("stepfunctions", config=Config(inject_host_prefix=False))


def express(states, definition: dict, **more: object) -> str:
    return states.create_state_machine(
        name=f"x-{uuid.uuid4().hex[:10]}", definition=json.dumps(definition), roleArn=ROLE, type="EXPRESS", **more
    )["stateMachineArn"]


def test_a_synchronous_execution_answers_with_its_output_or_its_failure(states):
    arn = express(states, one({"Type": "Pass", "Result": {"a": 1}}))
    done = states.start_sync_execution(stateMachineArn=arn, name="same", input='{"x": 2}')
    again = states.start_sync_execution(stateMachineArn=arn, name="same", input='{"x": 3}')  # names need not be unique
    assert (done["status"], json.loads(done["output"]), done["input"]) == ("SUCCEEDED", {"a": 1}, '{"x": 2}')
    assert ":express:" in done["executionArn"] and done["executionArn"] != again["executionArn"]
    assert done["billingDetails"]["billedDurationInMilliseconds"] % 100 == 0
    failing = express(states, {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Mine", "Cause": "mine"}}})
    failed = states.start_sync_execution(stateMachineArn=failing)
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "Mine", "mine")
    late = express(states, one({"Type": "Wait", "Seconds": 600}) | {"TimeoutSeconds": 1})
    assert states.start_sync_execution(stateMachineArn=late)["status"] == "TIMED_OUT"


def test_what_express_has_not_is_refused_as_aws_does(states, cloud):
    group = f"/express/{uuid.uuid4()}"
    cloud.client("logs").create_log_group(logGroupName=group)
    (found,) = cloud.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    logging = {
        "level": "ALL", "includeExecutionData": True,
        "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": found["arn"]}}],
    }  # fmt: skip
    arn = express(states, one({"Type": "Pass", "Result": 1}), loggingConfiguration=logging)
    started = states.start_execution(stateMachineArn=arn)["executionArn"]
    for call in (states.describe_execution, states.stop_execution, states.get_execution_history):
        with pytest.raises(ClientError, match="Resource type not valid in this context: express"):
            call(executionArn=started)
    with pytest.raises(ClientError, match="StateMachineTypeNotSupported"):
        states.list_executions(stateMachineArn=arn)

    def lines() -> list[dict]:
        pages = cloud.client("logs").filter_log_events(logGroupName=group)["events"]
        return [json.loads(event["message"]) for event in pages]

    # Its history is in its log, and nowhere else.
    wait_until(lambda: [line["type"] for line in lines()][-1:] == ["ExecutionSucceeded"], 60)
    assert [line["type"] for line in lines()] == [
        "ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded",
    ]  # fmt: skip
    assert {line["execution_arn"] for line in lines()} == {started} and lines()[-1]["redrive_count"] == "0"


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ("arn:aws:states:::states:startExecution.sync", "does not support '.sync' service integration"),
        ("arn:aws:states:::sqs:sendMessage.waitForTaskToken", "'.waitForTaskToken' service integration"),
        ("arn:aws:states:us-east-1:000000000000:activity:a", "does not support Activity ARN"),
    ],
)
def test_express_refuses_what_waits(states, resource, words):
    definition = one({"Type": "Task", "Resource": resource})
    with pytest.raises(ClientError, match=words):
        express(states, definition)
    (found,) = states.validate_state_machine_definition(definition=json.dumps(definition), type="EXPRESS")[
        "diagnostics"
    ]
    assert found["location"] == "/States/S/Resource" and words in found["message"]


MALFORMED = [
    (" ", "SCHEMA_VALIDATION_FAILED", None),
    ("not a definition", "INVALID_JSON_DESCRIPTION", '[Source: (String)"not a definition"; line: 1, column: 4]'),
    ("{}", "SCHEMA_VALIDATION_FAILED", "/"),
    ("[]", "SCHEMA_VALIDATION_FAILED", None),
    ({"StartAt": "A", "States": []}, "SCHEMA_VALIDATION_FAILED", "/States"),
    ({"StartAt": "A", "States": None}, "SCHEMA_VALIDATION_FAILED", "/States"),
    ({"StartAt": "A", "States": {"A": "x"}}, "SCHEMA_VALIDATION_FAILED", "/States/A"),
    ({"StartAt": "A", "States": {"A": None}}, "SCHEMA_VALIDATION_FAILED", "/States/A"),
    (one({"Type": ["Pass"]}), "SCHEMA_VALIDATION_FAILED", "/States/S/Type"),
    (one({"Type": "Parallel", "Branches": ["x"]}), "SCHEMA_VALIDATION_FAILED", "/States/S/Branches[0]"),
    (one({"Type": "Parallel", "Branches": {}}), "SCHEMA_VALIDATION_FAILED", "/States/S/Branches"),
    (one({"Type": "Parallel", "Branches": []}), "SCHEMA_VALIDATION_FAILED", "/States/S/Branches"),
    (one({"Type": "Pass", "Next": 3}), "SCHEMA_VALIDATION_FAILED", "/States/S/Next"),
    (one({"Type": "Task", "Resource": ["x"]}), "SCHEMA_VALIDATION_FAILED", "/States/S/Resource"),
    (one({"Type": "Pass", "Assign": [1]}), "SCHEMA_VALIDATION_FAILED", "/States/S/Assign"),
    (one({"Type": "Map", "ItemProcessor": "x"}), "SCHEMA_VALIDATION_FAILED", "/States/S/ItemProcessor"),
    (one({"Type": "Map", "ItemProcessor": {"StartAt": "I"}}), "SCHEMA_VALIDATION_FAILED", "/States/S/ItemProcessor"),
    (one({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Retry": [{"ErrorEquals": "x"}]}),
     "SCHEMA_VALIDATION_FAILED", "/States/S/Retry[0]/ErrorEquals"),
    (one({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Catch": "x"}),
     "SCHEMA_VALIDATION_FAILED", "/States/S/Catch"),
    ({"StartAt": "C", "States": {"C": {"Type": "Choice", "Choices": ["x"], "Default": "E"}, "E": {"Type": "Succeed"}}},
     "SCHEMA_VALIDATION_FAILED", "/States/C/Choices[0]"),
    ({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}, "MISSING_TRANSITION_TARGET", "/States/A/Next"),
    ({"StartAt": "Z", "States": {"A": {"Type": "Pass", "End": True}}}, "MISSING_TRANSITION_TARGET", "/StartAt"),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "code", "location"), MALFORMED)
def test_a_malformed_definition_fails_with_code_and_location(states, definition, code, location):
    text = definition if isinstance(definition, str) else json.dumps(definition)
    answer = states.validate_state_machine_definition(definition=text)
    assert answer["result"] == "FAIL" and answer["truncated"] is False
    first = answer["diagnostics"][0]
    assert (first["severity"], first["code"], first.get("location")) == ("ERROR", code, location)


def test_a_state_alone_shows_what_its_data_went_through(states):
    state = {"Type": "Pass", "InputPath": "$.a", "Parameters": {"b.$": "$.n"}, "ResultPath": "$.r", "Next": "X"}
    answer = states.test_state(definition=json.dumps(state), input='{"a": {"n": 1}}', inspectionLevel="DEBUG")
    assert (answer["status"], answer["nextState"]) == ("SUCCEEDED", "X")
    shown = {name: json.loads(text) for name, text in answer["inspectionData"].items()}
    assert shown == {
        "input": {"a": {"n": 1}}, "afterInputPath": {"n": 1}, "afterParameters": {"b": 1}, "afterResultSelector": {"b": 1},
        "afterResultPath": {"a": {"n": 1}, "r": {"b": 1}},
    }  # fmt: skip
    assert "inspectionData" not in states.test_state(definition=json.dumps(state), input='{"a": {"n": 1}}')


def test_a_mock_stands_for_the_service_and_must_look_like_its_answer(states):
    state = {
        "Type": "Task", "QueryLanguage": "JSONata", "Resource": "arn:aws:states:::states:startExecution",
        "Arguments": {"StateMachineArn": "{% $machine %}"}, "Output": "{% $states.result.ExecutionArn %}", "End": True,
        "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 2, "MaxAttempts": 2}],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Rescue"}],
    }  # fmt: skip

    def tested(mock: dict, **more: object) -> dict:
        return states.test_state(
            definition=json.dumps(state), variables='{"machine": "arn:m"}', mock=mock, inspectionLevel="TRACE", **more
        )

    good = tested({"result": json.dumps({"ExecutionArn": "arn:x", "StartDate": "now"})})
    assert (good["status"], good["output"]) == ("SUCCEEDED", '"arn:x"')
    assert json.loads(good["inspectionData"]["afterArguments"]) == {"StateMachineArn": "arn:m"}
    with pytest.raises(ClientError, match="Required field 'StartDate' is missing"):
        tested({"result": '{"ExecutionArn": "arn:x"}'})
    with pytest.raises(ClientError, match="Field 'ExecutionArn' must be a string"):
        tested({"result": '{"ExecutionArn": 1}', "fieldValidationMode": "PRESENT"})
    busy = {"errorOutput": {"error": "Busy", "cause": "as the test says"}}
    again = tested(busy, stateConfiguration={"retrierRetryCount": 1})
    assert again["status"] == "RETRIABLE"
    assert again["inspectionData"]["errorDetails"] == {"retryIndex": 0, "retryBackoffIntervalSeconds": 4}
    caught = tested(busy, stateConfiguration={"retrierRetryCount": 2})
    assert (caught["status"], caught["nextState"]) == ("CAUGHT_ERROR", "Rescue")
    with pytest.raises(ClientError, match="RoleArn must be specified"):
        states.test_state(definition=json.dumps(state))


def test_a_state_of_a_whole_machine_is_found_by_its_name(states):
    definition = json.dumps(one({"Type": "Map", "ItemProcessor": one({"Type": "Pass", "Result": 7})}).copy())
    inner = json.loads(definition)
    inner["States"]["S"]["ItemProcessor"] = {
        "StartAt": "In",
        "States": {"In": {"Type": "Pass", "Result": 7, "End": True}},
    }
    assert states.test_state(definition=json.dumps(inner), stateName="In")["output"] == "7"
    with pytest.raises(ClientError, match="State not found in definition"):
        states.test_state(definition=json.dumps(inner), stateName="Nowhere")
    with pytest.raises(ClientError, match="does not support Map or Parallel"):
        states.test_state(definition=json.dumps(inner), stateName="S")


def test_the_variables_that_states_read_are_told(states):
    definition = {
        "StartAt": "A",
        "States": {
            "A": {"Type": "Pass", "Assign": {"x": 1}, "Next": "B"},
            "B": {"Type": "Pass", "Parameters": {"y.$": "States.Format('{}', $x)", "z.$": "$.no"}, "Next": "C"},
            "C": {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% ($l := $x; $sum([$l, $other])) %}", "End": True},
        },
    }  # fmt: skip
    arn = states.create_state_machine(name=f"r-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=ROLE)
    shown = states.describe_state_machine(stateMachineArn=arn["stateMachineArn"])
    assert shown["variableReferences"] == {"B": ["x"], "C": ["other", "x"]}
