"""Settings: typed, refused by name, and all documented."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from aws_cdk import App, Stack
from hypothesis import given
from hypothesis import strategies as st

from infra.managed import image_uri
from infra.settings import SettingError, Settings, paths, read
from tests.infra.conftest import ROOT


def test_without_any_context_the_defaults_stand():
    assert read({}) == Settings()
    assert read({}).prefix == "darkroom-dev"


def test_cdk_json_and_the_command_line_say_the_same_thing():
    in_file = read({"darkroom": {"endpoints": {"gpu": {"enabled": True, "instance_count": 2}}, "tags": {"team": "a"}}})
    on_command_line = read({"endpoints.gpu.enabled": "true", "endpoints.gpu.instance_count": "2", "tags": "team=a"})
    assert in_file == on_command_line
    assert in_file.endpoints.gpu.instance_type == "ml.g4dn.xlarge"


def test_the_command_line_wins():
    assert read({"darkroom": {"environment": "test"}, "environment": "prod"}).environment == "prod"


def test_context_of_the_cdk_itself_is_left_alone():
    assert read({"@aws-cdk/core:x": True, "aws:cdk:y": 1, "cli-telemetry": False}) == Settings()


@pytest.mark.parametrize(
    ("context", "named"),
    [
        ({"enviroment": "prod"}, "'enviroment' is not a setting"),
        ({"darkroom": {"endpoints": {"gpus": {}}}}, "'endpoints.gpus' is not a setting"),
        ({"darkroom": {"endpoints": {"gpu": {"size": 1}}}}, "'endpoints.gpu.size' is not a setting"),
        ({"darkroom": {"endpoints": True}}, "endpoints: received True"),
        ({"darkroom": "prod"}, "context 'darkroom': received 'prod'"),
        ({"debugger": "closed"}, "debugger: received 'closed'; allowed: open, managed"),
        ({"spot_training": "yes"}, "spot_training: received 'yes'; allowed: true or false"),
        ({"volume_gb": "large"}, "volume_gb: received 'large'; allowed: a whole number"),
        ({"volume_gb": "0"}, "volume_gb: received 0; allowed: a whole number from 1 to"),
        ({"instances.training": "m5.large"}, "instances.training: received 'm5.large'; allowed: an instance type"),
        ({"environment": "Prod"}, "environment is 'Prod'"),
        ({"environment": "production"}, "at most 14"),
        ({"logs.retention_days": "31"}, "logs.retention_days: received 31"),
        ({"network.subnets": "subnet-0a1b2c3d"}, "subnets and security_groups together"),
        ({"network.subnets": "vpc-1", "network.security_groups": "sg-0a1b2c3d"}, "network.subnets: received 'vpc-1'"),
        (
            {"network.subnets": "subnet-0a1b2c3d", "network.security_groups": "sg-1a"},
            "security_groups: received 'sg-1a'",
        ),
        ({"readable_prefixes": "bucket/photos"}, "readable_prefixes: received 'bucket/photos'"),
        ({"readable_prefixes": "s3://../photos/"}, "readable_prefixes: received 's3://../photos/'"),
        ({"readable_prefixes": "s3://bucket/*"}, "without wildcards"),
        ({"tags": "aws:owner=me"}, "names that do not begin with aws:"),
        ({"tags": "AWS:owner=me"}, "names that do not begin with aws:"),
        ({"tags": "cost=c$1"}, "tags.cost: received 'c$1'"),
        ({"tags": {"": "x"}}, "a name in tags: received ''"),
        ({"tags": {f"t{n}": "x" for n in range(41)}}, "tags: received '41 names'"),
        ({"tags": "owner"}, "tags: received"),
        ({"lifecycle.executions_days": "0"}, "lifecycle.executions_days: received 0"),
        ({"max_runtime_minutes.training": "-5"}, "max_runtime_minutes.training: received -5"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_is_allowed(context, named):
    with pytest.raises(SettingError) as refused:
        read(context)
    assert named in str(refused.value)


@given(st.text(min_size=1).filter(lambda key: key not in paths() and not set(key) & set(":/@") and key != "darkroom"))
def test_no_unknown_key_is_passed_over(key):
    if key in ("cli-telemetry", "acknowledged-issue-numbers"):
        return
    with pytest.raises(SettingError, match="is not a setting"):
        read({key: "x"})


def test_names_of_two_environments_differ():
    assert read({"environment": "prod"}).names.stack_prefix == "Darkroom-Prod"
    assert read({}).names.stack_prefix == "Darkroom"
    assert read({"environment": "prod"}).parameter("data-bucket") == "/darkroom/prod/data-bucket"


def test_every_setting_is_documented_and_nothing_else_is():
    table = (ROOT / "docs" / "reference" / "settings.md").read_text()
    documented = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    assert documented == set(paths())


def test_a_refused_setting_ends_the_app_with_one_sentence():
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env={"PATH": f"{ROOT / '.venv/bin'}:/usr/bin:/bin", "HOME": os.environ["HOME"],
             "CDK_CONTEXT_JSON": '{"enviroment": "prod"}',
             "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Setting refused: 'enviroment' is not a setting")
    assert "Traceback" not in done.stderr


def test_managed_mode_without_the_sdk_that_knows_its_images_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sagemaker.core", None)
    with pytest.raises(SettingError, match=r"^debugger: received 'managed'.*pip install sagemaker-core"):
        image_uri(Stack(App(), "S"), "debugger")
