"""The real CDK CLI deploys an app of our own to the local cloud, its image built, and destroys it again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
APP = """\
from aws_cdk import App, CfnOutput, RemovalPolicy, Stack, aws_ecr_assets as assets, aws_s3 as s3
app = App(analytics_reporting=False)
stack = Stack(app, "Darkroom-Storage", description="Darkroom: tiny")
bucket = s3.Bucket(stack, "Bucket", removal_policy=RemovalPolicy.DESTROY, versioned=True)
image = assets.DockerImageAsset(stack, "Image", directory="image")
CfnOutput(stack, "BucketName", value=bucket.bucket_name)
CfnOutput(stack, "ImageUri", value=image.image_uri)
app.synth()
"""
# What an app leaves for the CDK CLI, without the construct library: starting that takes longer than all the rest of a deployment.
PLAIN = """\
import json, os, pathlib
out = pathlib.Path(os.environ["CDK_OUTDIR"])
environment = json.loads(os.environ["CDK_CONTEXT_JSON"]).get("environment", "dev")
name = NAME
bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": f"bucket-of-{environment}"}, "DeletionPolicy": "Delete"}
(out / f"{name}.json").write_text(json.dumps({"Description": "Darkroom: tiny", "Resources": {"Bucket": bucket}}))
stack = {
    "type": "aws:cloudformation:stack", "environment": "aws://unknown-account/unknown-region",
    "properties": {"templateFile": f"{name}.json", "stackName": name},
}
(out / "manifest.json").write_text(json.dumps({"version": "36.0.0", "artifacts": {name: stack}}))
"""
OF_ENVIRONMENT = '"Darkroom-Storage" if environment == "dev" else f"Darkroom-{environment.capitalize()}-Storage"'


def plain(name: str = OF_ENVIRONMENT) -> str:
    return PLAIN.replace("NAME", name, 1)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "image").mkdir(parents=True)
    (folder / "app.py").write_text(APP)
    (folder / "cdk.json").write_text(json.dumps({"app": "python app.py", "versionReporting": False}))
    (folder / "image" / "Dockerfile").write_text('FROM python:3.11-slim\nCMD ["python", "-V"]\n')
    return folder


def test_the_app_of_somebody_else_is_not_deployed(running, app):
    (app / "app.py").write_text(plain('"Somebodys-Storage"'))
    refused = running("deploy", cwd=app)
    assert refused.returncode == 1 and "makes the stack Somebodys-Storage" in refused.stderr
    assert "Somebodys-Storage" not in running("status", "--json").stdout


def test_a_cloud_that_ends_in_the_middle_of_a_deployment_is_named_and_the_next_deployment_completes_it(darkroom, app):
    """The app itself ends it, while it is synthesized: the next thing that the CDK CLI does is to ask the cloud."""
    assert darkroom("up").returncode == 0
    dying = f"""
import json, os, signal
os.kill(json.load(open({str(darkroom.home / "cloud" / "cloud.json")!r}))["pid"], signal.SIGKILL)
"""
    (app / "app.py").write_text(plain() + dying)
    cut = darkroom("deploy", cwd=app)
    assert cut.returncode == 1 and "Traceback" not in cut.stderr
    assert "the deployment is not finished" in cut.stderr and "darkroom up; darkroom deploy" in cut.stderr
    (app / "app.py").write_text(plain())
    assert darkroom("up").returncode == 0
    again = darkroom("deploy", cwd=app)
    assert again.returncode == 0, again.stderr
    assert "Darkroom-Storage" in darkroom("status").stdout
    darkroom("destroy", "--yes", cwd=app)
    darkroom("down")


def test_each_environment_is_deployed_beside_the_other_and_again_whatever_was_synthesized_last(running, app):
    (app / "app.py").write_text(plain())
    assert running("deploy", cwd=app).returncode == 0
    assert running("deploy", "--environment", "prod", cwd=app).returncode == 0
    again = running("deploy", "--environment", "dev", cwd=app)
    assert again.returncode == 0 and "no changes" in again.stdout, again.stderr
    for environment, stack in (("dev", "Darkroom-Storage"), ("prod", "Darkroom-Prod-Storage")):
        shown = json.loads(running("status", "--json", "--environment", environment).stdout)
        assert [one["name"] for one in shown["stacks"]] == [stack]
    gone = running("destroy", "--yes", "--environment", "prod", cwd=app)
    assert gone.returncode == 0 and "Darkroom-Prod-Storage" in gone.stdout
    left = json.loads(running("status", "--json", "--environment", "dev").stdout)
    assert [one["name"] for one in left["stacks"]] == ["Darkroom-Storage"]
    assert running("destroy", "--yes", "--environment", "dev", cwd=app).returncode == 0
    assert running("up").returncode == 0  # for the tests below: the last one takes the cloud's state with it


def test_an_app_is_deployed_again_without_work_and_destroyed_without_a_trace(running, app):
    first = running("deploy", "--json", cwd=app)
    assert first.returncode == 0, first.stderr
    outputs = json.loads(first.stdout)["Darkroom-Storage"]
    script = 'eval "$("$0" -m darkroom.cli env)"; aws s3 cp app.py s3://$1/photo.jpg && darkroom-docker inspect "$2"'
    words = ["bash", "-c", script, sys.executable, outputs["BucketName"], outputs["ImageUri"]]
    used = subprocess.run(words, cwd=app, capture_output=True, text=True, env=running.environment)
    assert used.returncode == 0, used.stderr
    again = running("deploy", cwd=app)
    assert "no changes" in again.stdout and "Building darkroom" not in again.stdout
    assert "Darkroom-Storage" in running("status").stdout
    (app / "image" / "Dockerfile").write_text("FROM python:3.11-slim\nRUN apt-get update\n")
    failed = running("deploy", cwd=app)
    assert failed.returncode == 1
    assert "Dockerfile, line 2: RUN apt-get update" in failed.stderr and "What to do" in failed.stderr
    gone = running("destroy", "--yes", cwd=app)
    assert gone.returncode == 0, gone.stderr
    assert f"bucket {outputs['BucketName']} with 1 object versions" in gone.stdout
    assert not running.home.exists()
