"""`darkroom compare` as a user meets it: what it sends to the state machine, what it prints, and what it refuses."""

from __future__ import annotations

import io
import json
import signal
import sys
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from PIL import Image
from rich.console import Console

from darkroom import comparisons
from darkroom.comparison_progress import happenings
from darkroom.history import Step
from tests.darkroom.conftest import started

LONG = "inception-resnet-v2-of-a-name-that-no-terminal-has-room-for"
ROLE = {"Version": "2012-10-17", "Statement": []}


def row(name: str, **changed) -> dict:
    known = {
        "name": name, "model": f"timm/{name}", "status": "finished", "reason": None, "pretrained": True, "match": "same", "note": "",
        "accuracy": 0.9, "balanced_accuracy": 0.875, "second_accuracy": None, "latency_p50_ms": 4.04,
        "disk_bytes": 2_900_000, "training_seconds": 12.0, "features_from_cache": None,
    }  # fmt: skip
    return known | changed


def printed(
    *rows: dict, width: int = 60, recommendations=(), chosen: str | None = None, pipeline: str | None = None
) -> str:
    console = Console(file=io.StringIO(), width=width)
    advice = list(recommendations) or [{"purpose": "Most accurate", "candidate": None, "reason": "-"}]
    document = {
        "candidates": list(rows), "recommendations": advice, "chosen": {"purpose": "Take", "candidate": chosen, "reason": "-"},
        "report": "/x/comparison.html", "seconds": 100.0,
        "estimated_seconds": 300.0, "pipeline": pipeline,
    }  # fmt: skip
    if chosen == "not decided":
        del document["chosen"]
    comparisons.print_table(console, document)
    return console.file.getvalue()


def test_no_name_is_cut_however_narrow_the_terminal():
    lines = printed(row(LONG), row("alexnet", balanced_accuracy=0.9)).splitlines()
    assert lines[1].split() == ["alexnet", "90.0%", "90.0%", "4.0", "ms", "2.9", "MB", "12.0", "s"]
    assert lines[2].split()[0] == LONG
    assert len({len(line) for line in lines[:3]}) == 1


def test_what_failed_or_was_left_out_stands_below_the_table_with_its_whole_reason():
    reason = "no weights for alexnet\nwere found [s3://somewhere/weights/alexnet/]. " + "Add them. " * 20
    text = printed(
        row("resnet18"), row("alexnet", status="failed", reason=reason), row("vgg11", status="left out", reason="42 s")
    )
    below = text.splitlines()[2:]
    assert below[0] == "failed  alexnet: " + " ".join(reason.split())
    assert below[1] == "left out  vgg11: 42 s"


def test_weights_that_are_not_the_original_ones_are_named():
    text = printed(
        row("resnet18-random", pretrained=False),
        row("vgg11-random", pretrained=False),
        row("bit", match="near", note="BiT-M, not BiT-S"),
        row("alexnet"),
    )
    assert "random weights, an architecture smoke test: resnet18-random, vgg11-random" in text
    assert "near-equivalent weights: bit (BiT-M, not BiT-S)" in text
    assert text.count("weights") == 2


def test_a_training_time_without_its_features_is_not_passed_off_as_whole():
    text = printed(row("alexnet", features_from_cache=1.0), row("vgg11", features_from_cache=0.0))
    assert "  alexnet: features came from the cache" in text
    assert "vgg11: features" not in text


def test_the_second_set_has_a_column_only_where_there_is_one():
    assert "second set" not in printed(row("alexnet"))
    assert "66.6%" in printed(row("alexnet", second_accuracy=0.666))


def test_an_advice_without_a_candidate_says_none():
    advice = {"purpose": "Cheapest [enough]", "candidate": None, "reason": "nothing reaches 99 %"}
    assert "Cheapest [enough]: none (nothing reaches 99 %)" in printed(row("alexnet"), recommendations=[advice])


def test_the_estimate_names_what_the_budget_leaves_out():
    console = Console(file=io.StringIO(), width=60)
    plan = {
        "estimate_seconds": 7300.0, "candidates": [{"name": "alexnet", "estimate_seconds": 7300.0}],
        "left_out": [{"name": LONG, "reason": "left out: estimated at 900 s, 10 s were left", "estimate_seconds": 900.0}],
    }  # fmt: skip
    comparisons.print_estimate(console, plan)
    text = console.file.getvalue()
    assert "estimate: 2.0 h for 1 candidate," in text
    assert f"{LONG}: left out: estimated at 900 s" in text


