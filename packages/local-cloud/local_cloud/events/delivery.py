"""What a target of a rule gets, and how it gets there: SQS, SNS, Step Functions, Lambda, log groups and event buses.

Targets of other services are refused when they are put on a rule: an event that nobody delivers is lost in silence.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from local_cloud.clock import Clock
from local_cloud.errors import AwsError
from local_cloud.services import COVERAGE_PAGE

logger = logging.getLogger("local_cloud.events")
PLACEHOLDER = re.compile(r"<([\w.-]+)>")
NOT_THERE = object()


class Delivery:
    """Sends events to targets through the cloud's own clients."""

    def __init__(self, clients: Callable[[str], Any], clock: Clock):
        self._clients, self._clock = clients, clock
        self._more: dict[str, Callable[[str, str, str], None]] = {}
        self._ways: dict[str, Callable[[str, str, dict[str, Any], dict[str, Any]], None]] = {
            "sqs": self._to_queue, "sns": self._to_topic, "states": self._to_state_machine, "logs": self._to_log_group,
            "events": self._to_bus,
        }  # fmt: skip

    def add_way(self, service: str, way: Callable[[str, str, str], None]) -> None:
        """Deliver to targets of a service of which this module knows nothing."""
        self._more[service] = way

    def check(self, target: dict[str, Any]) -> None:
        """Raise for a target that nothing here can deliver to."""
        service = _service(target["Arn"])
        known = {*self._ways, *self._more}
        if service not in known:
            raise AwsError(
                "ValidationException",
                f"The local cloud delivers events to {', '.join(sorted(known))}, not to {service or 'none'!r} "
                f"(target {target['Id']}: {target['Arn']}). See {COVERAGE_PAGE}.",
            )

    def send(self, rule_arn: str, target: dict[str, Any], event: dict[str, Any]) -> None:
        """One event to one target; what cannot be delivered goes to its dead-letter queue, or into the log."""
        service, text = _service(target["Arn"]), text_for(rule_arn, target, event)
        try:
            if service in self._more:
                self._more[service](rule_arn, target["Arn"], text)
            elif service in self._ways:
                self._ways[service](target["Arn"], text, event, target)
        except (ClientError, AwsError) as fault:
            logger.warning("The event %s of %s did not reach %s: %s", event["id"], rule_arn, target["Arn"], fault)
            if queue := target.get("DeadLetterConfig", {}).get("Arn"):
                self._bury(queue, rule_arn, target, event, fault)

    def _bury(self, queue: str, rule_arn: str, target: dict[str, Any], event: dict[str, Any], fault: Exception) -> None:
        said = {
            "RULE_ARN": rule_arn,
            "TARGET_ARN": target["Arn"],
            "ERROR_CODE": "SDK_CLIENT_ERROR",
            "ERROR_MESSAGE": str(fault)[:500],
        }
        attributes = {name: {"DataType": "String", "StringValue": value} for name, value in said.items()}
        try:
            self._clients("sqs").send_message(
                QueueUrl=self._queue_url(queue), MessageBody=json.dumps(event), MessageAttributes=attributes
            )
        except ClientError as lost:
            logger.error("The event %s of %s is lost: its dead-letter queue says %s", event["id"], rule_arn, lost)

    def _queue_url(self, arn: str) -> str:
        return self._clients("sqs").get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]

    def _to_queue(self, arn: str, text: str, event: dict[str, Any], target: dict[str, Any]) -> None:
        group = target.get("SqsParameters", {}).get("MessageGroupId")
        ordered = {"MessageGroupId": group, "MessageDeduplicationId": event["id"]} if group else {}
        self._clients("sqs").send_message(QueueUrl=self._queue_url(arn), MessageBody=text, **ordered)

    def _to_topic(self, arn: str, text: str, event: dict[str, Any], target: dict[str, Any]) -> None:
        self._clients("sns").publish(TopicArn=arn, Message=text)

    def _to_state_machine(self, arn: str, text: str, event: dict[str, Any], target: dict[str, Any]) -> None:
        name = f"{event['id']}_{uuid.uuid4()}"
        self._clients("stepfunctions").start_execution(stateMachineArn=arn, name=name, input=text)

    def _to_log_group(self, arn: str, text: str, event: dict[str, Any], target: dict[str, Any]) -> None:
        logs, group, stream = (
            self._clients("logs"),
            arn.partition(":log-group:")[2].removesuffix(":*"),
            str(uuid.uuid4()),
        )
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        entry = {"timestamp": int(self._clock.now() * 1000), "message": text}
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[entry])

    def _to_bus(self, arn: str, text: str, event: dict[str, Any], target: dict[str, Any]) -> None:
        entry = {
            "Source": event["source"], "DetailType": event["detail-type"], "Detail": json.dumps(event["detail"]),
            "Resources": event["resources"], "EventBusName": arn.rpartition("/")[2],
        }  # fmt: skip
        self._clients("events").put_events(Entries=[entry])


def text_for(rule_arn: str, target: dict[str, Any], event: dict[str, Any]) -> str:
    """The text that a target gets: the event, a part of it, a constant, or what its transformer makes of it."""
    if "Input" in target:
        return target["Input"]
    if "InputPath" in target:
        found = _at(event, target["InputPath"])
        return json.dumps(None if found is NOT_THERE else found)
    if "InputTransformer" not in target:
        return json.dumps(event)
    transformer = target["InputTransformer"]
    values = {name: _at(event, path) for name, path in transformer.get("InputPathsMap", {}).items()} | {
        "aws.events.rule-arn": rule_arn, "aws.events.rule-name": rule_arn.rpartition("/")[2], "aws.events.event": event,
        "aws.events.event.json": event, "aws.events.event.ingestion-time": event["time"],
    }  # fmt: skip
    return _transformed(transformer["InputTemplate"], values)


def _transformed(template: str, values: dict[str, Any]) -> str:
    """The template with its `<names>` replaced: within quotes by plain text, elsewhere by JSON."""
    made, quoted, at = [], False, 0
    while at < len(template):
        found = PLACEHOLDER.match(template, at)
        if found and found[1] in values:
            value = values[found[1]]
            made.append(_within_quotes(value) if quoted else json.dumps("" if value is NOT_THERE else value))
            at = found.end()
            continue
        if template[at] == "\\":
            made.append(template[at : at + 2])
            at += 2
            continue
        quoted ^= template[at] == '"'
        made.append(template[at])
        at += 1
    return "".join(made)


def _within_quotes(value: Any) -> str:
    if value is NOT_THERE:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text)[1:-1]


def _at(event: Any, path: str) -> Any:
    """A value by `$.detail.items[0]`, or NOT_THERE."""
    for name, index in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path.removeprefix("$")):
        if index and isinstance(event, list) and int(index) < len(event):
            event = event[int(index)]
        elif name and isinstance(event, dict) and name in event:
            event = event[name]
        else:
            return NOT_THERE
    return event


def _service(arn: str) -> str:
    parts = arn.split(":")
    return parts[2] if len(parts) > 5 and parts[0] == "arn" else ""
