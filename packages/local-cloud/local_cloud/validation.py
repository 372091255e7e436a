"""Requests are checked against botocore's service models: what AWS rejects, the local cloud rejects.

Shapes, required members, types, lengths, ranges, patterns and enumerations come from the model; nothing is written down a
second time. The message has AWS's form: "2 validation errors detected: Value '…' at '…' failed to satisfy constraint: …".
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from local_cloud.errors import AwsError
from local_cloud.services import COVERAGE_PAGE, service_model

# AWS shows the whole value; so long a one helps nobody.
MAXIMUM_SHOWN = 4096
MUST_NOT_BE_NULL = "Member must not be null"


class Validator:
    """Checks requests of any service that botocore has a model of."""

    def check(self, service: str, operation: str, request: dict[str, Any]) -> None:
        """Raise ValidationException, SerializationException or UnknownOperationException when AWS would refuse."""
        self.checked(service, operation, request)

    def checked(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """The request with its timestamps as datetimes and its blobs as bytes, once it has been found valid."""
        shape = self._shape(service, operation)
        if shape is None:
            return {}
        request = _typed(shape, request, operation)
        faults = list(_faults(shape, request, ""))
        if faults:
            count = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected"
            raise AwsError("ValidationException", f"{count}: {'; '.join(faults)}")
        return request

    def missing(self, service: str, operation: str, request: dict[str, Any]) -> list[str]:
        """What a request lacks; for services whose own answers to wrong values are kept."""
        shape = self._shape(service, operation)
        return [] if shape is None else self.structural_faults(shape, _typed(shape, request, operation))

    def structural_faults(self, shape: Any, value: dict[str, Any]) -> list[str]:
        """The members that must be there and are not."""
        return [fault for fault in _faults(shape, value, "") if fault.endswith(MUST_NOT_BE_NULL)]

    def _shape(self, service: str, operation: str) -> Any:
        model = service_model(service)
        if operation not in model.operation_names:
            raise AwsError(
                "UnknownOperationException", f"{service} has no operation {operation[:200]!r}. See {COVERAGE_PAGE}."
            )
        return model.operation_model(operation).input_shape


def _typed(shape: Any, value: Any, path: str) -> Any:
    """The value in the model's types. Raises SerializationException for a wrong JSON type, as AWS's parser does."""
    kind = shape.type_name
    if kind == "structure":
        _expect(isinstance(value, dict), path, "object", value)
        members = shape.members
        # Members that the model does not know are ignored, as AWS's own parsers do.
        return {
            name: _typed(members[name], item, f"{path}.{name}")
            for name, item in value.items()
            if name in members and item is not None
        }
    if kind == "list":
        _expect(isinstance(value, list), path, "list", value)
        return [_typed(shape.member, item, f"{path}[{index}]") for index, item in enumerate(value)]
    if kind == "map":
        _expect(isinstance(value, dict), path, "object", value)
        return {key: _typed(shape.value, item, f"{path}.{key}") for key, item in value.items()}
    if kind == "string":
        _expect(isinstance(value, str), path, "string", value)
    elif kind in ("integer", "long"):
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        _expect(isinstance(value, int) and not isinstance(value, bool), path, "integer", value)
    elif kind in ("float", "double"):
        _expect(isinstance(value, int | float) and not isinstance(value, bool), path, "number", value)
    elif kind == "boolean":
        _expect(isinstance(value, bool), path, "boolean", value)
    elif kind == "timestamp":
        return _moment(value, path)
    elif kind == "blob":
        return _bytes(value, path)
    return value


def _expect(right: bool, path: str, wanted: str, value: Any) -> None:
    if not right:
        raise AwsError(
            "SerializationException",
            f"{path} must be of type {wanted}, but is {_json_type(value)}: {json.dumps(value, default=str)[:80]}",
        )


def _json_type(value: Any) -> str:
    names = {bool: "boolean", type(None): "null", str: "string", dict: "object", list: "list"}
    return names.get(type(value), "number")


def _moment(value: Any, path: str) -> datetime:
    try:
        if isinstance(value, datetime):
            return value
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        parsed = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        raise AwsError("SerializationException", f"{path} is no timestamp: {value!r:.80}") from None


def _bytes(value: Any, path: str) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise AwsError("SerializationException", f"{path} is not base64") from None


def _faults(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure":
        for name in shape.required_members:
            if name not in value:
                yield _fault(None, _join(path, name), MUST_NOT_BE_NULL)
        for name, item in value.items():
            yield from _faults(shape.members[name], item, _join(path, name))
    elif kind == "list":
        yield from _length_fault(shape, len(value), _in_java(shape, value), path)
        for index, item in enumerate(value):
            yield from _faults(shape.member, item, f"{path}.{index + 1}.member")
    elif kind == "map":
        yield from _length_fault(shape, len(value), value, path)
        for key, item in value.items():
            yield from _faults(shape.key, key, path)
            yield from _faults(shape.value, item, f"{path}.{key}.member")
    elif kind == "string":
        yield from _length_fault(shape, len(value), value, path)
        yield from _string_faults(shape, value, path)
    elif kind == "blob":
        yield from _length_fault(shape, len(value), "<bytes>", path)
    elif kind in ("integer", "long", "float", "double"):
        minimum, maximum = shape.metadata.get("min"), shape.metadata.get("max")
        if minimum is not None and value < minimum:
            yield _fault(value, path, f"Member must have value greater than or equal to {minimum}")
        if maximum is not None and value > maximum:
            yield _fault(value, path, f"Member must have value less than or equal to {maximum}")


def _length_fault(shape: Any, length: int, value: Any, path: str) -> Iterator[str]:
    minimum, maximum = shape.metadata.get("min"), shape.metadata.get("max")
    if minimum is not None and length < minimum:
        yield _fault(value, path, f"Member must have length greater than or equal to {minimum}")
    if maximum is not None and length > maximum:
        yield _fault(value, path, f"Member must have length less than or equal to {maximum}")


def _string_faults(shape: Any, value: str, path: str) -> Iterator[str]:
    if shape.enum and value not in shape.enum:
        yield _fault(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    pattern = shape.metadata.get("pattern")
    compiled = _pattern(pattern) if pattern else None
    if compiled and not compiled.fullmatch(value):
        yield _fault(value, path, f"Member must satisfy regular expression pattern: {pattern}")


@lru_cache(maxsize=4096)
def _pattern(pattern: str) -> re.Pattern[str] | None:
    """The pattern in Python's syntax; None for the few of Java's that Python cannot express."""
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _in_java(shape: Any, value: Any) -> str:
    """A value as Java prints it, which AWS's messages show."""
    if shape.type_name == "structure":
        members = ", ".join(f"{name}={_in_java(shape.members[name], item)}" for name, item in value.items())
        return f"{shape.name}({members})"
    if shape.type_name == "list":
        return f"[{', '.join(_in_java(shape.member, item) for item in value)}]"
    return str(value)


def _join(path: str, name: str) -> str:
    # AWS writes member names with a small first letter here, whatever the API calls them.
    small = name[0].lower() + name[1:]
    return f"{path}.{small}" if path else small


def _fault(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{str(value)[:MAXIMUM_SHOWN]}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"
