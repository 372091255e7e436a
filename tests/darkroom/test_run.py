"""`darkroom run` against a small pipeline of its own: one real job, from upload to summary.json, and a failing one."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import boto3
import pytest
from jsonschema import Draft202012Validator

from contract import sheet
from darkroom.home import Home
from darkroom.summary import Results
from darkroom.summary_fields import FIELDS, SCHEMA
from darkroom.target import Target
from tests.darkroom.conftest import started

pytestmark = pytest.mark.slow
# As many of a class as splits need.
PHOTOS = [f"{kind}/{kind}-{n}.jpg" for kind in ("ant", "bee") for n in range(3)]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/tiny:1"
DOCKERFILE = 'FROM python:3.11-slim\nWORKDIR /opt/program\nCOPY job.py .\nENTRYPOINT ["python", "job.py"]\n'
JOB = """\
import json, os, pathlib, socket, zipfile
base = pathlib.Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"), "processing")
archive = next((base / "input/dataset").glob("*.zip"))
names = zipfile.ZipFile(archive).namelist()
print("found", len(names), "files")
asked = json.loads((base / "input/request/input.json").read_text()) if (base / "input/request").exists() else {}
if any("broken" in name for name in names):
    (base.parent / "output").mkdir(exist_ok=True)
    (base.parent / "output/message").write_text("class 'broken': no photo can be read. Remove it.")
    raise SystemExit(1)
for name in names:
    if "wait" in name:  # until the test hangs up
        socket.create_connection(("127.0.0.1", int(zipfile.ZipFile(archive).read(name)))).recv(1)
out = base / "output/all"
for folder in ("report", "evaluation", "outcome", "bias", "prepared"):
    (out / folder).mkdir(parents=True, exist_ok=True)
