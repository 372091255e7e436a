"""The services that moto answers: one of moto's applications per service, called in process.

Refuses by name what moto has not implemented (it would answer 501 or a made-up value). moto's own dashboard and control
API are not among the applications, so nothing can reach them.
"""

from __future__ import annotations

import io
import logging
import re
import threading
import uuid
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, cast
from xml.parsers.expat import ExpatError

from local_cloud import sqs_query
from local_cloud.errors import AwsError
from local_cloud.form import form_values
from local_cloud.services import COVERAGE_PAGE, REFUSED_OPERATIONS, Service, service_model
from local_cloud.turns import turn
from local_cloud.wire import Answer, Request

logger = logging.getLogger("local_cloud")

UNDERSCORE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def operation_of(request: Request, service: Service) -> str:
    """The operation that a request names, or whose path and method it has; "" when there is none."""
    return request.once("operation", lambda: _operation(request, service))


def _operation(request: Request, service: Service) -> str:
    target = request.header("x-amz-target")
    if sqs_query.speaks(request, service.signing_name):
        return sqs_query.action_of(request)
    if service.protocol == "rest-xml":
        return _rest_operation(request, service)
    if target:
        return target.rpartition(".")[2]
    smithy = re.search(r"/operation/(\w+)$", request.raw_path)
    if smithy:
        return smithy.group(1)
    return form_values(request).get("Action", "") if service.protocol == "query" else ""


def _rest_operation(request: Request, service: Service) -> str:
    """The operation that method, path and parameters mean in botocore's model."""
    from moto.core.routing import get_service_router
    from moto.moto_server.werkzeug_app import BackendRequest
    from werkzeug.exceptions import HTTPException

    environ = {**request.environ, "RAW_URI": request.environ.get("REQUEST_URI", request.raw_path)}
    try:
        operation, _ = get_service_router(service.model).match(BackendRequest(environ))
    except HTTPException:
        raise AwsError(
            "MethodNotAllowed", f"{service.signing_name} has no operation {request.method} {request.raw_path}.", 405
        ) from None
    return operation.name


# Operations of S3 that moto answers in methods of other names.
S3_UNDER_OTHER_NAMES = frozenset({
    "CompleteMultipartUpload", "CreateBucket", "CreateMultipartUpload", "DeleteObjects", "GetBucketLifecycleConfiguration",
    "GetBucketNotificationConfiguration", "GetBucketTagging", "ListBuckets", "PutBucketAccelerateConfiguration",
    "PutBucketAcl", "PutBucketCors", "PutBucketEncryption", "PutBucketInventoryConfiguration", "PutBucketLifecycle",
    "PutBucketLifecycleConfiguration", "PutBucketLogging", "PutBucketNotification", "PutBucketNotificationConfiguration",
    "PutBucketOwnershipControls", "PutBucketPolicy", "PutBucketReplication", "PutBucketTagging", "PutBucketVersioning",
    "PutBucketWebsite", "PutObjectLockConfiguration", "PutPublicAccessBlock", "RestoreObject", "SelectObjectContent",
})  # fmt: skip


@cache
def implemented_operations(moto_name: str) -> frozenset[str]:
    """The operations of botocore's model that moto's response class of this service has a method for."""
    import importlib
    import inspect

    from moto.core.responses import BaseResponse
    from moto.core.utils import camelcase_to_underscores

    module = importlib.import_module(f"moto.{moto_name}.responses")
    methods = {
        name
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, BaseResponse) and found.__module__ == module.__name__
        for name, _ in inspect.getmembers(found, inspect.isfunction)
    }
    operations = service_model({"cloudwatch": "cloudwatch"}.get(moto_name, moto_name)).operation_names
    found = frozenset(name for name in operations if camelcase_to_underscores(name) in methods)
    return found | S3_UNDER_OTHER_NAMES if moto_name == "s3" else found


