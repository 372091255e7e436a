"""Choice rules: every comparison operator of the States Language."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from local_cloud.stepfunctions.failures import StateFailure
from local_cloud.stepfunctions.paths import exists, resolve


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\dT", value):
        return None
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None


def _glob(value: str, pattern: str) -> bool:
    parts = re.split(r"(\\\\|\\\*|\*)", pattern)
    regex = "".join({"*": ".*", "\\*": re.escape("*"), "\\\\": re.escape("\\")}.get(p, re.escape(p)) for p in parts)
    return re.fullmatch(regex, value, re.DOTALL) is not None


ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda a, b: a == b,
    "LessThan": lambda a, b: a < b,
    "GreaterThan": lambda a, b: a > b,
    "LessThanEquals": lambda a, b: a <= b,
    "GreaterThanEquals": lambda a, b: a >= b,
}
TYPE_TESTS: dict[str, Callable[[Any], bool]] = {
    "IsNull": lambda v: v is None,
    "IsNumeric": _number,
    "IsString": lambda v: isinstance(v, str),
    "IsBoolean": lambda v: isinstance(v, bool),
    "IsTimestamp": lambda v: _moment(v) is not None,
}
COMPARISONS = {
    f"{kind}{order}{path}" for kind in ("String", "Numeric", "Timestamp") for order in ORDER for path in ("", "Path")
} | {"BooleanEquals", "BooleanEqualsPath", "StringMatches", "IsPresent", *TYPE_TESTS}


def operator_of(rule: dict[str, Any]) -> str | None:
    """The comparison operator of a rule."""
    return next((name for name in rule if name in COMPARISONS), None)


def holds(rule: dict[str, Any], data: Any, context: dict[str, Any]) -> bool:
    """Whether a choice rule is true for this input."""
    if "And" in rule:
        return all(holds(inner, data, context) for inner in rule["And"])
    if "Or" in rule:
        return any(holds(inner, data, context) for inner in rule["Or"])
    if "Not" in rule:
        return not holds(rule["Not"], data, context)
    operator = operator_of(rule)
    assert operator is not None, "the definition was checked when the state machine was created"
    if operator == "IsPresent":
        return exists(rule["Variable"], data, context) == rule[operator]
    value, wanted = _resolved(rule["Variable"], data, context), rule[operator]
    if operator in TYPE_TESTS:
        return TYPE_TESTS[operator](value) == wanted
    if operator == "StringMatches":
        return isinstance(value, str) and _glob(value, wanted)
    if operator.endswith("Path"):
        operator, wanted = operator.removesuffix("Path"), _resolved(wanted, data, context)
    return _compare(operator, value, wanted)


def _resolved(path: str, data: Any, context: dict[str, Any]) -> Any:
    try:
        return resolve(path, data, context)
    except StateFailure:
        raise StateFailure(
            "States.Runtime", f"Invalid path '{path}': The choice state's condition path references an invalid value."
        ) from None


def _compare(operator: str, value: Any, wanted: Any) -> bool:
    kind = next(k for k in ("String", "Numeric", "Timestamp", "Boolean") if operator.startswith(k))
    order = ORDER[operator.removeprefix(kind)]
    if kind == "Timestamp":
        value, wanted = _moment(value), _moment(wanted)
        return value is not None and wanted is not None and order(value, wanted)
    right = {"String": lambda v: isinstance(v, str), "Numeric": _number, "Boolean": lambda v: isinstance(v, bool)}[kind]
    return right(value) and right(wanted) and order(value, wanted)
