"""The command `local-cloud`, as a person types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("local-cloud")


@pytest.fixture
def type_(tmp_path):
    def type_(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LOCAL_CLOUD_"))}
        return subprocess.run(
            [PROGRAM, *words], cwd=tmp_path, env=clean | environment, capture_output=True, text=True, timeout=120
        )

    yield type_
    type_("down")


def test_one_command_starts_it_and_what_env_prints_leads_the_aws_cli_to_it(type_, tmp_path):
    said = type_("up")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("The local cloud is up at http://127.0.0.1:")
    assert type_("up").stdout.startswith("The local cloud already runs at")
    assert type_("status").stdout.startswith("The local cloud runs at http://127.0.0.1:")
    script = f'eval "$({PROGRAM} env)" && aws s3 mb s3://typed && aws s3 ls && aws sts get-caller-identity && local-cloud status'
    ours = {**os.environ, "AWS_PROFILE": "a-real-account", "AWS_SESSION_TOKEN": "of another account"}
    shell = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, env=ours, capture_output=True, text=True, timeout=120
    )
    assert shell.returncode == 0, shell.stderr
    assert "typed" in shell.stdout and "000000000000" in shell.stdout
    stopped = type_("down")
    assert stopped.stdout == "The local cloud has stopped; its state stays.\n"
    assert type_("down").stdout == "No local cloud ran.\n"
    assert (tmp_path / ".local-cloud").is_dir()


def test_without_a_cloud_env_fails_and_prints_nothing_that_a_shell_would_run(type_):
    said = type_("env")
    assert said.returncode == 1 and said.stdout == ""
    assert "No local cloud runs in" in said.stderr and "Start it: local-cloud up" in said.stderr


def test_a_setting_that_cannot_be_read_ends_the_start_with_its_sentence(type_):
    said = type_("up", LOCAL_CLOUD_SYNC_SECONDS="soon")
    assert said.returncode == 1
    assert "LOCAL_CLOUD_SYNC_SECONDS is 'soon'; it must be a number of seconds, 0 or more." in said.stderr


def test_the_coverage_page_comes_with_it(type_):
    said = type_("coverage")
    assert said.stdout.startswith("# What the local cloud supports") and "CreateTrainingJob" in said.stdout
