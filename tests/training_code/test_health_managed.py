"""Managed mode: our rules in SageMaker's terms, and SageMaker's rules in ours."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from contract.health_rules import RULE_NAMES
from tests.training_code.observed_training import perceptron, photos, slow_storage, train
from training_code.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def waited(tmp_path_factory) -> Path:
    """A training that waits for its data, observed without samples of the machine: some rules then have no data."""
    base = tmp_path_factory.mktemp("job")
    train(base, perceptron(), photos(), epochs=3, load=slow_storage)
    return base / "output"


def configuration(name: str, rule: str, **parameters: str) -> dict:
    return {
        "RuleConfigurationName": name, "RuleEvaluatorImage": "any",
        "RuleParameters": {"rule_to_invoke": rule, **parameters},
    }  # fmt: skip


def evaluate(source: Path, out: Path, *rules: dict, arguments: tuple[str, ...] = ()) -> dict:
    out.mkdir(parents=True, exist_ok=True)
    if rules:
        (out / "rules.json").write_text(json.dumps(rules))
        arguments = (*arguments, "--rules-config", str(out / "rules.json"))
    assert main(["health", "--input", str(source), "--output", str(out), *arguments]) == 0
    return json.loads((out / "health.json").read_text())


def said(out: Path, name: str) -> dict:
    return json.loads((out / name / "outcome.json").read_text())


def test_each_configuration_gets_a_folder_in_sagemakers_terms(waited, tmp_path):
    evaluate(
        waited, tmp_path,
        configuration("Slow", "StepOutlier", share="1"),  # of the time: no busy machine makes outliers cost all of it
        configuration("Impossible", "StepOutlier", min_steps="100000"),
        configuration("GPU", "LowGPUUtilization"), configuration("Loss", "LossNotDecreasing", num_steps="10"),
    )  # fmt: skip
    assert said(tmp_path, "Slow")["RuleEvaluationStatus"] == "NoIssuesFound"
    assert said(tmp_path, "Loss")["RuleEvaluationStatus"] == "NoIssuesFound"
    for name in ("Impossible", "GPU"):
        assert said(tmp_path, name)["RuleEvaluationStatus"] == "Error"
        assert said(tmp_path, name)["StatusDetails"].startswith("NoData: ")
    assert (tmp_path / "Loss" / "LossNotDecreasing.json").exists() and (tmp_path / "Loss" / "health.html").exists()


def test_the_profiler_report_is_one_rule_of_many_with_its_page(waited, tmp_path):
    rules = (configuration("ProfilerReport", "ProfilerReport"),)
    result = evaluate(waited, tmp_path, *rules)
    folder = tmp_path / "ProfilerReport" / "profiler-output"
    assert "What took the time" in (folder / "profiler-report.html").read_text()
    parts = {path.stem for path in (folder / "profiler-reports").glob("*.json")}
    assert "IOBottleneck" in parts and "LossNotDecreasing" not in parts
    assert {rule["name"] for rule in result["rules"]} == parts
    bottleneck = json.loads((folder / "profiler-reports" / "IOBottleneck.json").read_text())
    assert bottleneck["parameters"]["threshold"] == 30


def test_a_parameter_of_the_profiler_report_reaches_its_rule(tmp_path):
    train(tmp_path / "job", perceptron(), photos(), epochs=2, evaluations=200)
    source = tmp_path / "job" / "output"
    strict = configuration(
        "Report",
        "ProfilerReport",
        LongEvaluation_min_seconds="0",
        LongEvaluation_min_gain_seconds="0",
        LongEvaluation_max_ratio="0.001",
    )
    lenient = configuration("Report", "ProfilerReport", LongEvaluation_max_ratio="1e9")
    assert "LongEvaluation" in evaluate(source, tmp_path / "strict", strict)["issues"]
    assert "LongEvaluation" not in evaluate(source, tmp_path / "lenient", lenient)["issues"]


def test_the_rules_are_listed_for_whoever_offers_them(capsys):
    assert main(["health", "--list"]) == 0
    assert json.loads(capsys.readouterr().out) == [*RULE_NAMES, "ProfilerReport"]


def test_the_image_says_by_which_command_it_evaluates_rules():
    labels = dict(re.findall(r"^LABEL (\S+?)=(.+)$", (ROOT / "training_code/Dockerfile").read_text(), re.MULTILINE))
    command = labels["local-cloud.rule-evaluator"]
    assert shlex.split(shlex.split(command)[0]) == ["python", "-m", "training_code", "health"]


def status(name: str, reached: str, details: str = "") -> dict:
    return {"RuleConfigurationName": name, "RuleEvaluationStatus": reached, "StatusDetails": details}


def test_what_the_service_evaluated_takes_the_place_of_our_rule(waited, tmp_path):
    statuses = {
        "DebugRuleEvaluationStatuses": [
            status("LossNotDecreasing", "IssuesFound", "the loss stood still"), status("DeadRelu", "NoIssuesFound"),
            status("Overfit", "Error", "NoData: no epoch"), status("Overtraining", "InProgress"),
        ],
        "ProfilerRuleEvaluationStatuses": [status("TheirOwn", "Stopped")],
    }  # fmt: skip
    (tmp_path / "statuses.json").write_text(json.dumps(statuses))
    result = evaluate(waited, tmp_path / "out", arguments=("--evaluated", str(tmp_path / "statuses.json")))
    rules = {rule["name"]: rule for rule in result["rules"]}
    assert rules["LossNotDecreasing"]["status"] == "IssuesFound" and "LossNotDecreasing" in result["issues"]
    assert rules["LossNotDecreasing"]["implementation"].endswith("(managed mode), evaluated by the platform")
    assert rules["DeadRelu"]["status"] == "NoIssuesFound"
    assert [rules[name]["status"] for name in ("Overfit", "Overtraining", "TheirOwn")] == ["NoData"] * 3
    assert "not SageMaker's" in rules["StepOutlier"]["implementation"]
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert "LossNotDecreasing" in verdict["issue_names"] and verdict["stopped_by"] == "none"


@pytest.mark.parametrize(
    "content", ["not JSON", '{"DebugRuleEvaluationStatuses": [{"RuleConfigurationName": "x"}]}', "[]", '"{}"']
)
def test_statuses_that_cannot_be_read_fail_with_what_is_expected(waited, tmp_path, monkeypatch, content):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    (tmp_path / "statuses.json").write_text(content)
    assert main(["health", "--input", str(waited), "--evaluated", str(tmp_path / "statuses.json")]) == 1
    assert "DescribeTrainingJob" in (tmp_path / "output" / "message").read_text()


def test_names_of_many_rules_fit_into_the_metadata_of_a_model_package():
    from training_code.health.verdict import LONGEST, verdict

    found = verdict([{"name": name, "status": "IssuesFound"} for name in RULE_NAMES], None)
    assert len(found["issue_names"]) <= LONGEST and found["issue_names"].endswith("...")
    assert verdict([{"name": "Overfit", "status": "NoIssuesFound"}], None)["issue_names"] == "none"
