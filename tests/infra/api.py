"""Validates a request as the service would: shapes, required fields, lengths, patterns, enumerations."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import botocore.session
from botocore.model import Shape
from botocore.validate import ParamValidator


@functools.cache
def service(name: str) -> Any:
    return botocore.session.Session().get_service_model(name)


# States call services by the names of the Java SDK, and write its parameters with a capital.
NAMES = {"sfn": "stepfunctions", "cloudwatchlogs": "logs"}


def problems(resource: str, request: dict[str, Any]) -> list[str]:
    """What is wrong with a request of a state's `Resource`."""
    name = resource.rsplit(":::", 1)[1].removeprefix("aws-sdk:").removesuffix(".sync")
    service_name, action = name.split(":")
    if service_name in NAMES:
        service_name = NAMES[service_name]
        request = {key[0].lower() + key[1:]: value for key, value in request.items()}
    operation = service(service_name).operation_model(action[0].upper() + action[1:])
    blobs = {name for name, shape in operation.input_shape.members.items() if shape.type_name == "blob"}
    # Step Functions makes JSON of a blob, whatever its type.
    request = {name: json.dumps(item).encode() if name in blobs else item for name, item in request.items()}
    report = ParamValidator().validate(request, operation.input_shape)
    found = [report.generate_report()] if report.has_errors() else []
    return found + list(_constraints(operation.input_shape, request, action))


def _constraints(shape: Shape, value: Any, path: str) -> Any:
    if shape.type_name == "structure":
        for name, item in value.items():
            if name in shape.members:
                yield from _constraints(shape.members[name], item, f"{path}.{name}")
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            yield from _constraints(shape.member, item, f"{path}[{index}]")
    elif shape.type_name == "map":
        for name, item in value.items():
            yield from _constraints(shape.value, item, f"{path}.{name}")
    size = value if isinstance(value, int | float) else len(value)
    limits = shape.metadata
    if not limits.get("min", size) <= size <= limits.get("max", size):
        yield f"{path} is {value!r}: {size} is not within {limits.get('min')} and {limits.get('max')}"
    if isinstance(value, str):
        if limits.get("enum") and value not in limits["enum"]:
            yield f"{path} is {value!r}: not one of {limits['enum']}"
        pattern = _python_pattern(limits.get("pattern", ""))
        if pattern and not re.fullmatch(pattern, value, re.DOTALL):
            yield f"{path} is {value!r}: does not match {limits['pattern']}"


def _python_pattern(java: str) -> str:
    """Java's classes in Python's terms, and without the `${1,256}` by which two of AWS's patterns cannot be meant."""
    classes = {
        "Z": " ",
        "L": "a-zA-Z",
        "N": "0-9",
        "Alnum": r"\w",
        "M": "",
        "P": "!-/:-@",
        "ASCII": "\\x00-\\x7f",
        "S": "$+<=>^|~",
    }
    plain = re.sub(r"\\p\{(\w+)\}", lambda match: classes[match[1].removeprefix("Is")], java)
    return re.sub(r"\$\{\d+,\d+\}$", "", plain)