def test_the_last_lines_say_how_to_go_on_with_the_winner():
    advice = [{"purpose": "Most accurate", "candidate": "vgg11", "reason": "-"}]
    text = printed(row("vgg11"), row("alexnet"), recommendations=advice, chosen="alexnet")
    assert "Take: alexnet (-)" in text and "train alexnet with" in text
    assert "Took 100 s, estimated 5 min." in text
    assert "darkroom run --data YOUR_PHOTOS --model timm/alexnet\n" in text
    started = printed(
        row("alexnet"), recommendations=advice, chosen="alexnet", pipeline="arn:aws:states:r:0:execution:m:next-one"
    )
    assert "darkroom follow next-one" in started and "--model" not in started
    assert "Next:" not in printed(row("alexnet"))


def test_a_comparison_of_an_image_that_did_not_decide_is_shown_without_a_decision():
    text = printed(row("alexnet"), chosen="not decided")
    assert "Most accurate: none" in text and "Take:" not in text and "Comparison: /x/comparison.html" in text


def job(name: str, begun: int, ended: int | None, status: str = "Succeeded") -> Step:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    end = None if ended is None else moment + timedelta(seconds=ended)
    return Step("state", moment + timedelta(seconds=begun), end, status, job=f"darkroom-dev-0a1b2c3d-{name}-0-0")


def test_progress_names_the_candidate_and_says_what_stays():
    steps = [
        job("prepare", 0, 9), job("0-extract", 9, 12), job("0-train", 12, 20), job("1-extract", 20, 21, "Failed"),
        job("0-bench", 21, 40), job("1-train", 22, 40, "Aborted"), job("2-bench", 40, None, "Running"),
    ]  # fmt: skip
    seen = happenings(steps, ["alexnet", "vgg11", "resnet18"], datetime(2026, 1, 1, 0, 1, tzinfo=UTC))
    assert [one.line for one in seen if one.line] == [
        "trained   alexnet in 11 s", "failed    vgg11 (computing features)", "measured  alexnet in 19 s",
        "stopped   vgg11 (training)",
    ]  # fmt: skip
    assert (seen[-1].name, seen[-1].status, seen[-1].seconds) == ("resnet18", "Running", 20)


def test_the_estimate_counts_no_work_that_is_done():
    console = Console(file=io.StringIO(), width=60)
    names = ("alexnet", "vgg11", "resnet18")
    rows = [{"name": name, "estimate_seconds": 50.0, "benchmark_seconds": 20.0} for name in names]
    comparisons.print_estimate(
        console, {"candidates": rows, "left_out": []}, {"alexnet": "measured", "vgg11": "trained"}
    )
    text = console.file.getvalue()
    assert "estimate: 70 s for 2 candidates" in text
    assert "–  alexnet (measured by an earlier comparison)" in text
    assert "20 s  vgg11 (trained by an earlier comparison)" in text


@pytest.fixture(scope="module")
def machine(running, tmp_path_factory):
    """The running cloud with a state machine that only shows what it was asked, and a folder of photos."""
    cloud = json.loads((running.home / "cloud" / "cloud.json").read_text())
    session = boto3.Session(cloud["access_key_id"], cloud["secret_access_key"], region_name=cloud["region"])

    def client(name: str):
        return session.client(name, endpoint_url=cloud["endpoint"])

    role = client("iam").create_role(RoleName="compare", AssumeRolePolicyDocument=json.dumps(ROLE))["Role"]["Arn"]
    named = {"And": [{"Variable": "$.name", "IsPresent": True}, {"Variable": "$.name", "StringEquals": "slow"}]}
    echo = {
        "StartAt": "Choose",
        "States": {
            "Choose": {"Type": "Choice", "Choices": [{**named, "Next": "Wait"}], "Default": "Refuse"},
            "Wait": {"Type": "Wait", "Seconds": 120, "Next": "Refuse"},
            "Refuse": {"Type": "Fail", "Error": "NotToday", "Cause": "models: no [such] thing"},
        },
    }
    arn = client("stepfunctions").create_state_machine(name="compare", definition=json.dumps(echo), roleArn=role)[
        "stateMachineArn"
    ]
    for bucket in ("compare-data", "compare-artifacts"):
        client("s3").create_bucket(Bucket=bucket)
    for name, value in (
        ("comparison-state-machine-arn", arn), ("data-bucket", "compare-data"), ("artifacts-bucket", "compare-artifacts"),
    ):  # fmt: skip
        client("ssm").put_parameter(Name=f"/darkroom/dev/{name}", Value=value, Type="String")
    photos = tmp_path_factory.mktemp("photos") / "insects"
    for label in ("ant", "bee"):
        (photos / label).mkdir(parents=True)
        for n in range(3):
            Image.new("RGB", (8, 8)).save(photos / label / f"{n}.png")

    def asked() -> list[dict]:
        states = client("stepfunctions")
        runs = states.list_executions(stateMachineArn=arn)["executions"]
        return [json.loads(states.describe_execution(executionArn=run["executionArn"])["input"]) for run in runs]

    return asked, photos


