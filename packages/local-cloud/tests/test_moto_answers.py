"""What moto's SNS and EventBridge answered otherwise than AWS, where a workflow meets it."""

from __future__ import annotations

import base64
import json
import uuid

import pytest
from botocore.exceptions import ClientError

from tests.test_stepfunctions_states import one, run, states  # noqa: F401


def received(cloud, queue: str) -> dict:
    (message,) = cloud.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
    return json.loads(message["Body"])


def queue_of(cloud) -> tuple[str, str]:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex[:10]}")["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def test_a_topic_signs_with_version_1_unless_told_otherwise(cloud):
    sns = cloud.client("sns")
    url, arn = queue_of(cloud)
    topic = sns.create_topic(Name=f"t-{uuid.uuid4().hex[:10]}")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sns.publish(TopicArn=topic, Message="hello")
    first = received(cloud, url)
    assert first["SignatureVersion"] == "1" and len(base64.b64decode(first["Signature"])) == 256


def test_a_fifo_topic_numbers_its_messages_and_wants_their_group(cloud):
    sns = cloud.client("sns")
    topic = sns.create_topic(
        Name=f"t-{uuid.uuid4().hex[:10]}.fifo", Attributes={"FifoTopic": "true", "ContentBasedDeduplication": "true"}
    )["TopicArn"]
    numbers = [sns.publish(TopicArn=topic, Message=f"m{n}", MessageGroupId="g")["SequenceNumber"] for n in range(2)]
    assert numbers == sorted(numbers) and len(set(numbers)) == 2 and all(len(number) == 20 for number in numbers)
    with pytest.raises(ClientError, match="MessageGroupId parameter is required for FIFO topics"):
        sns.publish(TopicArn=topic, Message="x")
    with pytest.raises(ClientError, match="Topic does not exist"):
        sns.publish(TopicArn=topic.replace(":t-", ":no-"), Message="x")


def test_events_of_a_workflow_name_account_state_machine_and_execution(states, cloud):  # noqa: F811
    events, (url, arn) = cloud.client("events"), queue_of(cloud)
    kind = f"kind-{uuid.uuid4().hex[:10]}"
    events.put_rule(Name=kind, EventPattern=json.dumps({"detail-type": [kind]}))
    events.put_targets(Rule=kind, Targets=[{"Id": "q", "Arn": arn}])
    entry = {"Detail": {"n": 1}, "DetailType": kind, "Source": "mine", "Resources": ["arn:own"]}
    task = {"Type": "Task", "Resource": "arn:aws:states:::events:putEvents", "Parameters": {"Entries": [entry]}}
    ended = run(states, one(task))
    event = received(cloud, url)
    assert (event["account"], event["detail"]) == ("000000000000", {"n": 1})
    assert event["resources"] == ["arn:own", ended["stateMachineArn"], ended["executionArn"]]


def test_a_detail_that_is_no_object_fails_its_entry_alone(states):  # noqa: F811
    entries = [
        {"Detail": text, "DetailType": "t", "Source": "mine"} for text in ('{"n": 1}', '"text"', "[1]", "not JSON")
    ]
    task = {"Type": "Task", "Resource": "arn:aws:states:::events:putEvents", "Parameters": {"Entries": entries}}
    failed = run(states, one(task))
    cause = json.loads(failed["cause"])
    assert (failed["error"], cause["FailedEntryCount"]) == ("EventBridge.FailedEntry", 3)
    assert [entry.get("ErrorCode") for entry in cause["Entries"]] == [None, *["MalformedDetail"] * 3]
