"""Managed mode on one machine: a training request with Debugger's rules and profiler, honoured by the local cloud with ours."""

from __future__ import annotations

import json

import pytest

from infra.managed import RULES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FIELDS = ("DebugRuleEvaluationStatuses", "ProfilerRuleEvaluationStatuses")


@pytest.fixture(scope="module")
def managed(deployed_with, photos, tmp_path_factory):
    """A deployment with `debugger=managed`, its run, and the training job as SageMaker describes it."""
    request = tmp_path_factory.mktemp("input") / "input.json"
    request.write_text(json.dumps({
        "tuning": {"enabled": False}, "explain": {"enabled": False}, "bias": {"enabled": False},
        "hyperparameters": {"epochs": 12}, "quality_gate": {"minimum": 0.3},
    }))  # fmt: skip
    command = deployed_with("debugger=managed", "endpoints.cpu.enabled=false")
    done = command("run", "--data", str(photos), "--input", str(request), "--json")
    jobs = command.shell(
        "aws sagemaker list-training-jobs --query 'TrainingJobSummaries[].TrainingJobName' --output text"
    )
    (name,) = jobs.stdout.split()
    job = json.loads(command.shell(f"aws sagemaker describe-training-job --training-job-name {name}").stdout)
    return command, json.loads(done.stdout), job


def test_every_rule_of_the_request_has_been_evaluated(managed):
    _, summary, job = managed
    assert summary["status"] == "SUCCEEDED"
    debug, profiler = (job[field] for field in FIELDS)
    assert [one["RuleConfigurationName"] for one in debug] == list(RULES)
    assert [one["RuleConfigurationName"] for one in profiler] == ["ProfilerReport"]
    for one in [*debug, *profiler]:
        answered = one["RuleEvaluationStatus"] in ("IssuesFound", "NoIssuesFound")
        assert answered or one["StatusDetails"].startswith("NoData: "), one


def test_the_rules_results_lie_where_sagemaker_puts_them(managed):
    command, _, job = managed
    found = {}
    for config, field in (("DebugHookConfig", "debug-output"), ("ProfilerConfig", "rule-output")):
        place = f"{job[config]['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}/"
        found[config] = command.shell(f"aws s3 ls --recursive {place}").stdout
        assert f"/{field}/" in found[config]
    assert "/rule-output/ProfilerReport/profiler-output/profiler-report.html" in found["ProfilerConfig"]
    for name in RULES:
        assert f"/rule-output/{name}/{name}.json" in found["DebugHookConfig"]


def test_health_goes_on_with_what_the_service_said(managed):
    command, summary, job = managed
    names = [step["name"] for step in summary["steps"]]
    assert names.index("Save rule outcomes") < names.index("Check training health") < names.index("Register model")
    execution = json.loads(
        command.shell(f"aws stepfunctions describe-execution --execution-arn {summary['execution_arn']}").stdout
    )
    health = json.loads(execution["output"])["health"]
    assert health["status"] in ("IssuesFound", "NoIssuesFound") and health["stopped_by"] == "none"
    found = {one["RuleConfigurationName"] for one in job[FIELDS[0]] if one["RuleEvaluationStatus"] == "IssuesFound"}
    assert found <= set(health["issues"])
    described = command.shell(
        f"aws sagemaker describe-model-package --model-package-name {summary['model_package_arn']}"
    )
    assert json.loads(described.stdout)["CustomerMetadataProperties"]["health_status"] == health["status"]
    page = (command.home / "runs" / summary["execution_arn"].rpartition(":")[2] / "report" / "index.html").read_text()
    assert "Evaluated in managed mode" in page
