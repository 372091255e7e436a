"""Where moto's SQS differs from AWS's recorded answers, or looks at every message of a queue to send one.

Groups of a FIFO queue are received one after the other and are hidden while one of their messages is in flight; a message with a
known deduplication id is not delivered for five minutes, deleted or not; sequence numbers rise; what AWS refuses is refused.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from local_cloud.turns import turn

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html
DEDUPLICATION_SECONDS = 300
# How long a waiting receiver sleeps before it looks at the clock again.
WAIT_SECONDS = 1.0
SEQUENCE_START = 18_000_000_000_000_000_000
HANDLE = re.compile("[a-z]{185}")
# MessageGroupId and MessageDeduplicationId, SendMessage's page: alphanumeric and punctuation, 1 to 128.
IDENTIFIER = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")
BATCH_ID = re.compile(r"[\w-]{1,80}", re.ASCII)
BATCH_LIMIT = 10
# Characters that a message may have (SendMessage's page): the others are no XML.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ONLY_FIFO = ("FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit")

_numbers = itertools.count(SEQUENCE_START + time.time_ns())


def install() -> None:
    """Adjust moto's classes; before SQS has state."""
    from moto.sqs.models import Queue, SQSBackend

    Queue.attributes = property(_Attributes)  # type: ignore[assignment]
    Queue.add_message, Queue.delete_message = _add, _delete
    SQSBackend.receive_message = _receive
    SQSBackend.purge_queue = _forgetting(SQSBackend.purge_queue)
    _refuse_as_sqs_does()


class _Attributes(Mapping[str, Any]):
    """A queue's attributes, each looked up when it is asked for: to count all messages takes time."""

    def __init__(self, queue: Any):
        self._queue = queue
        self._names = [*queue.BASE_ATTRIBUTES, *(queue.FIFO_ATTRIBUTES if queue.fifo_queue else ())]
        if queue.kms_master_key_id:
            self._names += queue.KMS_ATTRIBUTES

    def __getitem__(self, name: str) -> Any:
        import json

        from moto.core.utils import camelcase_to_underscores

        if name not in self._names:
            raise KeyError(name)
        value = getattr(self._queue, camelcase_to_underscores(name))
        if name == "RedrivePolicy" and value:
            return json.dumps(value)
        if name.endswith("Timestamp"):
            return int(value)  # whole seconds
        return str(value).lower() if isinstance(value, bool) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _add(self: Any, message: Any) -> None:
    """The message at the end of the queue, unless it is a duplicate."""
    if self.fifo_queue:
        if message.deduplication_id and not self._is_new(message):
            return
        message.sequence_number = str(next(_numbers))
    with self._messages_lock:
        self._messages.append(message)
        self._messages_lock.notify_all()


def _is_new(self: Any, message: Any) -> bool:
    """Whether no message with this deduplication id came in the last five minutes; notes that one came."""
    if not hasattr(self, "deduplicated"):
        self.deduplicated = {}
    known = self.deduplicated
    whole = self.deduplication_scope == "queue"
    name = message.deduplication_id if whole else f"{message.group_id} {message.deduplication_id}"
    oldest = message.sent_timestamp - DEDUPLICATION_SECONDS * 1000
    while known and next(iter(known.values())) <= oldest:
        del known[next(iter(known))]
    if name in known:
        return False
    known[name] = message.sent_timestamp
    return True


def _forgetting(plain: Callable[..., Any]) -> Callable[..., Any]:
    def purge_queue(self: Any, queue_name: str) -> None:
        plain(self, queue_name)
        self.get_queue(queue_name).deduplicated = {}

    return purge_queue


def _delete(self: Any, receipt_handle: str) -> None:
    """The message with this receipt handle goes; one that is gone already is no fault."""
    from moto.sqs.exceptions import SQSException

    for index, message in enumerate(self._messages):
        if message.had_receipt_handle(receipt_handle):
            if self.fifo_queue and message.visible:
                raise SQSException(
                    "InvalidParameterValue",
                    f"Value {receipt_handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.",
                )
            del self._messages[index]
            return
    if not HANDLE.fullmatch(receipt_handle):
        raise SQSException(
            "ReceiptHandleIsInvalid", f'The input receipt handle "{receipt_handle}" is not a valid receipt handle.'
        )


