"""Condition operators.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from local_cloud.access.patterns import Unresolved, matches, matches_arn, plain, resolve

SETS = ("ForAllValues", "ForAnyValue")
Compare = Callable[[str, str], bool]


@dataclass(frozen=True)
class Operator:
    """`compare(pattern, value)`; a negated operator holds when no pattern fits."""

    compare: Compare
    negated: bool = False


@dataclass(frozen=True)
class Condition:
    """One line of a Condition block."""

    operator: str
    test: Operator | None  # None: Null
    quantifier: str
    if_exists: bool
    key: str
    values: tuple[str, ...]


def condition_of(operator: str, key: str, values: tuple[str, ...]) -> Condition:
    """Reads `ForAnyValue:StringLikeIfExists`; a ValueError says what is not known."""
    quantifier, colon, rest = operator.rpartition(":")
    by_name = {name.lower(): name for name in SETS}
    if colon and quantifier.lower() not in by_name:
        raise ValueError(f"Condition operator {operator!r} begins with {quantifier!r}; allowed are {', '.join(SETS)}.")
    name = re.sub(r"IfExists$", "", rest, flags=re.IGNORECASE)
    if_exists = name != rest
    quantifier = by_name.get(quantifier.lower(), "")
    if name.lower() == "null":
        return Condition(operator, None, quantifier, False, key.lower(), values)
    test = OPERATORS.get(name.lower())
    if test is None:
        raise ValueError(f"Condition operator {operator!r} is unknown; see the list in AWS's IAM guide.")
    return Condition(operator, test, quantifier, if_exists, key.lower(), values)


def holds(condition: Condition, context: Mapping[str, list[str]], variables: bool) -> bool:
    """Whether the request's `context` (keys in lower case) fulfils the condition."""
    present = context.get(condition.key)
    if condition.test is None:
        return any((value.lower() == "true") == (present is None) for value in condition.values)
    if present is None or (condition.quantifier and not present):
        if condition.quantifier == "ForAnyValue":
            return condition.if_exists
        return condition.if_exists or condition.quantifier == "ForAllValues" or condition.test.negated
    fits = [_fits(condition, value, context, variables) for value in present]
    if condition.quantifier == "ForAllValues":
        return all(fits)
    if condition.quantifier == "ForAnyValue":
        return any(fits)
    return len(fits) == 1 and fits[0]


def _fits(condition: Condition, value: str, context: Mapping[str, list[str]], variables: bool) -> bool:
    operator = condition.test
    assert operator is not None
    found = False
    for pattern in condition.values:
        try:
            found = found or operator.compare(resolve(pattern, context, variables), value)
        except Unresolved:
            continue
    return found != operator.negated


def _numbers(relation: Callable[[float, float], bool]) -> Compare:
    def compare(pattern: str, value: str) -> bool:
        try:
            return relation(float(value), float(plain(pattern)))
        except ValueError:
            return False

    return compare


def _dates(relation: Callable[[float, float], bool]) -> Compare:
    def compare(pattern: str, value: str) -> bool:
        try:
            return relation(_seconds(value), _seconds(plain(pattern)))
        except ValueError:
            return False

    return compare


def _seconds(text: str) -> float:
    """Of a date as ISO 8601 or as seconds since 1970."""
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _address(pattern: str, value: str) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(plain(pattern), strict=False)
    except ValueError:
        return False


def _binary(pattern: str, value: str) -> bool:
    try:
        return base64.b64decode(plain(pattern), validate=True) == base64.b64decode(value, validate=True)
    except binascii.Error:
        return False


def _arn(pattern: str, value: str) -> bool:
    return value.count(":") >= 5 and matches_arn(pattern, value)


def _table() -> dict[str, Operator]:
    def equal(pattern: str, value: str) -> bool:
        return plain(pattern) == value

    relations: dict[str, Callable[[float, float], bool]] = {
        "equals": lambda a, b: a == b, "lessthan": lambda a, b: a < b, "lessthanequals": lambda a, b: a <= b,
        "greaterthan": lambda a, b: a > b, "greaterthanequals": lambda a, b: a >= b,
    }  # fmt: skip
    compares: dict[str, Compare] = {
        "stringequals": equal,
        "stringequalsignorecase": lambda pattern, value: plain(pattern).casefold() == value.casefold(),
        "stringlike": matches,
        "bool": lambda pattern, value: plain(pattern).lower() == value.lower(),
        "binaryequals": _binary,
        "ipaddress": _address,
        "arnequals": _arn,
        "arnlike": _arn,
        **{f"numeric{name}": _numbers(relation) for name, relation in relations.items()},
        **{f"date{name}": _dates(relation) for name, relation in relations.items()},
    }
    negations = {
        "stringnotequals": "stringequals", "stringnotequalsignorecase": "stringequalsignorecase",
        "stringnotlike": "stringlike", "numericnotequals": "numericequals", "datenotequals": "dateequals",
        "notipaddress": "ipaddress", "arnnotequals": "arnequals", "arnnotlike": "arnlike",
    }  # fmt: skip
    table = {name: Operator(compare) for name, compare in compares.items()}
    return table | {name: Operator(compares[of], negated=True) for name, of in negations.items()}


OPERATORS = _table()
