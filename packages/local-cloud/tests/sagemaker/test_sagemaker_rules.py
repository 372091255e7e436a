"""Managed mode: rules of a training job are evaluated by the labelled image's program, and shown as SageMaker shows them."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from local_cloud.testing import wait_until
from tests.sagemaker.platform import TRAINER, Platform, started_platform

BUILT_IN = "503895931360.dkr.ecr.us-east-1.amazonaws.com/sagemaker-debugger-rules:latest"
LABEL = 'local-cloud.rule-evaluator="python main.py rules"'
FIELDS = ("DebugRuleEvaluationStatuses", "ProfilerRuleEvaluationStatuses")

# Rules about one number that the training leaves; also a trainer, as an image of both is.
EVALUATOR = """
import argparse, json, pathlib, sys, time
if sys.argv[1:2] == ["rules"]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    for name in ("rules-config", "input", "output"):
        parser.add_argument(f"--{name}", type=pathlib.Path)
    given = parser.parse_args(sys.argv[2:])
    if given.list:
        print("a line of chatter")
        print(json.dumps(["TooHigh", "Crash", "Wait", "Impolite"]))
        sys.exit(0)
    found = sorted(given.input.rglob("loss.txt"))
    for rule in json.loads(given.rules_config.read_text()):
        asked = rule["RuleParameters"]["rule_to_invoke"]
        print("evaluating", rule["RuleConfigurationName"], flush=True)
        if asked == "Crash":
            sys.exit("this rule breaks its evaluator")
        while asked == "Wait":
            time.sleep(0.05)
        high = bool(found) and float(found[0].read_text()) > float(rule["RuleParameters"].get("limit", 1))
        status, seen = ("IssuesFound", "too high") if high else ("NoIssuesFound", "fine")
        if not found:
            status, seen = "Error", "NoData: no loss.txt"
        if asked == "Impolite":
            status = "Perhaps"
        folder = given.output / rule["RuleConfigurationName"]
        (folder / "deeper").mkdir(parents=True)
        (folder / "outcome.json").write_text(json.dumps({"RuleEvaluationStatus": status, "StatusDetails": seen}))
        (folder / "deeper" / "seen.txt").write_text(seen)
    sys.exit(0)