def test_every_option_reaches_the_input_and_a_failure_is_told_with_its_reason(running, machine, tmp_path):
    asked, photos = machine
    more = tmp_path / "more.json"
    more.write_text(json.dumps({"seed": 7, "epochs": 3, "split": {"test": 0.3}}))
    answer = running(
        "compare", "--data", str(photos), "--evaluate-on", str(photos), "--models", "edge", "--base", "mobilenet_v2",
        "--epochs", "3", "--tune", "4", "--budget", "2.5", "--concurrency", "2", "--weigh", "balanced_accuracy=2",
        "--weigh", "disk_bytes=1", "--random-weights", "--start-pipeline", "--input", str(more),
    )  # fmt: skip
    assert answer.returncode == 1
    assert "models: no [such] thing" in answer.stderr + answer.stdout
    assert "what is trained is not trained again" in answer.stderr
    (document,) = asked()
    assert document.pop("dataset") == document.pop("evaluate_on")
    assert document == {
        "models": "edge", "base": "mobilenet_v2", "epochs": 3, "tune": 4, "budget_minutes": 2.5, "concurrency": 2,
        "weights": {"balanced_accuracy": 2.0, "disk_bytes": 1.0}, "pretrained": False, "start_pipeline": True, "seed": 7,
        "split": {"test": 0.3},
    }  # fmt: skip


def test_compare_wants_photos_or_a_comparison_to_follow(running):
    assert "needs either --data or --follow" in running("compare").stderr
    answer = running("compare", "--follow", "nobody")
    assert answer.returncode == 1
    assert "There is no comparison nobody." in answer.stderr


def test_a_weight_that_is_no_number_is_refused_before_anything_starts(running, machine):
    asked, photos = machine
    before = len(asked())
    answer = running("compare", "--data", str(photos), "--weigh", "accuracy=much")
    assert answer.returncode == 1
    assert "--weigh 'accuracy=much'" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert len(asked()) == before


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"epoch": 3}, "epoch: no such field"),
        ({"dataset": "s3://somewhere/else/"}, "names a dataset itself"),
    ],
)
def test_a_wrong_input_is_refused_before_the_upload(running, machine, tmp_path, document, words):
    asked, photos = machine
    before = len(asked())
    request = tmp_path / "wrong.json"
    request.write_text(json.dumps(document))
    answer = running("compare", "--data", str(photos), "--input", str(request))
    assert answer.returncode == 1
    assert words in answer.stderr
    assert len(asked()) == before and "Traceback" not in answer.stderr


def test_ctrl_c_leaves_the_comparison_running_and_says_how_to_go_on(running, machine, tmp_path):
    asked, photos = machine
    request = tmp_path / "slow.json"
    request.write_text(json.dumps({"name": "slow"}))
    command = [sys.executable, "-u", "-m", "darkroom.cli", "compare", "--data", str(photos), "--input", str(request)]
    with started(command, env=running.environment, cwd=tmp_path) as process:
        assert next(line for line in process.stdout if " started" in line)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    name = rest.partition("darkroom compare --follow ")[2].split()[0]
    assert name.startswith("insects-compare-")
    assert name in running("compare", "--follow", name + "x").stderr
    assert "slow" in [document.get("name") for document in asked()]
