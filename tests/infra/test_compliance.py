"""The templates by other people's rules: cdk-nag, cfn-lint, and npm's validator of the Amazon States Language."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from infra.darkroom import Darkroom
from tests.infra.acknowledged import ACKNOWLEDGED
from tests.infra.conftest import FLAGS, ROOT


@pytest.fixture(scope="module")
def findings(repository, tmp_path_factory) -> list[tuple[str, str]]:
    """(rule, construct path) of everything that AwsSolutions finds."""
    out = tmp_path_factory.mktemp("nag")
    app = App(analytics_reporting=False, outdir=str(out), context=FLAGS)
    Darkroom(app, root=repository)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    report = json.loads((out / "validation-report.json").read_text())
    return [
        (violation["ruleName"], construct["constructPath"])
        for plugin in report["pluginReports"]
        if plugin["pluginName"] == "AwsSolutions"
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    ]


def test_every_finding_of_cdk_nag_has_a_reason(findings):
    unexplained = [
        finding
        for finding in findings
        if not any(re.fullmatch(a.rule, finding[0]) and re.fullmatch(a.path, finding[1]) for a in ACKNOWLEDGED)
    ]
    assert findings
    assert not unexplained


def test_no_reason_is_kept_for_what_is_not_found_any_more(findings):
    unused = [
        a
        for a in ACKNOWLEDGED
        if not any(re.fullmatch(a.rule, rule) and re.fullmatch(a.path, path) for rule, path in findings)
    ]
    assert not unused


@pytest.mark.slow
def test_cfn_lint_has_nothing_to_say(default, full):
    files = [
        str(synthesis.directory / stack.template_file) for synthesis in (default, full) for stack in synthesis.stacks
    ]
    done = subprocess.run(
        ["cfn-lint", "--regions", "us-east-1", "--", *files],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("settings", ["default", "full"])
def test_the_state_machine_is_valid_asl(request, settings, tmp_path):
    path = tmp_path / "definition.json"
    path.write_text(json.dumps(request.getfixturevalue(settings).definition))
    done = subprocess.run(
        [str(ROOT / ".venv/bin/node"), str(ROOT / "node_modules/.bin/asl-validator"), "--json-path", str(path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_validator_finds_a_state_that_leads_nowhere(default, tmp_path):
    broken = json.loads(json.dumps(default.definition))
    broken["States"]["Train best model"]["Next"] = "Nowhere"
    path = tmp_path / "definition.json"
    path.write_text(json.dumps(broken))
    done = subprocess.run(
        [str(ROOT / ".venv/bin/node"), str(ROOT / "node_modules/.bin/asl-validator"), "--json-path", str(path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Nowhere" in done.stdout + done.stderr


def test_nothing_is_a_lambda_function_or_costs_before_an_endpoint_exists(default, full):
    free = {
        "AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::SSM::Parameter", "AWS::IAM::Role", "AWS::IAM::Policy",
        "AWS::Logs::LogGroup", "AWS::SageMaker::ModelPackageGroup", "AWS::StepFunctions::StateMachine",
        "AWS::SageMaker::Model", "AWS::SageMaker::EndpointConfig",
    }  # fmt: skip
    kinds = {
        (resource["Type"], resource.get("Condition"))
        for template in default.templates.values()
        for resource in template["Resources"].values()
    }
    assert {kind for kind, _ in kinds} <= free | {"AWS::SageMaker::Endpoint"}
    assert {condition for kind, condition in kinds if kind == "AWS::SageMaker::Endpoint"} == {"ModelIsApproved"}
    assert "AWS::Lambda::Function" not in json.dumps(full.templates)
