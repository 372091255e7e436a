"""Where moto's SNS differs from AWS's recorded answers: signatures, FIFO topics, topics that are not there."""

from __future__ import annotations

import base64
import itertools
import time
from typing import Any

# FIFO topics number their messages with 20 digits, rising.
SEQUENCE_START = 10**19


def install() -> None:
    """Adjust moto's classes; before SNS has state."""
    _sign_as_the_topic_says()
    _number_messages()
    _refuse_as_sns_does()


def _sign_as_the_topic_says() -> None:
    """moto signs with version 2 always; a topic's default is 1 (SHA1): SetTopicAttributes, SignatureVersion."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    from moto.sns.models import Subscription

    plain = Subscription.get_post_data
    signed = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")

    def get_post_data(self: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        data = plain(self, *arguments, **options)
        version = str(getattr(self.topic, "signature_version", None) or "1")
        text = "".join(f"{name}\n{data[name]}\n" for name in signed if name in data)
        algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()  # noqa: S303
        signature = self.private_key().sign(text.encode(), padding.PKCS1v15(), algorithm)
        return {**data, "SignatureVersion": version, "Signature": base64.b64encode(signature).decode()}

    Subscription.get_post_data = get_post_data


def _number_messages() -> None:
    """Publish to a FIFO topic answers with a SequenceNumber."""
    from moto.sns.responses import SNSResponse

    plain = SNSResponse.publish
    numbers = itertools.count(SEQUENCE_START + time.time_ns())

    def publish(self: Any) -> Any:
        answer = plain(self)
        arn = self._get_param("TopicArn") or self._get_param("TargetArn") or ""
        if arn.endswith(".fifo"):
            answer.result["SequenceNumber"] = str(next(numbers))
        return answer

    SNSResponse.publish = publish


def _refuse_as_sns_does() -> None:
    """moto spoke of an endpoint where a topic was missing, and of MissingParameter for a missing MessageGroupId."""
    from moto.sns.exceptions import SNSInvalidParameter, SNSNotFoundError
    from moto.sns.models import SNSBackend

    plain = SNSBackend.publish

    def publish(self: Any, message: str, arn: str | None, *arguments: Any, **options: Any) -> str:
        if arn and ":endpoint/" not in arn:
            topic = self.topics.get(arn)
            if topic is None and not options.get("phone_number"):
                raise SNSNotFoundError("Topic does not exist")
            if topic is not None and topic.fifo_topic and not options.get("group_id"):
                raise SNSInvalidParameter("Invalid parameter: The MessageGroupId parameter is required for FIFO topics")
        return plain(self, message, arn, *arguments, **options)

    SNSBackend.publish = publish
