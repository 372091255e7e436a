"""Table-driven state machines: what goes in, what comes out, with which error."""

from __future__ import annotations

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from local_cloud.testing import wait_until

ROLE = "arn:aws:iam::000000000000:role/states"


@pytest.fixture(scope="module")
def states(cloud):
    return cloud.client("stepfunctions")


def machine(states, definition: dict) -> str:
    made = states.create_state_machine(
        name=f"m-{uuid.uuid4().hex[:10]}", definition=json.dumps(definition), roleArn=ROLE
    )
    return made["stateMachineArn"]


def run(states, definition: dict, given: object = None, **options) -> dict:
    arn = states.start_execution(stateMachineArn=machine(states, definition), input=json.dumps(given or {}), **options)
    return finished(states, arn["executionArn"])


def finished(states, arn: str) -> dict:
    def ended():
        described = states.describe_execution(executionArn=arn)
        return described if described["status"] != "RUNNING" else None

    return wait_until(ended, 120, f"the end of {arn}")


def one(state: dict) -> dict:
    return {"StartAt": "S", "States": {"S": {**state, "End": True}}}


def passing(parameters: object) -> dict:
    return one({"Type": "Pass", "Parameters": parameters})


EXPRESSIONS = {
    "States.Array('a', 1, $.n, null, true)": ["a", 1, 7, None, True],
    "States.ArrayPartition($.list, 2)": [[1, 2], [3]],
    "States.ArrayContains($.list, 2)": True,
    "States.ArrayRange(1, 9, 4)": [1, 5, 9],
    "States.ArrayGetItem($.list, 1)": 2,
    "States.ArrayLength($.list)": 3,
    "States.ArrayUnique(States.Array(1, 1, 2))": [1, 2],
    "States.Base64Encode('abc')": "YWJj",
    "States.Base64Decode('YWJj')": "abc",
    "States.Hash('abc', 'SHA-1')": "a9993e364706816aba3e25717850c26c9cd0d89d",
    "States.JsonMerge($.one, $.two, false)": {"a": 2, "b": 1, "c": 3},
    "States.StringToJson('{\"a\": [1]}')": {"a": [1]},
    "States.JsonToString($.one)": '{"a":1,"b":1}',
    "States.MathAdd($.n, -2)": 5,
    "States.StringSplit('a-b_c', '-_')": ["a", "b", "c"],
    "States.Format('{}/{} \\\\{\\\\}', $.text, $.one)": "héllo/{a=1, b=1} {}",
    "States.Format('it\\\\'s {}', $.n)": "it's 7",
    "States.ArrayGetItem(States.StringSplit($.text, 'l'), 1)": "o",
    "$.one['a']": 1,
    "$.list[*]": [1, 2, 3],
    "$.list[-1:]": [3],
    "$..a": [1, 2],
    "$.rows[?(@.v > 1)].k": ["y"],
}
DATA = {
    "n": 7,
    "text": "héllo",
    "list": [1, 2, 3],
    "one": {"a": 1, "b": 1},
    "two": {"a": 2, "c": 3},
    "rows": [{"k": "x", "v": 1}, {"k": "y", "v": 2}],
}


def test_intrinsic_functions_and_paths(states):
    parameters = {f"{index}.$": text.replace("\\\\", "\\") for index, text in enumerate(EXPRESSIONS)}
    ended = run(states, passing(parameters), DATA)
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    output = json.loads(ended["output"])
    got = {text: output[str(index)] for index, text in enumerate(EXPRESSIONS)}
    assert got == EXPRESSIONS


def test_random_and_uuid(states):
    output = json.loads(run(states, passing({"r.$": "States.MathRandom(1, 4)", "u.$": "States.UUID()"}))["output"])
    assert output["r"] in (1, 2, 3)
    assert uuid.UUID(output["u"]).version == 4


def test_the_context_object_is_complete(states):
    wanted = [
        "Execution.Name",
        "Execution.Id",
        "Execution.StartTime",
        "Execution.Input",
        "Execution.RoleArn",
        "Execution.RedriveCount",
        "State.Name",
        "State.EnteredTime",
        "StateMachine.Id",
        "StateMachine.Name",
    ]
    ended = run(states, passing({f"{name}.$": f"$$.{name}" for name in wanted}), {"x": 1})
    output = json.loads(ended["output"])
    assert output["Execution.Id"] == ended["executionArn"]
    assert output["Execution.Name"] == ended["name"] == ended["executionArn"].rpartition(":")[2]
    assert (output["Execution.Input"], output["Execution.RoleArn"], output["State.Name"]) == ({"x": 1}, ROLE, "S")
    assert output["Execution.RedriveCount"] == 0
    assert output["Execution.StartTime"].endswith("Z") and output["State.EnteredTime"].endswith("Z")


