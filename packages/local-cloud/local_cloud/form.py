"""The form of a request by botocore's model, before a service sees it: what cannot be read is the client's fault, said so.

moto reads requests as they come and fails in Python's words on a missing member, a word where a number belongs, or XML
of another kind. Here the same parsers run first, and what they cannot read is refused as AWS refuses it.
"""

from __future__ import annotations

import uuid
from typing import Any, cast
from urllib.parse import parse_qsl

from local_cloud import json_text
from local_cloud.errors import AwsError
from local_cloud.services import Service
from local_cloud.validation import Validator
from local_cloud.wire import Answer, Request

MAXIMUM_PARAMETERS = 10_000
MALFORMED_XML = "The XML you provided was not well-formed or did not validate against our published schema."


def json_body(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises SerializationException."""
    return request.once("json", lambda: _json_body(request.body()))


def _json_body(raw: bytes) -> dict[str, Any]:
    try:
        body = json_text.parse(raw) if raw else {}
    except ValueError:
        raise AwsError("SerializationException", "The request body is not JSON.") from None
    if not isinstance(body, dict):
        raise AwsError("SerializationException", "The request body is not a JSON object.")
    return body


def form_values(request: Request) -> dict[str, str]:
    """The parameters of the query protocol, from the query string and the body. Raises MalformedQueryString."""
    try:
        pairs = parse_qsl(request.query, keep_blank_values=True, max_num_fields=MAXIMUM_PARAMETERS, errors="strict")
        if request.header("content-type").startswith("application/x-www-form-urlencoded"):
            text = request.body().decode("ascii")
            pairs += parse_qsl(text, keep_blank_values=True, max_num_fields=MAXIMUM_PARAMETERS, errors="strict")
    except ValueError:
        raise AwsError(
            "MalformedQueryString", f"The parameters are not percent-encoded UTF-8, or more than {MAXIMUM_PARAMETERS}."
        ) from None
    return dict(pairs)


def query_answer(service: Service, operation: str, result: dict[str, Any]) -> Answer:
    """An answer of the query protocol, from the model's shape."""
    from moto.core.serialize import SerializationContext, get_serializer_class
    from moto.core.utils import get_service_model

    model = get_service_model(service.model).operation_model(operation)
    serializer = get_serializer_class(service.model, "query")(model, SerializationContext(str(uuid.uuid4())))
    response = serializer.serialize(result)
    body = response["body"]
    return Answer(
        response["status_code"], {"Content-Type": "text/xml"}, body.encode() if isinstance(body, str) else body
    )


def query_request(service: Service, operation: str, request: Request) -> dict[str, Any]:
    """A request of the query protocol in the model's shape. Raises UnknownOperation and ValidationError."""
    from moto.core.parse import PROTOCOL_PARSERS
    from moto.core.utils import get_service_model

    model = get_service_model(service.model)
    if operation not in model.operation_names:
        raise AwsError("InvalidAction", f"Could not find operation {operation[:200]!r} of {service.signing_name}.")

    def parsed() -> dict[str, Any]:
        return PROTOCOL_PARSERS["query"](model.operation_model(operation)).parse(
            cast(Any, {"values": form_values(request)})
        )

    try:
        return request.once(("query", operation), parsed)
    # RuntimeError is botocore's word for a time that it cannot read.
    except (ValueError, TypeError, OverflowError, AttributeError, RuntimeError):
        raise AwsError("ValidationError", f"A parameter of {operation} is not of the type that it must have.") from None


def check_query(validator: Validator, service: Service, operation: str, request: Request) -> None:
    """Raise unless a request of the query protocol has every member that it must have."""
    missing = validator.missing(service.model, operation, query_request(service, operation, request))
    if missing:
        raise AwsError("ValidationError", "; ".join(missing))


def check_xml(validator: Validator, operation: str, request: Request) -> None:
    """Raise MalformedXML unless the body of an S3 request is what the operation's model says."""
    from moto.core.parse import PROTOCOL_PARSERS, RequestParserError
    from moto.core.utils import get_service_model

    model = get_service_model("s3").operation_model(operation)
    shape = model.input_shape
    payload = shape.members[shape.serialization["payload"]] if shape and "payload" in shape.serialization else None
    if payload is None or payload.type_name != "structure":
        return
    body = request.body()
    if not body and shape.serialization["payload"] not in shape.required_members:
        return
    parser: Any = PROTOCOL_PARSERS["rest-xml"](model)
    try:
        if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
            raise ValueError
        parsed = parser._parse_shape(payload, parser._parse_xml_string_to_dom(body))
        faults = validator.structural_faults(payload, parsed)
    except (
        RequestParserError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RuntimeError,
        AwsError,
    ):
        raise AwsError("MalformedXML", MALFORMED_XML) from None
    if faults:
        raise AwsError("MalformedXML", f"{MALFORMED_XML} {'; '.join(faults)}")
