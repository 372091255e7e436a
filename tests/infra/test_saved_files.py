"""What the states of all state machines hand to S3, found by walking the definitions: never text that was JSON already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.infra.conftest import Synthesis, resolve


def states_of(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those inside a Map or Parallel, too."""
    for name, state in machine["States"].items():
        yield name, state
        inner = [state[key] for key in ("ItemProcessor", "Iterator") if key in state] + state.get("Branches", [])
        for one in inner:
            yield from states_of(one)


def saving(synthesis: Synthesis) -> dict[str, dict[str, Any]]:
    """Every state that calls putObject, by stack and name."""
    found = {}
    for stack in synthesis.templates:
        for machine in synthesis.resources(stack, "AWS::StepFunctions::StateMachine").values():
            definition = json.loads(resolve(machine["Properties"]["DefinitionString"]))
            for name, state in states_of(definition):
                if state.get("Resource", "").endswith(":s3:putObject"):
                    found[f"{stack}: {name}"] = state["Parameters"]
    return found


def texts(parameters: dict[str, Any]) -> bool:
    """Whether the body is text, or is made of it."""
    body = parameters.get("Body", parameters.get("Body.$"))
    return "States." in body or not body.startswith("$") if isinstance(body, str) else not isinstance(body, dict | list)


@pytest.mark.parametrize("settings", ["default", "full"])
def test_no_state_makes_json_of_what_step_functions_makes_json_of(request, settings):
    found = saving(request.getfixturevalue(settings))
    assert {"Pipeline: Save input", "Pipeline: Skip bias", "Comparison: Save training"} <= set(found)
    assert [name for name, parameters in found.items() if texts(parameters)] == []


@pytest.mark.parametrize(
    "body", [{"Body.$": "States.JsonToString($.input)"}, {"Body": '{"skipped": true}'}, {"Body.$": "States.Format('{}', $.a)"}]
)  # fmt: skip
def test_a_state_that_does_would_be_found(body):
    assert texts(body)
