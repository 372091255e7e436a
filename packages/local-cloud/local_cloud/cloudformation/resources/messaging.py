"""Topics, queues, rules, alarms and dashboards."""

from __future__ import annotations

import json
from typing import Any

from local_cloud.cloudformation.resources.kinds import (
    Aws,
    Made,
    Naming,
    Properties,
    ResourceType,
    as_text,
    delete_quietly,
    pick,
    register,
    tag_changes,
    true,
)

# What an attribute is again when its property leaves the template.
TOPIC_DEFAULTS = {"SignatureVersion": "1", "TracingConfig": "PassThrough", "ContentBasedDeduplication": "false"}
SUBSCRIPTION_DEFAULTS = {"FilterPolicy": "{}", "FilterPolicyScope": "MessageAttributes", "RawMessageDelivery": "false"}


def _queue_name(naming: Naming, longest: int, fifo: bool) -> str:
    """A name of its own; that of a FIFO queue or topic must end in .fifo."""
    if fifo:
        naming.asked = f"{naming.name(longest - len('.fifo'))}.fifo"
        return naming.asked
    return naming.name(longest)


@register
class Topic(ResourceType):
    """An SNS topic with its subscriptions."""

    type = "AWS::SNS::Topic"
    name_property = "TopicName"
    _attributes = ("DisplayName", "KmsMasterKeyId", "SignatureVersion", "TracingConfig", "DeliveryPolicy")
    _flags = ("ContentBasedDeduplication",)
    properties = frozenset({"TopicName", "Subscription", "FifoTopic", "Tags", *_attributes, *_flags})
    replacing = frozenset({"TopicName", "FifoTopic"})

    def physical_of(self, aws: Aws, name: str) -> str:
        return aws.arn("sns", name)

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        sns = aws.client("sns")
        attributes = self._values(properties)
        fifo = true(properties.get("FifoTopic", False))
        name = properties.get("TopicName") or _queue_name(naming, 256, fifo)
        if fifo:
            attributes["FifoTopic"] = "true"
        arn = sns.create_topic(Name=name, Attributes=attributes, Tags=properties.get("Tags", []))["TopicArn"]
        for entry in properties.get("Subscription", []):
            sns.subscribe(TopicArn=arn, Protocol=entry["Protocol"], Endpoint=entry["Endpoint"])
        return Made(arn, {"TopicArn": arn, "TopicName": name})

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        sns, before, after = aws.client("sns"), self._values(old), self._values(new)
        for key in {**before, **after}:
            if after.get(key) != before.get(key):
                value = after.get(key, TOPIC_DEFAULTS.get(key, ""))
                sns.set_topic_attributes(TopicArn=physical_id, AttributeName=key, AttributeValue=value)
        changed, removed = tag_changes(old, new)
        if changed:
            sns.tag_resource(ResourceArn=physical_id, Tags=changed)
        if removed:
            sns.untag_resource(ResourceArn=physical_id, TagKeys=removed)
        self._subscriptions(sns, physical_id, old.get("Subscription", []), new.get("Subscription", []))
        return Made(physical_id, {"TopicArn": physical_id, "TopicName": physical_id.rpartition(":")[2]})

    def _values(self, properties: Properties) -> dict[str, str]:
        values = {key: as_text(value) for key, value in pick(properties, *self._attributes).items()}
        return values | {key: str(true(value)).lower() for key, value in pick(properties, *self._flags).items()}

    @staticmethod
    def _subscriptions(sns: Any, arn: str, old: list[Properties], new: list[Properties]) -> None:
        pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn)
        gone = [(entry["Protocol"], entry["Endpoint"]) for entry in old if entry not in new]
        for entry in [entry for page in pages for entry in page["Subscriptions"]]:
            if (entry["Protocol"], entry["Endpoint"]) in gone:
                delete_quietly(sns.unsubscribe, SubscriptionArn=entry["SubscriptionArn"])
        for entry in new:
            if entry not in old:
                sns.subscribe(TopicArn=arn, Protocol=entry["Protocol"], Endpoint=entry["Endpoint"])

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(aws.client("sns").delete_topic, TopicArn=physical_id)