def _receive(
    self: Any, queue_name: str, count: int, wait_seconds_timeout: int, visibility_timeout: int,
    message_attribute_names: list[str] | None = None,
) -> list[Any]:  # fmt: skip
    """At most `count` messages, as soon as there is one, or none after the time."""
    from moto.sqs.models import _filter_message_attributes

    end, queue = time.monotonic() + (wait_seconds_timeout or 0), self.get_queue(queue_name)
    while queue is not None:
        with turn("sqs"):
            found = [deepcopy(message) for message in _take(queue, int(count), visibility_timeout)]
        rest = end - time.monotonic()
        if found or rest <= 0:
            for message in found:
                _filter_message_attributes(message, message_attribute_names or [])
            return found
        with queue._messages_lock:
            queue._messages_lock.wait(min(rest, WAIT_SECONDS))
        queue = self.queues.get(queue_name)
    return []


def _take(queue: Any, count: int, visibility_timeout: int) -> list[Any]:
    from moto.core.utils import unix_time_millis

    now, taken = unix_time_millis(), []
    kept_since = now - int(queue.message_retention_period) * 1000
    for message in list(itertools.takewhile(lambda m: m.sent_timestamp <= kept_since, queue._messages)):
        queue._messages.remove(message)
    candidates: Iterator[Any] = (m for m in queue._messages if m.visible_at < now and m.delayed_until <= now)
    if queue.fifo_queue:
        candidates = _by_group(queue._messages, now)
    dead = []
    for message in candidates:
        policy = queue.redrive_policy if queue.dead_letter_queue is not None else None
        if policy and message.approximate_receive_count >= policy["maxReceiveCount"]:
            dead.append(message)
            continue
        message.mark_received(visibility_timeout=visibility_timeout)
        taken.append(message)
        if len(taken) >= count:
            break
    for message in dead:
        queue._messages.remove(message)
        message.dead_letter_queue_source_arn = queue.queue_arn
        queue.dead_letter_queue.add_message(message)
    return taken


def _by_group(messages: list[Any], now: float) -> Iterator[Any]:
    """The messages of each group in turn; none of a group of which one is in flight."""
    groups: dict[Any, list[Any]] = {}
    for message in messages:
        groups.setdefault(message.group_id, []).append(message)
    for group in groups.values():
        if all(message.visible_at < now for message in group):
            yield from itertools.takewhile(lambda message: message.delayed_until <= now, group)


def _refuse_as_sqs_does() -> None:
    from moto.sqs.models import Queue, SQSBackend

    Queue._is_new = _is_new  # type: ignore[attr-defined]
    SQSBackend.send_message = _checked_send(SQSBackend.send_message)
    SQSBackend.create_queue = _checked_create(SQSBackend.create_queue)
    SQSBackend.set_queue_attributes = _checked_set(SQSBackend.set_queue_attributes)
    SQSBackend.change_message_visibility = _checked_change(SQSBackend.change_message_visibility)
    for name in ("delete_message_batch", "change_message_visibility_batch"):
        setattr(SQSBackend, name, _checked_batch(getattr(SQSBackend, name)))


def _checked_send(plain: Callable[..., Any]) -> Callable[..., Any]:
    def send_message(self: Any, queue_name: str, message_body: str, *args: Any, **options: Any) -> Any:
        from moto.sqs.exceptions import SQSException

        queue = self.get_queue(queue_name)
        if not message_body:
            raise SQSException("MissingParameter", "The request must contain the parameter MessageBody.")
        if forbidden := FORBIDDEN.search(message_body):
            raise SQSException(
                "InvalidMessageContents",
                f"Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD "
                f"| #x10000 to #x10FFFF. Found: #x{ord(forbidden.group()):X}",
            )
        for name, value in (("MessageGroupId", options.get("group_id")),
                            ("MessageDeduplicationId", options.get("deduplication_id"))):  # fmt: skip
            if value is not None and not IDENTIFIER.fullmatch(value):
                raise SQSException(
                    "InvalidParameterValue",
                    f"Value {value} for parameter {name} is invalid. Reason: {name} can only include alphanumeric and "
                    "punctuation characters. 1 to 128 in length.",
                )
        attributes = options.get("message_attributes") or {}
        for name, value in attributes.items():
            if not (value.get("StringValue") or value.get("BinaryValue")):
                raise SQSException(
                    "InvalidParameterValue",
                    f"Message (user) attribute '{name}' must contain a non-empty value of type '{value.get('DataType')}'.",
                )
        size = len(message_body.encode()) + sum(map(_size, attributes.items()))
        if size > queue.maximum_message_size:
            raise SQSException(
                "InvalidParameterValue",
                "One or more parameters are invalid. Reason: Message must be shorter than "
                f"{queue.maximum_message_size} bytes.",
            )
        return plain(self, queue_name, message_body, *args, **options)

    return send_message


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower()