FLOWS = [
    ({"Type": "Pass", "Result": {"a": 1}, "ResultPath": "$.r.s"}, {"x": 0}, {"x": 0, "r": {"s": {"a": 1}}}),
    ({"Type": "Pass", "Result": 1, "ResultPath": None}, {"x": 0}, {"x": 0}),
    ({"Type": "Pass", "InputPath": "$.a", "OutputPath": "$.b"}, {"a": {"b": 2}}, 2),
    ({"Type": "Pass", "InputPath": None}, {"a": 1}, {}),
    ({"Type": "Wait", "SecondsPath": "$.s"}, {"s": 0}, {"s": 0}),
    ({"Type": "Wait", "Timestamp": "2020-01-01T00:00:00Z"}, {"k": 1}, {"k": 1}),
]


@pytest.mark.parametrize(("state", "given", "wanted"), FLOWS)
def test_data_flow(states, state, given, wanted):
    ended = run(states, one(state), given)
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    assert json.loads(ended["output"]) == wanted


RULES = [
    ({"Variable": "$.n", "NumericGreaterThanEquals": 7}, True),
    ({"Variable": "$.n", "NumericLessThan": 7}, False),
    ({"Variable": "$.n", "StringEquals": "7"}, False),
    ({"Variable": "$.text", "StringMatches": "h*l?*"}, False),
    ({"Variable": "$.text", "StringMatches": "h*o"}, True),
    ({"Variable": "$.none", "IsPresent": False}, True),
    ({"Variable": "$.null", "IsNull": True}, True),
    ({"Variable": "$.when", "TimestampLessThan": "2030-01-01T00:00:00Z"}, True),
    ({"Variable": "$.n", "NumericEqualsPath": "$.m"}, True),
    ({"And": [{"Variable": "$.n", "IsNumeric": True}, {"Not": {"Variable": "$.yes", "BooleanEquals": False}}]}, True),
    ({"Or": [{"Variable": "$.n", "IsString": True}, {"Variable": "$.when", "IsTimestamp": True}]}, True),
]


def test_choice_rules(states):
    given = {"n": 7, "m": 7, "text": "hello", "null": None, "when": "2025-05-05T00:00:00Z", "yes": True}
    branches = [
        {
            "StartAt": f"C{i}",
            "States": {
                f"C{i}": {"Type": "Choice", "Choices": [{**rule, "Next": f"T{i}"}], "Default": f"F{i}"},
                f"T{i}": {"Type": "Pass", "Result": True, "End": True},
                f"F{i}": {"Type": "Pass", "Result": False, "End": True},
            },
        }
        for i, (rule, _) in enumerate(RULES)
    ]
    output = json.loads(run(states, one({"Type": "Parallel", "Branches": branches}), given)["output"])
    assert output == [wanted for _, wanted in RULES]


FAILURES = [
    (one({"Type": "Pass", "Parameters": {"a.$": "$.missing"}}), "States.Runtime"),
    (one({"Type": "Pass", "InputPath": "$.missing"}), "States.Runtime"),
    (
        one({"Type": "Pass", "Parameters": {"a.$": "States.ArrayGetItem(States.Array(1), 4)"}}),
        "States.IntrinsicFailure",
    ),
    (one({"Type": "Pass", "Parameters": {"a.$": "States.StringToJson('{')"}}), "States.IntrinsicFailure"),
    ({"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Mine", "Cause": "why"}}}, "Mine"),
    (
        {
            "StartAt": "F",
            "States": {"F": {"Type": "Fail", "ErrorPath": "$$.State.Name", "CausePath": "States.Format('c{}', 1)"}},
        },
        "F",
    ),
    (
        {
            "StartAt": "C",
            "States": {
                "C": {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsPresent": True, "Next": "E"}]},
                "E": {"Type": "Succeed"},
            },
        },
        "States.NoChoiceMatched",
    ),
]


