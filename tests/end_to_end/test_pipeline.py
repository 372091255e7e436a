"""From a folder of photos to an answering endpoint, through the real CDK CLI and the deployed state machine."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from darkroom.summary_fields import SCHEMA

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STEPS = [
    "Prepare dataset", "Tune hyperparameters", "Train best model", "Check training health", "Explain with Clarify",
    "Batch transform", "Measure bias", "Register model", "Publish", "Write report",
]  # fmt: skip


def test_the_summary_says_what_happened(summary):
    Draft202012Validator(SCHEMA).validate(summary)
    assert summary["status"] == "SUCCEEDED"
    assert summary["execution_arn"].startswith("arn:aws:states:")
    assert 0 < summary["orchestration_seconds"] < summary["seconds"]
    assert summary["tuning"]["trials"] == 3
    assert set(summary["tuning"]["best_hyperparameters"]) == {"depths"}
    assert summary["test"]["n"] > 0
    assert summary["test"]["balanced_accuracy"] >= 0.5
    assert summary["model_package_arn"].startswith("arn:aws:sagemaker:")


def test_the_steps_ran_in_the_order_of_the_design(summary):
    names = [step["name"] for step in summary["steps"]]
    assert [name for name in names if name in STEPS] == STEPS
    assert all(step["seconds"] >= 0 and step["status"] for step in summary["steps"])


def test_the_endpoint_answers_three_test_photos(summary):
    predictions = summary["endpoint"]["predictions"]
    assert len(predictions) == 3
    for prediction in predictions:
        assert prediction["label"] in {"stripes", "bars", "diagonals"}
        assert 1 / 3 <= prediction["probability"] <= 1


def test_bias_is_measured_for_the_facet_of_metadata_csv(summary):
    assert "camera" in json.dumps(summary["bias"])


def test_the_report_is_one_page_without_outside_references(summary):
    page = Path(summary["report"]).read_text()
    assert "<html" in page
    assert 'src="http' not in page
    assert 'href="http' not in page.replace('href="https://docs.', "")


def test_the_aws_cli_sees_everything_after_darkroom_env(deployed, summary, photos):
    photo = next((photos / "bars").glob("*.jpg"))
    listed = deployed.shell(
        "arn=$(aws ssm get-parameter --name /darkroom/dev/state-machine-arn --query Parameter.Value --output text)"
        " && aws stepfunctions list-executions --state-machine-arn $arn --output json"
    )
    assert json.loads(listed.stdout)["executions"][0]["status"] == "SUCCEEDED", listed.stderr
    jobs = deployed.shell("aws sagemaker list-training-jobs --output json")
    assert len(json.loads(jobs.stdout)["TrainingJobSummaries"]) >= 4, jobs.stderr
    assert deployed.shell("aws s3 ls").stdout.count("\n") >= 3
    answer = deployed.shell(
        f"aws sagemaker-runtime invoke-endpoint --endpoint-name {summary['endpoint']['name']}"
        f" --content-type image/jpeg --body 'fileb://{photo}' /dev/stdout"
    )
    assert '"predictions"' in answer.stdout, answer.stderr


def test_a_deploy_leaves_no_difference(deployed, summary):
    diff = deployed.shell("cdk diff --all --fail")
    assert diff.returncode == 0, diff.stdout + diff.stderr


def test_state_survives_kill_9(deployed, summary):
    listing = "aws sagemaker list-training-jobs --query 'TrainingJobSummaries[].TrainingJobName' --output json"
    before = json.loads(deployed.shell(listing).stdout)
    connection = json.loads((deployed.home / "cloud" / "cloud.json").read_text())
    os.kill(connection["pid"], signal.SIGKILL)
    deployed("up")
    after = deployed.shell(f"aws s3 ls && aws cloudformation list-stacks && {listing}")
    assert after.returncode == 0, after.stderr
    assert json.loads(deployed.shell(listing).stdout) == before
    name = summary["endpoint"]["name"]
    served = deployed.shell(f"aws sagemaker wait endpoint-in-service --endpoint-name {name}")
    assert served.returncode == 0, served.stderr


@pytest.mark.parametrize(
    ("request_body", "named"),
    [
        ({"hyperparameters": {"learning_rat": 0.1}}, "learning_rat"),
        ({"tuning": {"ranges": {"learning_rate": {"min": 0.1, "max": 0.001}}}}, "learning_rate"),
        ({"model": "resnet1800"}, "resnet1800"),
    ],
)
def test_bad_input_is_named_before_the_upload(deployed, photos, tmp_path, request_body, named):
    path = tmp_path / "input.json"
    path.write_text(json.dumps(request_body))
    done = deployed("run", "--data", str(photos), "--input", str(path), check=False)
    assert done.returncode == 1
    assert named in done.stdout + done.stderr
    assert "Nothing was uploaded or started" in done.stdout + done.stderr


def test_a_dataset_that_does_not_exist_is_named(deployed):
    done = deployed("run", "--data", "s3://no-such-bucket/photos/", check=False)
    assert done.returncode == 1
    assert "no-such-bucket" in done.stdout + done.stderr
