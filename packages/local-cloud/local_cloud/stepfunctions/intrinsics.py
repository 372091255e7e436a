"""The eighteen `States.*` functions of JSONPath definitions.

https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
import re
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from local_cloud.stepfunctions.failures import StateFailure
from local_cloud.stepfunctions.paths import check_path, resolve

MAXIMUM_BASE64 = 10_000
MAXIMUM_RANGE = 1_000
TOKEN = re.compile(
    r"""\s*(?:(?P<open>\()|(?P<close>\))|(?P<comma>,)|'(?P<text>(?:[^'\\]|\\.)*)'|(?P<function>States\.\w+)"""
    r"""|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])|(?P<constant>true|false|null)\b"""
    r"""|(?P<path>\$(?:\[[^\]]*\]|[^,()\[\s])*))"""
)


def _fail(cause: str) -> StateFailure:
    return StateFailure("States.IntrinsicFailure", cause)


@lru_cache(maxsize=2048)
def parse(text: str) -> tuple[Any, ...]:
    """The call tree of an intrinsic expression: ("call", name, arguments); raises ValueError."""
    tokens, position = [], 0
    while position < len(text.rstrip()):
        found = TOKEN.match(text, position)
        if not found:
            raise ValueError(f"Cannot read the intrinsic function at {text[position : position + 30]!r}")
        tokens.append((found.lastgroup, found.group(found.lastgroup)))
        position = found.end()
    tree, rest = _argument(tokens)
    if rest or tree[0] != "call":
        raise ValueError(f"Not one intrinsic function: {text!r}")
    return tree


def _argument(tokens: list[tuple[str, str]]) -> tuple[tuple[Any, ...], list[Any]]:
    if not tokens:
        raise ValueError("An intrinsic function ends too early")
    (kind, value), rest = tokens[0], tokens[1:]
    if kind == "text":
        return (
            "value",
            re.sub(r"\\([\\'{}])", lambda m: m.group(0) if m.group(1) in "{}" else m.group(1), value),
        ), rest
    if kind == "number":
        return ("value", float(value) if re.search(r"[.eE]", value) else int(value)), rest
    if kind == "constant":
        return ("value", {"true": True, "false": False, "null": None}[value]), rest
    if kind == "path":
        check_path(value)
        return ("path", value), rest
    if kind == "function":
        if value not in FUNCTIONS:
            raise ValueError(f"There is no intrinsic function {value}; there are {', '.join(sorted(FUNCTIONS))}")
        return _call(value, rest)
    raise ValueError(f"Unexpected {value!r} in an intrinsic function")


def _call(name: str, rest: list[Any]) -> tuple[tuple[Any, ...], list[Any]]:
    if not rest or rest[0][0] != "open":
        raise ValueError(f"{name} needs arguments in parentheses")
    rest, arguments = rest[1:], []
    while rest and rest[0][0] != "close":
        argument, rest = _argument(rest)
        arguments.append(argument)
        if rest and rest[0][0] == "comma":
            rest = rest[1:]
        elif rest and rest[0][0] != "close":
            raise ValueError(f"{name}: a comma or ) must follow each argument")
    if not rest:
        raise ValueError(f"{name}: ) is missing")
    return ("call", name, tuple(arguments)), rest[1:]


def evaluate(text: str, data: Any, context: dict[str, Any]) -> Any:
    """The value of an intrinsic expression."""
    try:
        return _value(parse(text), data, context)
    except ValueError as fault:
        raise _fail(f"{text}: {fault}") from fault


def _value(node: tuple[Any, ...], data: Any, context: dict[str, Any]) -> Any:
    if node[0] == "value":
        return node[1]
    if node[0] == "path":
        return resolve(node[1], data, context)
    _, name, arguments = node
    values = [_value(argument, data, context) for argument in arguments]
    try:
        return FUNCTIONS[name](*values)
    except StateFailure:
        raise
    except Exception as fault:
        raise _fail(f"{name} failed for arguments {json.dumps(values)[:200]}: {fault}") from fault


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _format(template: str, *values: Any) -> str:
    pieces, used, position = [], 0, 0
    for found in re.finditer(r"\\([{}\\])|\{\}", template):
        pieces.append(template[position : found.start()])
        if found.group(1):
            pieces.append(found.group(1))
        else:
            _need(used < len(values), "there are more {} than arguments")
            value = values[used]
            pieces.append(_told(value))
            used += 1
        position = found.end()
    _need(used == len(values), "there are more arguments than {}")
    return "".join([*pieces, template[position:]])


