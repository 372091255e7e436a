"""Events of other services for functions: EventBridge's, SNS's and S3's. Each asks the function's policy first, as on AWS.

https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
"""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Any

from local_cloud.access.actions import Needed
from local_cloud.access.decision import Caller
from local_cloud.errors import AwsError

if TYPE_CHECKING:
    from local_cloud.access.authority import Authority
    from local_cloud.events.bus import EventBus
    from local_cloud.functions.service import LambdaService

logger = logging.getLogger("local_cloud.functions")


class Deliveries:
    """Hands events to functions in the name of a service."""

    def __init__(self, functions: LambdaService, authority: Authority):
        self._functions, self._authority = functions, authority

    def send(self, service: str, source_arn: str, function_arn: str, event: str) -> None:
        """One event, nobody waits for what comes of it. Raises AccessDeniedException, ResourceNotFoundException."""
        account = self._authority.place.account
        context = {"aws:sourcearn": [source_arn], "aws:sourceaccount": [account]}
        if self._authority.mode != "off":
            needs = [Needed("lambda:InvokeFunction", function_arn, context)]
            self._authority.check(Caller(service), "lambda", needs)
        self._functions.send({"FunctionName": function_arn, "Payload": event.encode()})

    def quietly(self, service: str, source_arn: str, function_arn: str, event: str) -> None:
        """The same, beside whatever goes on; what cannot be delivered is in the log."""

        def work() -> None:
            try:
                self.send(service, source_arn, function_arn, event)
            except AwsError as fault:
                logger.warning("An event of %s did not reach %s: %s", source_arn, function_arn, fault)

        threading.Thread(target=work, name=f"event for {function_arn}", daemon=True).start()


def install(functions: LambdaService, authority: Authority, bus: EventBus) -> None:
    """Lead events of this cloud's buses, topics and buckets to its functions."""
    from moto.s3 import notifications
    from moto.sns.models import Subscription

    deliveries = Deliveries(functions, authority)
    bus.add_way("lambda", lambda rule, arn, text: deliveries.send("events.amazonaws.com", rule, arn, text))
    plain_publish = getattr(Subscription.publish, "plain", Subscription.publish)

    def publish(
        self: Any, message: str, message_id: str, subject: str | None = None, message_attributes: Any = None,
        group_id: str | None = None, deduplication_id: str | None = None, message_structure: str | None = None,
    ) -> None:  # fmt: skip
        if self.protocol != "lambda":
            plain_publish(
                self, message, message_id, subject, message_attributes, group_id, deduplication_id, message_structure
            )
            return
        matcher = self._filter_policy_matcher
        if matcher is not None and not matcher.matches(message_attributes, message):
            return
        if message_structure == "json":
            message = self._parse_message_structure(message, self.protocol)
        told = self.get_post_data(message, message_id, subject, message_attributes=message_attributes)
        deliveries.quietly("sns.amazonaws.com", self.topic.arn, self.endpoint, json.dumps(_of_topic(self.arn, told)))

    publish.plain = plain_publish  # type: ignore[attr-defined]
    Subscription.publish = publish  # type: ignore[method-assign]

    def invoke(account_id: str, event_body: Any, fn_arn: str, region_name: str) -> None:
        bucket = event_body["Records"][0]["s3"]["bucket"]["arn"]
        deliveries.quietly("s3.amazonaws.com", bucket, fn_arn, json.dumps(event_body))

    notifications._invoke_awslambda = invoke


def _of_topic(subscription: str, told: dict[str, Any]) -> dict[str, Any]:
    """https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html"""
    record = {
        "Type": told["Type"], "MessageId": told["MessageId"], "TopicArn": told["TopicArn"], "Subject": told.get("Subject"),
        "Message": told["Message"], "Timestamp": told["Timestamp"], "SignatureVersion": told["SignatureVersion"],
        "Signature": told["Signature"], "SigningCertUrl": told["SigningCertURL"], "UnsubscribeUrl": told["UnsubscribeURL"],
        "MessageAttributes": told.get("MessageAttributes", {}),
    }  # fmt: skip
    source = {"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": subscription}
    return {"Records": [{**source, "Sns": record}]}