@pytest.mark.parametrize(("definition", "error"), FAILURES)
def test_failures_carry_aws_names(states, definition, error):
    ended = run(states, definition)
    assert (ended["status"], ended["error"]) == ("FAILED", error)


def test_retry_counts_then_catch_takes_over(states):
    arn = "arn:aws:states:::aws-sdk:ssm:getParameter"
    definition = {
        "StartAt": "T",
        "States": {
            "T": {
                "Type": "Task",
                "Resource": arn,
                "Parameters": {"Name.$": "States.Format('/none/{}', $$.State.RetryCount)"},
                "Retry": [{"ErrorEquals": ["Ssm.ParameterNotFoundException"], "IntervalSeconds": 0, "MaxAttempts": 2}],
                "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Caught"}],
                "End": True,
            },
            "Caught": {"Type": "Pass", "End": True},
        },
    }
    definition["States"]["T"]["Retry"][0]["IntervalSeconds"] = 1
    definition["States"]["T"]["Retry"][0]["MaxDelaySeconds"] = 1
    ended = run(states, definition, {"kept": 1})
    output = json.loads(ended["output"])
    assert output["kept"] == 1
    assert output["error"]["Error"] == "Ssm.ParameterNotFoundException"
    events = states.get_execution_history(executionArn=ended["executionArn"], maxResults=100)["events"]
    scheduled = [
        json.loads(e["taskScheduledEventDetails"]["parameters"])["Name"] for e in events if e["type"] == "TaskScheduled"
    ]
    assert scheduled == ["/none/0", "/none/1", "/none/2"]


def test_map_keeps_order_and_selects_items(states):
    definition = one(
        {
            "Type": "Map",
            "ItemsPath": "$.items",
            "MaxConcurrency": 3,
            "ItemSelector": {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "k.$": "$.k"},
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "INLINE"},
                "StartAt": "P",
                "States": {"P": {"Type": "Pass", "OutputPath": "$.v", "End": True}},
            },
            "ResultSelector": {"all.$": "$"},
            "ResultPath": "$.done",
        }
    )
    output = json.loads(run(states, definition, {"items": list(range(20)), "k": 1})["output"])
    assert output["done"]["all"] == list(range(20))


def test_one_failing_branch_aborts_the_others(states):
    definition = {
        "StartAt": "P",
        "States": {
            "P": {
                "Type": "Parallel",
                "End": True,
                "Catch": [{"ErrorEquals": ["Mine"], "Next": "C"}],
                "Branches": [
                    {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}}},
                    {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Mine"}}},
                ],
            },
            "C": {"Type": "Succeed"},
        },
    }
    ended = run(states, definition)
    assert json.loads(ended["output"]) == {"Error": "Mine", "Cause": None}


def test_stopping_inside_a_map_is_aborted(states):
    definition = one(
        {
            "Type": "Map",
            "ItemsPath": "$.items",
            "ItemProcessor": {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}}},
        }
    )
    arn = states.start_execution(stateMachineArn=machine(states, definition), input='{"items": [1, 2]}')["executionArn"]

    def kinds():
        return [e["type"] for e in states.get_execution_history(executionArn=arn)["events"]]

    wait_until(lambda: kinds().count("WaitStateEntered") == 2)
    states.stop_execution(executionArn=arn, error="Enough", cause="of this")
    ended = finished(states, arn)
    assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Enough", "of this")
    assert {"MapIterationAborted", "MapStateAborted", "ExecutionAborted"} <= set(kinds())


def test_an_execution_that_takes_too_long_times_out(states):
    definition = {**one({"Type": "Wait", "Seconds": 600}), "TimeoutSeconds": 1}
    assert run(states, definition)["status"] == "TIMED_OUT"


def test_task_tokens_and_heartbeats(states, cloud):
    queue = cloud.client("sqs").create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    definition = one(
        {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Parameters": {"QueueUrl": queue, "MessageBody": {"token.$": "$$.Task.Token"}},
            "TimeoutSeconds": 20,
        }
    )
    arn = states.start_execution(stateMachineArn=machine(states, definition))["executionArn"]
    sqs = cloud.client("sqs")
    message = wait_until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))[0]
    states.send_task_success(taskToken=json.loads(message["Body"])["token"], output='{"ok": 1}')
    assert json.loads(finished(states, arn)["output"]) == {"ok": 1}


