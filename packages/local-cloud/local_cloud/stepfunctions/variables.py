"""Which variables each state refers to, as DescribeStateMachine tells it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from local_cloud.stepfunctions.definition import MACHINES, inner_machines
from local_cloud.stepfunctions.jsonata import source_of

IN_PATH = re.compile(r"(?<![\w$])\$([^\W\d]\w*)")
IN_EXPRESSION = re.compile(r"(?<![\w$])\$([^\W\d]\w*)\b(?!\s*\()")
TEXT = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|/\*.*?\*/", re.DOTALL)
BOUND = re.compile(r"\$([^\W\d]\w*)\s*:=|function\s*\(([^)]*)\)")


def variable_references(machine: dict[str, Any], language: str = "JSONPath") -> dict[str, list[str]]:
    """The variables that each state of a valid definition reads; states that read none are left out."""
    language = machine.get("QueryLanguage", language)
    found: dict[str, list[str]] = {}
    for name, state in machine["States"].items():
        read = _in_expressions if state.get("QueryLanguage", language) == "JSONata" else _in_paths
        names = set(read({field: value for field, value in state.items() if field not in MACHINES}))
        if names:
            found[name] = sorted(names)
        for _, inner in inner_machines(state):
            found |= variable_references(inner, language)
    return found


def _in_paths(value: Any, field: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _in_paths(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _in_paths(item, field)
    elif isinstance(value, str) and (field.endswith((".$", "Path")) or field == "Variable"):
        yield from IN_PATH.findall(value)


def _in_expressions(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _in_expressions(item)
    elif (source := source_of(value)) is not None:
        source = TEXT.sub("", source)
        bound = {"states"}
        for assigned, parameters in BOUND.findall(source):
            bound |= {assigned, *re.findall(r"\$(\w+)", parameters)}
        yield from (name for name in IN_EXPRESSION.findall(source) if name not in bound)
