"""Whether an event pattern is one, in the words that AWS's recorded answers have.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

from __future__ import annotations

import ipaddress
from typing import Any

from local_cloud.errors import AwsError

TEXT_OPERATORS = ("prefix", "suffix", "equals-ignore-case", "wildcard")
OPERATORS = (*TEXT_OPERATORS, "anything-but", "numeric", "exists", "cidr")
LOWER, UPPER = (">", ">="), ("<", "<=")
# "The value must be between -5.0e9 and +5.0e9 inclusive."
LARGEST_NUMBER = 5.0e9
# Found by asking: a pattern with six parts that may be anything is refused, one with fewer is not.
MOST_WILDCARDS = 5


def wrong(reason: str) -> AwsError:
    """The refusal of a pattern."""
    return AwsError("InvalidEventPatternException", f"Event pattern is not valid. Reason: {reason}")


def check(pattern: dict[str, Any]) -> None:
    """Raise for the first thing that no pattern may have."""
    for name, wanted in pattern.items():
        alternatives = isinstance(wanted, list) and len(wanted) > 1 and all(isinstance(one, dict) for one in wanted)
        if name == "$or" and alternatives:
            for one in wanted:
                check(one)
        elif isinstance(wanted, dict):
            if not wanted:
                raise wrong("Empty objects are not allowed")
            check(wanted)
        elif not isinstance(wanted, list):
            raise wrong(f'"{name}" must be an object or an array')
        elif not wanted:
            raise wrong("Empty arrays are not allowed")
        else:
            for one in wanted:
                _check_leaf(one)


def _check_leaf(wanted: Any) -> None:
    if isinstance(wanted, list):
        raise wrong("Match value must be String, number, true, false, or null")
    if not isinstance(wanted, dict):
        return
    if len(wanted) != 1:
        raise wrong("Only one key allowed in match expression")
    ((operator, argument),) = wanted.items()
    if operator not in OPERATORS:
        raise wrong(f"Unrecognized match type {operator}")
    if operator == "exists":
        if not isinstance(argument, bool):
            raise wrong("exists match pattern must be either true or false.")
    elif operator == "numeric":
        _check_numeric(argument)
    elif operator == "cidr":
        _check_network(argument)
    elif operator == "anything-but":
        _check_anything_but(argument)
    elif operator in ("prefix", "suffix") and isinstance(argument, dict):
        if set(argument) != {"equals-ignore-case"} or not isinstance(argument["equals-ignore-case"], str):
            raise wrong(f"{operator} match pattern must be a string")
    else:
        _check_text(operator, argument)


def _check_text(operator: str, argument: Any) -> None:
    if not isinstance(argument, str):
        raise wrong(f"{operator} match pattern must be a string")
    if operator == "wildcard":
        consecutive = argument.find("**")
        if consecutive >= 0:
            raise wrong(f"Consecutive wildcard characters at pos {consecutive}")
        if argument.count("*") - argument.count("\\*") > MOST_WILDCARDS:
            raise wrong(
                "Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences after a "
                "wildcard character"
            )


def _check_anything_but(argument: Any) -> None:
    if isinstance(argument, dict) and len(argument) == 1:
        ((operator, inner),) = argument.items()
        if operator not in TEXT_OPERATORS:
            raise wrong(f"Unsupported anything-but pattern: {operator}")
        for one in inner if isinstance(inner, list) and inner else [inner]:
            if operator in ("prefix", "suffix"):
                if isinstance(one, dict):
                    raise wrong("Value of anything-but must be an array or single string/number value.")
                if not isinstance(one, str):
                    raise wrong("prefix/suffix match pattern must be a string")
                if not one:
                    raise wrong("Null prefix/suffix not allowed")
            elif operator == "equals-ignore-case" and not isinstance(one, str):
                raise wrong("Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.")
            else:
                _check_text(operator, one)
    elif isinstance(argument, list):
        if not argument:
            raise wrong("Empty arrays are not allowed")
        if not all(isinstance(one, str) or _is_number(one) for one in argument):
            raise wrong("Inside anything but list, start|null|boolean is not supported.")
    elif not (isinstance(argument, str) or _is_number(argument)):
        raise wrong("Value of anything-but must be an array or single string/number value.")


def _check_numeric(argument: Any) -> None:
    if not isinstance(argument, list):
        raise wrong("Value of numeric must be an array.")
    if not argument:
        raise wrong("Invalid member in numeric match: []")
    signs = argument[::2]
    for sign, bound in zip(signs, [*argument[1::2], None], strict=False):
        if sign not in (*LOWER, *UPPER, "="):
            raise wrong(f"Unrecognized numeric range operator: {sign}")
        if not _is_number(bound):
            raise wrong(f"Value of {sign} must be numeric")
        if abs(bound) > LARGEST_NUMBER:
            raise wrong("Value must be between -5.0E9 and 5.0E9, inclusive")
    if len(signs) > 1 and not (len(signs) == 2 and signs[0] in LOWER and signs[1] in UPPER):
        raise wrong(
            f"Bad numeric range operator: {signs[1]}"
            if signs[0] in LOWER
            else "Too many elements in numeric expression"
        )
    if len(signs) == 2 and argument[1] >= argument[3]:
        raise wrong("Bottom must be less than top")


def _check_network(argument: Any) -> None:
    if not isinstance(argument, str):
        raise wrong("prefix match pattern must be a string")
    address, slash, bits = argument.partition("/")
    if not slash:
        raise wrong("Malformed CIDR, one '/' required")
    if not bits.isdigit():
        raise wrong("Malformed CIDR, mask bits must be an integer")
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        raise wrong(f"Nonstandard IP address: {address}") from None
    if int(bits) > found.max_prefixlen:
        raise wrong(f"IP mask bits > {found.max_prefixlen}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