@register
class Subscription(ResourceType):
    """A subscription of a topic. E-mails are not sent; queues do receive."""

    type = "AWS::SNS::Subscription"
    required = frozenset({"TopicArn", "Protocol"})
    properties = frozenset(
        {"TopicArn", "Protocol", "Endpoint", "RawMessageDelivery", "FilterPolicy", "FilterPolicyScope"}
    )
    without_effect = {"Region": "there is one region here", "RedrivePolicy": "nothing is redelivered here"}  # noqa: RUF012
    replacing = frozenset({"TopicArn", "Protocol", "Endpoint"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        attributes = self._values(properties)
        made = aws.client("sns").subscribe(
            **pick(properties, "TopicArn", "Protocol", "Endpoint"), Attributes=attributes, ReturnSubscriptionArn=True
        )
        return Made(made["SubscriptionArn"], {"Arn": made["SubscriptionArn"]})

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        before, after = self._values(old), self._values(new)
        for key in {**before, **after}:
            if after.get(key) != before.get(key):
                value = after.get(key, SUBSCRIPTION_DEFAULTS[key])
                aws.client("sns").set_subscription_attributes(
                    SubscriptionArn=physical_id, AttributeName=key, AttributeValue=value
                )
        return Made(physical_id, {"Arn": physical_id})

    @staticmethod
    def _values(properties: Properties) -> dict[str, str]:
        values = {key: as_text(value) for key, value in pick(properties, "FilterPolicyScope", "FilterPolicy").items()}
        if "RawMessageDelivery" in properties:
            values["RawMessageDelivery"] = str(true(properties["RawMessageDelivery"])).lower()
        return values

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(aws.client("sns").unsubscribe, SubscriptionArn=physical_id)


@register
class TopicPolicy(ResourceType):
    """A policy of topics."""

    type = "AWS::SNS::TopicPolicy"
    properties = required = frozenset({"Topics", "PolicyDocument"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        self._put(aws, properties)
        return Made(naming.name(64))

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        self.delete(aws, physical_id, {"Topics": [topic for topic in old["Topics"] if topic not in new["Topics"]]})
        self._put(aws, new)
        return Made(physical_id)

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        """A topic always has a policy: one that leaves this one has that of a new topic again."""
        for topic in properties["Topics"]:
            delete_quietly(
                aws.client("sns").set_topic_attributes, TopicArn=topic, AttributeName="Policy",
                AttributeValue=json.dumps(policy_of_a_new_topic(topic)),
            )  # fmt: skip

    @staticmethod
    def _put(aws: Aws, properties: Properties) -> None:
        text = as_text(properties["PolicyDocument"])
        for topic in properties["Topics"]:
            aws.client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=text)


def policy_of_a_new_topic(arn: str) -> dict[str, Any]:
    """Its owner's account alone. https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-language-api-permissions-reference.html"""
    actions = (
        "GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission", "DeleteTopic", "Subscribe",
        "ListSubscriptionsByTopic", "Publish",
    )  # fmt: skip
    return {
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [
            {
                "Effect": "Allow",
                "Sid": "__default_statement_ID",
                "Principal": {"AWS": "*"},
                "Action": [f"SNS:{action}" for action in actions],
                "Resource": arn,
                "Condition": {"StringEquals": {"AWS:SourceOwner": arn.split(":")[4]}},
            }
        ],
    }


# What a property is when a template no longer says it.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
QUEUE_DEFAULTS = {
    "DelaySeconds": "0", "MaximumMessageSize": "262144", "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0", "VisibilityTimeout": "30", "KmsMasterKeyId": "", "RedrivePolicy": "",
    "KmsDataKeyReusePeriodSeconds": "300", "SqsManagedSseEnabled": "true", "ContentBasedDeduplication": "false",
}  # fmt: skip


@register
class Queue(ResourceType):
    """An SQS queue."""

    type = "AWS::SQS::Queue"
    name_property = "QueueName"
    _attributes = (
        "DelaySeconds", "MaximumMessageSize", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds", "VisibilityTimeout",
        "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled", "FifoQueue", "ContentBasedDeduplication",
    )  # fmt: skip
    properties = frozenset({"QueueName", "RedrivePolicy", "Tags", *_attributes})
    replacing = frozenset({"QueueName", "FifoQueue"})

    def physical_of(self, aws: Aws, name: str) -> str:
        return aws.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        name = properties.get("QueueName") or _queue_name(naming, 80, true(properties.get("FifoQueue", False)))
        tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
        url = aws.client("sqs").create_queue(QueueName=name, Attributes=self._values(properties), tags=tags)["QueueUrl"]
        return self._made(aws, url, name)

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        sqs, before, after = aws.client("sqs"), self._values(old), self._values(new)
        taken_back = {name: QUEUE_DEFAULTS[name] for name in before.keys() - after.keys() if name in QUEUE_DEFAULTS}
        sqs.set_queue_attributes(QueueUrl=physical_id, Attributes=taken_back | after)
        changed, removed = tag_changes(old, new)
        if changed:
            sqs.tag_queue(QueueUrl=physical_id, Tags={tag["Key"]: tag["Value"] for tag in changed})
        if removed:
            sqs.untag_queue(QueueUrl=physical_id, TagKeys=removed)
        return self._made(aws, physical_id, physical_id.rpartition("/")[2])

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(aws.client("sqs").delete_queue, QueueUrl=physical_id)

    def _values(self, properties: Properties) -> dict[str, str]:
        chosen = pick(properties, *self._attributes)
        values = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in chosen.items()}
        if "RedrivePolicy" in properties:
            values["RedrivePolicy"] = as_text(properties["RedrivePolicy"])
        return values

    @staticmethod
    def _made(aws: Aws, url: str, name: str) -> Made:
        return Made(url, {"Arn": aws.arn("sqs", name), "QueueName": name, "QueueUrl": url})


@register
class QueuePolicy(ResourceType):
    """A policy of queues."""

    type = "AWS::SQS::QueuePolicy"
    properties = required = frozenset({"Queues", "PolicyDocument"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        self._put(aws, properties["Queues"], as_text(properties["PolicyDocument"]))
        return Made(naming.name(64))

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        self.delete(aws, physical_id, {"Queues": [queue for queue in old["Queues"] if queue not in new["Queues"]]})
        self._put(aws, new["Queues"], as_text(new["PolicyDocument"]))
        return Made(physical_id)

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        for queue in properties["Queues"]:
            delete_quietly(aws.client("sqs").set_queue_attributes, QueueUrl=queue, Attributes={"Policy": ""})

    @staticmethod
    def _put(aws: Aws, queues: list[str], text: str) -> None:
        for queue in queues:
            aws.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": text})


@register
class Rule(ResourceType):
    """An EventBridge rule."""

    type = "AWS::Events::Rule"
    name_property = "Name"
    properties = frozenset(
        {"Name", "Description", "EventPattern", "EventBusName", "ScheduleExpression", "State", "Targets", "RoleArn"}
    )
    replacing = frozenset({"Name", "EventBusName"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        return self._put(aws, properties.get("Name") or naming.name(64), {}, properties)

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        return self._put(aws, physical_id, old, new)

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        events = aws.client("events")
        ids = [target["Id"] for target in properties.get("Targets", [])]
        if ids:
            delete_quietly(events.remove_targets, Rule=physical_id, Ids=ids)
        delete_quietly(events.delete_rule, Name=physical_id)

    @staticmethod
    def _put(aws: Aws, name: str, old: Properties, new: Properties) -> Made:
        events = aws.client("events")
        pattern = {"EventPattern": as_text(new["EventPattern"])} if "EventPattern" in new else {}
        chosen = pick(new, "Description", "ScheduleExpression", "State", "RoleArn", "EventBusName")
        arn = events.put_rule(Name=name, **pattern, **chosen)["RuleArn"]
        kept = {target["Id"] for target in new.get("Targets", [])}
        removed = [target["Id"] for target in old.get("Targets", []) if target["Id"] not in kept]
        if removed:
            events.remove_targets(Rule=name, Ids=removed)
        if kept:
            events.put_targets(Rule=name, Targets=new["Targets"])
        return Made(name, {"Arn": arn})


_NUMBERS = {
    "EvaluationPeriods": int, "Period": int, "Threshold": float, "DatapointsToAlarm": int,
}  # fmt: skip


@register
class Alarm(ResourceType):
    """A CloudWatch alarm."""

    type = "AWS::CloudWatch::Alarm"
    name_property = "AlarmName"
    required = frozenset({"ComparisonOperator", "EvaluationPeriods"})
    properties = frozenset({
        "AlarmName", "AlarmDescription", "ActionsEnabled", "OKActions", "AlarmActions", "InsufficientDataActions", "MetricName",
        "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Unit", "ComparisonOperator", "TreatMissingData",
        "EvaluateLowSampleCountPercentile", "Metrics", "ThresholdMetricId", "Tags", *_NUMBERS,
    })  # fmt: skip
    replacing = frozenset({"AlarmName"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        return self._put(aws, properties.get("AlarmName") or naming.name(255), properties)

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        return self._put(aws, physical_id, new)

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(aws.client("cloudwatch").delete_alarms, AlarmNames=[physical_id])

    @staticmethod
    def _put(aws: Aws, name: str, properties: Properties) -> Made:
        values = {key: _NUMBERS[key](value) if key in _NUMBERS else value for key, value in properties.items()}
        if "ActionsEnabled" in values:
            values["ActionsEnabled"] = true(values["ActionsEnabled"])
        aws.client("cloudwatch").put_metric_alarm(**{**values, "AlarmName": name})
        return Made(name, {"Arn": aws.arn("cloudwatch", f"alarm:{name}")})


@register
class Dashboard(ResourceType):
    """A CloudWatch dashboard."""

    type = "AWS::CloudWatch::Dashboard"
    name_property = "DashboardName"
    required = frozenset({"DashboardBody"})
    properties = frozenset({"DashboardName", "DashboardBody"})
    replacing = frozenset({"DashboardName"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        name = properties.get("DashboardName") or naming.name(255)
        aws.client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody=as_text(properties["DashboardBody"]))
        return Made(name)

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        aws.client("cloudwatch").put_dashboard(DashboardName=physical_id, DashboardBody=as_text(new["DashboardBody"]))
        return Made(physical_id)

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(aws.client("cloudwatch").delete_dashboards, DashboardNames=[physical_id])
