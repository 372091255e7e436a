"""Versions, aliases and activities, as AWS recorded them (docs: local_cloud/coverage.md says with what)."""

from __future__ import annotations

import json
import threading
import uuid

import pytest
from botocore.exceptions import ClientError

from tests.test_stepfunctions_states import ROLE, finished, machine, one, states  # noqa: F401


def published(states, result: object) -> tuple[str, str]:  # noqa: F811
    made = states.create_state_machine(
        name=f"v-{uuid.uuid4().hex[:10]}", definition=json.dumps(one({"Type": "Pass", "Result": result})), roleArn=ROLE,
        publish=True, versionDescription=f"gives {result}",
    )  # fmt: skip
    return made["stateMachineArn"], made["stateMachineVersionArn"]


def update(states, arn: str, result: object) -> str:  # noqa: F811
    definition = json.dumps(one({"Type": "Pass", "Result": result}))
    return states.update_state_machine(stateMachineArn=arn, definition=definition, publish=True)[
        "stateMachineVersionArn"
    ]


def test_a_version_stays_as_it_was_published_and_its_number_is_not_used_again(states):  # noqa: F811
    arn, first = published(states, 1)
    assert first == f"{arn}:1"
    assert (
        states.publish_state_machine_version(stateMachineArn=arn)["stateMachineVersionArn"] == first
    )  # nothing changed
    second = update(states, arn, 2)
    for version, output in ((first, "1"), (second, "2"), (arn, "2")):
        started = states.start_execution(stateMachineArn=version)["executionArn"]
        ended = finished(states, started)
        assert ended["output"] == output and ended["stateMachineArn"] == arn
        assert ended.get("stateMachineVersionArn") == (None if version == arn else version)
    shown = states.describe_state_machine(stateMachineArn=first)
    assert (shown["stateMachineArn"], shown["description"]) == (first, "gives 1")
    assert [e["stateMachineVersionArn"] for e in states.list_executions(stateMachineArn=first)["executions"]] == [first]
    states.delete_state_machine_version(stateMachineVersionArn=second)
    assert update(states, arn, 3) == f"{arn}:3"
    listed = states.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"]
    assert [version["stateMachineVersionArn"] for version in listed] == [f"{arn}:3", first]
    with pytest.raises(ClientError, match="StateMachineDoesNotExist"):
        states.start_execution(stateMachineArn=second)
    with pytest.raises(ClientError, match="ConflictException"):
        states.publish_state_machine_version(stateMachineArn=arn, revisionId=str(uuid.uuid4()))


def test_an_alias_routes_by_weight_and_holds_its_versions(states):  # noqa: F811
    arn, first = published(states, 1)
    second = update(states, arn, 2)
    route = [{"stateMachineVersionArn": first, "weight": 0}, {"stateMachineVersionArn": second, "weight": 100}]
    alias = states.create_state_machine_alias(name="PROD", routingConfiguration=route)["stateMachineAliasArn"]
    assert alias == f"{arn}:PROD"
    for _ in range(5):  # a weight of 0 is never chosen
        ended = finished(states, states.start_execution(stateMachineArn=alias)["executionArn"])
        assert (ended["output"], ended["stateMachineAliasArn"], ended["stateMachineVersionArn"]) == ("2", alias, second)
    with pytest.raises(ClientError, match=r"must not be referenced by an alias.*\[PROD\]"):
        states.delete_state_machine_version(stateMachineVersionArn=first)
    only = [{"stateMachineVersionArn": second, "weight": 100}]
    states.update_state_machine_alias(stateMachineAliasArn=alias, routingConfiguration=only)
    states.delete_state_machine_version(stateMachineVersionArn=first)
    assert states.describe_state_machine_alias(stateMachineAliasArn=alias)["routingConfiguration"] == only
    states.delete_state_machine(stateMachineArn=arn)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        states.describe_state_machine_alias(stateMachineAliasArn=alias)


@pytest.mark.parametrize(
    ("weights", "words"), [((70, 29), "must equal 100. Received: \\[70, 29\\]"), ((101,), "less than or equal to 100")]
)
def test_routing_that_makes_no_sense_is_refused_in_aws_words(states, weights, words):  # noqa: F811
    arn, first = published(states, 1)
    versions = [first, update(states, arn, 2)]
    route = [{"stateMachineVersionArn": v, "weight": w} for v, w in zip(versions, weights, strict=False)]
    with pytest.raises(ClientError, match=words):
        states.create_state_machine_alias(name="PROD", routingConfiguration=route)
    with pytest.raises(ClientError, match="must contain state machine version ARNs"):
        states.create_state_machine_alias(
            name="PROD", routingConfiguration=[{"stateMachineVersionArn": arn, "weight": 100}]
        )


def test_a_worker_takes_an_activity_task_and_answers_it(states):  # noqa: F811
    activity = states.create_activity(name=f"a-{uuid.uuid4().hex[:10]}")["activityArn"]
    definition = one({"Type": "Task", "Resource": activity, "HeartbeatSeconds": 120, "TimeoutSeconds": 300})
    taken: list[dict] = []
    # The worker asks first: its poll is answered as soon as there is a task.
    worker = threading.Thread(
        target=lambda: taken.append(states.get_activity_task(activityArn=activity, workerName="w"))
    )
    worker.start()
    arn = states.start_execution(stateMachineArn=machine(states, definition), input='{"n": 1}')["executionArn"]
    worker.join(60)
    assert json.loads(taken[0]["input"]) == {"n": 1}
    states.send_task_heartbeat(taskToken=taken[0]["taskToken"])
    states.send_task_success(taskToken=taken[0]["taskToken"], output='{"done": true}')
    assert json.loads(finished(states, arn)["output"]) == {"done": True}
    events = states.get_execution_history(executionArn=arn)["events"]
    assert [e["type"] for e in events][2:5] == ["ActivityScheduled", "ActivityStarted", "ActivitySucceeded"]
    scheduled = events[2]["activityScheduledEventDetails"]
    assert (scheduled["heartbeatInSeconds"], scheduled["timeoutInSeconds"]) == (120, 300)
    assert events[3]["activityStartedEventDetails"] == {"workerName": "w"}
    with pytest.raises(ClientError, match="TaskTimedOut"):
        states.send_task_success(taskToken=taken[0]["taskToken"], output="{}")


def test_a_task_that_nobody_waits_for_any_more_is_not_handed_out(states):  # noqa: F811
    activity = states.create_activity(name=f"a-{uuid.uuid4().hex[:10]}")["activityArn"]
    arn = machine(states, one({"Type": "Task", "Resource": activity}))
    gone = states.start_execution(stateMachineArn=arn, input='"gone"')["executionArn"]
    states.stop_execution(executionArn=gone)
    states.start_execution(stateMachineArn=arn, input='"here"')
    task = states.get_activity_task(activityArn=activity)
    assert task["input"] == '"here"'
    states.send_task_failure(taskToken=task["taskToken"], error="Mine")


def test_an_activity_that_is_not_there_fails_the_execution(states):  # noqa: F811
    activity = "arn:aws:states:us-east-1:000000000000:activity:never"
    arn = machine(states, one({"Type": "Task", "Resource": activity}))
    ended = finished(states, states.start_execution(stateMachineArn=arn)["executionArn"])
    assert (ended["error"], "does not exist." in ended["cause"]) == ("States.Runtime", True)
    with pytest.raises(ClientError, match="ActivityDoesNotExist"):
        states.get_activity_task(activityArn=activity)
    with pytest.raises(ClientError, match="Invalid Name: 'a b'"):
        states.create_activity(name="a b")