def test_sdk_integrations_read_and_write_as_on_aws(states, cloud):
    bucket = f"sdk-{uuid.uuid4().hex[:8]}"
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="plan.json", Body=b'{"a": 1}')
    sdk = "arn:aws:states:::aws-sdk:"
    definition = {
        "StartAt": "Read",
        "States": {
            "Read": {
                "Type": "Task",
                "Resource": f"{sdk}s3:getObject",
                "Parameters": {"Bucket": bucket, "Key": "plan.json"},
                "ResultSelector": {"plan.$": "States.StringToJson($.Body)"},
                "ResultPath": "$.read",
                "Next": "Write",
            },
            "Write": {
                "Type": "Task",
                "Resource": f"{sdk}s3:putObject",
                "ResultPath": None,
                "Next": "Copy",
                "Parameters": {
                    "Bucket": bucket,
                    "Key": "out put.json",
                    "Body.$": "$.read",
                    "ContentType": "application/json",
                },
            },
            "Copy": {
                "Type": "Task",
                "Resource": f"{sdk}s3:copyObject",
                "ResultPath": None,
                "Next": "Put",
                "Parameters": {"Bucket": bucket, "Key": "copy.json", "CopySource": f"{bucket}/out%20put.json"},
            },
            "Put": {
                "Type": "Task",
                "Resource": f"{sdk}ssm:putParameter",
                "ResultPath": "$.put",
                "Next": "Missing",
                "Parameters": {"Name": f"/{bucket}", "Value": "v", "Type": "String", "Overwrite": True},
            },
            "Missing": {
                "Type": "Task",
                "Resource": f"{sdk}s3:getObject",
                "Parameters": {"Bucket": bucket, "Key": "none"},
                "Catch": [{"ErrorEquals": ["S3.NoSuchKeyException"], "ResultPath": "$.missing", "Next": "End"}],
                "End": True,
            },
            "End": {"Type": "Pass", "End": True},
        },
    }
    output = json.loads(run(states, definition)["output"])
    assert (output["read"], output["put"]["Version"]) == ({"plan": {"a": 1}}, 1)
    assert output["missing"]["Error"] == "S3.NoSuchKeyException"
    assert s3.get_object(Bucket=bucket, Key="copy.json")["Body"].read() == b'{"plan":{"a":1}}'


def test_nested_executions(states):
    inner = machine(states, passing({"n.$": "$.n"}))
    definition = one(
        {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Parameters": {"StateMachineArn": inner, "Input": {"n": 5}},
            "OutputPath": "$.Output",
        }
    )
    assert json.loads(run(states, definition)["output"]) == {"n": 5}


