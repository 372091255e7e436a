"""Event source mappings: Lambda reads an SQS queue and invokes the function with what it finds.

A message is deleted when its batch went well; one whose batch failed comes back when its visibility time-out is over.
https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local_cloud.access.authority import acting
from local_cloud.errors import AwsError
from local_cloud.functions.function_api import Functions
from local_cloud.functions.invoke_api import Invocations
from local_cloud.functions.names import failure
from local_cloud.functions.store import Store

if TYPE_CHECKING:
    from local_cloud.context import CloudContext

logger = logging.getLogger("local_cloud.functions")
LOOK_SECONDS = 0.5  # how often a queue is looked at, without a request
KNOWN = {
    "EventSourceArn", "FunctionName", "Enabled", "BatchSize", "MaximumBatchingWindowInSeconds", "FunctionResponseTypes", "UUID", "Tags",
}  # fmt: skip


class Mappings:
    """The mappings, and one thread that looks at all their queues while there are any."""

    def __init__(
        self,
        context: CloudContext,
        store: Store,
        functions: Functions,
        invocations: Invocations,
        clients: Callable[[str], Any],
    ):
        self._context, self._store, self._functions = context, store, functions
        self._invocations, self._clients = invocations, clients
        self._changed, self._stopping = threading.Event(), False
        self._reading: set[str] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._look, name="event sources", daemon=True)

    def start(self) -> None:
        """Look at the queues."""
        self._thread.start()

    def stop(self) -> None:
        """No batch is read any more."""
        self._stopping = True
        self._changed.set()

    def _op_CreateEventSourceMapping(self, request: dict[str, Any]) -> dict[str, Any]:
        _refuse(request)
        source = request.get("EventSourceArn") or ""
        if source.split(":")[2:3] != ["sqs"]:
            raise failure(
                "InvalidParameterValueException",
                f"EventSourceArn {source[:200]!r} is not supported by the local cloud: an event source mapping reads an SQS queue.",
            )
        function, named, _ = self._functions.found(request)
        target = function.qualified(named.qualifier)
        if any(one["EventSourceArn"] == source and one["FunctionArn"] == target for one in self._store.mappings()):
            words = (
                f'An event source mapping with SQS arn (" {source} ") and function (" {named.name} ") already exists. Please '
                "update or delete the existing mapping."
            )
            raise failure("ResourceConflictException", words, 409)
        if self._queue(source) is None:
            raise failure("InvalidParameterValueException", f"The queue {source} does not exist.")
        key = str(uuid.uuid4())
        mapping = {
            "UUID": key, "BatchSize": request.get("BatchSize", 10), "FunctionArn": target, "EventSourceArn": source,
            "MaximumBatchingWindowInSeconds": request.get("MaximumBatchingWindowInSeconds", 0),
            "FunctionResponseTypes": request.get("FunctionResponseTypes", []), "StateTransitionReason": "USER_INITIATED",
            "State": "Enabled" if request.get("Enabled", True) else "Disabled", "LastModified": self._context.clock.now(),
            "EventSourceMappingArn": self._context.authority.place.arn("lambda", f"event-source-mapping:{key}"),
        }  # fmt: skip
        self._store.put_mapping(mapping)
        self._changed.set()
        return _shown(mapping, "Creating")

    def _op_UpdateEventSourceMapping(self, request: dict[str, Any]) -> dict[str, Any]:
        _refuse(request)
        mapping = self._found(request["UUID"])
        if "FunctionName" in request:
            function, named, _ = self._functions.found({"FunctionName": request["FunctionName"]})
            mapping["FunctionArn"] = function.qualified(named.qualifier)
        for name in ("BatchSize", "MaximumBatchingWindowInSeconds", "FunctionResponseTypes"):
            if name in request:
                mapping[name] = request[name]
        if "Enabled" in request:
            mapping["State"] = "Enabled" if request["Enabled"] else "Disabled"
        mapping["LastModified"] = self._context.clock.now()
        self._store.put_mapping(mapping)
        self._changed.set()
        return _shown(mapping, "Updating")

    def _op_GetEventSourceMapping(self, request: dict[str, Any]) -> dict[str, Any]:
        return _shown(self._found(request["UUID"]))

    def _op_ListEventSourceMappings(self, request: dict[str, Any]) -> dict[str, Any]:
        found = self._store.mappings()
        if "EventSourceArn" in request:
            found = [one for one in found if one["EventSourceArn"] == request["EventSourceArn"]]
        if "FunctionName" in request:
            function, named, _ = self._functions.found({"FunctionName": request["FunctionName"]})
            found = [one for one in found if one["FunctionArn"] == function.qualified(named.qualifier)]
        return {"EventSourceMappings": [_shown(one) for one in found]}

    def _op_DeleteEventSourceMapping(self, request: dict[str, Any]) -> dict[str, Any]:
        mapping = self._found(request["UUID"])
        self._store.drop_mapping(mapping["UUID"])
        return _shown(mapping, "Deleting")

    def _found(self, key: str) -> dict[str, Any]:
        for mapping in self._store.mappings():
            if mapping["UUID"] == key:
                return mapping
        raise failure("ResourceNotFoundException", "The resource you requested does not exist.", 404)

    def _queue(self, arn: str) -> Any:
        from moto.sqs.models import sqs_backends

        return sqs_backends[self._context.account_id][self._context.region].queues.get(arn.rpartition(":")[2])

    def _look(self) -> None:
        """Start reading each queue that has messages and is not being read."""
        while not self._stopping:
            mappings = [one for one in self._store.mappings() if one["State"] == "Enabled"]
            for mapping in mappings:
                try:
                    self._look_at(mapping)
                except Exception:
                    logger.exception("The queue %s could not be looked at", mapping["EventSourceArn"])
            self._changed.wait(LOOK_SECONDS if mappings else None)
            self._changed.clear()

    def _look_at(self, mapping: dict[str, Any]) -> None:
        queue = self._queue(mapping["EventSourceArn"])
        if queue is None or not queue.messages:
            return
        with self._lock:
            if mapping["UUID"] in self._reading:
                return
            self._reading.add(mapping["UUID"])
        threading.Thread(target=self._read, args=(mapping,), name=f"batch of {mapping['UUID']}", daemon=True).start()

    def _read(self, mapping: dict[str, Any]) -> None:
        try:
            while not self._stopping and self._batch(mapping):
                pass
        except (AwsError, ClientError) as fault:
            logger.warning("A batch of %s was not delivered: %s", mapping["EventSourceArn"], fault)
        except Exception:
            logger.exception("A batch of %s met a fault of the local cloud", mapping["EventSourceArn"])
        finally:
            with self._lock:
                self._reading.discard(mapping["UUID"])

    def _batch(self, mapping: dict[str, Any]) -> bool:
        """Read one batch and hand it to the function; whether there was one."""
        if all(one["UUID"] != mapping["UUID"] for one in self._store.mappings()):
            return False
        function, _, version = self._functions.found({"FunctionName": mapping["FunctionArn"]})
        config, arn = function.versions[version], mapping["EventSourceArn"]
        sqs = self._clients("sqs")
        with acting(config["Role"], config["FunctionName"]):
            url = self._clients("sqs").meta.endpoint_url + f"/{self._context.account_id}/{arn.rpartition(':')[2]}"
            found = sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=min(10, mapping["BatchSize"]),
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
        if not found:
            return False
        event = {"Records": [_record(message, arn, self._context.region) for message in found]}
        done = self._invocations.wait({"FunctionName": mapping["FunctionArn"], "Payload": json.dumps(event).encode()})
        failed = _failed(mapping, done.payload, done.error, found)
        with acting(config["Role"], config["FunctionName"]):
            for message in found:
                if message["MessageId"] not in failed:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return not failed


def _refuse(request: dict[str, Any]) -> None:
    asked = sorted(name for name, value in request.items() if name not in KNOWN and value)
    if asked:
        words = f"The local cloud does not support {', '.join(asked)} of an event source mapping."
        raise failure("InvalidParameterValueException", words)


def _failed(mapping: dict[str, Any], payload: str, error: str, found: list[dict[str, Any]]) -> set[str]:
    """The messages that stay in the queue."""
    everything = {message["MessageId"] for message in found}
    if error:
        return everything
    if "ReportBatchItemFailures" not in mapping["FunctionResponseTypes"]:
        return set()
    answer = json.loads(payload)
    reported = answer.get("batchItemFailures") or [] if isinstance(answer, dict) else []
    named = {item.get("itemIdentifier") for item in reported if isinstance(item, dict)}
    return everything if named - everything else {str(name) for name in named}


def _record(message: dict[str, Any], arn: str, region: str) -> dict[str, Any]:
    attributes = {
        name: {
            "stringValue": value.get("StringValue"), "stringListValues": [], "binaryListValues": [], "dataType": value["DataType"],
        }
        for name, value in message.get("MessageAttributes", {}).items()
    }  # fmt: skip
    return {
        "messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"],
        "attributes": message.get("Attributes", {}), "messageAttributes": attributes,
        "md5OfBody": message.get("MD5OfBody") or hashlib.md5(message["Body"].encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs", "eventSourceARN": arn, "awsRegion": region,
    }  # fmt: skip


def _shown(mapping: dict[str, Any], state: str = "") -> dict[str, Any]:
    shown = {**mapping, "LastModified": datetime.fromtimestamp(mapping["LastModified"], UTC)}
    return shown | ({"State": state} if state else {})
