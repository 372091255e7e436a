"""An update from the last release keeps what holds data; what would replace it is found before anybody deploys it."""

from __future__ import annotations

import copy
import json
import os

import pytest

from tests.infra.released import FILE, held, lost


@pytest.fixture(scope="module")
def released(default, full) -> dict:
    if os.environ.get("DARKROOM_RELEASE"):
        said = {
            name: {stack: held(one) for stack, one in made.templates.items()}
            for name, made in (("default", default), ("full", full))
        }
        FILE.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")
    return json.loads(FILE.read_text())


@pytest.mark.parametrize("settings", ["default", "full"])
def test_an_update_from_the_last_release_deletes_and_replaces_nothing_that_holds_data(request, released, settings):
    now = request.getfixturevalue(settings).templates
    assert sum(len(stack["Resources"]) for stack in released[settings].values()) >= 8
    assert lost(released[settings], {name: held(template) for name, template in now.items()}) == []


def test_what_would_be_lost_is_found(released):
    before = released["full"]
    after = copy.deepcopy(before)
    buckets = [name for name, one in before["Storage"]["Resources"].items() if one["Type"] == "AWS::S3::Bucket"]
    del after["Storage"]["Resources"][buckets[0]]
    after["Storage"]["Resources"][buckets[1]]["Fixed"]["BucketName"] = "another"
    after["Storage"]["Resources"][buckets[2]]["DeletionPolicy"] = "Delete"
    (group,) = [
        name for name, one in before["Pipeline"]["Resources"].items() if one["Type"].endswith("ModelPackageGroup")
    ]
    after["Pipeline"]["Resources"][group]["Fixed"]["ModelPackageGroupName"] = "models"
    used = next(name for name in before["Storage"]["Exports"] if name in before["Pipeline"]["Imports"])
    after["Storage"]["Exports"][used] = "another"
    del after["Comparison"]
    said = "\n".join(lost(before, after))
    for words in (f"{buckets[0]}: AWS::S3::Bucket would be deleted", "a change of BucketName replaces it",
                  f"{buckets[2]}: it was kept", "ModelPackageGroupName replaces it", f"export {used} is in use",
                  "Comparison: the stack is gone"):  # fmt: skip
        assert words in said


def test_what_may_change_is_not_called_a_loss(released):
    before = released["default"]
    after = copy.deepcopy(before)
    after["Storage"]["Resources"]["New"] = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Delete", "Fixed": {}}
    after["Storage"]["Exports"]["new"] = "value"
    assert lost(before, after) == []
