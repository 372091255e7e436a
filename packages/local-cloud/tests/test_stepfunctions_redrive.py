"""RedriveExecution: what succeeded is kept, what did not is done again, and a kill in between changes nothing.

https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
"""

from __future__ import annotations

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from local_cloud.testing import wait_until
from tests.test_stepfunctions_states import finished, machine, one, run, states  # noqa: F401

DISTRIBUTED = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
READ = "arn:aws:states:::aws-sdk:ssm:getParameter"


def read(name: str, **more: object) -> dict:
    """A task that fails until there is a parameter of that name."""
    return {"Type": "Task", "Resource": READ, "Parameters": {"Name": name}, "ResultSelector": {"v.$": "$.Parameter.Value"},
            "End": True, **more}  # fmt: skip


def give(cloud, name: str, value: str) -> None:
    cloud.client("ssm").put_parameter(Name=name, Value=value, Type="String")


def kinds(states, arn: str) -> list[str]:  # noqa: F811
    return [e["type"] for e in states.get_execution_history(executionArn=arn, maxResults=1000)["events"]]


def test_a_redrive_goes_on_at_the_step_that_failed_and_keeps_what_succeeded(states, cloud):  # noqa: F811
    name = f"/redrive/{uuid.uuid4()}"
    definition = {
        "StartAt": "Once",
        "States": {
            "Once": {"Type": "Pass", "Parameters": {"id.$": "States.UUID()"}, "Assign": {"kept.$": "$.id"}, "Next": "Read"},
            "Read": read(name, ResultPath="$.read", End=False, Next="Tell") | {"End": False},
            "Tell": {
                "Type": "Pass",
                "Parameters": {"id.$": "$.id", "kept.$": "$kept", "count.$": "$$.Execution.RedriveCount", "v.$": "$.read.v"},
                "End": True,
            },
        },
    }  # fmt: skip
    del definition["States"]["Read"]["End"]
    failed = run(states, definition)
    arn = failed["executionArn"]
    before = states.get_execution_history(executionArn=arn)["events"]
    assert (failed["status"], failed["redriveStatus"], failed["redriveCount"]) == ("FAILED", "REDRIVABLE", 0)
    give(cloud, name, "there")
    redriven = states.redrive_execution(executionArn=arn)["redriveDate"]
    ended = finished(states, arn)
    assert (ended["status"], ended["redriveCount"], ended["redriveDate"]) == ("SUCCEEDED", 1, redriven)
    assert "error" not in ended and ended["redriveStatus"] == "NOT_REDRIVABLE"
    first = json.loads(before[2]["stateExitedEventDetails"]["output"])["id"]
    assert json.loads(ended["output"]) == {"id": first, "kept": first, "count": 1, "v": "there"}
    after = states.get_execution_history(executionArn=arn, maxResults=1000)["events"]
    assert after[: len(before)] == before
    assert [e["type"] for e in after[len(before) :]][:2] == ["ExecutionRedriven", "TaskScheduled"]
    assert after[len(before)]["executionRedrivenEventDetails"] == {"redriveCount": 1}
    assert [e["type"] for e in after].count("PassStateEntered") == 2  # Once is not entered again