REFUSED = [
    ({"QueryLanguage": "JSONata", **one({"Type": "Pass", "ResultPath": "$.x"})}, "ResultPath.*JSONata"),
    ({"QueryLanguage": "JSONata", **one({"Type": "Pass", "QueryLanguage": "JSONPath"})}, "can not be 'JSONPath'"),
    ({"QueryLanguage": "JSONata", **one({"Type": "Pass", "Output": "{% $sum( %}"})}, "cannot be parsed"),
    (one({"Type": "Pass", "Output": "x"}), "Output"),
    (one({"Type": "Task", "Resource": "arn:aws:states:::lambda:invokeAsync"}), "lambda:invokeAsync is no integration"),
    (one({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.sync"}), "lambda:invoke has no pattern .sync"),
    (one({"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createNothing"}), "createNothing"),
    (
        one({"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createModel", "Parameters": {"Modelname": "x"}}),
        "Modelname",
    ),
    (
        one({"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:getObject", "Parameters": {"bucket": "x"}}),
        "bucket",
    ),
    ({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}, "MISSING_TRANSITION_TARGET"),
    ({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}, "B": {"Type": "Succeed"}}}, "not reachable"),
    (one({"Type": "Pass", "Parameters": {"a.$": "States.Nothing()"}}), "States.Nothing"),
    (one({"Type": "Pass", "ResultPath": "$.a[*]"}), "Reference Path"),
    (one({"Type": "Pass", "Colour": "red"}), "Colour"),
]


@pytest.mark.parametrize(("definition", "word"), REFUSED)
def test_what_cannot_run_is_refused_by_name_when_created(states, definition, word):
    with pytest.raises(ClientError, match=word) as refused:
        machine(states, definition)
    assert refused.value.response["Error"]["Code"] == "InvalidDefinition"


def test_names_are_used_once_and_updates_reach_new_executions(states):
    arn = machine(states, one({"Type": "Pass", "Result": 1}))
    first = states.start_execution(stateMachineArn=arn, name="same", input="{}")["executionArn"]
    finished(states, first)
    with pytest.raises(ClientError) as refused:
        states.start_execution(stateMachineArn=arn, name="same", input='{"a": 1}')
    assert refused.value.response["Error"]["Code"] == "ExecutionAlreadyExists"
    states.update_state_machine(stateMachineArn=arn, definition=json.dumps(one({"Type": "Pass", "Result": 2})))
    second = states.start_execution(stateMachineArn=arn)["executionArn"]
    assert finished(states, second)["output"] == "2"
    listed = [
        e["executionArn"] for e in states.list_executions(stateMachineArn=arn, statusFilter="SUCCEEDED")["executions"]
    ]
    assert listed == [second, first]
    assert "Result" in states.describe_state_machine_for_execution(executionArn=first)["definition"]


def test_histories_are_complete_paged_and_without_data_on_request(states):
    ended = run(states, one({"Type": "Pass", "Result": 1}), {"secret": 1})
    arn = ended["executionArn"]
    events = [
        e
        for p in states.get_paginator("get_execution_history").paginate(executionArn=arn, maxResults=2)
        for e in p["events"]
    ]
    assert [(e["id"], e["previousEventId"], e["type"]) for e in events] == [
        (1, 0, "ExecutionStarted"),
        (2, 0, "PassStateEntered"),
        (3, 2, "PassStateExited"),
        (4, 3, "ExecutionSucceeded"),
    ]
    assert events[0]["executionStartedEventDetails"]["input"] == '{"secret":1}' or "secret" in str(events[0])
    bare = states.get_execution_history(executionArn=arn, includeExecutionData=False, reverseOrder=True)["events"]
    assert bare[0]["id"] == 4 and "secret" not in str(bare)


WITHOUT_DETAILS = {
    "ParallelStateStarted",
    "ParallelStateSucceeded",
    "MapStateSucceeded",
    "ParallelStateFailed",
    "MapStateFailed",
    "MapStateAborted",
    "ParallelStateAborted",
}


def test_every_event_has_the_details_that_its_type_has_on_aws(states):
    sdk = "arn:aws:states:::aws-sdk:ssm:getParameter"
    inner = {
        "StartAt": "T",
        "States": {
            "T": {
                "Type": "Task",
                "Resource": sdk,
                "Parameters": {"Name": "/nothing"},
                "TimeoutSeconds": 9,
                "End": True,
                "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "C"}],
            },
            "C": {"Type": "Pass", "End": True},
        },
    }
    other = json.loads(json.dumps(inner).replace('"T"', '"T2"').replace('"C"', '"C2"'))
    definition = {
        "StartAt": "M",
        "States": {
            "M": {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": inner, "Next": "P"},
            "P": {"Type": "Parallel", "Branches": [other], "Next": "F"},
            "F": {"Type": "Fail", "Error": "E", "Cause": "c"},
        },
    }
    arn = run(states, definition, {"items": [1]})["executionArn"]
    events = states.get_execution_history(executionArn=arn, maxResults=100)["events"]
    bare = {e["type"] for e in events if not any(key.endswith("Details") for key in e)}
    assert bare <= WITHOUT_DETAILS
    failed = next(e for e in events if e["type"] == "TaskFailed")["taskFailedEventDetails"]
    assert failed["error"] == "Ssm.ParameterNotFoundException" and failed["resourceType"] == "aws-sdk:ssm"
    scheduled = next(e for e in events if e["type"] == "TaskScheduled")["taskScheduledEventDetails"]
    assert (scheduled["resource"], scheduled["region"], scheduled["timeoutInSeconds"]) == (
        "getParameter",
        "us-east-1",
        9,
    )
    assert events[-1]["executionFailedEventDetails"] == {"error": "E", "cause": "c"}


def test_a_transition_takes_a_few_milliseconds(states):
    chain = {f"P{i}": {"Type": "Pass", "Next": f"P{i + 1}"} for i in range(200)}
    ended = run(states, {"StartAt": "P0", "States": {**chain, "P200": {"Type": "Succeed"}}})
    assert (ended["stopDate"] - ended["startDate"]).total_seconds() / 200 < 0.05
