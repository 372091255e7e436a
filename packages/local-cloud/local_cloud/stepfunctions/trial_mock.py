"""Checks of what TestState is given in place of the real world: mocked results and a mocked context object.

https://docs.aws.amazon.com/step-functions/latest/dg/test-state-isolation.html
"""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import UnknownServiceError

from local_cloud.errors import AwsError
from local_cloud.services import service_model
from local_cloud.stepfunctions.integrations import Target, target_of
from local_cloud.stepfunctions.query import is_distributed
from local_cloud.stepfunctions.sdk_payload import step_functions_name
from local_cloud.stepfunctions.sdk_tasks import SDK_SERVICES

MOCKED = ("Task", "Map", "Parallel")
CONTEXT = {
    "Execution": ("Id", "Input", "Name", "RoleArn", "StartTime", "RedriveCount", "RedriveTime"),
    "State": ("EnteredTime", "Name", "RetryCount"),
    "StateMachine": ("Id", "Name"),
    "Task": ("Token",),
}
NOT_TEXT = {"Input", "RetryCount", "RedriveCount"}
MODELS = {"states": "stepfunctions"} | {name: model for name, (model, _) in SDK_SERVICES.items()}
LENGTHS = ("string", "blob")
TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "string": (str, "a string"), "blob": (str, "a string"), "timestamp": (str, "a string"),
    "list": (list, "an array"), "structure": (dict, "an object"), "map": (dict, "an object"), "boolean": (bool, "a boolean"),
} | dict.fromkeys(("integer", "long", "float", "double"), ((int, float), "a number"))  # fmt: skip


def refused(message: str) -> AwsError:
    """AWS's error for a request that makes no sense."""
    return AwsError("ValidationException", message)


def check_mock(mock: dict[str, Any], state: dict[str, Any], request: dict[str, Any]) -> Any:
    """The mocked result as a value, or None; ValidationException for what AWS refuses."""
    kind = state["Type"]
    if kind not in MOCKED:
        raise refused(f"State type '{kind}' is not supported when a mock is specified")
    if "result" in mock and "errorOutput" in mock:
        raise refused("A test mock should have only one of the following fields: [result, errorOutput].")
    if request.get("revealSecrets"):
        raise refused("TestState does not support RevealSecrets when a mock is specified.")
    if "result" not in mock:
        return None
    try:
        result = json.loads(mock["result"])
    except ValueError:
        raise refused("Mocked result must be valid JSON") from None
    if kind == "Map" and "ResultWriter" in state and is_distributed(state):
        if not isinstance(result, dict):
            raise refused("Mocked result must be a JSON object.")
    elif kind in ("Map", "Parallel") and not isinstance(result, list):
        raise refused("Mocked result must be an array.")
    if kind == "Parallel" and len(result) != len(state["Branches"]):
        raise refused("Mocked result must contain the same number of items as number of Parallel branches.")
    if kind == "Task":
        _check_fields(state["Resource"], result, mock.get("fieldValidationMode", "STRICT"))
    return result


def check_context(given: str, state: dict[str, Any]) -> dict[str, Any]:
    """A mocked context object; ValidationException for what AWS refuses."""
    try:
        context = json.loads(given)
    except ValueError:
        context = None
    if not isinstance(context, dict):
        raise _wrong_context("Context object must be a JSON object")
    for name, fields in context.items():
        if name == "Map":
            raise _wrong_context("'Map' field is not supported when mocking a Context object")
        if name not in CONTEXT:
            raise _wrong_context(f"Field '{name}' is not allowed")
        if not isinstance(fields, dict):
            raise _wrong_context(f"{name} must be a JSON object")
        for field, value in fields.items():
            if field not in CONTEXT[name]:
                raise _wrong_context(f"Field '{field}' is not allowed")
            if field not in NOT_TEXT and not isinstance(value, str):
                raise _wrong_context(f"{name}.{field} must be a string")
    target = target_of(state.get("Resource", ""))
    if "Task" in context and not (target and target.pattern):
        raise _wrong_context(
            "Context object contains 'Task' when state is not a Task state with a '.sync' or '.waitForTaskToken' service "
            "integration pattern"
        )
    return context


def _wrong_context(told: str) -> AwsError:
    return refused(f"Invalid Context object provided: {told}")


def _check_fields(resource: str, result: Any, mode: str) -> None:
    target = target_of(resource)
    shape = _output_shape(target) if target and mode != "NONE" else None
    if shape is not None and isinstance(result, dict):
        free = {"Payload"} if (target.service, target.sdk) == ("lambda", False) else set()
        _check_structure(shape, result, mode == "STRICT", free)


def _output_shape(target: Target) -> Any:
    """What the API answers; None where that is not the result of the task, or the API is not known."""
    if target.pattern:
        return None
    try:
        model = service_model(MODELS.get(target.service, target.service))
    except UnknownServiceError:
        return None
    operation = target.action[0].upper() + target.action[1:]
    return model.operation_model(operation).output_shape if operation in model.operation_names else None


def _check_structure(shape: Any, value: dict[str, Any], strict: bool, free: set[str]) -> None:
    for member, inner in shape.members.items():
        name = step_functions_name(member)
        if name in value and name not in free:
            _check_value(inner, name, value[name], strict)
        elif name not in value and strict and member in shape.required_members:
            raise _wrong(f"Required field '{name}' is missing")


def _check_value(shape: Any, name: str, value: Any, strict: bool) -> None:
    kind, told = TYPES[shape.type_name]
    if not isinstance(value, kind) or (isinstance(value, bool) and shape.type_name != "boolean"):
        raise _wrong(f"Field '{name}' must be {told}")
    if shape.type_name == "structure":
        _check_structure(shape, value, strict, set())
    elif shape.type_name == "list":
        for item in value:
            _check_value(shape.member, name, item, strict)
    elif shape.type_name == "map":
        for item in value.values():
            _check_value(shape.value, name, item, strict)
    else:
        _check_limits(shape, name, value)


def _check_limits(shape: Any, name: str, value: Any) -> None:
    if getattr(shape, "enum", None) and value not in shape.enum:
        raise _wrong(f"Field '{name}' is not an expected value")
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    measured = len(value) if shape.type_name in LENGTHS else value
    if least is not None and not isinstance(measured, str) and measured < least:
        what = "smaller than the minimum length" if shape.type_name in LENGTHS else "less than the minimum value"
        raise _wrong(f"Field '{name}' is {what}")
    if most is not None and not isinstance(measured, str) and measured > most:
        raise _wrong(f"Field '{name}' exceeds the maximum {'length' if shape.type_name in LENGTHS else 'value'}")


def _wrong(told: str) -> AwsError:
    return refused(f"Mock result schema validation error: {told}")
