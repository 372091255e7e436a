"""Checks a state machine definition before it is accepted: structure, transitions, paths, functions, integrations.

Both query languages, JSONPath and JSONata. Every fault has AWS's code and location; what the interpreter cannot do is
refused by name. https://docs.aws.amazon.com/step-functions/latest/apireference/API_ValidateStateMachineDefinition.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from local_cloud import json_text
from local_cloud.errors import AwsError
from local_cloud.stepfunctions import jsonata
from local_cloud.stepfunctions.definition_fields import LANGUAGES, REQUIRED, fields_of, unread, wrong_types
from local_cloud.stepfunctions.definition_rules import checked, path_faults, rule_faults, targets
from local_cloud.stepfunctions.faults import TRANSITION, Fault
from local_cloud.stepfunctions.map_results import TRANSFORMATIONS, TYPES
from local_cloud.stepfunctions.moments import timestamp
from local_cloud.stepfunctions.reading import KINDS, reads

MAXIMUM_DEFINITION_BYTES = 1024 * 1024
# https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
LABEL = re.compile(r"[^\s?*<>{}\[\]:;,\\|^~$#%&`\"/\x00-\x1f\x7f-\x9f]{1,40}")
# What a distributed map reads and writes.
READERS, WRITERS = (":s3:getObject", ":s3:listObjectsV2"), (":s3:putObject",)
MACHINES = ("Branches", "ItemProcessor", "Iterator")
EXPRESS_PATTERNS = {
    "waitForTaskToken": "Express state machine does not support '.waitForTaskToken' service integration ",
    "sync": "Express state machine does not support '.sync' service integration",
    "sync:2": "Express state machine does not support '.sync' service integration",
}
IntegrationFault = Callable[[str, dict[str, Any]], str | None]


def parse_definition(text: str, integration_fault: IntegrationFault, kind: str = "STANDARD") -> dict[str, Any]:
    """The definition as an object; raises InvalidDefinition naming every fault and where it lies.

    `integration_fault(resource, parameters)` says what is wrong with a Task's resource, or None.
    """
    definition, faults = _checked(text, integration_fault, kind)
    if faults:
        told = ", ".join(fault.text() for fault in faults)
        raise AwsError("InvalidDefinition", f"Invalid State Machine Definition: '{told}'")
    return definition


def diagnostics(text: str, integration_fault: IntegrationFault, kind: str) -> list[dict[str, str]]:
    """What ValidateStateMachineDefinition says of a definition."""
    return [
        {"severity": "ERROR", "code": fault.code, "message": fault.message,
         **({"location": fault.location} if fault.location else {})}
        for fault in _checked(text, integration_fault, kind)[1]
    ]  # fmt: skip


class _Anything(dict[str, Any]):
    """States of a machine that is not there: every target exists."""

    def __contains__(self, name: object) -> bool:
        return True


def state_faults(state: dict[str, Any], place: str, integration_fault: IntegrationFault, language: str) -> list[Fault]:
    """The faults of a state alone, which may lead anywhere."""
    return list(Checks(integration_fault, express=False).state(state, _Anything(), place, language))


def _checked(text: str, integration_fault: IntegrationFault, kind: str) -> tuple[Any, list[Fault]]:
    if len(text.encode()) > MAXIMUM_DEFINITION_BYTES:
        return None, [Fault(f"the definition is larger than {MAXIMUM_DEFINITION_BYTES} bytes")]
    if not text.strip():
        return None, [Fault("Definition must be a valid JSON object")]
    try:
        definition = json_text.parse(text)
    except json.JSONDecodeError as fault:
        where = f'[Source: (String)"{text[:500]}"; line: {fault.lineno}, column: {_column(text, fault)}]'
        return None, [Fault(f"{_unreadable(text, fault)}\n at {where}", where, "INVALID_JSON_DESCRIPTION")]
    except ValueError as fault:
        return None, [Fault(str(fault), "", "INVALID_JSON_DESCRIPTION")]
    if not isinstance(definition, dict):
        return None, [Fault("Definition must be a valid JSON object")]
    checker = Checks(integration_fault, kind == "EXPRESS")
    faults = list(checker.machine(definition, "/"))
    names = list(_state_names(definition))
    twice = sorted({name for name in names if names.count(name) > 1})
    faults += [Fault(f"the state name {name!r} is used more than once", "/") for name in twice]
    return definition, faults


def _token(text: str, fault: json.JSONDecodeError) -> str:
    found = re.match(r"\w+", text[fault.pos :])
    return found[0] if found else ""


def _column(text: str, fault: json.JSONDecodeError) -> int:
    return fault.colno + len(_token(text, fault))


def _unreadable(text: str, fault: json.JSONDecodeError) -> str:
    if fault.msg == "Expecting value" and (token := _token(text, fault)):
        return (
            f"Unrecognized token '{token}': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or "
            "'false')"
        )
    return fault.msg


def _state_names(machine: dict[str, Any]) -> Iterator[str]:
    states = machine.get("States")
    for name, state in states.items() if isinstance(states, dict) else ():
        yield name
        for _, inner in inner_machines(state):
            yield from _state_names(inner)


def inner_machines(state: Any) -> list[tuple[str, dict[str, Any]]]:
    """The machines inside a state, each with its place."""
    if not isinstance(state, dict):
        return []
    branches = state.get("Branches")
    found = [(f"Branches[{n}]", b) for n, b in enumerate(branches if isinstance(branches, list) else [])]
    found += [(field, state[field]) for field in ("ItemProcessor", "Iterator") if field in state]
    return [(place, machine) for place, machine in found if isinstance(machine, dict)]


def _reachable(start: Any, states: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if not isinstance(name, str) or name in found or name not in states:
            continue
        found.add(name)
        if isinstance(states[name], dict):
            waiting += [target for _, target in targets(states[name])]
    return found


@dataclass
class Checks:
    """One check of a definition."""

    integration_fault: IntegrationFault
    express: bool

    def machine(self, machine: dict[str, Any], where: str, language: Any = LANGUAGES[0]) -> Iterator[Fault]:
        """Faults of a state machine, a branch or an item processor."""
        missing = [field for field in ("States", "StartAt") if field not in machine]
        if missing:
            yield Fault(f"These fields are required: [{', '.join(missing)}]", where)
        wrong = wrong_types(machine)
        yield from _type_faults(wrong, where)
        language = machine.get("QueryLanguage", language)
        if language not in LANGUAGES:
            yield Fault(f"QueryLanguage {language!r} is not one of {', '.join(LANGUAGES)}", where)
            return
        states = machine.get("States")
        if not isinstance(states, dict):
            return
        inside = where.rstrip("/")
        if not states:
            yield Fault("Value cannot be empty", f"{inside}/States")
            return
        start = machine.get("StartAt")
        if isinstance(start, str) and start not in states:
            yield Fault(f"Missing 'StartAt' target: {start}", f"{inside}/StartAt", TRANSITION)
        for name, state in states.items():
            place = f"{inside}/States/{name}"
            if not 1 <= len(name) <= 80:
                yield Fault("a state name has 1 to 80 characters", place)
            if not isinstance(state, dict):
                yield Fault("Expected value of type Object", place)
                continue
            yield from self.state(state, states, place, language)
        reachable = _reachable(start, states) if isinstance(start, str) and start in states else set(states)
        yield from (
            Fault(f'State "{name}" is not reachable.', f"{inside}/States/{name}", TRANSITION)
            for name in states
            if name not in reachable
        )

    @reads("End", of=("Task", "Wait", "Pass", "Parallel", "Map"))
    def state(
        self, state: dict[str, Any], states: dict[str, Any], place: str, machine_language: str
    ) -> Iterator[Fault]:
        """Faults of one state."""
        kind = state.get("Type")
        if "Type" not in state:
            yield Fault("These fields are required: [Type]", place)
            return
        if not isinstance(kind, str) or kind not in KINDS:
            yield Fault(f"The field 'Type' should have one of these values: [{', '.join(KINDS)}]", f"{place}/Type")
            return
        wrong = wrong_types(state)
        if wrong:
            yield from _type_faults(wrong, place)
            return
        language = state.get("QueryLanguage", machine_language)
        if language not in LANGUAGES:
            yield Fault(f"QueryLanguage {language!r} is not one of {', '.join(LANGUAGES)}", place)
            return
        if (machine_language, language) == ("JSONata", "JSONPath"):
            yield Fault("'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine", place)
        known = fields_of(kind, language)
        yield from (
            Fault(f"Field '{field}' is not supported in a {kind} state in {language}", f"{place}/{field}")
            for field in state
            if field not in known
        )
        yield from (
            Fault(
                f"Field '{field}' is not supported in {holder} in {language} by the local cloud",
                f"{place}/{where}/{field}",
            )
            for field, holder, where in unread(state, language)
        )
        for field in REQUIRED.get(kind, []):
            if field not in state:
                yield Fault(f"These fields are required: [{field}]", place)
            elif not state[field]:
                yield Fault("Value cannot be empty", f"{place}/{field}")
        if kind not in ("Choice", "Succeed", "Fail") and ("Next" in state) == (state.get("End") is True):
            yield Fault("exactly one of 'Next' and 'End: true' is needed", place)
        for field, target in targets(state):
            if not isinstance(target, str) or target not in states:
                yield Fault(f"Missing 'Next' target: {target}", f"{place}/{field}", TRANSITION)
        if language == "JSONata":
            yield from (fault for field, value in state.items() if field not in MACHINES
                        for fault in checked(partial(jsonata.check, value), f"{place}/{field}"))  # fmt: skip
        else:
            yield from path_faults(state, place)
        yield from rule_faults(state, kind, place, language)
        if kind == "Task":
            yield from self.resource(state, place, language)
        yield from self.inside(state, kind, place, machine_language)

    def resource(self, state: dict[str, Any], place: str, language: str) -> Iterator[Fault]:
        """Faults of what a Task calls."""
        resource = state.get("Resource")
        if not isinstance(resource, str):
            return
        if self.express:
            if ":activity:" in resource:
                yield Fault("Express state machine does not support Activity ARN", f"{place}/Resource")
            pattern = re.search(r"\.(waitForTaskToken|sync:2|sync)$", resource)
            if pattern:
                yield Fault(EXPRESS_PATTERNS[pattern[1]], f"{place}/Resource")
        given = state.get("Arguments" if language == "JSONata" else "Parameters") or {}
        fault = self.integration_fault(resource, given if isinstance(given, dict) else {})
        if fault:
            yield Fault(fault, f"{place}/Resource")

    def inside(self, state: dict[str, Any], kind: str, place: str, language: str) -> Iterator[Fault]:
        """Faults of what belongs to one type only, and of the machines inside a state.

        A state's own language ends with it: what lies inside is in the machine's again.
        """
        if kind == "Map" and not inner_machines(state):
            yield Fault("These fields are required: [ItemProcessor]", place)
        if kind == "Map":
            yield from self.map(state, place)
        if kind == "Wait":
            yield from _wait_faults(state, place, state.get("QueryLanguage", language))
        for n, branch in enumerate(state.get("Branches", [])):
            if not isinstance(branch, dict):
                yield Fault("Expected value of type Object", f"{place}/Branches[{n}]")
        for part, inner in inner_machines(state):
            yield from self.machine(inner, f"{place}/{part}", language)

    @reads("ItemReader.Resource", "ResultWriter.Resource", "ProcessorConfig.ExecutionType", of="Map")
    def map(self, state: dict[str, Any], place: str) -> Iterator[Fault]:
        """Faults of a Map state's own fields."""
        label = state.get("Label")
        if label is not None and not LABEL.fullmatch(label):
            yield Fault(
                f"The Label {label!r} must have 1 to 40 characters and no spaces, wildcards, brackets or special ones",
                f"{place}/Label",
            )
        for field, ending in (("ItemReader", READERS), ("ResultWriter", WRITERS)):
            resource = (state.get(field) or {}).get("Resource")
            if field == "ResultWriter":
                yield from _writer_faults(state, f"{place}/ResultWriter")
                if resource is None and "WriterConfig" in (state.get(field) or {}):
                    continue
            if field in state and not (isinstance(resource, str) and resource.endswith(ending)):
                yield Fault(f"The Resource {resource!r} must end in {' or '.join(ending)}", f"{place}/{field}/Resource")
        for part, inner in inner_machines(state):
            config = inner.get("ProcessorConfig")
            execution = config.get("ExecutionType", "STANDARD") if isinstance(config, dict) else "STANDARD"
            if execution not in ("STANDARD", "EXPRESS"):
                yield Fault(
                    f"ExecutionType {execution!r} is not STANDARD or EXPRESS", f"{place}/{part}/ProcessorConfig"
                )
            if self.express and isinstance(config, dict) and config.get("Mode") == "DISTRIBUTED":
                yield Fault("Express state machine does not support a distributed Map state", f"{place}/{part}")


