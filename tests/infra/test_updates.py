"""Updates of a deployed stack: each setting there and back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from local_cloud.testing import RunningCloud
from tests.infra.conftest import resolve
from tests.infra.deployed import Deployment, difference
from tests.infra.setting_walk import OTHER, TOGETHER, left_out, locked
from tests.infra.test_resources import endpoint_names

SHORT = {
    **{
        name: OTHER[name] for name in ("encryption", "clarify", "endpoints.gpu.enabled", "endpoints.cpu.instance_count")
    },
    **TOGETHER,
}


def test_every_setting_is_walked():
    assert left_out() == set()


@pytest.mark.parametrize("change", SHORT)
def test_no_change_of_a_setting_is_locked_by_an_export_in_use(default, synthesize, change):
    changed = synthesize(**SHORT[change]).templates
    assert locked(default.templates, changed) == set()
    assert locked(changed, default.templates) == set()


def test_an_export_that_a_setting_removes_would_be_found():
    using = {"Pipeline": {"Resources": {"Role": {"Key": {"Fn::ImportValue": "Storage:Key"}}}}}
    making = {"Storage": {"Outputs": {"Key": {"Export": {"Name": "Storage:Key"}}}}}
    assert locked(using, {"Storage": {}}) == {"Storage:Key"}
    assert locked(using, making) == set()


def test_the_key_is_kept_whatever_is_removed_because_what_it_encrypted_needs_it(full, synthesize):
    for synthesis in (full, synthesize(encryption="kms", removal="destroy")):
        (key,) = synthesis.resources("Storage", "AWS::KMS::Key").values()
        assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_the_key_says_itself_who_uses_it_so_that_roles_can_read_old_objects_after_a_change(full):
    (key,) = full.resources("Storage", "AWS::KMS::Key").values()
    (statement,) = [s for s in key["Properties"]["KeyPolicy"]["Statement"] if s.get("Sid") == "RolesOfThisDeployment"]
    conditions = resolve(statement["Condition"]["StringEquals"])
    assert conditions.pop("aws:PrincipalAccount") == "000000000000"
    for stack in ("Pipeline", "Comparison"):
        for name, role in full.resources(stack, "AWS::IAM::Role").items():
            tags = {f"aws:PrincipalTag/{tag['Key']}": tag["Value"] for tag in role["Properties"]["Tags"]}
            assert conditions.items() <= tags.items(), name
    assert conditions == {
        "aws:PrincipalTag/darkroom:project": "darkroom",
        "aws:PrincipalTag/darkroom:environment": "full",
    }


@pytest.mark.parametrize("settings", ["default", "full"])
def test_no_log_group_comes_and_goes_with_an_endpoint(request, synthesize, settings):
    """One that was retained would stand in the way when the endpoint is switched on again."""
    synthesis = request.getfixturevalue(settings)
    environment = synthesis.darkroom.settings.environment
    off = synthesize(**{"environment": environment, **TOGETHER["no endpoint"]})
    groups = [
        {g["Properties"]["LogGroupName"] for g in one.resources("Endpoints", "AWS::Logs::LogGroup").values()}
        for one in (synthesis, off)
    ]
    assert groups[0] == groups[1]
    assert len(groups[0]) == 3
    for group in synthesis.resources("Endpoints", "AWS::Logs::LogGroup").values():
        assert "Condition" not in group


def test_what_is_retained_and_has_a_fixed_name_does_not_stand_in_the_way_of_a_new_deployment(full):
    kept = {
        name: resource
        for stack in full.templates
        for name, resource in full.templates[stack]["Resources"].items()
        if resource.get("DeletionPolicy") == "Retain"
    }
    named = {"AWS::Logs::LogGroup": "LogGroupName", "AWS::StepFunctions::StateMachine": "StateMachineName"}
    fixed = {
        json.dumps(one["Properties"][named[one["Type"]]])
        for one in kept.values()
        if one["Type"] in named and "AWS::StackId" not in json.dumps(one["Properties"].get(named[one["Type"]], ""))
    }
    # Names that SageMaker dictates: docs/infrastructure.md says what to do with them.
    assert all("/aws/sagemaker/" in name for name in fixed), fixed


# The same walk over every setting, one by one, takes minutes: make walk-settings.
EACH = SHORT if os.environ.get("DARKROOM_WALK_SETTINGS") is None else OTHER | TOGETHER


@pytest.fixture(scope="module")
def deployment(default, tmp_path_factory):
    cloud = RunningCloud(tmp_path_factory.mktemp("updates"))
    cloud.start()
    deployed = Deployment(cloud, "updates", tmp_path_factory.mktemp("image"))
    deployed.deploy(default)
    deployed.approve_a_model(default)
    yield deployed
    cloud.stop()


@pytest.mark.slow
@pytest.mark.parametrize("change", EACH)
def test_a_deployed_setting_can_be_changed_there_and_back_and_nothing_that_holds_data_is_replaced(
    deployment, default, synthesize, change
):
    before, all_before, serving = deployment.precious(default), deployment.resources(default), deployment.endpoints()
    changed = synthesize(**EACH[change])
    deployment.deploy(changed)
    there, all_there = deployment.precious(changed), deployment.resources(changed)
    wanted = endpoint_names(changed)
    assert deployment.endpoints().keys() == wanted
    assert all(deployment.endpoints()[name] == serving[name] for name in wanted & serving.keys())
    deployment.deploy(default)
    back, all_back = deployment.precious(default), deployment.resources(default)
    ways = difference(all_before, all_there), difference(all_there, all_back)
    _note(change, *ways)
    if change.startswith("endpoints.") and not change.startswith("endpoints.gpu.instance"):
        # Or the walk would not see what it is for.
        assert all(sum(way.values()) for way in ways)
    assert len(before) >= 8
    assert serving.keys() == {"darkroom-dev-cpu", "darkroom-dev-multi-model"}
    assert before == back
    assert before.items() <= there.items()
    # And once more, since what was left behind would be in the way only now.
    deployment.deploy(changed)
    deployment.deploy(default)
    assert deployment.precious(default) == before


def _note(change: str, there: dict[str, int], back: dict[str, int]) -> None:
    """A row of the table that `make walk-settings` shows."""
    if "DARKROOM_WALK_SETTINGS" not in os.environ:
        return
    value = "; ".join(f"{name}={text}" if name != change else text for name, text in EACH[change].items())
    cells = [f"`{change}`" if change in OTHER else change, f"`{value}`"]
    cells += [" / ".join(str(way[what]) for way in (there, back)) for what in there]
    with Path(os.environ["DARKROOM_WALK_SETTINGS"]).open("a") as table:
        table.write("| " + " | ".join(cells) + " |\n")
