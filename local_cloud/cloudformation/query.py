"""CloudFormation's wire protocol: form parameters in, XML out, both by botocore's model."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import parse_qsl

from local_cloud.wire import Answer, Request


def parsed(request: Request, operation: str) -> dict[str, Any]:
    """The request in the API's shape."""
    from moto.core.parse import PROTOCOL_PARSERS
    from moto.core.utils import get_service_model
    from werkzeug.datastructures import MultiDict

    values = MultiDict(parse_qsl(request.query, keep_blank_values=True))
    values.update(parse_qsl(request.body().decode(), keep_blank_values=True))
    model = get_service_model("cloudformation").operation_model(operation)
    return PROTOCOL_PARSERS["query"](model).parse({"values": values})


def answered(operation: str, result: dict[str, Any]) -> Answer:
    """The answer as XML."""
    from moto.core.serialize import SerializationContext, get_serializer_class
    from moto.core.utils import get_service_model

    model = get_service_model("cloudformation").operation_model(operation)
    serializer = get_serializer_class("cloudformation", "query")(model, SerializationContext(str(uuid.uuid4())))
    response = serializer.serialize(result)
    body = response["body"]
    return Answer(
        response["status_code"], {"Content-Type": "text/xml"}, body.encode() if isinstance(body, str) else body
    )
