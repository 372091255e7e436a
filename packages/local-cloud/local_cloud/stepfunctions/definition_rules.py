"""Checks of paths, payload templates, Retry, Catch and Choice rules inside a state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from local_cloud.stepfunctions import intrinsics
from local_cloud.stepfunctions.choice import COMPARISONS
from local_cloud.stepfunctions.definition_fields import wrong_types
from local_cloud.stepfunctions.faults import Fault
from local_cloud.stepfunctions.paths import check_path

REFERENCE_PATHS = {"ResultPath"}
PATHS = {"InputPath", "OutputPath", "ItemsPath"}


def targets(state: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The states that may follow, each with the field that names it."""
    for field in ("Next", "Default"):
        if field in state:
            yield field, state[field]
    for field in ("Choices", "Catch"):
        rules = state.get(field)
        for index, rule in enumerate(rules if isinstance(rules, list) else []):
            if isinstance(rule, dict):
                yield f"{field}[{index}]/Next", rule.get("Next")


def checked(check: Callable[[], None], place: str) -> Iterator[Fault]:
    """The ValueError of a check as a fault."""
    try:
        check()
    except ValueError as fault:
        yield Fault(str(fault), place)


def path_faults(state: dict[str, Any], place: str) -> Iterator[Fault]:
    """Faults of the paths and templates of a state in JSONPath."""
    for field, value in state.items():
        if field in REFERENCE_PATHS | PATHS and value is not None:
            yield from checked(partial(check_path, value, field in REFERENCE_PATHS), f"{place}/{field}")
        elif field.endswith("Path") and field not in REFERENCE_PATHS | PATHS:
            yield from checked(partial(_check_expression, value), f"{place}/{field}")
        elif field in ("Parameters", "ResultSelector", "ItemSelector", "Assign"):
            yield from _template_faults(value, f"{place}/{field}")


def _template_faults(value: Any, place: str) -> Iterator[Fault]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _template_faults(item, f"{place}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            if name.endswith(".$"):
                yield from checked(partial(_check_expression, item), f"{place}/{name}")
            else:
                yield from _template_faults(item, f"{place}/{name}")


def _check_expression(value: Any) -> None:
    if isinstance(value, str) and value.startswith("States."):
        intrinsics.parse(value)
    else:
        check_path(value)


def rule_faults(state: dict[str, Any], kind: str, place: str, language: str) -> Iterator[Fault]:
    """Faults of Retry, Catch and Choices."""
    for field in ("Retry", "Catch"):
        rules = state.get(field) or []
        for index, rule in enumerate(rules):
            where = f"{place}/{field}[{index}]"
            if isinstance(rule, dict) and (wrong := wrong_types(rule)):
                yield from (Fault(f"Expected value of type {t}", f"{where}/{name}") for name, t in wrong.items())
            elif not isinstance(rule, dict) or not rule.get("ErrorEquals"):
                yield Fault("ErrorEquals must be a non-empty list", where)
            else:
                yield from _handler_faults(rule, field, where, language, last=index == len(rules) - 1)
    for index, rule in enumerate(state.get("Choices") or [] if kind == "Choice" else []):
        check = _condition_faults if language == "JSONata" else _choice_faults
        yield from check(rule, f"{place}/Choices[{index}]")


def _handler_faults(rule: dict[str, Any], field: str, where: str, language: str, last: bool) -> Iterator[Fault]:
    if field == "Catch" and language != "JSONata":
        yield from _template_faults(rule.get("Assign"), f"{where}/Assign")
    if not all(isinstance(name, str) for name in rule["ErrorEquals"]):
        yield Fault("Expected value of type String", f"{where}/ErrorEquals")
    elif "States.ALL" in rule["ErrorEquals"] and (not last or len(rule["ErrorEquals"]) > 1):
        yield Fault("States.ALL must stand alone and last", where)
    if rule.get("ResultPath") is not None:
        yield from checked(lambda: check_path(rule["ResultPath"], True), f"{where}/ResultPath")


def _choice_faults(rule: Any, place: str) -> Iterator[Fault]:
    if not isinstance(rule, dict):
        yield Fault("Expected value of type Object", place)
        return
    if wrong := wrong_types(rule):
        yield from (Fault(f"Expected value of type {kind}", f"{place}/{name}") for name, kind in wrong.items())
        return
    yield from (
        Fault(f"Field '{field}' belongs to JSONata, and this state is in JSONPath", f"{place}/{field}")
        for field in ("Condition", "Output")
        if field in rule
    )
    yield from _template_faults(rule.get("Assign"), f"{place}/Assign")
    inner = [*rule.get("And", []), *rule.get("Or", []), *([rule["Not"]] if "Not" in rule else [])]
    for item in inner:
        yield from _choice_faults(item, place)
    if inner:
        return
    operators = [name for name in rule if name in COMPARISONS]
    if len(operators) != 1:
        yield Fault(f"exactly one comparison operator is needed, found {operators or 'none'}", place)
    yield from checked(lambda: check_path(rule.get("Variable")), f"{place}/Variable")


def _condition_faults(rule: Any, place: str) -> Iterator[Fault]:
    if not isinstance(rule, dict) or "Condition" not in rule:
        yield Fault("These fields are required: [Condition]", place)
        return
    yield from (
        Fault(f"Field '{name}' is not supported in a choice rule in JSONata", f"{place}/{name}")
        for name in rule
        if name not in ("Condition", "Next", "Output", "Assign", "Comment")
    )
