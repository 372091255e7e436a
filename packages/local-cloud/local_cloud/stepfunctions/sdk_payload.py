"""What Step Functions makes of an SDK call's parameters and of its answer: rules that are in no API model.

The service calls the Java SDK and its JSON goes through that SDK's names and types. What is stated here was recorded on AWS
(localstack/localstack#12035 and its `test_s3_put_object[str|dict|list|bool|num]`, `test_s3_get_object[...]`,
`test_sfn_start_execution_implicit_json_serialisation`, all of 2025-11-06):

- a blob member is JSON-encoded whatever its type, a string too: Body `text` is stored as `"text"`, with its quotes;
- an object, list, number or boolean for a text member becomes JSON text; null is a member that was not given;
- PutObject without a ContentType stores `text/plain; charset=UTF-8`;
- bytes of an answer come back as text; times as ISO 8601 with as many digits as Java's Instant writes.

Members are named as the Java SDK's methods, with a capital first letter: `DBInstanceIdentifier` is `DbInstanceIdentifier`,
`SSEKMSKeyId` is `SsekmsKeyId`. Other spellings are refused, as AWS does.
https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from local_cloud.stepfunctions.payload import dump

JAVA_TEXT_TYPE = "text/plain; charset=UTF-8"


@cache
def step_functions_name(member: str) -> str:
    """A member's name as Step Functions writes it: of capitals in a row only the first stays one.

    The Java SDK's rule (`unCapitalize` of its code generator): lower the capitals at the start but the one that begins
    a word.
    """
    end = 1
    while end < len(member) and member[end].isupper() and not member[end + 1 : end + 2].islower():
        end += 1
    java = member[:end].lower() + member[end:]
    return java[:1].upper() + java[1:]


def api_name(shape: Any, name: str) -> str | None:
    """The API's own name of a member that Step Functions spells in its way."""
    members = shape.members if shape is not None else {}
    return next((own for own in members if step_functions_name(own) == name), None)


def to_request(shape: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """An operation's parameters with the API's names and types; unknown members stay and are refused by the call."""
    request = _structure(shape, parameters) if shape is not None else dict(parameters)
    payload = shape.serialization.get("payload") if shape is not None else None
    if payload in request and shape.members[payload].type_name == "blob" and "ContentType" in shape.members:
        request.setdefault("ContentType", JAVA_TEXT_TYPE)
    return request


def _structure(shape: Any, value: dict[str, Any]) -> dict[str, Any]:
    request = {}
    for name, item in value.items():
        own = api_name(shape, name)
        if own is None:
            request[name] = item
        elif item is not None:
            request[own] = _value(shape.members[own], item)
    return request


def _value(shape: Any, value: Any) -> Any:
    kind = shape.type_name
    if kind == "blob":
        return dump(value).encode()
    if kind == "structure" and isinstance(value, dict):
        return _structure(shape, value)
    if kind == "list" and isinstance(value, list):
        return [_value(shape.member, item) for item in value]
    if kind == "map" and isinstance(value, dict):
        return {name: _value(shape.value, item) for name, item in value.items()}
    if kind == "string" and not isinstance(value, str):
        return dump(value)
    return value


def from_response(shape: Any, value: Any, spelling: Callable[[str], str] = step_functions_name) -> Any:
    """An answer as Step Functions shows it; the keys of a map are data and keep their spelling."""
    kind = shape.type_name if shape is not None else ""
    if isinstance(value, dict):
        if kind == "map":
            return {name: from_response(shape.value, item, spelling) for name, item in value.items()}
        members = shape.members if kind == "structure" else {}
        return {spelling(name): from_response(members.get(name), item, spelling) for name, item in value.items()}
    if isinstance(value, list):
        return [from_response(shape.member if kind == "list" else None, item, spelling) for item in value]
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "read"):  # GetObject's Body comes as text; States.StringToJson makes JSON of it
        return value.read().decode("utf-8", "replace")
    return value


def _instant(moment: datetime) -> str:
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if moment.microsecond == 0:
        return f"{text}Z"
    digits = f"{moment.microsecond:06d}"
    return f"{text}.{digits.removesuffix('000')}Z"
