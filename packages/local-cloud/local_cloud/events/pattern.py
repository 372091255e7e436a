"""Event patterns, whole: which events a rule is for.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html. moto knows a part of the operators,
and takes a path through an array of objects for one element's when the pieces lie in several.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from typing import Any

from local_cloud.events.pattern_check import check, wrong

ABSENT = object()
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "=": lambda value, bound: value == bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}


def parsed(text: str) -> dict[str, Any]:
    """A pattern from its JSON text; raises what PutRule and TestEventPattern raise."""
    try:
        pattern = json.loads(text)
    except ValueError:
        raise wrong("Filter is not an object") from None
    if not isinstance(pattern, dict):
        raise wrong("Filter is not an object")
    if not pattern:
        raise wrong("Event pattern must not be empty")
    check(pattern)
    return pattern


def matches(pattern: dict[str, Any], event: Any) -> bool:
    """Whether an event is one that the pattern asks for."""
    if isinstance(event, list):  # one element of an array has to have all of it
        return any(matches(pattern, item) for item in event)
    for name, wanted in pattern.items():
        if name == "$or" and isinstance(wanted, list):
            if not any(matches(one, event) for one in wanted):
                return False
            continue
        value = event.get(name, ABSENT) if isinstance(event, dict) else ABSENT
        if not (matches(wanted, value) if isinstance(wanted, dict) else _leaf(wanted, value)):
            return False
    return True


def _leaf(wanted: list[Any], value: Any) -> bool:
    if isinstance(value, dict) or value == []:
        value = ABSENT  # no leaf
    values = value if isinstance(value, list) else [value]
    return any(_fits(one, item) for one in wanted for item in values)


def _fits(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, dict):
        return _same(wanted, value)
    ((operator, argument),) = wanted.items()
    if operator == "exists":
        return (value is not ABSENT) is argument
    if value is ABSENT:
        return False
    if operator == "anything-but":
        return _anything_but(argument, value)
    if operator == "numeric":
        return _numeric(argument, value)
    if operator == "cidr":
        return _cidr(argument, value)
    return _text(operator, argument, value)


def _same(wanted: Any, value: Any) -> bool:
    """Equal as JSON values: `true` is no 1, and 300 is 300.0."""
    if isinstance(wanted, bool) or isinstance(value, bool):
        return wanted is value
    return (type(wanted) is type(value) and wanted == value) or (
        _is_number(wanted) and _is_number(value) and wanted == value
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _anything_but(argument: Any, value: Any) -> bool:
    if isinstance(argument, dict):
        ((operator, inner),) = argument.items()
        return not any(_text(operator, one, value) for one in (inner if isinstance(inner, list) else [inner]))
    return not any(_same(one, value) for one in (argument if isinstance(argument, list) else [argument]))


def _text(operator: str, argument: Any, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    if isinstance(argument, list):
        return any(_text(operator, one, value) for one in argument)
    if isinstance(argument, dict):  # {"prefix": {"equals-ignore-case": "a"}}
        argument, value = argument["equals-ignore-case"].lower(), value.lower()
    if operator == "prefix":
        return value.startswith(argument)
    if operator == "suffix":
        return value.endswith(argument)
    if operator == "equals-ignore-case":
        return value.lower() == argument.lower()
    return re.fullmatch(_wildcard(argument), value, re.DOTALL) is not None


def _wildcard(text: str) -> str:
    parts = re.findall(r"\\.|\*|[^\\*]+|\\$", text)
    return "".join(
        ".*" if part == "*" else re.escape(part[1:] if part[0] == "\\" and len(part) == 2 else part) for part in parts
    )


def _numeric(argument: list[Any], value: Any) -> bool:
    if not _is_number(value):
        return False
    return all(COMPARISONS[sign](value, bound) for sign, bound in zip(argument[::2], argument[1::2], strict=True))


def _cidr(argument: Any, value: Any) -> bool:
    try:
        network = ipaddress.ip_network(argument, strict=False)
        return isinstance(value, str) and ipaddress.ip_address(value) in network
    except ValueError:
        return False