def _writer_faults(state: dict[str, Any], place: str) -> Iterator[Fault]:
    writer = state.get("ResultWriter")
    config = writer.get("WriterConfig", {}) if isinstance(writer, dict) else {}
    for name, allowed in (("Transformation", TRANSFORMATIONS), ("OutputType", TYPES)):
        if isinstance(config, dict) and config.get(name, next(iter(allowed))) not in allowed:
            yield Fault(f"{name} {config[name]!r} is none of {', '.join(allowed)}", f"{place}/WriterConfig/{name}")


def _wait_faults(state: dict[str, Any], place: str, language: str) -> Iterator[Fault]:
    if sum(field in state for field in ("Seconds", "SecondsPath", "Timestamp", "TimestampPath")) != 1:
        yield Fault("exactly one of Seconds, SecondsPath, Timestamp, TimestampPath is needed", place)
    given = state.get("Timestamp")
    expression = language == "JSONata" and jsonata.source_of(given) is not None
    if given is not None and not expression and timestamp(given) is None:
        yield Fault("String does not match RFC3339 timestamp", f"{place}/Timestamp")


def _type_faults(wrong: dict[str, str], place: str) -> Iterator[Fault]:
    inside = place.rstrip("/")
    yield from (Fault(f"Expected value of type {wanted}", f"{inside}/{field}") for field, wanted in wrong.items())
