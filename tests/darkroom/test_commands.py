"""The command line as a user meets it: help, errors as sentences, and a cloud that no user configuration can divert."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from darkroom.cli import darkroom as group

COMMANDS = sorted(group.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described_in_the_docs(command):
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"darkroom {command}" in text


def test_help_teaches_with_commands_to_copy(darkroom):
    answer = darkroom("--help")
    assert answer.returncode == 0 and "darkroom run --data photos/" in answer.stdout
    assert all(command in answer.stdout for command in COMMANDS)


@pytest.mark.parametrize(
    ("words", "reason", "advice"),
    [
        (["run", "--data", "photos"], "No local cloud runs", "darkroom up"),
        (["run", "--data", "photos", "--epochs", "0"], "epochs: received 0", "Nothing was uploaded"),
        (["run", "--data", "photos", "--fine-tune", "al"], "fine_tune: received 'al'", "Nothing was uploaded"),
        (["env"], "No local cloud runs", "darkroom up"),
        (["--profile", "x", "status"], "--target aws", "Add --target aws"),
        (["--target", "aws", "up"], "an AWS account needs nothing started", "--target aws"),
        (["--target", "aws", "demo"], "cost money", "deploy and run"),
        (["deploy", "-c", "nonsense"], "-c 'nonsense' is not a setting", "name=value"),
    ],
)
def test_an_error_is_a_sentence_with_advice_and_no_traceback(darkroom, words, reason, advice):
    answer = darkroom(*words)
    assert answer.returncode == 1
    assert reason in answer.stderr and advice in answer.stderr and "Traceback" not in answer.stderr


def test_status_without_a_cloud_says_so(darkroom):
    assert "not running" in darkroom("status").stdout
    assert json.loads(darkroom("status", "--json").stdout)["cloud"] is None


def test_up_and_down_leave_no_process_and_keep_the_state(darkroom, tmp_path):
    first = json.loads(darkroom("up", "--json").stdout)
    assert first["started"] and first["endpoint"].startswith("http://127.0.0.1:")
    again = json.loads(darkroom("up", "--json").stdout)
    assert not again["started"] and again["pid"] == first["pid"]
    assert darkroom("down").returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(first["pid"], 0)
    assert "No local cloud ran" in darkroom("down").stdout
    assert (tmp_path / "home" / "cloud").is_dir()
    assert "Add --yes" in darkroom("destroy").stderr and (tmp_path / "home").exists()
    assert darkroom("destroy", "--yes").returncode == 0
    assert not (tmp_path / "home").exists()


def test_the_exports_lead_every_tool_to_the_local_cloud(running):
    script = (
        'eval "$("$0" -m darkroom.cli env)"; aws s3 mb s3://exported && aws s3 ls && aws configure list-profiles; env'
    )
    hostile = {"AWS_PROFILE": "absent", "AWS_SESSION_TOKEN": "x"}
    answer = running_shell(running, script, hostile)
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    exported = dict(line.split("=", 1) for line in lines if "=" in line)
    assert any(line.endswith(" exported") for line in lines)
    assert "AWS_PROFILE" not in exported and "AWS_SESSION_TOKEN" not in exported
    assert exported["AWS_EC2_METADATA_DISABLED"] == "true" and exported["AWS_ENDPOINT_URL"].startswith(
        "http://127.0.0.1:"
    )
    assert Path(exported["CDK_DOCKER"]).name == "darkroom-docker" and Path(exported["LOCAL_CLOUD_STATE"]).is_dir()
    assert Path(exported["AWS_CONFIG_FILE"]).read_text() == ""


def running_shell(running, script: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        ["bash", "-c", script, sys.executable], capture_output=True, text=True, timeout=60, cwd=root,
        env={**os.environ, "DARKROOM_HOME": str(running.home), **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["run", "--data", "absent"], "not deployed here"),
        (["follow"], "not deployed here"),
        (["predict", "x.jpg"], "not deployed here"),
        (["report"], "not deployed here"),
        (["approve"], "not deployed here"),
        (["logs", "absent-job"], "No log of 'absent-job' was found"),
    ],
)
def test_a_command_before_the_deploy_says_what_is_missing(running, words, reason):
    answer = running(*words)
    assert answer.returncode == 1 and reason in answer.stderr and "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not valid JSON"),
        ("[1]", "not an object"),
        ('{"seed": NaN}', "NaN"),
        ('{"dataset": "s3://x/y"}', "names a dataset itself"),
    ],
)
def test_an_input_file_that_cannot_be_used_is_refused_before_anything_runs(running, tmp_path, text, reason):
    path = tmp_path / "input.json"
    path.write_text(text)
    answer = running("run", "--data", str(tmp_path), "--input", str(path))
    assert answer.returncode == 1 and reason in answer.stderr


@pytest.fixture(scope="module")
def deployed_names(running):
    """The SSM parameters and the bucket that a deploy would make: enough for what comes before an execution."""
    script = (
        'eval "$("$0" -m darkroom.cli env)"; aws s3 mb s3://some-data; '
        "for pair in state-machine-arn=arn:aws:states:us-east-1:000000000000:stateMachine:none data-bucket=some-data "
        "endpoints=darkroom-dev-cpu artifacts-bucket=some-data; do aws ssm put-parameter --type String "
        "--name /darkroom/dev/${pair%%=*} --value ${pair#*=}; done"
    )
    assert running_shell(running, script, {}).returncode == 0
    return running


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("absent", "no such folder"),
        ("empty", "no photo in it"),
        ("https://example.invalid/x", "only folders"),
        ("s3://some-data/absent/", "no object under this name"),
        ("s3://absent-bucket/x", "absent-bucket"),
        ("s3://some-data", "names no object"),
    ],
)
def test_data_that_cannot_be_used_is_refused_before_an_execution(deployed_names, tmp_path, data, reason):
    (tmp_path / "empty").mkdir()
    answer = deployed_names("run", "--data", data, cwd=tmp_path)
    assert answer.returncode == 1 and reason in answer.stderr and "Traceback" not in answer.stderr


def test_a_folder_is_uploaded_once(deployed_names, tmp_path):
    for label in ("ant", "bee"):
        (tmp_path / "bees" / label).mkdir(parents=True)
        for number in "123":  # one for each split
            (tmp_path / "bees" / label / f"{number}.jpg").write_bytes(f"photo {label} {number}".encode())
    outputs = [deployed_names("run", "--data", "bees", cwd=tmp_path) for _ in range(2)]
    assert all(output.returncode == 1 for output in outputs)  # there is no state machine to run it
    assert "6 photos uploaded: s3://some-data/datasets/bees-" in outputs[0].stdout
    assert "6 photos are there already" in outputs[1].stdout


def test_an_endpoint_that_does_not_exist_yet_is_explained(deployed_names):
    answer = deployed_names("predict", "x.jpg")
    assert answer.returncode == 1 and "endpoints exist once a model has been approved" in answer.stderr


@pytest.mark.parametrize(
    ("size", "reason"), [(None, "cannot be read"), (0, "is empty"), (26 * 1024**2, "at most 25 MiB")]
)
def test_a_photo_that_no_endpoint_takes_is_refused_by_name(deployed_names, tmp_path, size, reason):
    if size is not None:
        with (tmp_path / "x.jpg").open("wb") as handle:
            handle.truncate(size)
    answer = deployed_names("predict", str(tmp_path / "x.jpg"), "--endpoint", "any", "--json")
    assert answer.returncode == 1
    said = json.loads(answer.stdout)
    assert reason in said["failed"][0]["error"] and said["predictions"] == []


def test_an_unknown_endpoint_is_an_error_of_aws_in_words(deployed_names, tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"x")
    answer = deployed_names("predict", str(tmp_path / "x.jpg"), "--endpoint", "absent")
    assert (
        answer.returncode == 1 and "There is no endpoint absent." in answer.stderr and "Traceback" not in answer.stderr
    )
    assert "Endpoints: none yet" in answer.stderr


def test_photos_are_named_by_files_folders_and_patterns(tmp_path, monkeypatch):
    from darkroom.predictions import photos_in

    monkeypatch.chdir(tmp_path)
    for name in ("a/1.jpg", "a/b/2.PNG", "a/notes.txt", "a/.hidden.jpg", "c[1].jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert list(map(str, photos_in(["a"]))) == ["a/1.jpg", "a/b/2.PNG"]
    assert list(map(str, photos_in(["a/**/*.PNG", "a", "c[1].jpg"]))) == ["a/b/2.PNG", "a/1.jpg", "c[1].jpg"]
    assert list(map(str, photos_in(["a/notes.txt", "missing.jpg"]))) == ["a/notes.txt", "missing.jpg"]


def test_a_folder_is_asked_about_as_a_data_set_would_be_read_and_the_rest_is_told(tmp_path):
    from contract.photo_set.files import PHOTO_ENDINGS
    from darkroom.predictions import photos_in

    told: list[str] = []
    for name in (*(f"x.{end}" for end in PHOTO_ENDINGS), "notes.txt", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "0a1b").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "x.jpg")
    names = {path.name for path in photos_in([str(tmp_path)], told.append)}
    assert names == {"0a1b", *(f"x.{end}" for end in PHOTO_ENDINGS)}
    assert len(told) == 1 and "3 file(s) that are no photos were not sent: notes.txt" in told[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [("https://example.org/a.jpg", "is an address"), ("empty", "holds no photos"), ("*.jpg", "No file matches")],
)
def test_what_names_no_photo_is_refused_in_words(tmp_path, monkeypatch, given, said):
    from darkroom.failure import DarkroomError
    from darkroom.predictions import photos_in

    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DarkroomError, match=said):
        photos_in([given])


def test_an_endpoints_refusal_is_a_sentence_in_whatever_form_it_comes():
    from botocore.exceptions import ClientError

    from darkroom.predictions import _reason

    for original, said in (
        ('{"error": {"code": "unreadable_photo", "message": "no photo"}}', "no photo"),
        ('{"error": "no photo"}', "no photo"), ('{"message": "no photo"}', "no photo"), ("no photo", "no photo"),
        ('["odd"]', '["odd"]'),
    ):  # fmt: skip
        error = ClientError(
            {"Error": {"Code": "ModelError", "Message": "m"}, "OriginalMessage": original}, "InvokeEndpoint"
        )
        assert _reason(error) == said


def keep(home: Path, name: str, **changed) -> Path:
    """What `run` leaves of an execution, without a cloud that could be asked."""
    folder = home / "runs" / name
    (folder / "report").mkdir(parents=True)
    summary = {"status": "SUCCEEDED", "steps": [], "report": "/moved/away/index.html", "error": None}
    (folder / "summary.json").write_text(json.dumps(summary | changed))
    return folder


def test_a_report_that_was_fetched_needs_no_cloud(darkroom):
    good = keep(darkroom.home, "good")
    (good / "report" / "index.html").write_text("<title>report</title>")
    error = {"name": "TrainFailed", "reason": "no memory", "log": "group g", "fix": "Use a smaller batch."}
    steps = [
        {"name": "Prepare", "status": "Succeeded", "seconds": 1},
        {"name": "Train", "status": "Failed", "seconds": 2},
    ]
    bad = keep(darkroom.home, "bad", status="FAILED", error=error, steps=steps)
    (bad / "report" / "data_report.html").write_text("<title>photos</title>")
    os.utime(good / "summary.json", (1, 1))
    answer = darkroom("report", "good")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == f"Report: {good}/report/index.html"
    by_arn = darkroom("report", "arn:aws:states:us-east-1:000000000000:execution:m:good", "--json")
    assert json.loads(by_arn.stdout)["report"] == f"{good}/report/index.html"
    last = darkroom("report")
    assert last.returncode == 1
    for text in (
        "State: Train",
        "Reason: no memory",
        "Log: group g",
        "What to do: Use a smaller batch.",
        f"{bad}/report/data_report.html",
    ):
        assert text in last.stdout, text
    assert not [line for line in last.stdout.splitlines() if line.startswith("Report:")]


def test_a_report_that_is_neither_here_nor_to_be_asked_for_is_refused_with_what_is(darkroom):
    nothing = darkroom("report")
    assert nothing.returncode == 1 and "No local cloud runs" in nothing.stderr and "darkroom up" in nothing.stderr
    assert not (darkroom.home / "runs").exists()
    keep(darkroom.home, "photos-1")
    typo = darkroom("report", "fotos-1")
    assert typo.returncode == 1 and "no results of fotos-1" in typo.stderr and "Did you mean 'photos-1'?" in typo.stderr
    half = darkroom("report", "../runs/photos-1")
    assert half.returncode == 1 and "no results of" in half.stderr
    for text in ('{"status": ', "[]", "{}"):
        (darkroom.home / "runs" / "photos-1" / "summary.json").write_text(text)
        half = darkroom("report")
        assert half.returncode == 1 and "summary.json" in half.stderr and "Traceback" not in half.stderr
