"""One snapshot per stack and one per step of the pipeline: every change of what is deployed shows up in review.

Asset hashes are left out, since they change with every line of the images' code. Update with `pytest --snapshot-update`.
"""

from __future__ import annotations

import json
import re

import pytest

from tests.infra.conftest import Synthesis, resolve
from tests.infra.snapshots import stale

TASKS = [
    "Save input", "Prepare dataset", "Prepare with PyTorch", "Read plan", "Tune hyperparameters", "Tune in one job", "Read best trial",
    "Train best model", "Check training health", "Read health", "Create model", "Explain with Clarify", "Skip explanations",
    "Batch transform", "Evaluate predictions", "Read evaluation", "Measure bias", "Skip bias", "Quality gate",
    "Keep model", "Register model", "Publish", "Use target model", "Note target model", "Look for fixed name",
    "Keep evaluation", "Claim fixed name", "Read owner of fixed name", "Publish fixed name", "Note model data",
    "Note approved model", "Save outcome", "Write report",
    "Zip or folder", "Name folder", "Use folder",
    "Set defaults", "Merge input", "Name jobs", "Use instances", "Check input",
]  # fmt: skip


STACKS = ["Storage", "Images", "Pipeline", "Endpoints"]
MANAGED = ["Train best model", "Ask for rule outcomes", "Save rule outcomes", "Check training health"]


def without_hashes(value):
    return json.loads(re.sub(r"[0-9a-f]{64}", "<asset>", json.dumps(value)))


@pytest.mark.parametrize("stack", STACKS)
def test_stack(default: Synthesis, stack, snapshot_json):
    template = without_hashes(default.templates[stack])
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            # The states have snapshots of their own, below; here it is their order and connection.
            definition = json.loads(resolve(resource["Properties"]["DefinitionString"]))
            resource["Properties"]["DefinitionString"] = {
                name: sorted({state.get("Next"), state.get("Default")} - {None})
                for name, state in definition["States"].items()
            }
    assert template == snapshot_json


@pytest.mark.parametrize("state", TASKS)
def test_state(default: Synthesis, state, snapshot_json):
    assert without_hashes(default.definition["States"][state]) == snapshot_json


@pytest.mark.parametrize("state", MANAGED)
def test_state_in_managed_mode(full: Synthesis, state, snapshot_json):
    assert without_hashes(full.definition["States"][state]) == snapshot_json


def test_every_task_has_a_snapshot(default: Synthesis):
    tasks = {name for name, state in default.definition["States"].items() if state["Type"] == "Task"}
    assert tasks <= set(TASKS)


def test_no_snapshot_is_kept_of_what_is_not_there_any_more():
    of_managed = {f"test_state_in_managed_mode[{name}]" for name in MANAGED}
    tests = {f"test_stack[{name}]" for name in STACKS} | {f"test_state[{name}]" for name in TASKS} | of_managed
    assert not stale("test_snapshots", tests)
