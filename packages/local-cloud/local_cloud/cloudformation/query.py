"""CloudFormation's wire protocol: form parameters in, XML out, both by botocore's model."""

from __future__ import annotations

from typing import Any

from local_cloud.form import query_answer, query_request
from local_cloud.services import SERVICES
from local_cloud.wire import Answer, Request


def parsed(request: Request, operation: str) -> dict[str, Any]:
    """The request in the API's shape."""
    return query_request(SERVICES["cloudformation"], operation, request)


def answered(operation: str, result: dict[str, Any]) -> Answer:
    """The answer as XML."""
    return query_answer(SERVICES["cloudformation"], operation, result)
