"""Lambda functions as tasks: what histories, errors and time-outs say, held against AWS's recorded answers."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from local_cloud.testing import RunningCloud, wait_until
from tests.functions import lines, make, role

ARN = "arn:aws:lambda:us-east-1:000000000000:function:{}"


def ran(cloud: RunningCloud, task: dict[str, Any], given: Any = None) -> tuple[dict, list[dict]]:
    """An execution of one task, and its events."""
    states = cloud.client("stepfunctions")
    definition = {"StartAt": "Task", "States": {"Task": {"Type": "Task", "End": True, **task}}}
    machine = states.create_state_machine(
        name=f"machine-{uuid.uuid4().hex[:8]}",
        definition=json.dumps(definition),
        roleArn=role(cloud, "states.amazonaws.com", "lambda:InvokeFunction"),
    )["stateMachineArn"]
    arn = states.start_execution(stateMachineArn=machine, input=json.dumps(given or {}))["executionArn"]
    wait_until(
        lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING", what="the end of the execution"
    )
    return states.describe_execution(executionArn=arn), states.get_execution_history(executionArn=arn)["events"]


def test_a_function_that_is_a_task_gets_the_input_and_gives_the_output(cloud: RunningCloud) -> None:
    arn = ARN.format(make(cloud, "def handler(event, context):\n    return {'got': event}\n"))
    execution, events = ran(cloud, {"Resource": arn}, {"a": 1})
    assert json.loads(execution["output"]) == {"got": {"a": 1}}
    assert [event["type"] for event in events[2:5]] == [
        "LambdaFunctionScheduled",
        "LambdaFunctionStarted",
        "LambdaFunctionSucceeded",
    ]
    assert events[2]["lambdaFunctionScheduledEventDetails"] == {
        "resource": arn, "input": '{"a":1}', "inputDetails": {"truncated": False},
    }  # fmt: skip
    assert "lambdaFunctionStartedEventDetails" not in events[3]


def test_the_invoke_integration_answers_with_version_status_and_payload(cloud: RunningCloud) -> None:
    name = make(cloud, "def handler(event, context):\n    return event['n'] + 1\n")
    task = {"Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": name, "Payload.$": "$"}}
    execution, events = ran(cloud, task, {"n": 1})
    output = json.loads(execution["output"])
    assert (output["Payload"], output["StatusCode"], output["ExecutedVersion"]) == (2, 200, "$LATEST")
    assert set(output) == {"ExecutedVersion", "Payload", "SdkHttpMetadata", "SdkResponseMetadata", "StatusCode"}
    assert output["SdkHttpMetadata"]["HttpHeaders"]["Content-Length"] == "1"
    assert [event["type"] for event in events[2:5]] == ["TaskScheduled", "TaskStarted", "TaskSucceeded"]


def test_a_text_as_payload_is_the_event_itself_and_an_error_is_written_anew(cloud: RunningCloud) -> None:
    echo = make(cloud, "def handler(event, context):\n    return event\n")
    invoke = {"Resource": "arn:aws:states:::lambda:invoke", "OutputPath": "$.Payload"}
    execution, _ = ran(cloud, {**invoke, "Parameters": {"FunctionName": echo, "Payload": "[1, true]"}})
    assert json.loads(execution["output"]) == [1, True]
    execution, _ = ran(
        cloud, {"Resource": ARN.format(make(cloud, "def handler(event, context):\n    return b'[1]'\n"))}
    )
    assert json.loads(execution["output"]) == [1], "bytes are the answer as it stands"
    fails = make(cloud, "def handler(event, context):\n    raise ValueError('no')\n")
    execution, _ = ran(cloud, {**invoke, "Parameters": {"FunctionName": fails}})
    assert execution["cause"].startswith('{"errorMessage":"no","errorType":"ValueError",')
    execution, _ = ran(cloud, {"Resource": ARN.format(fails)})
    assert execution["cause"].startswith('{"errorMessage": "no", "errorType": "ValueError",')


def test_a_time_out_is_caught_with_an_empty_cause(cloud: RunningCloud) -> None:
    slow = make(cloud, "import time\ndef handler(event, context):\n    time.sleep(30)\n")
    caught = {"ErrorEquals": ["States.Timeout"], "Next": "Caught"}
    states = cloud.client("stepfunctions")
    task = {"Type": "Task", "Resource": ARN.format(slow), "TimeoutSeconds": 1, "Catch": [caught], "End": True}
    definition = {"StartAt": "Task", "States": {"Task": task, "Caught": {"Type": "Pass", "End": True}}}
    machine = states.create_state_machine(
        name=f"machine-{uuid.uuid4().hex[:8]}",
        definition=json.dumps(definition),
        roleArn=role(cloud, "states.amazonaws.com", "lambda:InvokeFunction"),
    )["stateMachineArn"]
    arn = states.start_execution(stateMachineArn=machine)["executionArn"]
    wait_until(
        lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING", what="the end of the execution"
    )
    output = json.loads(states.describe_execution(executionArn=arn)["output"])
    assert output == {"Error": "States.Timeout", "Cause": ""}


@pytest.mark.parametrize("direct", [True, False])
def test_an_error_of_the_function_is_the_error_of_the_task(cloud: RunningCloud, direct: bool) -> None:
    name = make(cloud, "class Wrong(Exception):\n    pass\ndef handler(event, context):\n    raise Wrong('no')\n")
    invoke = {"Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": name}}
    execution, events = ran(cloud, {"Resource": ARN.format(name)} if direct else invoke)
    assert execution["error"] == "Wrong" and json.loads(execution["cause"])["errorMessage"] == "no"
    assert events[-2]["type"] == ("LambdaFunctionFailed" if direct else "TaskFailed")


@pytest.mark.parametrize("direct", [True, False])
def test_a_function_that_is_not_there_is_said_so_in_the_words_of_aws(cloud: RunningCloud, direct: bool) -> None:
    arn = ARN.format("nothing")
    invoke = {"Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": arn}}
    execution, _ = ran(cloud, {"Resource": arn} if direct else invoke)
    assert execution["error"] == "Lambda.ResourceNotFoundException"
    assert execution["cause"].startswith(f"Function not found: {arn}:$LATEST (Service: AWSLambda; Status Code: 404; ")


def test_the_time_of_a_task_ends_the_wait_and_a_failure_of_the_function_itself_is_its_own(cloud: RunningCloud) -> None:
    slow = make(cloud, "import time\ndef handler(event, context):\n    time.sleep(30)\n", Timeout=1)
    execution, events = ran(cloud, {"Resource": ARN.format(slow)})
    assert execution["error"] == "Sandbox.Timedout" and "Task timed out after 1.00 seconds" in execution["cause"]
    cloud.client("lambda").update_function_configuration(FunctionName=slow, Timeout=60)
    execution, events = ran(cloud, {"Resource": ARN.format(slow), "TimeoutSeconds": 1})
    assert execution["error"] == "States.Timeout" and events[-2]["type"] == "LambdaFunctionTimedOut"


def test_a_function_answers_the_token_that_it_was_handed(cloud: RunningCloud) -> None:
    code = """
import boto3
def handler(event, context):
    boto3.client("stepfunctions").send_task_success(taskToken=event["token"], output='"done"')
"""
    name = make(cloud, code, Role=role(cloud, "lambda.amazonaws.com", "states:SendTaskSuccess"))
    parameters = {"FunctionName": name, "Payload": {"token.$": "$$.Task.Token"}}
    execution, _ = ran(cloud, {"Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "Parameters": parameters})
    assert json.loads(execution["output"]) == "done"
    assert lines(cloud, name)