""" + TRAINER  # fmt: skip


@pytest.fixture(scope="module")
def trainer(platform) -> str:
    return platform.image("trainer-with-rules", EVALUATOR, LABEL)


def rule(name: str, invoked: str = "TooHigh", image: str = BUILT_IN, **parameters: str) -> dict:
    return {
        "RuleConfigurationName": name, "RuleEvaluatorImage": image,
        "RuleParameters": {"rule_to_invoke": invoked, **parameters},
    }  # fmt: skip


def request(platform: Platform, image: str, program: str, debug=(), profiler=(), **fields) -> dict:
    blocks = {
        "DebugHookConfig": {"S3OutputPath": platform.uri("debugger"), **fields.pop("DebugHookConfig", {})},
        "ProfilerConfig": {"S3OutputPath": platform.uri("profiler"), "ProfilingIntervalInMilliseconds": 500},
        "DebugRuleConfigurations": list(debug),
        "ProfilerRuleConfigurations": list(profiler),
    }
    return platform.training_request(
        program, AlgorithmSpecification={"TrainingImage": image}, **{k: v for k, v in blocks.items() if v}, **fields
    )


def evaluated(platform: Platform, name: str) -> dict:
    """The job once all of its rules have ended."""
    return platform.until(
        "TrainingJob", name,
        lambda job: all(s["RuleEvaluationStatus"] != "InProgress" for f in FIELDS for s in job.get(f, [])),
    )  # fmt: skip


def test_rules_find_what_the_training_left_and_the_job_shows_it(platform, trainer):
    asked = request(
        platform, trainer, '(base / "output/data/loss.txt").write_text("2")',
        debug=[rule("Strict"), rule("Lenient", limit="5")], profiler=[rule("ProfilerReport")],
    )  # fmt: skip
    platform.api.create_training_job(**asked)
    name = asked["TrainingJobName"]
    job = evaluated(platform, name)
    assert job["TrainingJobStatus"] == "Completed" and job["ProfilingStatus"] == "Enabled"
    debug, profiler = job["DebugRuleEvaluationStatuses"], job["ProfilerRuleEvaluationStatuses"]
    assert [(s["RuleConfigurationName"], s["RuleEvaluationStatus"], s["StatusDetails"]) for s in debug] == [
        ("Strict", "IssuesFound", "too high"),
        ("Lenient", "NoIssuesFound", "fine"),
    ]
    assert profiler[0]["RuleEvaluationStatus"] == "IssuesFound"
    assert all(s["LastModifiedTime"] >= job["CreationTime"] for s in debug)
    assert job["DebugRuleConfigurations"] == asked["DebugRuleConfigurations"]
    assert platform.read(f"debugger/{name}/rule-output/Strict/deeper/seen.txt") == b"too high"
    assert platform.read(f"profiler/{name}/rule-output/ProfilerReport/deeper/seen.txt") == b"too high"
    evaluation = platform.api.describe_processing_job(
        ProcessingJobName=debug[0]["RuleEvaluationJobArn"].rpartition("/")[2]
    )
    assert evaluation["ProcessingJobStatus"] == "Completed"
    assert evaluation["TrainingJobArn"] == job["TrainingJobArn"]
    assert "evaluating Strict" in platform.lines("/aws/sagemaker/ProcessingJobs", evaluation["ProcessingJobName"])


def test_rules_are_in_progress_while_the_training_runs(platform, trainer):
    program = """
    say("running")
    while not (base / "output/data/go").exists():
        time.sleep(0.02)
    """
    asked = request(platform, trainer, program, debug=[rule("Strict")])
    platform.api.create_training_job(**asked)
    platform.saying(asked["TrainingJobName"], "running")
    job = platform.describe("TrainingJob", asked["TrainingJobName"])
    assert [s["RuleEvaluationStatus"] for s in job["DebugRuleEvaluationStatuses"]] == ["InProgress"]
    platform.api.stop_training_job(TrainingJobName=asked["TrainingJobName"])
    job = evaluated(platform, asked["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["DebugRuleEvaluationStatuses"][0]["StatusDetails"] == "NoData: no loss.txt"


def test_a_training_that_failed_is_judged_by_what_it_left(platform, trainer):
    asked = request(
        platform,
        trainer,
        '(base / "output/data/loss.txt").write_text("9"); sys.exit("diverged")',
        debug=[rule("Strict")],
    )
    platform.api.create_training_job(**asked)
    job = evaluated(platform, asked["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Failed"
    assert job["DebugRuleEvaluationStatuses"][0]["RuleEvaluationStatus"] == "IssuesFound"


def test_tensors_outside_the_output_folder_and_an_output_path_of_its_own_are_honoured(platform, trainer):
    own = {**rule("Strict"), "S3OutputPath": platform.uri("elsewhere")}
    asked = request(
        platform, trainer, '(base / "tensors/loss.txt").write_text("2")', debug=[own],
        DebugHookConfig={"LocalPath": "/opt/ml/tensors"},
    )  # fmt: skip
    platform.api.create_training_job(**asked)
    job = evaluated(platform, asked["TrainingJobName"])
    assert job["DebugRuleEvaluationStatuses"][0]["RuleEvaluationStatus"] == "IssuesFound"
    assert platform.keys(f"elsewhere/{asked['TrainingJobName']}/rule-output/Strict/")


@pytest.mark.parametrize(
    ("invoked", "details"), [("Crash", "this rule breaks its evaluator"), ("Impolite", "'Perhaps'; allowed")]
)
def test_an_evaluator_that_gives_no_outcome_is_an_error_of_its_rules_and_not_of_the_job(
    platform, trainer, invoked, details
):
    asked = request(platform, trainer, "pass", debug=[rule("Strict", invoked)])
    platform.api.create_training_job(**asked)
    job = evaluated(platform, asked["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed"
    (status,) = job["DebugRuleEvaluationStatuses"]
    assert status["RuleEvaluationStatus"] == "Error" and details in status["StatusDetails"]


def test_a_rule_image_of_ones_own_is_run_itself(platform, trainer):
    asked = request(
        platform, platform.trainer, '(base / "output/data/loss.txt").write_text("2")',
        debug=[rule("Strict", image=trainer)],
    )  # fmt: skip
    platform.api.create_training_job(**asked)
    job = evaluated(platform, asked["TrainingJobName"])
    assert job["DebugRuleEvaluationStatuses"][0]["RuleEvaluationStatus"] == "IssuesFound"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([rule("Strict", "TooHot")], "rule_to_invoke of the rule 'Strict' .* is 'TooHot'; available here: TooHigh, Crash"),
        ([{**rule("Mine"), "RuleParameters": {"source_s3_uri": "s3://b/rule.py"}}], "custom rule"),
        ([rule("Twice"), rule("Twice")], "more than once"),
        ([rule("../up")], "cannot be a folder"),
        ([rule("Strict", image="000000000000.dkr.ecr.us-east-1.amazonaws.com/nothing:1")], "not in the local registry"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_evaluated_is_refused_by_name(platform, trainer, rules, message):
    asked = request(platform, trainer, "pass", debug=rules)
    with pytest.raises(ClientError, match=message):
        platform.api.create_training_job(**asked)
    with pytest.raises(ClientError, match="not found"):
        platform.describe("TrainingJob", asked["TrainingJobName"])


@pytest.mark.slow
def test_any_image_is_judged_by_the_evaluator_that_is_there_and_a_cloud_that_ends_leaves_no_rule_in_progress(tmp_path):
    platform = started_platform(tmp_path)
    try:
        with pytest.raises(
            ClientError, match=r"no image in the local registry has the label local-cloud\.rule-evaluator"
        ):
            platform.api.create_training_job(**request(platform, platform.trainer, "pass", debug=[rule("Strict")]))
        assert platform.image("evaluator", EVALUATOR, LABEL).endswith("/evaluator:1")
        asked = request(platform, platform.trainer, "pass", debug=[rule("Strict"), rule("Never", "Wait")])
        platform.api.create_training_job(**asked)
        name = asked["TrainingJobName"]
        platform.until("TrainingJob", name, lambda job: job["TrainingJobStatus"] == "Completed")
        (first, _) = platform.describe("TrainingJob", name)["DebugRuleEvaluationStatuses"]
        evaluation = first["RuleEvaluationJobArn"].rpartition("/")[2]
        wait_until(
            lambda: "evaluating Never" in platform.lines("/aws/sagemaker/ProcessingJobs", evaluation), 20, "evaluation"
        )
        platform.cloud.kill()
        platform.cloud.start()
        again = Platform(platform.cloud, tmp_path / "again")
        statuses = again.describe("TrainingJob", name)["DebugRuleEvaluationStatuses"]
        assert [s["RuleEvaluationStatus"] for s in statuses] == ["Stopped", "Stopped"]
        assert json.dumps(statuses, default=str).count("stopped before the rule was evaluated") == 2
    finally:
        platform.cloud.stop()
