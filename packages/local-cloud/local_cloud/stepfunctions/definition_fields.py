"""The fields of each state in both query languages, from the functions that read them, and the JSON type that each has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from local_cloud.stepfunctions.reading import BOTH, Reading, readings_of

LANGUAGES = BOTH
# What nothing acts on, here as on AWS.
FOR_PEOPLE = ("Comment",)
# Objects and lists of objects inside a state.
HOLDERS = ("Retry", "Catch", "ItemReader", "ReaderConfig", "ItemBatcher", "ResultWriter", "WriterConfig",
           "ProcessorConfig")  # fmt: skip
REQUIRED = {"Task": ["Resource"], "Choice": ["Choices"], "Parallel": ["Branches"]}
TEXT = ("Comment", "Type", "Next", "Default", "StartAt", "QueryLanguage", "Resource", "Label", "InputPath", "OutputPath",
        "ResultPath", "ItemsPath", "SecondsPath", "TimestampPath", "TimeoutSecondsPath", "HeartbeatSecondsPath",
        "MaxConcurrencyPath", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath", "ErrorPath", "CausePath",
        "Error", "Cause", "Timestamp", "Variable", "Condition", "Version")  # fmt: skip
ARRAYS = ("Branches", "Retry", "Catch", "Choices", "And", "Or", "ErrorEquals")
OBJECTS = ("States", "ItemProcessor", "Iterator", "ItemReader", "ItemBatcher", "ResultWriter", "ProcessorConfig", "Not",
           "Credentials", "Assign")  # fmt: skip
NUMBERS = ("Seconds", "TimeoutSeconds", "HeartbeatSeconds", "MaxConcurrency", "ToleratedFailureCount",
           "ToleratedFailurePercentage", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds")  # fmt: skip
NULLABLE = ("InputPath", "OutputPath", "ResultPath")


@cache
def readers() -> tuple[tuple[Callable[..., Any], Reading], ...]:
    """Every function that reads fields of a state, with what it reads."""
    # Here and not above: the interpreter needs nothing of this module, and definition.py checks what stands in both.
    from local_cloud.stepfunctions import definition, interpreter, map_items, map_results, map_runs, moments, query

    owners = (
        interpreter.Branch,
        query,
        query.PathQuery,
        query.JsonataQuery,
        moments,
        map_items,
        map_results,
        map_runs,
        definition.Checks,
    )
    return tuple(readings_of(*owners))


@cache
def fields_of(kind: str, language: str) -> frozenset[str]:
    """The fields that a state of this type may have: those that somebody reads."""
    return frozenset(FOR_PEOPLE) | {
        field
        for _, reading in readers()
        if kind in reading.kinds and language in reading.languages
        for field in reading.fields
        if "." not in field
    }


@cache
def fields_in(holder: str, language: str) -> frozenset[str]:
    """The same for an object inside a state."""
    return frozenset(FOR_PEOPLE if holder in ("Retry", "Catch") else ()) | {
        field.partition(".")[2]
        for _, reading in readers()
        if language in reading.languages
        for field in reading.fields
        if field.startswith(f"{holder}.")
    }


def unread(state: dict[str, Any], language: str) -> Iterator[tuple[str, str, str]]:
    """Fields of objects inside a state that nobody reads: the field, its holder, where it lies below the state."""
    machines = [(name, state[name]) for name in ("ItemProcessor", "Iterator") if isinstance(state.get(name), dict)]
    held = [(name, name, state.get(name)) for name in HOLDERS]
    held += [("ReaderConfig", "ItemReader/ReaderConfig", _inside(state.get("ItemReader"), "ReaderConfig"))]
    held += [("WriterConfig", "ResultWriter/WriterConfig", _inside(state.get("ResultWriter"), "WriterConfig"))]
    held += [
        ("ProcessorConfig", f"{name}/ProcessorConfig", _inside(machine, "ProcessorConfig"))
        for name, machine in machines
    ]
    for holder, place, value in held:
        for index, one in enumerate(value if isinstance(value, list) else [value]):
            where = f"{place}[{index}]" if isinstance(value, list) else place
            for field in one if isinstance(one, dict) else ():
                if field not in fields_in(holder, language):
                    yield field, holder, where


def _inside(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, dict) else None


def wrong_types(holder: dict[str, Any]) -> dict[str, str]:
    """The fields of a machine, a state or a rule whose value has not the type it must have, and that type."""
    return {
        field: wanted
        for field, value in holder.items()
        if (wanted := _wanted(field)) and not _is(wanted, value) and not (value is None and field in NULLABLE)
    }


def _wanted(field: str) -> str | None:
    lists = (("String", TEXT), ("Array", ARRAYS), ("Object", OBJECTS), ("Number", NUMBERS), ("Boolean", ("End",)))
    return next((kind for kind, fields in lists if field in fields), None)


def _is(wanted: str, value: Any) -> bool:
    if wanted == "Number":  # or, in JSONata, an expression that gives one
        return isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool))
    return isinstance(value, {"String": str, "Array": list, "Object": dict, "Boolean": bool}[wanted])
