"""On AWS nothing that costs by the hour starts unasked, no account is bootstrapped unasked, and settings of what stands are kept."""

import json
import os

import pytest

from contract.names import ENDPOINTS, Names
from darkroom import costs
from tests.darkroom import deployments, inside

NAMES = Names()
AWS = ["--target", "aws"]
SERVED = list(NAMES.served)


def template() -> dict:
    """As infra's Endpoints stack: conditional, by what two SSM parameters say; GPU is switched on."""
    machines = {"Cpu": ("ml.m5.large", 2), "Gpu": ("ml.g4dn.xlarge", 1)}
    read = {"Type": "AWS::SSM::Parameter::Value<String>", "Default": NAMES.parameter("no-model")}
    marks = {
        f"{name}Mark": {"Type": "AWS::SSM::Parameter", "Condition": "Approved", "Properties": {
            "Name": NAMES.parameter(f"{name}-mark"), "Type": "String", "Value": {"Ref": SERVED[0]}}}
        for name in machines
    }  # fmt: skip
    configurations = {
        f"{name}Config": {"Type": costs.CONFIGURATION, "Condition": "Never", "Properties": {"ProductionVariants": [
            {"InstanceType": kind, "InitialInstanceCount": count, "ModelName": "m", "VariantName": "v"}]}}
        for name, (kind, count) in machines.items()
    }  # fmt: skip
    return {
        "Parameters": dict.fromkeys(SERVED, read),
        "Conditions": {
            "Approved": {"Fn::Not": [{"Fn::Equals": [{"Ref": SERVED[0]}, "none"]}]},
            "Never": {"Fn::Equals": ["a", "b"]},
        },
        "Resources": marks | configurations | deployments._resources(NAMES, ENDPOINTS),
    }


@pytest.fixture(scope="module")
def account(running):
    make = deployments.clients(running.home)
    for name, value in (
        ("no-model", "none"),
        ("approved-model-package", "arn:new"),
        ("approved-model-data", "s3://m/x"),
    ):
        make("ssm").put_parameter(Name=NAMES.parameter(name), Type="String", Value=value)
    deployments.deploy(make, NAMES, **{ENDPOINTS: template()})
    execution = inside.ask(running, "run", "--data", "s3://absent/x", "--no-wait", *AWS, **inside.account(running.home))
    assert execution.returncode == 1  # there is no such data: nothing was started by that
    return lambda *words: inside.ask(running, *words, *AWS, **inside.account(running.home)), make


@pytest.mark.parametrize(
    "words", [["follow", "--endpoint"], ["approve", "--endpoint"], ["run", "--data", "x", "--endpoint"]]
)
def test_endpoints_are_asked_for_with_their_sum_before_anything_starts(account, words):
    ask, make = account
    machine = make("ssm").get_parameter(Name=NAMES.parameter("state-machine-arn"))["Parameter"]["Value"]
    make("stepfunctions").start_execution(stateMachineArn=machine, name=words[0], input="{}")
    said = ask(*words)
    assert said.returncode == 1 and "Add --yes" in said.stderr
    # 2 × 0.115 + 0.7364 dollars; 730 hours.
    assert (
        "1 × ml.g4dn.xlarge + 2 × ml.m5.large: $0.97 an hour, about $705 a month (list prices of us-east-1"
        in said.stdout
    )


def test_without_endpoint_nothing_is_updated(account):
    ask, make = account
    machine = make("ssm").get_parameter(Name=NAMES.parameter("state-machine-arn"))["Parameter"]["Value"]
    make("stepfunctions").start_execution(stateMachineArn=machine, name="quiet", input="{}")
    assert ask("follow", "quiet").returncode == 0
    assert (
        make("cloudformation").describe_stacks(StackName=NAMES.stack(ENDPOINTS))["Stacks"][0]["StackStatus"]
        == "CREATE_COMPLETE"
    )


def test_an_account_is_not_bootstrapped_unasked(account):
    ask, make = account
    said = ask("deploy", "--yes")
    assert said.returncode == 1 and "is not bootstrapped for the CDK" in said.stderr and "--bootstrap" in said.stderr
    assert "/cdk-bootstrap/hnb659fds/version" in said.stderr
    other = ask("deploy", "--yes", "-c", "@aws-cdk/core:bootstrapQualifier=company")
    assert "/cdk-bootstrap/company/version" in other.stderr
    assert "CDKToolkit" not in deployments.stacks(make)


def test_a_setting_that_contradicts_an_option_is_refused(account):
    ask, _ = account
    said = ask("deploy", "--project", "bees", "-c", "project=wasps")
    assert said.returncode == 1 and "--project says 'bees', -c project=wasps another" in said.stderr
    of_another = ask("deploy", "--environment", "prod", "Darkroom-Endpoints")
    assert of_another.returncode == 1 and "Darkroom-Prod-Endpoints" in of_another.stderr
    refused = ask("status", "--environment", "Pre-Prod")
    assert refused.returncode == 1 and "'Pre-Prod'" in refused.stderr and "Traceback" not in refused.stderr


def test_updating_the_endpoints_keeps_the_deployed_template_and_its_settings(account):
    """Whatever cdk.json or the last command line say: the deployed template has a GPU endpoint, and keeps it."""
    from rich.console import Console

    from darkroom import stacks
    from darkroom.home import Home
    from darkroom.target import Target

    ask, make = account
    home = json.loads(ask("status", "--json").stdout)["home"]
    before = make("cloudformation").get_template(StackName=NAMES.stack(ENDPOINTS))["TemplateBody"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", os.environ.copy())
        target = Target("local", Home(home), named=frozenset({"project", "environment"}))
        for _ in range(2):  # the second time there is nothing to update
            stacks.deploy_again(target, ENDPOINTS, Console())
    assert make("cloudformation").get_template(StackName=NAMES.stack(ENDPOINTS))["TemplateBody"] == before
    for name in ("Cpu", "Gpu"):
        assert make("ssm").get_parameter(Name=NAMES.parameter(f"{name}-mark"))["Parameter"]["Value"] == "arn:new"


def test_a_type_without_a_price_is_named_and_not_guessed():
    variant = {"InstanceType": "ml.p9.huge", "InitialInstanceCount": 1}
    one = {"Type": costs.CONFIGURATION, "Properties": {"ProductionVariants": [variant]}}
    assert str(costs.of_endpoints({"Resources": {"A": one}})) == "1 × ml.p9.huge, of unknown price"
