"""One request, from the socket to the answer: guard, then the service that the signature names, then write-through."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from local_cloud import rest_json, sqs_query
from local_cloud.access.authority import Authority, itself
from local_cloud.access.decision import Caller
from local_cloud.access.entry import permissions_of
from local_cloud.access.simulation import OPERATIONS as SIMULATIONS
from local_cloud.capabilities import PREFIX, Capabilities
from local_cloud.errors import AwsError
from local_cloud.form import check_query, check_xml, json_body, query_answer, query_request
from local_cloud.guard import Guard
from local_cloud.moto_services import (
    NOT_UNDERSTOOD,
    MotoServices,
    not_understood,
    operation_of,
    refusal_of,
    require_supported,
)
from local_cloud.own_services import OwnServices
from local_cloud.persistence.snapshot import Snapshot
from local_cloud.s3 import list_answer, preconditions
from local_cloud.s3.checksum_type import with_type
from local_cloud.s3.content import ContentStore
from local_cloud.s3.encryption import ENCRYPTED, refuse_customer_keys, with_encryption
from local_cloud.s3.entry import check_names, named, take_body
from local_cloud.s3.fast_path import FastPath
from local_cloud.s3.rows import Abandoned, ObjectRows
from local_cloud.services import COVERAGE_PAGE, SERVICES, Service, changes_state, protocol_of
from local_cloud.validation import Validator
from local_cloud.wire import Answer, Request, error_answer, json_answer, spoken

logger = logging.getLogger("local_cloud")

# JSON services of moto whose requests are checked against botocore's model before moto sees them.
VALIDATED = {"ecr", "ssm", "logs"}


class Application:
    """The WSGI application; also called in process, without guard, by the cloud's own clients."""

    def __init__(
        self,
        guard: Guard,
        content: ContentStore,
        rows: ObjectRows,
        fast_path: FastPath,
        snapshot: Snapshot,
        health: Callable[[], dict[str, Any]],
        authority: Authority,
        capabilities: Capabilities,
    ):
        self._guard = guard
        self._content = content
        self._rows = rows
        self._fast_path = fast_path
        self._snapshot = snapshot
        self._health = health
        self._authority = authority
        self._capabilities = capabilities
        self._moto = MotoServices()
        self._validator = Validator()
        self.services: OwnServices  # set before `loaded`: they need this application themselves
        self.on_shutdown: Callable[[], None] = lambda: None
        # Set once the state of the last process is back: an early request would see an empty cloud.
        self.loaded = False

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        answer = self._guarded(request)
        headers = [(name, str(value)) for name, value in answer.headers.items() if value is not None]
        body = answer.body
        if isinstance(body, bytes):
            if "content-length" not in {name.lower() for name, _ in headers}:
                headers.append(("Content-Length", str(len(body))))
            body = [] if request.method == "HEAD" or not body else [body]
        start_response(f"{answer.status} {_phrase(answer.status)}", headers)
        return body

    def _guarded(self, request: Request) -> Answer:
        protocol = "rest-json"
        try:
            self._guard.check_origin(request)
            if request.raw_path == "/_local/health" and request.method == "GET":
                return self._health_answer()
            if not self.loaded:
                raise AwsError("ServiceUnavailable", "The local cloud is starting; try again in a moment.", 503)
            if request.raw_path.startswith(PREFIX):
                return self._capabilities.answer(request)
            named = self._guard.service_name(request)
            service = SERVICES.get(named)
            protocol = spoken(request, protocol_of(named, request.raw_path == "/"))
            if sqs_query.speaks(request, named):
                protocol = "query"
            signed_for = self._guard.admit(request)
            if request.raw_path == "/_local/shutdown" and request.method == "POST":
                self.on_shutdown()
                return _plain_json({"status": "stopping"})
            if request.raw_path == "/_local/permissions" and request.holder is None:
                return self._permissions(request)
            if request.raw_path.startswith("/_local/interrupt/") and request.method == "POST":
                name = unquote(request.raw_path.removeprefix("/_local/interrupt/"))
                protocol = "json"
                self.services.sagemaker.interrupt_training_job(name)
                return _plain_json({"interrupted": name})
            if service is None:
                raise _unknown_service(signed_for)
            self._permit(request, service, self._authority.holder(request.holder))
            return self.dispatch(request, service)
        except AwsError as error:
            return error_answer(protocol, error)
        except Exception as fault:
            return error_answer(protocol, refusal_of(fault) or _internal(request))

    def _permissions(self, request: Request) -> Answer:
        """What was asked and how it was judged; a POST changes the mode and forgets the questions."""
        if request.method == "POST":
            self._authority.change(str(json_body(request).get("mode")))
        answer = {"mode": self._authority.mode, "questions": self._authority.questions()}
        if request.query == "unused":
            unused = self._authority.unused()
            answer["elements"] = {role: [asdict(each) for each in found] for role, found in unused.items()}
        return _plain_json(answer)

    def _health_answer(self) -> Answer:
        health = self._health()
        answer = _plain_json(health)
        answer.status = 200 if health["status"] == "ready" else 503
        return answer

    def trusted(self, request: Request, service: Service) -> Answer:
        """The answer to a request that this process itself made: no guard, the same errors."""
        try:
            self._permit(request, service, self._authority.caller())
            with itself():
                return self.dispatch(request, service)
        except AwsError as error:
            return error_answer(spoken(request, service.protocol), error)
        except Exception as fault:
            refused = refusal_of(fault) or _internal(request)
            return error_answer(spoken(request, service.protocol), refused)

    def _permit(self, request: Request, service: Service, caller: Caller | None) -> None:
        if caller is not None:
            self._authority.check(caller, service.signing_name, permissions_of(request, service, self._authority.place))

    def dispatch(self, request: Request, service: Service) -> Answer:
        """Hand the request to the service; what it changed is on disk when this returns."""
        if service.signing_name == "s3":
            return named(request, self._s3(request, service))
        if service.signing_name == "sagemaker" and request.raw_path.startswith("/endpoints/"):
            return self._invoke(request)
        request.decompress()
        if service.protocol == "rest-json":
            return self._rest(request, service)
        operation = operation_of(request, service)
        if service.owner == "cloud":
            return self._own(request, service, operation)
        if service.signing_name == "iam" and operation in SIMULATIONS:
            check_query(self._validator, service, operation, request)
            asked = query_request(service, operation, request)
            return query_answer(service, operation, self._authority.simulated(operation, asked))
        require_supported(service, operation)
        if sqs_query.speaks(request, service.signing_name):
            sqs_query.as_form(request)
        else:
            self._check_form(request, service, operation)
        if not changes_state(operation):
            return self._moto.answer(request, service, operation)
        with self._snapshot.change():
            return self._moto.answer(request, service, operation)

    def _check_form(self, request: Request, service: Service, operation: str) -> None:
        if service.signing_name in VALIDATED:
            self._validator.check(service.model, operation, json_body(request))
        elif service.protocol == "json":
            missing = self._validator.missing(service.model, operation, json_body(request))
            if missing:
                raise AwsError("ValidationException", "; ".join(missing))
        elif service.protocol == "query" and "json" not in request.header("content-type"):
            check_query(self._validator, service, operation, request)

    def _s3(self, request: Request, service: Service) -> Answer:
        check_names(request)
        refuse_customer_keys(request)
        answer = self._fast_path.answer(request)
        if answer is not None:
            return with_encryption(answer)
        operation = operation_of(request, service)
        require_supported(service, operation)
        if operation == "ListObjectsV2":
            return list_answer.answer(request, self._fast_path.backend)
        answer = with_type(request, operation, self._s3_by_moto(request, service, operation))
        return with_encryption(answer) if operation in ENCRYPTED else answer

    def _s3_by_moto(self, request: Request, service: Service, operation: str) -> Answer:
        take_body(request, operation)  # read before others have to wait
        check_xml(self._validator, operation, request)
        # Files that it finds stay until it has read them, whoever overwrites the object meanwhile.
        if request.method in ("GET", "HEAD"):
            with self._content.reading():
                return self._moto.answer(request, service)
        bucket, _, key = request.raw_path.lstrip("/").partition("/")
        with self._content.reading():
            if key or operation == "DeleteObjects":
                return self._change_objects(request, service, operation, bucket, unquote(key))
            with self._snapshot.change(), self._rows.change():
                return self._moto.answer(request, service)

    def _change_objects(self, request: Request, service: Service, operation: str, bucket: str, key: str) -> Answer:
        """moto's answer; what it did is committed, or undone where it is a refusal."""
        try:
            with self._rows.change():
                if key:
                    preconditions.require(request, operation, self._fast_path.backend, bucket, key)
                    self._rows.touch(bucket, key)
                answer = self._moto.answer(request, service)
                if answer.status >= 400:
                    raise Abandoned(answer)
                return answer
        except Abandoned as refused:
            return refused.answer

    def _own(self, request: Request, service: Service, operation: str) -> Answer:
        own = self.services.named(service.signing_name)
        try:
            if service.protocol == "query":
                check_query(self._validator, service, operation, request)
                return query_answer(service, operation, own.call(operation, query_request(service, operation, request)))
            body = self._validator.checked(service.model, operation, json_body(request))
            return json_answer(own.call(operation, body), "1.0" if service.signing_name == "states" else "1.1")
        except NOT_UNDERSTOOD as fault:
            raise not_understood(service, request, fault) from None

    def _rest(self, request: Request, service: Service) -> Answer:
        operation, asked = rest_json.parsed(request, service)
        try:
            asked = self._validator.checked(service.model, operation, asked)
            return rest_json.answer(
                service, operation, self.services.named(service.signing_name).call(operation, asked)
            )
        except NOT_UNDERSTOOD as fault:
            raise not_understood(service, request, fault) from None

    def _invoke(self, request: Request) -> Answer:
        parts = request.raw_path.split("/")
        if len(parts) != 4 or parts[3] != "invocations" or request.method != "POST":
            raise AwsError(
                "UnknownOperationException",
                f"The local cloud's sagemaker-runtime supports InvokeEndpoint only, not {request.method} "
                f"{request.raw_path}. See {COVERAGE_PAGE}.",
            )
        response = self.services.sagemaker.invoke_endpoint(unquote(parts[2]), request.body(), request.headers())
        return Answer(response.status, dict(response.headers), response.body)


def _unknown_service(name: str) -> AwsError:
    return AwsError(
        "UnknownService",
        f"The local cloud has no service {name!r}. It has: {', '.join(sorted(SERVICES))}. See {COVERAGE_PAGE}.",
        501,
    )


def _internal(request: Request) -> AwsError:
    """A fault of the cloud itself: Python's words go into the log, their id to the client."""
    failed = AwsError(
        "InternalFailure", f"The local cloud failed on {request.method} {request.raw_path}. Its log says why.", 500
    )
    failed.request_id = str(uuid.uuid4())
    logger.exception("%s %s", failed.request_id, failed.message)
    return failed


def _plain_json(value: dict[str, Any]) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