def _size(attribute: tuple[str, dict[str, Any]]) -> int:
    """What a message attribute counts: its name, type and value."""
    name, value = attribute
    said = value.get("StringValue") or value.get("BinaryValue") or ""
    return len(name) + len(value.get("DataType", "")) + len(said.encode() if isinstance(said, str) else said)


def _checked_create(plain: Callable[..., Any]) -> Callable[..., Any]:
    def create_queue(self: Any, name: str, tags: dict[str, str] | None = None, **given: Any) -> Any:
        from moto.sqs.exceptions import InvalidAttributeName, QueueAlreadyExists, SQSException

        is_fifo = str(given.get("FifoQueue", "")).lower() == "true"
        for only in ONLY_FIFO:
            if only in given and not is_fifo:
                if only in ("DeduplicationScope", "FifoThroughputLimit"):
                    raise SQSException(
                        "InvalidAttributeName", f"You can specify the {only} only when FifoQueue is set to true."
                    )
                raise InvalidAttributeName(only)
        if name.endswith(".fifo") and not is_fifo:
            raise SQSException(
                "InvalidParameterValue",
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
            )
        queue = self.queues.get(name)
        for attribute, value in given.items() if queue is not None else ():
            if attribute in queue.attributes and str(value).lower() != _text(queue.attributes[attribute]):
                if attribute in ("Policy", "RedrivePolicy"):
                    continue  # moto compares what they say
                raise QueueAlreadyExists(
                    f"A queue already exists with the same name and a different value for attribute {attribute}"
                )
        return plain(self, name, tags, **given)

    return create_queue


def _checked_set(plain: Callable[..., Any]) -> Callable[..., Any]:
    def set_queue_attributes(self: Any, queue_name: str, attributes: dict[str, Any]) -> Any:
        from moto.sqs.exceptions import InvalidAttributeName, SQSException

        queue = self.get_queue(queue_name)
        for only in ONLY_FIFO:
            if only in attributes and not queue.fifo_queue:
                raise InvalidAttributeName(only)
        if str(attributes.get("FifoQueue", "true")).lower() != "true":
            raise SQSException(
                "InvalidAttributeValue",
                "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
            )
        return plain(self, queue_name, attributes)

    return set_queue_attributes


def _checked_change(plain: Callable[..., Any]) -> Callable[..., Any]:
    def change_message_visibility(self: Any, queue_name: str, receipt_handle: str, visibility_timeout: int) -> None:
        from moto.sqs.exceptions import ReceiptHandleIsInvalid, SQSException

        try:
            plain(self, queue_name, receipt_handle, visibility_timeout)
        except ReceiptHandleIsInvalid:
            if HANDLE.fullmatch(receipt_handle):
                raise SQSException(
                    "InvalidParameterValue",
                    f"Value {receipt_handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is "
                    "not available for visibility timeout change.",
                ) from None
            raise

    return change_message_visibility


def _checked_batch(plain: Callable[..., Any]) -> Callable[..., Any]:
    def of_batch(self: Any, queue_name: str, entries: list[dict[str, Any]]) -> Any:
        from moto.sqs.exceptions import InvalidBatchEntryId, TooManyEntriesInBatchRequest

        if len(entries) > BATCH_LIMIT:
            raise TooManyEntriesInBatchRequest(len(entries))
        if not all(BATCH_ID.fullmatch(entry["Id"]) for entry in entries):
            raise InvalidBatchEntryId
        return plain(self, queue_name, entries)

    return of_batch
