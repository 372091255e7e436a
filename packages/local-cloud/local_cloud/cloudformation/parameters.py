"""Template parameters: defaults, previous values, constraints, and values that come from SSM."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from local_cloud.cloudformation.template import invalid

SSM_TYPE = re.compile(r"AWS::SSM::Parameter::Value<(.+)>")


MASK = "****"


def text(value: Any) -> str:
    """A default or an allowed value as text: `true` in YAML is the value `true`."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def hidden(definition: dict[str, Any]) -> bool:
    """Whether a parameter's value is shown as asterisks."""
    return text(definition.get("NoEcho", False)).lower() == "true"


def masked(declared: dict[str, Any], values: dict[str, str]) -> dict[str, str]:
    """Values as the API shows them."""
    return {name: MASK if hidden(declared.get(name, {})) else value for name, value in values.items()}


def resolve(
    declared: dict[str, Any], given: list[dict[str, Any]], previous: dict[str, str], from_ssm: Callable[[str], str]
) -> tuple[dict[str, str], dict[str, Any]]:
    """Values as the user gave them, and values as the template sees them (SSM looked up, lists split)."""
    chosen = {}
    named = {entry["ParameterKey"]: entry for entry in given}
    unknown = set(named) - set(declared)
    if unknown:
        raise invalid(f"Parameters: [{', '.join(sorted(unknown))}] do not exist in the template")
    missing = []
    for name, definition in declared.items():
        entry = named.get(name, {})
        if entry.get("UsePreviousValue") and name in previous:
            chosen[name] = previous[name]
        elif "ParameterValue" in entry:
            chosen[name] = entry["ParameterValue"]
        elif "Default" in definition:
            chosen[name] = text(definition["Default"])
        else:
            missing.append(name)
    if missing:
        raise invalid(f"Parameters: [{', '.join(missing)}] must have values")
    return chosen, {name: _seen(name, declared[name], value, from_ssm) for name, value in chosen.items()}


def _seen(name: str, definition: dict[str, Any], value: str, from_ssm: Callable[[str], str]) -> Any:
    kind = definition.get("Type", "String")
    _check(name, definition, value)
    ssm = SSM_TYPE.fullmatch(kind)
    if ssm:
        kind, value = ssm.group(1), from_ssm(value)
    if kind.startswith("List<") or kind == "CommaDelimitedList":
        return [part.strip() for part in value.split(",")] if value else []
    if kind == "Number" and not re.fullmatch(r"-?\d+(\.\d+)?", value):
        raise invalid(f"Parameter '{name}' must be a number.")
    return value


def _check(name: str, definition: dict[str, Any], value: str) -> None:
    told = definition.get("ConstraintDescription")
    shown = "the value given" if hidden(definition) else value
    allowed = [text(item) for item in definition.get("AllowedValues", [])]
    if allowed and value not in allowed:
        raise invalid(f"Parameter '{name}' must be one of AllowedValues: {told or ', '.join(allowed)}")
    pattern = definition.get("AllowedPattern")
    if pattern and not re.fullmatch(pattern, value):
        raise invalid(f"Parameter '{name}' must match pattern {told or pattern}")
    if len(value) < int(definition.get("MinLength", 0)) or len(value) > int(definition.get("MaxLength", 1 << 30)):
        raise invalid(f"Parameter '{name}' has {len(value)} characters: {told or 'MinLength/MaxLength'}")
    for bound, wrong in (("MinValue", lambda v, b: v < b), ("MaxValue", lambda v, b: v > b)):
        if bound in definition and wrong(float(value), float(definition[bound])):
            raise invalid(f"Parameter '{name}' must respect {bound} {definition[bound]}: {told or shown}")
