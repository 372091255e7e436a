"""Requests and answers of the REST-JSON protocol (Lambda), by botocore's model: paths, parameters, headers and payloads."""

from __future__ import annotations

import json
import uuid
from typing import Any

from local_cloud.errors import AwsError
from local_cloud.services import Service, service_model
from local_cloud.wire import Answer, Request, plain_json

# Under this name a service says the id of the request itself, where it means something.
REQUEST_ID = "_request_id"


def parsed(request: Request, service: Service) -> tuple[str, dict[str, Any]]:
    """The operation and its request in the model's shape. Raises UnknownOperationException and SerializationException."""
    from moto.core.parse import PROTOCOL_PARSERS, RequestParserError
    from moto.core.routing import get_service_router
    from moto.moto_server.werkzeug_app import BackendRequest
    from werkzeug.exceptions import HTTPException

    environ = {**request.environ, "RAW_URI": request.environ.get("REQUEST_URI", request.raw_path)}
    seen = BackendRequest(environ)
    try:
        operation, labels = get_service_router(service.model).match(seen)
    except (HTTPException, NotImplementedError):  # no such path, or a body of another protocol
        raise AwsError(
            "UnknownOperationException",
            f"{service.signing_name} has no operation {request.method} {request.raw_path}.",
            404,
        ) from None
    said: Any = {"headers": seen.headers, "url_params": labels, "values": seen.args, "body": request.body()}
    try:
        found = PROTOCOL_PARSERS["rest-json"](operation).parse(said)
    except (RequestParserError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise AwsError("SerializationException", "The request body is not what this operation takes.") from None
    return operation.name, {name: value for name, value in found.items() if value is not None}


def answer(service: Service, operation: str, response: dict[str, Any]) -> Answer:
    """An answer in the model's shape: what belongs there goes into status and headers, the rest is the body."""
    model = service_model(service.model).operation_model(operation)
    shape, status = model.output_shape, int(model.http.get("responseCode", 200))
    request_id = response.get(REQUEST_ID) or str(uuid.uuid4())
    headers = {"Content-Type": "application/json", "x-amzn-RequestId": request_id}
    if shape is None:
        return Answer(status, headers, b"")
    members, rest = shape.members, dict(response)
    for name, member in members.items():
        where = member.serialization.get("location")
        if where == "header" and name in rest:
            headers[member.serialization["name"]] = str(rest.pop(name))
        elif where == "statusCode" and name in rest:
            status = int(rest.pop(name))
    payload = shape.serialization.get("payload")
    if payload:
        return Answer(status, headers, rest.get(payload) or b"")
    body = {members[name].serialization.get("name", name): value for name, value in rest.items() if name in members}
    return Answer(status, headers, json.dumps(body, default=plain_json, separators=(",", ":")).encode())
