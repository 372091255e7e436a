"""Event rules, schedules and alarms fire: patterns as AWS documents them, targets that receive, a clock that tests move."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from local_cloud.errors import AwsError
from local_cloud.events import pattern, schedule
from local_cloud.events.bus import EventBus
from local_cloud.events.delivery import text_for
from local_cloud.testing import ManualClock, wait_until

# From https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html: pattern, what it takes, what not.
OPERATORS = [
    ([{"prefix": "eu-"}], ["eu-west-1"], ["us-east-1", 5, None]),
    ([{"prefix": {"equals-ignore-case": "EU-"}}], ["eu-west-1"], ["us-east-1"]),
    ([{"suffix": ".png"}], ["a.png"], ["a.PNG"]),
    ([{"suffix": {"equals-ignore-case": ".png"}}], ["a.PNG"], ["a.jpg"]),
    ([{"anything-but": "initializing"}], ["running", 7], ["initializing"]),
    ([{"anything-but": [100, 200]}], [300, "100"], [100, 200.0]),
    ([{"anything-but": {"prefix": "init"}}], ["running"], ["initial"]),
    ([{"anything-but": {"suffix": [".a", ".b"]}}], ["x.c"], ["x.a", "x.b"]),
    ([{"anything-but": {"equals-ignore-case": ["STOPPED"]}}], ["running"], ["Stopped"]),
    ([{"anything-but": {"wildcard": "*/lib/*"}}], ["a/b"], ["a/lib/b"]),
    ([{"numeric": [">", 0, "<=", 5]}], [1, 5, 0.5], [0, 5.1, "3", True]),
    ([{"numeric": ["=", 3.018e2]}], [301.8], [302]),
    ([{"cidr": "10.0.0.0/24"}], ["10.0.0.255"], ["10.0.1.0", "x", 5]),
    ([{"exists": True}], ["", 0, None, False], [{"deep": 1}, []]),
    ([{"equals-ignore-case": "alice"}], ["ALICE"], ["bob"]),
    ([{"wildcard": "dir/*.png"}], ["dir/x/y.png"], ["other/x.png"]),
    ([{"wildcard": r"a\*b"}], ["a*b"], ["axb"]),
    ([True], [True], [1, "true"]),
    ([1], [1, 1.0], [True, "1"]),
    ([None], [None], ["", 0, False]),
    (["a", "b"], ["b", ["x", "a"]], ["c", ["x"]]),
]


@pytest.mark.parametrize(("wanted", "fitting", "others"), OPERATORS)
def test_an_operator_takes_what_aws_says_and_nothing_else(wanted, fitting, others):
    asked = pattern.parsed(json.dumps({"detail": {"v": wanted}}))
    assert [v for v in fitting if not pattern.matches(asked, {"detail": {"v": v}})] == []
    assert [v for v in [*others] if pattern.matches(asked, {"detail": {"v": v}})] == []


def test_what_is_not_there_fits_only_exists_false_and_or_needs_one_of_its_patterns():
    assert pattern.matches({"detail": {"v": [{"exists": False}]}}, {"detail": {}})
    assert pattern.matches({"detail": {"v": [{"exists": False}]}}, {"detail": {"v": {"deep": 1}}}), "no leaf"
    assert not pattern.matches({"detail": {"v": [{"anything-but": "a"}]}}, {"detail": {}})
    either = pattern.parsed(
        json.dumps({"source": ["s"], "$or": [{"detail": {"a": [1]}}, {"detail": {"b": [{"numeric": ["<", 5]}]}}]})
    )
    assert pattern.matches(either, {"source": "s", "detail": {"b": 4}})
    assert not pattern.matches(either, {"source": "s", "detail": {"a": 2, "b": 6}})
    assert not pattern.matches(either, {"source": "other", "detail": {"a": 1}})


def test_one_element_of_an_array_of_objects_must_have_all_of_it():
    asked = {"detail": {"items": {"kind": ["a"], "size": [2]}}}
    assert pattern.matches(asked, {"detail": {"items": [{"kind": "b", "size": 2}, {"kind": "a", "size": 2}]}})
    assert not pattern.matches(asked, {"detail": {"items": [{"kind": "a", "size": 1}, {"kind": "b", "size": 2}]}})


WRONG = [
    "[]", "{", "{}", '{"source": "x"}', '{"source": []}', '{"source": [{"prefix": 5}]}', '{"source": [{"like": "a"}]}',
    '{"source": [{"numeric": ["<"]}]}', '{"source": [{"numeric": ["~", 5]}]}', '{"source": [{"prefix": "a", "suffix": "b"}]}',
    '{"source": [{"cidr": "10.0.0.0/99"}]}', '{"source": [{"wildcard": "a**b"}]}', '{"source": [["a"]]}',
]  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_a_pattern_that_is_none_is_refused(text):
    with pytest.raises(AwsError, match=r"Event pattern is not valid\. Reason: ."):
        pattern.parsed(text)


def due(expression: str, after: str) -> str | None:
    moment = schedule.parsed(expression).after(datetime.fromisoformat(after).replace(tzinfo=UTC).timestamp())
    return moment and datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")


# 2026-11-25 is a Wednesday. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
@pytest.mark.parametrize(("expression", "expected"), [
    ("rate(1 minute)", "2026-11-25 10:31"), ("rate(5 minutes)", "2026-11-25 10:35"), ("rate(2 days)", "2026-11-27 10:30"),
    ("cron(15 10 * * ? *)", "2026-11-26 10:15"), ("cron(0 18 ? * MON-FRI *)", "2026-11-25 18:00"),
    ("cron(0 8 1 * ? *)", "2026-12-01 08:00"), ("cron(0/10 * ? * MON-FRI *)", "2026-11-25 10:40"),
    ("cron(0 9 ? * 2#1 *)", "2026-12-07 09:00"), ("cron(0 0 L * ? *)", "2026-11-30 00:00"),
    ("cron(0 9 ? * 6L *)", "2026-11-27 09:00"), ("cron(0 9 1W * ? *)", "2026-12-01 09:00"), ("cron(0 9 29W * ? *)", "2026-11-30 09:00"),
    ("cron(0 0 29 2 ? *)", "2028-02-29 00:00"), ("cron(30 10 25 NOV ? 2026)", None), ("cron(0 10 ? * SUN,SAT 2027)", "2027-01-02 10:00"),
])  # fmt: skip
def test_a_schedule_is_due_when_aws_says(expression, expected):
    assert due(expression, "2026-11-25 10:30") == expected


@pytest.mark.parametrize("expression", [
    "rate(0 minutes)", "rate(1 minutes)", "rate(5 minute)", "rate(-1 days)", "rate(5 weeks)", "cron(* * * * * *)", "cron(0 8 1 * *)",
    "cron(60 8 1 * ? *)", "cron(0 8 ? * FOO *)", "cron(0 8 32 * ? *)", "cron(0 8 ? * ? *)", "every day", "cron(5-1 8 1 * ? *)",
])  # fmt: skip
def test_a_schedule_that_is_none_is_refused(expression):
    with pytest.raises(AwsError, match="Parameter ScheduleExpression is not valid"):
        schedule.parsed(expression)


EVENT = {
    "id": "1",
    "time": "2026-11-25T10:00:00Z",
    "source": "s",
    "detail": {"name": 'a "b"', "n": 5, "list": [{"x": 1}]},
}


@pytest.mark.parametrize(("target", "text"), [
    ({}, json.dumps(EVENT)),
    ({"Input": '{"always": 1}'}, '{"always": 1}'),
    ({"InputPath": "$.detail.list[0]"}, '{"x": 1}'),
    ({"InputTransformer": {"InputPathsMap": {"who": "$.detail.name", "n": "$.detail.n", "none": "$.detail.none"},
                           "InputTemplate": '{"who": <who>, "said": "<who> has <n>", "list": [<n>], "none": "<none>"}'}},
     json.dumps({"who": 'a "b"', "said": 'a "b" has 5', "list": [5], "none": ""})),
    ({"InputTransformer": {"InputTemplate": '"rule <aws.events.rule-name>"'}}, '"rule r"'),
])  # fmt: skip
def test_a_target_gets_the_event_a_part_of_it_or_what_its_transformer_makes(target, text):
    made = text_for("arn:aws:events:us-east-1:000000000000:rule/r", target, EVENT)
    assert json.loads(made) == json.loads(text)


@pytest.fixture
def name() -> str:
    return f"e{uuid.uuid4().hex[:8]}"


class Inbox:
    """A queue that a test listens on."""

    def __init__(self, cloud, name: str):
        self.sqs = cloud.client("sqs")
        self.url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        self.arn = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        self.heard: list[dict] = []

    def received(self, fits=lambda message: True) -> dict:
        def look() -> dict | None:
            for message in self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", []):
                self.heard.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
            return next((message for message in self.heard if fits(message)), None)

        return wait_until(look, 60, "a message")


def rule(cloud, name: str, asked: dict, *targets: dict) -> None:
    events = cloud.client("events")
    events.put_rule(Name=name, EventPattern=json.dumps(asked))
    events.put_targets(Rule=name, Targets=[{"Id": str(n), **target} for n, target in enumerate(targets)])


def test_an_execution_that_ends_reaches_queues_topics_log_groups_and_other_state_machines(cloud, name):
    states, sns, logs = cloud.client("stepfunctions"), cloud.client("sns"), cloud.client("logs")
    passing = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
    role = "arn:aws:iam::000000000000:role/any"
    first, second = (
        states.create_state_machine(name=f"{name}-{n}", definition=passing, roleArn=role)["stateMachineArn"]
        for n in (1, 2)
    )
    inbox, through_topic = Inbox(cloud, name), Inbox(cloud, f"{name}-topic")
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=through_topic.arn)
    logs.create_log_group(logGroupName=f"/aws/events/{name}")
    asked = {"source": ["aws.states"], "detail": {"stateMachineArn": [first], "status": [{"anything-but": "RUNNING"}]}}
    rule(
        cloud, name, asked, {"Arn": inbox.arn}, {"Arn": topic}, {"Arn": second, "RoleArn": role},
        {"Arn": f"arn:aws:logs:us-east-1:000000000000:log-group:/aws/events/{name}"},
    )  # fmt: skip
    execution = states.start_execution(stateMachineArn=first, input='{"a": 1}')["executionArn"]
    event = inbox.received()
    assert event["detail-type"] == "Step Functions Execution Status Change" and event["resources"] == [execution]
    assert event["detail"]["status"] == "SUCCEEDED" and event["detail"]["input"] == '{"a": 1}'
    redrive = {name: value for name, value in event["detail"].items() if name.startswith(("redrive", "stateMachineV"))}
    assert redrive == {
        "redriveCount": 0, "redriveDate": None, "redriveStatus": "NOT_REDRIVABLE", "stateMachineVersionArn": None,
        "redriveStatusReason": "Execution is SUCCEEDED and cannot be redriven",
    }  # fmt: skip
    assert (
        isinstance(event["detail"]["stopDate"], int) and event["account"] == "000000000000" and event["version"] == "0"
    )
    assert json.loads(through_topic.received()["Message"])["id"] == event["id"]
    assert wait_until(
        lambda: states.list_executions(stateMachineArn=second)["executions"], 60, "the other state machine"
    )
    line = wait_until(lambda: logs.filter_log_events(logGroupName=f"/aws/events/{name}")["events"], 60, "a log line")[0]
    assert json.loads(line["message"])["id"] == event["id"]
    cloud.client("events").disable_rule(Name=name)
    states.start_execution(stateMachineArn=first)
    assert len(inbox.heard) == 1, "RUNNING was not asked for"


def test_a_put_event_is_delivered_before_the_answer_and_what_cannot_be_goes_to_the_dead_letter_queue(cloud, name):
    inbox, dead = Inbox(cloud, name), Inbox(cloud, f"{name}-dead")
    gone = f"arn:aws:sqs:us-east-1:000000000000:{name}-gone"
    rule(cloud, name, {"source": [name]}, {"Arn": inbox.arn}, {"Arn": gone, "DeadLetterConfig": {"Arn": dead.arn}})
    entry = {"Source": name, "DetailType": "T", "Detail": '{"a": {"b": 1}}', "Resources": ["r"]}
    put = cloud.client("events").put_events(Entries=[entry])["Entries"][0]["EventId"]
    event = inbox.received()
    assert (event["id"], event["detail"], event["resources"]) == (put, {"a": {"b": 1}}, ["r"])
    assert datetime.strptime(event["time"], "%Y-%m-%dT%H:%M:%SZ") and "ingestion-time" not in event
    assert dead.received()["id"] == put


def test_a_target_that_nothing_delivers_to_is_refused_by_name(cloud, name):
    with pytest.raises(ClientError, match="not to 'kinesis'"):
        rule(cloud, name, {"source": [name]}, {"Arn": "arn:aws:kinesis:us-east-1:000000000000:stream/s"})


def test_test_event_pattern_answers(cloud):
    events, event = (
        cloud.client("events"),
        {**EVENT, "account": "1", "region": "r", "resources": [], "detail-type": "d"},
    )
    asked = json.dumps({"detail": {"n": [{"numeric": [">=", 5]}]}})
    assert events.test_event_pattern(EventPattern=asked, Event=json.dumps(event))["Result"] is True
    assert events.test_event_pattern(EventPattern='{"source": ["t"]}', Event=json.dumps(event))["Result"] is False
    with pytest.raises(ClientError, match="InvalidEventPatternException"):
        events.test_event_pattern(EventPattern='{"source": "t"}', Event=json.dumps(event))
    with pytest.raises(ClientError, match="Parameter Event is not valid"):
        events.test_event_pattern(EventPattern=asked, Event=json.dumps(EVENT))


class Sent:
    """A client of SQS that remembers what was sent."""

    def __init__(self):
        self.messages: list[dict] = []

    def get_queue_url(self, QueueName: str) -> dict:
        return {"QueueUrl": QueueName}

    def send_message(self, QueueUrl: str, MessageBody: str) -> None:
        self.messages.append(json.loads(MessageBody))


def test_a_scheduled_rule_fires_whenever_it_is_due_and_not_while_it_is_disabled(name):
    from moto.events.models import events_backends

    clock, sent = ManualClock(), Sent()
    bus = EventBus("111111111111", "eu-west-1", lambda service: sent, clock)
    backend = events_backends["111111111111"]["eu-west-1"]
    made = backend.put_rule(name, scheduled_expression="rate(5 minutes)")
    backend.put_targets(name, None, [{"Id": "1", "Arn": f"arn:aws:sqs:eu-west-1:111111111111:{name}"}])
    assert bus.tick() == 300
    clock.advance(299)
    assert (bus.tick(), sent.messages) == (1, [])
    for count in (1, 2):
        clock.advance(300)
        bus.tick()
        bus.deliver()
        assert len(sent.messages) == count
    assert sent.messages[0]["detail-type"] == "Scheduled Event" and sent.messages[0]["source"] == "aws.events"
    assert sent.messages[0]["resources"] == [made.arn] and sent.messages[0]["detail"] == {}
    backend.disable_rule(name, None)
    clock.advance(3000)
    assert bus.tick() is None
    bus.deliver()
    assert len(sent.messages) == 2


def test_a_schedule_that_is_none_is_refused_by_put_rule(cloud, name):
    with pytest.raises(ClientError, match="Parameter ScheduleExpression is not valid"):
        cloud.client("events").put_rule(Name=name, ScheduleExpression="cron(0 8 32 * ? *)")


def test_a_rule_with_a_schedule_only_hears_no_events(cloud, name):
    inbox, events = Inbox(cloud, name), cloud.client("events")
    events.put_rule(Name=name, ScheduleExpression="rate(300 days)")
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": inbox.arn}])
    events.put_events(Entries=[{"Source": name, "DetailType": "T", "Detail": "{}"}])
    assert "Messages" not in inbox.sqs.receive_message(QueueUrl=inbox.url)


def test_an_alarm_evaluates_its_metric_notifies_its_topic_and_is_an_event(cloud, name):
    watch, sns, inbox = cloud.client("cloudwatch"), cloud.client("sns"), Inbox(cloud, name)
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=inbox.arn, Attributes={"RawMessageDelivery": "true"})
    changes = Inbox(cloud, f"{name}-changes")
    rule(cloud, name, {"source": ["aws.cloudwatch"], "detail": {"alarmName": [name]}}, {"Arn": changes.arn})
    watch.put_metric_alarm(
        AlarmName=name, Namespace=name, MetricName="m", Statistic="Maximum", Period=60, EvaluationPeriods=1, Threshold=5,
        ComparisonOperator="GreaterThanThreshold", AlarmActions=[topic], OKActions=[topic], Dimensions=[{"Name": "d", "Value": "v"}],
    )  # fmt: skip
    state = lambda: watch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"]  # noqa: E731
    assert state() == "INSUFFICIENT_DATA"
    datum = {"MetricName": "m", "Value": 7, "Timestamp": time.time(), "Dimensions": [{"Name": "d", "Value": "v"}]}
    watch.put_metric_data(Namespace=name, MetricData=[{**datum, "Dimensions": [], "Value": 1}])  # another metric
    watch.put_metric_data(Namespace=name, MetricData=[datum])
    told = inbox.received()
    assert (told["AlarmName"], told["OldStateValue"], told["NewStateValue"]) == (name, "INSUFFICIENT_DATA", "ALARM")
    assert told["Trigger"]["MetricName"] == "m" and "greater than the threshold (5)" in told["NewStateReason"]
    assert changes.received()["detail"]["state"]["value"] == "ALARM" and state() == "ALARM"
    watch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="by hand")
    assert inbox.received(lambda message: message["NewStateValue"] == "OK")["NewStateReason"] == "by hand"
