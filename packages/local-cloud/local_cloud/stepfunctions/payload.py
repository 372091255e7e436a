"""What a state reads and writes: InputPath, Parameters, ResultSelector, ResultPath, OutputPath."""

from __future__ import annotations

import json
from typing import Any

from local_cloud.stepfunctions import intrinsics
from local_cloud.stepfunctions.failures import PathMissing, StateFailure
from local_cloud.stepfunctions.paths import resolve

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
MAXIMUM_PAYLOAD_BYTES = 256 * 1024


def dump(value: Any) -> str:
    """JSON as histories and outputs show it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def template(value: Any, data: Any, context: dict[str, Any]) -> Any:
    """A payload template with every `"name.$"` replaced by what its path or intrinsic function gives."""
    if isinstance(value, list):
        return [template(item, data, context) for item in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for name, item in value.items():
        if name.endswith(".$"):
            made[name[:-2]] = named_expression(name, item, data, context)
        else:
            made[name] = template(item, data, context)
    return made


def expression(text: str, data: Any, context: dict[str, Any]) -> Any:
    """The value of a path or an intrinsic function."""
    if text.startswith("States."):
        return intrinsics.evaluate(text, data, context)
    return resolve(text, data, context)


def named_expression(field: str, text: str, data: Any, context: dict[str, Any]) -> Any:
    """The same, with the field's name in the failure, as AWS tells it."""
    try:
        return expression(text, data, context)
    except PathMissing as failure:
        raise StateFailure(
            "States.Runtime",
            f"The JSONPath '{failure.path}' specified for the field '{field}' could not be found in the input '{dump(data)}'",
        ) from None


def select(path: str | None, data: Any, context: dict[str, Any]) -> Any:
    """InputPath and OutputPath: null gives an empty object."""
    return {} if path is None else resolve(path, data, context)


def require_size(value: Any, state_name: str) -> str:
    """The value as JSON; States.DataLimitExceeded when AWS would refuse its size."""
    text = dump(value)
    if len(text) > MAXIMUM_PAYLOAD_BYTES // 4 and len(text.encode()) > MAXIMUM_PAYLOAD_BYTES:
        raise StateFailure(
            "States.DataLimitExceeded",
            f"The state/task '{state_name}' returned a result with a size exceeding the maximum number of bytes "
            f"service limit.",
        )
    return text