def require_supported(service: Service, operation: str) -> None:
    """Raise an error that names the operation when nobody here can really answer it."""
    reason = REFUSED_OPERATIONS.get((service.signing_name, operation))
    if reason:
        raise AwsError("NotImplemented", f"{service.signing_name}:{operation} is refused: {reason}.", 501)
    if not operation:
        return
    if operation not in service_model(service.model).operation_names:
        raise AwsError("UnknownOperationException", f"{service.signing_name} has no operation named {operation}.")
    if operation not in implemented_operations(service.moto):
        raise AwsError(
            "NotImplemented",
            f"The local cloud does not support {service.signing_name}:{operation}. What it supports is listed in "
            f"{COVERAGE_PAGE}.",
            501,
        )


# How code ends on a value that it did not expect: a name that is not there, an ARN that is none.
NOT_UNDERSTOOD = (
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    RecursionError,
    ExpatError,
    re.error,
)
CODE_FOR_IT = {
    "rest-xml": "InvalidRequest",
    "query": "ValidationError",
    "json": "ValidationException",
    "rest-json": "ValidationException",
}


def refusal_of(fault: Exception) -> AwsError | None:
    """What moto's own code refused, when it was called past its HTTP layer; None for a fault of another kind."""
    from moto.core.exceptions import ServiceException

    if not isinstance(fault, ServiceException):
        return None
    return AwsError(str(fault.code), str(fault.message))


def not_understood(service: Service, request: Request, fault: Exception) -> AwsError:
    """The refusal of a request whose values ended in one of NOT_UNDERSTOOD; the log keeps the cause."""
    refused = AwsError(
        CODE_FOR_IT[service.protocol],
        f"A value of this request to {service.signing_name} is not understood here, or names what does not exist. Should "
        "AWS accept it, it is the local cloud's fault; its log says more under this request's id.",
    )
    refused.request_id = str(uuid.uuid4())
    logger.warning("%s %s %s", refused.request_id, request.method, request.raw_path, exc_info=fault)
    return refused


class MotoServices:
    """moto's applications, made when first needed."""

    def __init__(self) -> None:
        self._applications: dict[str, Callable[..., Any]] = {}
        self._lock = threading.Lock()

    def answer(self, request: Request, service: Service, operation: str = "") -> Answer:
        """moto's answer to this request; one request of a service at a time, since nothing in moto is made for two.

        S3 has locks of its own (s3/rows.py), and whoever waits for a message lets others send it.
        """
        if service.signing_name == "s3" or operation == "ReceiveMessage":
            return self._answer(request, service)
        with turn(service.signing_name):
            return self._answer(request, service)

    def _answer(self, request: Request, service: Service) -> Answer:
        environ = dict(request.environ)
        environ["RAW_URI"] = environ.get("REQUEST_URI") or environ.get("RAW_URI") or request.raw_path
        body = request.body()
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        started: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            started["status"] = int(status.split(" ", 1)[0])
            started["headers"] = headers

        result: Iterable[bytes] = ()
        try:
            result = self._application(service.moto)(environ, start_response)
            content = b"".join(result)
        except NotImplementedError as fault:
            raise AwsError(
                "NotImplemented", f"moto, which answers {service.signing_name} here, says: {fault}", 501
            ) from None
        except NOT_UNDERSTOOD as fault:
            raise not_understood(service, request, fault) from None
        finally:
            if hasattr(result, "close"):
                result.close()
        answer = Answer(started["status"], dict(started["headers"]), content)
        if answer.status >= 500:
            # What moto says may hold Python's words: those are for the log.
            failed = AwsError(
                "NotImplemented" if answer.status == 501 else "InternalFailure",
                f"moto, which answers {service.signing_name} here, failed on {request.method} {request.raw_path}. The log "
                f"of the local cloud says why; what is supported is listed in {COVERAGE_PAGE}.",
                answer.status,
            )
            failed.request_id = str(uuid.uuid4())
            logger.error("%s %s: %s", failed.request_id, failed.message, content[:2000].decode("utf-8", "replace"))
            raise failed
        return answer

    def _application(self, name: str) -> Callable[..., Any]:
        with self._lock:
            application = self._applications.get(name)
            if application is None:
                from moto.moto_server.werkzeug_app import create_backend_app

                application = self._applications[name] = create_backend_app(cast(Any, name))
            return application