(out / "report/index.html").write_text("<title>report</title>")
(out / "prepared/data_report.json").write_text(json.dumps({"warnings": ["4 photos are 2 groups"]}))
(out / "evaluation/evaluation.json").write_text(json.dumps({"accuracy": 0.75, "balanced_accuracy": 0.5, "n": len(names)}))
(out / "outcome/outcome.json").write_text(json.dumps({"registered": {"arn": "arn:aws:sagemaker:x:1:model-package/m/1"}}))
metrics = [{"name": "CI", "description": "d", "value": 0.25}]
facets = {"kind": [{"value_or_threshold": "a", "metrics": metrics}]}
(out / "bias/analysis.json").write_text(json.dumps({"pre_training_bias_metrics": {"facets": facets}}))
"""


def states(role: str) -> dict:
    """One processing job that fails by itself, as each step of the deployed pipeline does."""
    job = {
        "ProcessingJobName.$": "States.Format('tiny-{}-{}', $$.Execution.Name, $$.Execution.RedriveCount)",
        "RoleArn": role,
        "AppSpecification": {"ImageUri": IMAGE},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        "ProcessingInputs": [
            {"InputName": "dataset", "S3Input": {
                "S3Uri.$": "$.dataset", "LocalPath": "/opt/ml/processing/input/dataset", "S3DataType": "S3Prefix",
                "S3InputMode": "File"}}
        ],
        "ProcessingOutputConfig": {"Outputs": [
            {"OutputName": "all", "S3Output": {
                "S3Uri.$": "States.Format('s3://tiny/executions/{}/', $$.Execution.Name)",
                "LocalPath": "/opt/ml/processing/output/all", "S3UploadMode": "EndOfJob"}}
        ]},
    }  # fmt: skip
    return {
        "StartAt": "Look",
        "States": {
            "Look": {
                "Type": "Task", "Resource": "arn:aws:states:::sagemaker:createProcessingJob.sync", "Parameters": job,
                "End": True,
            },
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def pipeline(running, tmp_path_factory: pytest.TempPathFactory):
    """A state machine, a bucket and an image under the names that a deploy would give them."""
    exports = running("env").stdout
    environment = {
        name: value.strip("'") for name, value in re.findall(r"export (\w+)=(\S+)", exports) if name != "PATH"
    }
    session = boto3.Session(
        environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1"
    )

    def client(service: str):
        return session.client(service, endpoint_url=environment["AWS_ENDPOINT_URL"])

    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}]}  # fmt: skip
    role = client("iam").create_role(RoleName="tiny", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    client("s3").create_bucket(Bucket="tiny")
    client("ecr").create_repository(repositoryName="tiny")
    context = tmp_path_factory.mktemp("image")
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "job.py").write_text(JOB)
    for words in (["build", "--tag", IMAGE, "."], ["push", IMAGE]):
        command = [sys.executable, "-m", "local_cloud.docker.cli", *words]
        everything = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment}
        subprocess.run(command, cwd=context, env=everything, check=True, capture_output=True)
    machine = client("stepfunctions").create_state_machine(
        name="tiny", definition=json.dumps(states(role)), roleArn=role
    )
    values = {"state-machine-arn": machine["stateMachineArn"], "data-bucket": "tiny", "artifacts-bucket": "tiny"}
    for name, value in values.items():
        client("ssm").put_parameter(Name=f"/darkroom/dev/{name}", Value=value, Type="String")
    running.client = client
    return running


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in PHOTOS:
        (tmp_path / "my photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "my photos" / name).write_bytes(name.encode())  # each another photo
    return tmp_path / "my photos"


def add_broken(photos: Path) -> None:
    """A class at which the job fails."""
    (photos / "broken").mkdir()
    for n in range(3):
        (photos / "broken" / f"{n}.jpg").write_bytes(f"broken {n}".encode())


@pytest.mark.parametrize("kind", ["zip", "manifest"])
def test_a_zip_and_a_manifest_are_data_like_a_folder(pipeline, photos, kind, tmp_path):
    files = sorted(path for path in photos.rglob("*") if path.is_file())
    if kind == "zip":
        data = tmp_path / "photos.zip"
        with zipfile.ZipFile(data, "w") as archive:
            for path in files:
                archive.write(path, path.relative_to(photos))
    else:
        data = photos / "my labels.manifest"
        data.write_text(
            "".join(json.dumps({"source-ref": path.name, "label": path.parent.name}) + "\n" for path in files)
        )
    answer = pipeline("run", "--data", str(data), "--name", f"from-{kind}", "--no-endpoint", "--json")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    # The job of this small pipeline counts the files of the archive that it is given: the manifest goes along.
    assert json.loads(answer.stdout)["test"]["n"] == {"zip": 6, "manifest": 7}[kind]


def test_photos_that_the_endpoint_is_asked_about_are_called_as_in_the_users_data_set(pipeline, photos, monkeypatch):
    """In S3 they lie under an id; the name may be one that the manifest had to mark."""
    answer = pipeline("run", "--data", str(photos), "--name", "named", "--no-endpoint", "--json")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    table = io.StringIO(newline="")
    sheet.write_rows(table, [["object", "path"], ["ant/1a.jpg", "-my ants/ü 1.jpg"], ["", "ant/2.jpg"]])
    s3 = pipeline.client("s3")
    for name, body in (("prepared/manifest.csv", table.getvalue().encode()), ("test/ant/1a.jpg", b"photo")):
        s3.put_object(Bucket="tiny", Key=f"executions/named/{name}", Body=body)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    target = Target("local", Home(pipeline.home), named=frozenset({"project", "environment"}))
    ((path, name),) = Results(target, json.loads(answer.stdout)["execution_arn"]).test_photos(3)
    assert name == "-my ants/ü 1.jpg"
    assert path.read_bytes() == b"photo"


def test_a_run_ends_with_a_summary_a_report_and_where_they_lie(pipeline, photos):
    answer = pipeline("run", "--data", str(photos), "--name", "good", "--no-endpoint")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    folder = pipeline.home / "runs" / "good"
    assert answer.stdout.splitlines()[-2:] == [f"Summary: {folder}/summary.json", f"Report: {folder}/report/index.html"]
    assert "Look: job tiny-good" in answer.stdout and "Look: succeeded after" in answer.stdout
    summary = json.loads((folder / "summary.json").read_text())
    Draft202012Validator(SCHEMA).validate(summary)
    assert list(summary) == list(FIELDS)
    assert summary["status"] == "SUCCEEDED" and summary["execution_arn"].endswith(":execution:tiny:good")
    assert summary["test"] == {"accuracy": 0.75, "balanced_accuracy": 0.5, "n": 6}
    assert summary["warnings"] == ["4 photos are 2 groups"] and re.search(
        r"Warning +4 photos are 2 groups", answer.stdout
    )
    assert summary["bias"] == {"kind": {"a": {"CI": 0.25}}}
    assert [(step["name"], step["status"]) for step in summary["steps"]] == [("Look", "Succeeded")]
    assert 0 <= summary["orchestration_seconds"] < summary["seconds"]
    assert summary["steps"][0]["seconds"] <= summary["seconds"]
    assert summary["tuning"] is None and summary["endpoint"] is None and summary["error"] is None
    assert Path(summary["report"]).read_text() == "<title>report</title>"
    again = pipeline("follow", "good", "--no-endpoint", "--json")
    assert json.loads(again.stdout) == summary
    assert json.loads(pipeline("report", "--json").stdout)["report"] == summary["report"]
    assert "found 6 files" in pipeline("logs", "tiny-good-0").stdout
    assert "good" in pipeline("status").stdout


def test_a_failed_run_says_where_why_and_what_to_do(pipeline, photos):
    add_broken(photos)
    answer = pipeline("run", "--data", str(photos), "--name", "bad")
    assert answer.returncode == 1
    for text in (
        "States.TaskFailed", "State: Look", "Look failed: class 'broken': no photo can be read. Remove it.", "Job: tiny-bad-0",
        "What to do: Correct what the reason names", "Go on: darkroom resume bad", "found 9 files", "darkroom logs tiny-bad-0",
    ):  # fmt: skip
        assert text in answer.stdout, text
    summary = json.loads((pipeline.home / "runs" / "bad" / "summary.json").read_text())
    assert summary["status"] == "FAILED" and summary["report"] is None and summary["test"] is None
    assert summary["error"]["name"] == "States.TaskFailed"
    assert summary["error"]["log"] == "group /aws/sagemaker/ProcessingJobs, streams that begin with tiny-bad-0"
    assert summary["steps"][0]["status"] == "Failed"
    bucket = pipeline.client("s3")
    bucket.put_object(Bucket="tiny", Key="executions/bad/prepared/data_report.html", Body=b"<title>photos</title>")
    told = pipeline("report", "bad")
    assert told.returncode == 1, told.stderr
    for text in (
        "State: Look",
        "class 'broken': no photo",
        "Job: tiny-bad",
        "What to do: Correct",
        "darkroom logs tiny-bad",
    ):
        assert text in told.stdout, text
    page = pipeline.home / "runs" / "bad" / "report" / "data_report.html"
    assert f"Data report: {page}" in told.stdout and page.read_text() == "<title>photos</title>"


def test_a_failed_run_is_resumed_at_the_step_that_failed(pipeline, photos):
    add_broken(photos)
    failed = pipeline("run", "--data", str(photos), "--name", "again", "--json")
    assert failed.returncode == 1
    states = pipeline.client("stepfunctions")
    arn = json.loads(failed.stdout)["execution_arn"]
    dataset = json.loads(states.describe_execution(executionArn=arn)["input"])["dataset"].removeprefix("s3://tiny/")
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("ant/1.jpg", b"x")
    pipeline.client("s3").put_object(Bucket="tiny", Key=dataset, Body=body.getvalue())
    answer = pipeline("resume", "again", "--no-endpoint", "--json")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    summary = json.loads(answer.stdout)
    assert (summary["status"], summary["error"], summary["test"]["n"]) == ("SUCCEEDED", None, 1)
    assert [(step["name"], step["status"]) for step in summary["steps"]] == [("Look", "Succeeded")]
    assert "found 1 files" in pipeline("logs", "tiny-again-1").stdout  # a job of its own name
    assert states.describe_execution(executionArn=arn)["redriveCount"] == 1
    over = pipeline("resume", "again")
    assert over.returncode == 1 and "Execution is SUCCEEDED and cannot be redriven" in over.stderr
    unknown = pipeline("resume", "never-was")
    assert unknown.returncode == 1 and "There is no execution never-was" in unknown.stderr


def test_no_wait_returns_while_the_execution_runs(pipeline, photos):
    answer = pipeline("run", "--data", str(photos), "--name", "later", "--no-wait", "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["status"] == "RUNNING"
    assert "darkroom follow later" in answer.stderr
    assert pipeline("follow", "later", "--no-endpoint").returncode == 0


@pytest.mark.parametrize(("name", "moment"), [("left", "job tiny-left"), ("begun", "execution begun started")])
def test_ctrl_c_leaves_the_execution_running_and_says_how_to_follow(pipeline, photos, tmp_path, name, moment):
    gate = socket.create_server(("127.0.0.1", 0))
    (photos / "ant" / "wait.jpg").write_text(str(gate.getsockname()[1]))
    command = [sys.executable, "-u", "-m", "darkroom.cli", "run", "--data", str(photos), "--name", name]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "DARKROOM_HOME": str(pipeline.home)}
    with started(command, env=environment, cwd=tmp_path) as process:
        assert next(line for line in process.stdout if moment in line)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert f"The execution goes on. Follow it again: darkroom follow {name}" in rest
    gate.accept()[0].close()
    gate.close()
    assert pipeline("follow", name, "--no-endpoint").returncode == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [(["--name", "good"], "already been an execution good"), (["--name", "a b"], "'a b' is not an execution name")],
)
def test_a_name_that_cannot_be_used_is_refused(pipeline, photos, words, reason):
    pipeline("run", "--data", str(photos), "--name", "good", "--no-endpoint")
    answer = pipeline("run", "--data", str(photos), *words)
    assert answer.returncode == 1 and reason in answer.stderr


def test_an_unknown_execution_is_answered_with_the_known_ones(pipeline):
    answer = pipeline("follow", "never-was")
    assert (
        answer.returncode == 1
        and "There is no execution never-was" in answer.stderr
        and "The last ones:" in answer.stderr
    )


def test_approving_a_model_publishes_what_the_state_machine_would_have(pipeline):
    sagemaker, s3, ssm = (pipeline.client(name) for name in ("sagemaker", "s3", "ssm"))
    sagemaker.create_model_package_group(ModelPackageGroupName="tiny", ModelPackageGroupDescription="t")
    machine = ssm.get_parameter(Name="/darkroom/dev/state-machine-arn")["Parameter"]["Value"]
    execution = pipeline.client("stepfunctions").start_execution(stateMachineArn=machine, name="registered", input="{}")
    for name, body in (
        ("executions/registered/outcome/outcome.json", b'{"plan": {"name": "pets"}}'),
        ("kept/model.tar.gz", b"m"),
    ):
        s3.put_object(Bucket="tiny", Key=name, Body=body)
    ssm.put_parameter(Name="/darkroom/dev/model-package-group", Value="tiny", Type="String")
    none = pipeline("approve", "--no-endpoint")
    assert none.returncode == 1 and "No model of group tiny waits for approval" in none.stderr
    package = sagemaker.create_model_package(
        ModelPackageGroupName="tiny",
        ModelApprovalStatus="PendingManualApproval",
        CustomerMetadataProperties={"execution": execution["executionArn"]},
        InferenceSpecification={
            "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://tiny/kept/model.tar.gz"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]
    approved = pipeline("approve", "--no-endpoint")
    assert approved.returncode == 0, approved.stderr
    assert sagemaker.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"] == "Approved"
    for key in ("pets/registered/model.tar.gz", "pets/model.tar.gz"):
        assert s3.get_object(Bucket="tiny", Key=f"multi-model/{key}")["Body"].read() == b"m"
    target = ssm.get_parameter(Name="/darkroom/dev/target-models/pets")["Parameter"]["Value"]
    assert target == "pets/registered/model.tar.gz"
    unknown = pipeline("predict", "x.jpg", "--endpoint", "any", "--target-model", "cats")
    assert unknown.returncode == 1
    assert "no model was published under this name" in unknown.stderr
    assert "Published: pets" in unknown.stderr
    noted = {
        name: ssm.get_parameter(Name=f"/darkroom/dev/approved-model-{name}")["Parameter"]["Value"]
        for name in ("package", "data")
    }
    assert noted == {"package": package, "data": "s3://tiny/kept/model.tar.gz"}


@pytest.fixture
def registry(pipeline):
    """Three versions in a model package group: approved, waiting, approved; the last one is in service."""
    client, ssm, s3 = (pipeline.client(name) for name in ("sagemaker", "ssm", "s3"))
    s3.create_bucket(Bucket="published-models")
    client.create_model_package_group(ModelPackageGroupName="rolled-back", ModelPackageGroupDescription="t")
    made = []
    for execution, status in (("run-1", "Approved"), ("run-2", "PendingManualApproval"), ("run-3", "Approved")):
        key = f"registered/{execution}/model.tar.gz"
        s3.put_object(Bucket="published-models", Key=key, Body=execution.encode())
        made.append(
            client.create_model_package(
                ModelPackageGroupName="rolled-back",
                ModelApprovalStatus=status,
                ModelPackageDescription=f"cats, trained by execution {execution}",
                CustomerMetadataProperties={
                    "execution": f"arn:aws:states:us-east-1:000000000000:execution:m:{execution}"
                },
                InferenceSpecification={
                    "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://published-models/{key}"}],
                    "SupportedContentTypes": ["image/jpeg"],
                    "SupportedResponseMIMETypes": ["application/json"],
                },
            )["ModelPackageArn"]
        )
    s3.put_object(Bucket="published-models", Key="multi-model/cats/run-1/model.tar.gz", Body=b"as it was published")
    for name, value in (("model-package-group", "rolled-back"), ("approved-model-package", made[2])):
        ssm.put_parameter(Name=f"/darkroom/dev/{name}", Value=value, Type="String", Overwrite=True)
    return made, client, ssm, s3  # fmt: skip


def test_rollback_serves_the_model_approved_before_and_goes_no_further_than_the_first(registry, pipeline):
    (first, waiting, last), client, ssm, s3 = registry

    def value(name: str) -> str:
        return ssm.get_parameter(Name=f"/darkroom/dev/{name}")["Parameter"]["Value"]

    unasked = pipeline("rollback")
    assert unasked.returncode == 1 and "Add --yes" in unasked.stderr
    assert value("approved-model-package") == last
    done = pipeline("rollback", "--yes")
    assert done.returncode == 0, done.stderr
    assert value("approved-model-package") == first
    assert value("approved-model-data") == "s3://published-models/registered/run-1/model.tar.gz"
    assert value("target-models/cats") == "cats/run-1/model.tar.gz"
    statuses = {
        one: client.describe_model_package(ModelPackageName=one)["ModelApprovalStatus"]
        for one in (first, waiting, last)
    }
    assert statuses == {first: "Approved", waiting: "PendingManualApproval", last: "Rejected"}
    # No key of a multi-model endpoint is ever written twice.
    published = s3.get_object(Bucket="published-models", Key="multi-model/cats/run-1/model.tar.gz")["Body"].read()
    assert published == b"as it was published"
    again = pipeline("rollback", "--yes")
    assert again.returncode == 1 and "there is none to go back to" in again.stderr
    assert value("approved-model-package") == first
