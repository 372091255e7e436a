"""Checks a state machine definition before it is accepted: structure, transitions, paths, functions, integrations.

Both query languages, JSONPath and JSONata. Refuses by name what the interpreter cannot do: activities, Lambda.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from local_cloud import json_text
from local_cloud.errors import AwsError
from local_cloud.stepfunctions import intrinsics, jsonata
from local_cloud.stepfunctions.choice import COMPARISONS
from local_cloud.stepfunctions.moments import timestamp
from local_cloud.stepfunctions.paths import check_path

MAXIMUM_DEFINITION_BYTES = 1024 * 1024
ALWAYS = {"Type", "Comment", "QueryLanguage"}
ONWARD = {"Next", "End", "Assign"}
COMMON = ALWAYS | ONWARD | {"InputPath", "OutputPath"}
RESULT = {"Parameters", "ResultSelector", "ResultPath", "Retry", "Catch"}
MAP = {"ItemSelector", "ItemProcessor", "MaxConcurrency", "ItemReader", "ItemBatcher", "ResultWriter", "Label",
       "ToleratedFailureCount", "ToleratedFailurePercentage"}  # fmt: skip
FIELDS = {
    "Pass": COMMON | {"Result", "ResultPath", "Parameters"},
    "Task": COMMON | RESULT
    | {"Resource", "TimeoutSeconds", "TimeoutSecondsPath", "HeartbeatSeconds", "HeartbeatSecondsPath", "Credentials"},
    "Choice": COMMON - {"Next", "End"} | {"Choices", "Default"},
    "Wait": COMMON | {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"},
    "Succeed": COMMON - ONWARD,
    "Fail": ALWAYS | {"Error", "Cause", "ErrorPath", "CausePath"},
    "Parallel": COMMON | RESULT | {"Branches"},
    "Map": COMMON | RESULT | MAP
    | {"ItemsPath", "Iterator", "MaxConcurrencyPath", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath"},
}  # fmt: skip
# The same in JSONata: no paths; expressions `{% … %}` stand in the fields themselves.
JSONATA_FIELDS = {
    "Pass": ALWAYS | ONWARD | {"Output"},
    "Task": ALWAYS | ONWARD
    | {"Output", "Arguments", "Resource", "TimeoutSeconds", "HeartbeatSeconds", "Credentials", "Retry", "Catch"},
    "Choice": ALWAYS | {"Assign", "Output", "Choices", "Default"},
    "Wait": ALWAYS | ONWARD | {"Output", "Seconds", "Timestamp"},
    "Succeed": ALWAYS | {"Output"},
    "Fail": ALWAYS | {"Error", "Cause"},
    "Parallel": ALWAYS | ONWARD | {"Output", "Arguments", "Branches", "Retry", "Catch"},
    "Map": ALWAYS | ONWARD | MAP | {"Output", "Items", "Retry", "Catch"},
}  # fmt: skip
LANGUAGES = ("JSONPath", "JSONata")
REQUIRED = {"Task": ["Resource"], "Choice": ["Choices"], "Parallel": ["Branches"]}
# https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
LABEL = re.compile(r"[^\s?*<>{}\[\]:;,\\|^~$#%&`\"/\x00-\x1f\x7f-\x9f]{1,40}")
MACHINES = ("Branches", "ItemProcessor", "Iterator")
CATCH = {
    "JSONPath": ("ErrorEquals", "Next", "ResultPath", "Assign", "Comment"),
    "JSONata": ("ErrorEquals", "Next", "Output", "Assign", "Comment"),
}
REFERENCE_PATHS = {"ResultPath"}
PATHS = {"InputPath", "OutputPath", "ItemsPath"}


def parse_definition(text: str, integration_fault: Callable[[str, dict], str | None]) -> dict[str, Any]:
    """The definition as an object; raises InvalidDefinition naming every fault and where it lies.

    `integration_fault(resource, parameters)` says what is wrong with a Task's resource, or None.
    """
    if len(text.encode()) > MAXIMUM_DEFINITION_BYTES:
        raise _invalid([f"the definition is larger than {MAXIMUM_DEFINITION_BYTES} bytes"])
    try:
        definition = json_text.parse(text)
    except ValueError as fault:
        raise AwsError(
            "InvalidDefinition", f"Invalid State Machine Definition: 'INVALID_JSON_DESCRIPTION: {fault}'"
        ) from None
    if not isinstance(definition, dict):
        raise _invalid(["the definition is not a JSON object"])
    faults = list(_machine_faults(definition, "/", integration_fault))
    names = list(_state_names(definition))
    faults += [
        f"the state name {name!r} is used more than once" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    if faults:
        raise _invalid(faults)
    return definition


def _invalid(faults: list[str]) -> AwsError:
    return AwsError(
        "InvalidDefinition", f"Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: {', '.join(faults)}'"
    )


def _state_names(machine: dict[str, Any]) -> Iterator[str]:
    for name, state in machine.get("States", {}).items():
        yield name
        for inner in _inner_machines(state):
            yield from _state_names(inner)


def _inner_machines(state: dict[str, Any]) -> list[dict[str, Any]]:
    inner = list(state.get("Branches", []))
    inner += [state[field] for field in ("ItemProcessor", "Iterator") if isinstance(state.get(field), dict)]
    return [machine for machine in inner if isinstance(machine, dict)]


def _machine_faults(
    machine: dict[str, Any], where: str, integration_fault: Callable, language: str = LANGUAGES[0]
) -> Iterator[str]:
    language = machine.get("QueryLanguage", language)
    if language not in LANGUAGES:
        yield f"QueryLanguage {language!r} is not one of {', '.join(LANGUAGES)} at {where}"
        return
    states = machine.get("States")
    if not isinstance(states, dict) or not states:
        yield f"States must be a non-empty object at {where}"
        return
    if machine.get("StartAt") not in states:
        yield f"MISSING_TRANSITION_TARGET: StartAt target {machine.get('StartAt')!r} is not a state at {where}"
    for name, state in states.items():
        place = f"{where.rstrip('/')}/States/{name}"
        if len(name) > 80:
            yield f"a state name has at most 80 characters at {place}"
        if not isinstance(state, dict):
            yield f"a state must be an object at {place}"
            continue
        yield from _state_faults(state, states, place, integration_fault, language)
    reachable = _reachable(machine.get("StartAt"), states)
    yield from (f"State {name!r} is not reachable at {where}" for name in states if name not in reachable)


def _reachable(start: str | None, states: dict[str, Any]) -> set[str]:
    found, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name in found or name not in states:
            continue
        found.add(name)
        state = states[name]
        if isinstance(state, dict):
            waiting += [target for _, target in _targets(state)]
    return found


def _targets(state: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for field in ("Next", "Default"):
        if field in state:
            yield field, state[field]
    for field in ("Choices", "Catch"):
        for index, rule in enumerate(state.get(field) or []):
            if isinstance(rule, dict):
                yield f"{field}[{index}]/Next", rule.get("Next")


def _state_faults(
    state: dict[str, Any], states: dict[str, Any], place: str, integration_fault: Callable, machine_language: str
) -> Iterator[str]:
    kind = state.get("Type")
    if kind not in FIELDS:
        yield f"Type {kind!r} is not one of {', '.join(FIELDS)} at {place}"
        return
    language = state.get("QueryLanguage", machine_language)
    if language not in LANGUAGES:
        yield f"QueryLanguage {language!r} is not one of {', '.join(LANGUAGES)} at {place}"
        return
    if (machine_language, language) == ("JSONata", "JSONPath"):
        yield f"'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine at {place}"
    known = (JSONATA_FIELDS if language == "JSONata" else FIELDS)[kind]
    yield from (
        f"Field '{field}' is not supported in a {kind} state in {language} at {place}"
        for field in state
        if field not in known
    )
    for field in REQUIRED.get(kind, []):
        if not state.get(field):
            yield f"MISSING required field '{field}' at {place}"
    if kind not in ("Choice", "Succeed", "Fail") and ("Next" in state) == (state.get("End") is True):
        yield f"exactly one of 'Next' and 'End: true' is needed at {place}"
    for field, target in _targets(state):
        if target not in states:
            yield f"MISSING_TRANSITION_TARGET: Missing 'Next' target: {target} at {place}/{field}"
    if language == "JSONata":
        yield from (fault for field, value in state.items() if field not in MACHINES
                    for fault in _checked(lambda v=value: jsonata.check(v), f"{place}/{field}"))  # fmt: skip
    else:
        yield from _path_faults(state, place)
    yield from _rule_faults(state, kind, place, language)
    if kind == "Task" and isinstance(state.get("Resource"), str):
        given = state.get("Arguments" if language == "JSONata" else "Parameters") or {}
        fault = integration_fault(state["Resource"], given if isinstance(given, dict) else {})
        if fault:
            yield f"{fault} at {place}/Resource"
    # A state's own language ends with it: what lies inside is in the machine's again.
    yield from _inner_faults(state, kind, place, integration_fault, machine_language)


def _inner_faults(
    state: dict[str, Any], kind: str, place: str, integration_fault: Callable, language: str
) -> Iterator[str]:
    if kind == "Map" and not _inner_machines(state):
        yield f"MISSING required field 'ItemProcessor' at {place}"
    if kind == "Wait" and sum(f in state for f in ("Seconds", "SecondsPath", "Timestamp", "TimestampPath")) != 1:
        yield f"exactly one of Seconds, SecondsPath, Timestamp, TimestampPath is needed at {place}"
    if kind == "Map":
        yield from _map_faults(state, place)
    if (
        kind == "Wait"
        and "Timestamp" in state
        and jsonata.source_of(state["Timestamp"]) is None
        and timestamp(state["Timestamp"]) is None
    ):
        yield f"The Timestamp {state['Timestamp']!r} is not in RFC 3339 form, such as 2026-01-31T08:00:00Z, at {place}/Timestamp"
    for index, inner in enumerate(_inner_machines(state)):
        part = f"Branches[{index}]" if kind == "Parallel" else "ItemProcessor"
        yield from _machine_faults(inner, f"{place}/{part}", integration_fault, language)


def _map_faults(state: dict[str, Any], place: str) -> Iterator[str]:
    label = state.get("Label")
    if label is not None and not (isinstance(label, str) and LABEL.fullmatch(label)):
        yield f"The Label {label!r} must have 1 to 40 characters and no spaces, wildcards, brackets or special ones at {place}/Label"
    for field, unread in (("ItemBatcher", "MaxInputBytesPerBatch"), ("ResultWriter", "WriterConfig")):
        for name in (unread, f"{unread}Path"):
            if name in (state.get(field) or {}):
                yield f"Field '{name}' is not supported by the local cloud at {place}/{field}"


def _path_faults(state: dict[str, Any], place: str) -> Iterator[str]:
    for field, value in state.items():
        if field in REFERENCE_PATHS | PATHS and value is not None:
            yield from _checked(lambda v=value, f=field: check_path(v, f in REFERENCE_PATHS), f"{place}/{field}")
        elif field.endswith("Path") and field not in REFERENCE_PATHS | PATHS:
            yield from _checked(lambda v=value: _check_expression(v), f"{place}/{field}")
        elif field in ("Parameters", "ResultSelector", "ItemSelector", "Assign"):
            yield from _template_faults(value, f"{place}/{field}")


def _template_faults(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _template_faults(item, f"{place}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            if name.endswith(".$"):
                yield from _checked(lambda v=item: _check_expression(v), f"{place}/{name}")
            else:
                yield from _template_faults(item, f"{place}/{name}")


def _check_expression(value: Any) -> None:
    if isinstance(value, str) and value.startswith("States."):
        intrinsics.parse(value)
    else:
        check_path(value)


def _checked(check: Callable[[], None], place: str) -> Iterator[str]:
    try:
        check()
    except ValueError as fault:
        yield f"{fault} at {place}"


def _rule_faults(state: dict[str, Any], kind: str, place: str, language: str) -> Iterator[str]:
    for field in ("Retry", "Catch"):
        for index, rule in enumerate(state.get(field) or []):
            if not isinstance(rule, dict) or not rule.get("ErrorEquals"):
                yield f"ErrorEquals must be a non-empty list at {place}/{field}[{index}]"
                continue
            if field == "Catch":
                allowed = CATCH[language]
                yield from (f"Field '{name}' is not supported in a Catch in {language} at {place}/{field}[{index}]"
                            for name in rule if name not in allowed)  # fmt: skip
                if language != "JSONata":
                    yield from _template_faults(rule.get("Assign"), f"{place}/{field}[{index}]/Assign")
            last = index == len(state[field]) - 1
            if "States.ALL" in rule["ErrorEquals"] and (not last or len(rule["ErrorEquals"]) > 1):
                yield f"States.ALL must stand alone and last at {place}/{field}[{index}]"
            if rule.get("ResultPath") is not None:
                yield from _checked(
                    lambda v=rule["ResultPath"]: check_path(v, True), f"{place}/{field}[{index}]/ResultPath"
                )
    if kind == "Choice":
        for index, rule in enumerate(state.get("Choices") or []):
            if language == "JSONata":
                yield from _condition_faults(rule, f"{place}/Choices[{index}]")
            else:
                yield from _choice_faults(rule, f"{place}/Choices[{index}]")


def _choice_faults(rule: Any, place: str) -> Iterator[str]:
    if not isinstance(rule, dict):
        yield f"a choice rule must be an object at {place}"
        return
    yield from (
        f"Field '{field}' belongs to JSONata, and this state is in JSONPath at {place}"
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
        yield f"exactly one comparison operator is needed, found {operators or 'none'} at {place}"
    yield from _checked(lambda: check_path(rule.get("Variable")), f"{place}/Variable")


def _condition_faults(rule: Any, place: str) -> Iterator[str]:
    if not isinstance(rule, dict) or "Condition" not in rule:
        yield f"MISSING required field 'Condition' at {place}"
        return
    yield from (f"Field '{name}' is not supported in a choice rule in JSONata at {place}" for name in rule
                if name not in ("Condition", "Next", "Output", "Assign", "Comment"))  # fmt: skip
