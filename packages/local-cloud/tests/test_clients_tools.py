"""Clients that nobody here wrote: the AWS CLI and the CDK CLI, with the environment that `local-cloud env` gives."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from local_cloud.testing import RunningCloud
from tests.places import CDK

AWS = Path(sys.executable).with_name("aws")


def aws(cloud: RunningCloud, *words: str) -> str:
    run = subprocess.run([AWS, *words], env=cloud.environment(), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
def test_the_aws_cli_lists_and_copies(cloud, tmp_path):
    aws(cloud, "s3", "mb", "s3://by-the-cli")
    (tmp_path / "photo 1.jpg").write_bytes(b"jpeg")
    aws(cloud, "s3", "cp", str(tmp_path / "photo 1.jpg"), "s3://by-the-cli/x/")
    assert "photo 1.jpg" in aws(cloud, "s3", "ls", "s3://by-the-cli/x/")
    assert "by-the-cli" in aws(cloud, "s3", "ls")
    states = cloud.client("stepfunctions")
    definition = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Succeed"}}})
    arn = states.create_state_machine(name="cli", definition=definition, roleArn="arn:aws:iam::000000000000:role/r")[
        "stateMachineArn"
    ]
    states.start_execution(stateMachineArn=arn, name="by-name")
    assert "by-name" in aws(cloud, "stepfunctions", "list-executions", "--state-machine-arn", arn)


def test_the_aws_cli_reads_logs(cloud):
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName="/tail")
    logs.create_log_stream(logGroupName="/tail", logStreamName="s")
    moment = int(time.time() * 1000)
    logs.put_log_events(logGroupName="/tail", logStreamName="s", logEvents=[{"timestamp": moment, "message": "a line"}])
    assert "a line" in aws(cloud, "logs", "filter-log-events", "--log-group-name", "/tail")


APP = """
    import aws_cdk as cdk
    from aws_cdk import aws_iam as iam, aws_logs as logs, aws_s3 as s3, aws_ssm as ssm, aws_stepfunctions as sfn

    app = cdk.App()
    env = cdk.Environment(account="000000000000", region="us-east-1")
    store, flow = cdk.Stack(app, "Store", env=env), cdk.Stack(app, "Flow", env=env)
    bucket = s3.Bucket(store, "Bucket", removal_policy=cdk.RemovalPolicy.DESTROY, enforce_ssl=True, versioned=True)
    group = logs.LogGroup(flow, "Logs", removal_policy=cdk.RemovalPolicy.DESTROY)
    state = sfn.Pass(flow, "Say", parameters={"bucket": bucket.bucket_name, "word": app.node.try_get_context("word") or "one"})
    machine = sfn.StateMachine(flow, "Machine", definition_body=sfn.DefinitionBody.from_chainable(state),
                               logs=sfn.LogOptions(destination=group, level=sfn.LogLevel.ALL))
    bucket.grant_read(machine)
    ssm.StringParameter(flow, "Arn", parameter_name="/demo/arn", string_value=machine.state_machine_arn)
    app.synth()
"""


@pytest.mark.slow
def test_the_cdk_cli_bootstraps_deploys_diffs_updates_and_destroys(own_cloud, tmp_path):
    own_cloud.start()
    (tmp_path / "app.py").write_text(textwrap.dedent(APP))
    (tmp_path / "cdk.json").write_text(
        json.dumps({"app": f"{sys.executable} app.py", "versionReporting": False, "notices": False})
    )
    environment = own_cloud.environment() | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
    }

    def cdk(*words: str) -> str:
        command = [CDK, "--ci", *words]
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def execute() -> dict:
        arn = own_cloud.client("ssm").get_parameter(Name="/demo/arn")["Parameter"]["Value"]
        states = own_cloud.client("stepfunctions")
        definition = json.loads(states.describe_state_machine(stateMachineArn=arn)["definition"])
        assert states.start_execution(stateMachineArn=arn)["executionArn"]
        return definition["States"]["Say"]["Parameters"]

    cdk("bootstrap", "aws://000000000000/us-east-1")
    cdk("deploy", "--all", "--require-approval", "never")
    first = execute()
    assert first["word"] == "one" and own_cloud.client("s3").head_bucket(Bucket=first["bucket"])
    cdk("diff", "--fail")
    cdk("deploy", "Flow", "--exclusively", "--require-approval", "never", "-c", "word=two")
    assert execute() == {**first, "word": "two"}
    cdk("destroy", "--all", "--force")
    left = [s["StackName"] for s in own_cloud.client("cloudformation").describe_stacks()["Stacks"]]
    assert left == ["CDKToolkit"]
    assert not any(re.match("store-", b["Name"]) for b in own_cloud.client("s3").list_buckets()["Buckets"])
