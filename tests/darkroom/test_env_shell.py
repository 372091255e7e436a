"""`eval "$(darkroom env)"` in real shells: all of it or nothing, and no way from there to an account."""

import os
import subprocess
import sys

import pytest

# What a shell may have set; each of these would lead aws, boto3 or cdk past the local cloud.
LEADING = {
    "AWS_PROFILE": "company", "AWS_DEFAULT_PROFILE": "company", "AWS_SESSION_TOKEN": "x", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x",
    "AWS_ENDPOINT_URL_S3": "https://s3.example.invalid", "AWS_ENDPOINT_URL_SAGEMAKER": "https://sm.example.invalid",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_USE_FIPS_ENDPOINT": "true", "AWS_CA_BUNDLE": "/absent",
    "AWS_VARIABLE_OF_NEXT_YEAR": "x", "CDK_DEFAULT_ACCOUNT": "123456789012", "CDK_CONTEXT_JSON": "{}", "SAGEMAKER_ROLE": "x",
}  # fmt: skip
EVAL = 'eval "$("$PYTHON" -m darkroom.cli env)"'


def shell(run, script: str, program: str = "bash", **extra: str) -> subprocess.CompletedProcess:
    environment = {**run.environment, **LEADING, "PYTHON": sys.executable, **extra}
    return subprocess.run([program, "-c", script], capture_output=True, text=True, timeout=120, env=environment)


@pytest.mark.parametrize("program", ["bash", "sh"])
@pytest.mark.parametrize("arguments", ["", " --no-such-option", " --target aws"])
def test_without_a_cloud_the_shell_is_told_to_fail_and_keeps_what_it_had(darkroom, program, arguments):
    script = EVAL.replace(" env", f" env{arguments}")
    said = shell(darkroom, f"{script}; echo $?; echo $AWS_PROFILE", program)
    assert said.stdout.split() == ["1", "company"] and said.stderr
    stopped = shell(darkroom, f"set -e; {script}; echo went on", program)
    assert stopped.returncode == 1 and not stopped.stdout


def test_every_variable_that_leads_elsewhere_is_gone_and_boto3_reaches_the_local_cloud(running):
    ask = "import boto3; print(*(boto3.client(s).meta.endpoint_url for s in ('s3', 'sagemaker', 'sts', 'logs')), sep='\\n')"
    said = shell(running, f'set -e; {EVAL}; "$PYTHON" -c "{ask}"; env', NO_PROXY="intranet")
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    left = dict(line.split("=", 1) for line in lines[4:] if "=" in line)
    assert set(lines[:4]) == {left["AWS_ENDPOINT_URL"]} and left["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert not [name for name, value in LEADING.items() if left.get(name) == value]
    assert left["NO_PROXY"] == "intranet,127.0.0.1,localhost"


def test_target_aws_is_refused_where_aws_means_the_local_cloud(running):
    said = shell(running, f'{EVAL}; "$PYTHON" -m darkroom.cli status --target aws')
    assert said.returncode == 1 and "took up `darkroom env`" in said.stderr and not said.stdout
    assert os.environ.get("DARKROOM_LOCAL_SHELL") is None  # or this test would prove nothing