def test_only_branches_and_iterations_that_failed_are_done_again(states, cloud):  # noqa: F811
    name = f"/redrive/{uuid.uuid4()}"
    good = {
        "StartAt": "Good",
        "States": {"Good": {"Type": "Pass", "Parameters": {"id.$": "States.UUID()"}, "End": True}},
    }
    choose = {
        "StartAt": "Choose",
        "States": {
            "Choose": {"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 1, "Next": "Read"}], "Default": "Ok"},
            "Ok": {"Type": "Pass", "Parameters": {"id.$": "States.UUID()"}, "End": True},
            "Read": read(name),
        },
    }  # fmt: skip
    each = {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 1, "ItemProcessor": choose, "End": True}
    definition = one({"Type": "Parallel", "Branches": [good, {"StartAt": "Each", "States": {"Each": each}}]})
    failed = run(states, definition, {"items": [0, 1, 2]})
    arn = failed["executionArn"]
    assert failed["status"] == "FAILED"
    give(cloud, name, "there")
    states.redrive_execution(executionArn=arn)
    ended = finished(states, arn)
    branch, items = json.loads(ended["output"])
    assert items[1] == {"v": "there"} and set(items[0]) == set(items[2]) == {"id"}
    events = kinds(states, arn)
    assert events.count("PassStateEntered") == 3  # Good, item 0 and, only after the redrive, item 2
    assert (events.count("ParallelStateStarted"), events.count("MapStateStarted")) == (1, 1)
    assert events.count("MapIterationStarted") == 3 and branch["id"] in json.dumps(
        states.get_execution_history(executionArn=arn)["events"], default=str
    )


def test_a_map_run_is_redriven_with_its_parent_and_runs_only_what_failed(states, cloud):  # noqa: F811
    name = f"/redrive/{uuid.uuid4()}"
    choose = {
        "StartAt": "Choose",
        "States": {
            "Choose": {"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 1, "Next": "Read"}], "Default": "Ok"},
            "Ok": {"Type": "Pass", "End": True},
            "Read": read(name),
        },
    }  # fmt: skip
    state = {"Type": "Map", "Label": "Each", "MaxConcurrency": 1, "ItemProcessor": {**DISTRIBUTED, **choose}}
    failed = run(states, one(state), [0, 1, 2])
    arn = failed["executionArn"]
    (listed,) = states.list_map_runs(executionArn=arn)["mapRuns"]
    children = states.list_executions(mapRunArn=listed["mapRunArn"])["executions"]
    (broken,) = [child for child in children if child["status"] == "FAILED"]
    described = states.describe_execution(executionArn=broken["executionArn"])
    assert described["redriveStatus"] == "REDRIVABLE_BY_MAP_RUN"
    with pytest.raises(ClientError, match="ExecutionNotRedrivable"):
        states.redrive_execution(executionArn=broken["executionArn"])
    give(cloud, name, "there")
    states.redrive_execution(executionArn=arn)
    ended = finished(states, arn)
    assert json.loads(ended["output"]) == [0, {"v": "there"}, 2]
    again = states.describe_map_run(mapRunArn=listed["mapRunArn"])
    assert (again["status"], again["redriveCount"], again["itemCounts"]["succeeded"]) == ("SUCCEEDED", 1, 3)
    assert len(states.list_executions(mapRunArn=listed["mapRunArn"])["executions"]) == 3
    assert states.describe_execution(executionArn=broken["executionArn"])["redriveCount"] == 1
    assert "ExecutionRedriven" in kinds(states, broken["executionArn"])
    (redriven,) = [e for e in states.get_execution_history(executionArn=arn)["events"] if e["type"] == "MapRunRedriven"]
    assert redriven["mapRunRedrivenEventDetails"] == {"mapRunArn": listed["mapRunArn"], "redriveCount": 1}


def test_a_stopped_execution_is_redriven_and_a_finished_or_running_one_is_not(states):  # noqa: F811
    definition = one({"Type": "Wait", "Seconds": 600})
    arn = states.start_execution(stateMachineArn=machine(states, definition))["executionArn"]
    with pytest.raises(ClientError, match="Execution is RUNNING and cannot be redriven"):
        states.redrive_execution(executionArn=arn)
    states.stop_execution(executionArn=arn)
    token = str(uuid.uuid4())
    first = states.redrive_execution(executionArn=arn, clientToken=token)["redriveDate"]
    # The same token again is the same request, even while the execution runs.
    assert states.redrive_execution(executionArn=arn, clientToken=token)["redriveDate"] == first
    assert states.describe_execution(executionArn=arn)["redriveCount"] == 1
    states.stop_execution(executionArn=arn)
    done = run(states, one({"Type": "Pass"}))
    with pytest.raises(ClientError, match="Execution is SUCCEEDED and cannot be redriven"):
        states.redrive_execution(executionArn=done["executionArn"])
    listed = states.list_executions(stateMachineArn=done["stateMachineArn"], redriveFilter="REDRIVEN")["executions"]
    assert listed == []


def test_what_a_killed_cloud_left_goes_on_by_itself(own_cloud):
    own_cloud.start()
    states = own_cloud.client("stepfunctions")  # noqa: F811
    definition = {
        "StartAt": "Once",
        "States": {
            "Once": {"Type": "Pass", "Parameters": {"id.$": "States.UUID()"}, "Next": "Wait"},
            "Wait": {"Type": "Wait", "Seconds": 10, "Next": "End"},
            "End": {"Type": "Pass", "End": True},
        },
    }
    arn = states.start_execution(stateMachineArn=machine(states, definition))["executionArn"]
    wait_until(lambda: kinds(states, arn)[-1] == "WaitStateEntered", 60)
    before = states.get_execution_history(executionArn=arn)["events"]
    own_cloud.kill()
    own_cloud.start()
    states = own_cloud.client("stepfunctions")
    ended = finished(states, arn)
    once = json.loads(before[2]["stateExitedEventDetails"]["output"])
    assert (ended["status"], ended["redriveCount"], json.loads(ended["output"])) == ("SUCCEEDED", 0, once)
    after = states.get_execution_history(executionArn=arn)["events"]
    assert after[: len(before)] == before
    assert [event["type"] for event in after[len(before) :]] == [
        "WaitStateExited", "PassStateEntered", "PassStateExited", "ExecutionSucceeded",
    ]  # fmt: skip