def _told(value: Any) -> str:
    """A value inside a text, as AWS writes it: objects and arrays in Java's form, `{Arg1=1, Arg2=[]}` (recorded)."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}={_told(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_told(item) for item in value) + "]"
    return json.dumps(value)


def _partition(values: list[Any], size: int) -> list[Any]:
    _need(isinstance(values, list) and isinstance(size, int) and size > 0, "needs an array and a size above 0")
    return [values[i : i + size] for i in range(0, len(values), size)]


def _range(first: int, last: int, step: int) -> list[int]:
    _need(step != 0, "the step must not be 0")
    made = list(range(first, last + (1 if step > 0 else -1), step))
    _need(len(made) <= MAXIMUM_RANGE, f"makes {len(made)} numbers; at most {MAXIMUM_RANGE}")
    return made


def _get_item(values: list[Any], index: int) -> Any:
    _need(isinstance(values, list) and 0 <= index < len(values), f"index {index} is outside of the array")
    return values[index]


def _unique(values: list[Any]) -> list[Any]:
    seen: dict[str, Any] = {}
    for value in values:
        seen.setdefault(json.dumps(value, sort_keys=True), value)
    return list(seen.values())


def _encode(text: str) -> str:
    _need(len(text) <= MAXIMUM_BASE64, f"has {len(text)} characters; at most {MAXIMUM_BASE64}")
    return base64.b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    _need(len(text) <= MAXIMUM_BASE64, f"has {len(text)} characters; at most {MAXIMUM_BASE64}")
    return base64.b64decode(text).decode()


def _hash(data: Any, algorithm: str) -> str:
    names = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
    _need(algorithm in names, f"algorithm {algorithm!r} is not one of {', '.join(names)}")
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return hashlib.new(names[algorithm], text.encode(), usedforsecurity=False).hexdigest()


def _merge(first: dict[str, Any], second: dict[str, Any], deep: bool) -> dict[str, Any]:
    _need(isinstance(first, dict) and isinstance(second, dict), "needs two objects")
    _need(deep is False, "only shallow merging (false) is supported, as on AWS")
    return {**first, **second}


def _random(first: int, last: int, seed: int | None = None) -> int:
    first, last = _whole(first), _whole(last)
    _need(first < last, "the first number must be smaller than the second")
    return (random.Random(seed) if seed is not None else random).randrange(first, last)


def _add(first: float, second: float) -> int:
    return _whole(first) + _whole(second)


def _whole(number: float) -> int:
    """AWS rounds to a whole number, halves upwards (recorded)."""
    _need(isinstance(number, int | float) and not isinstance(number, bool), f"needs a number, not {number!r}")
    return math.floor(number + 0.5)


def _split(text: str, delimiters: str) -> list[str]:
    _need(isinstance(text, str) and isinstance(delimiters, str), "needs two strings")
    return [part for part in re.split(f"[{re.escape(delimiters)}]", text) if part] if delimiters else [text]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "States.Array": lambda *values: list(values),
    "States.ArrayPartition": _partition,
    "States.ArrayContains": lambda values, wanted: any(v == wanted and type(v) is type(wanted) for v in values),
    "States.ArrayRange": _range,
    "States.ArrayGetItem": _get_item,
    "States.ArrayLength": lambda values: len(values) if isinstance(values, list) else _need(False, "needs an array"),
    "States.ArrayUnique": _unique,
    "States.Base64Encode": _encode,
    "States.Base64Decode": _decode,
    "States.Hash": _hash,
    "States.JsonMerge": _merge,
    "States.StringToJson": lambda text: json.loads(text) if text.strip() else None,
    "States.JsonToString": lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
    "States.MathRandom": _random,
    "States.MathAdd": _add,
    "States.StringSplit": _split,
    "States.UUID": lambda: str(uuid.uuid4()),
    "States.Format": _format,
}
