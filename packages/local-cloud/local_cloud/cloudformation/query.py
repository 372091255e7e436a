"""CloudFormation's wire protocol: form parameters in, XML out, both by botocore's model."""

from __future__ import annotations

import uuid
from typing import Any

from local_cloud.form import query_request
from local_cloud.services import SERVICES
from local_cloud.wire import Answer, Request


def parsed(request: Request, operation: str) -> dict[str, Any]:
    """The request in the API's shape."""
    return query_request(SERVICES["cloudformation"], operation, request)


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
