"""What a run is estimated to take: from the state machine that infra makes, never from a list of steps of its own."""

from __future__ import annotations

import json
from types import SimpleNamespace

import boto3
import pytest
from botocore.stub import Stubber
from click.testing import CliRunner

from contract.execution_input import ExecutionInput
from darkroom import estimate as estimates
from darkroom.commands.estimate import estimate
from darkroom.terminal import console
from tests.infra.conftest import Synthesis, small_repository

DATASET = {"dataset": "s3://photos/set.zip"}
SINGLE = {"tuning": {"mode": "single_job"}}


@pytest.fixture(scope="module")
def definition(tmp_path_factory):
    folder = tmp_path_factory.mktemp("estimate")
    return Synthesis(small_repository(folder / "repository"), folder / "cdk.out", {}).definition


@pytest.fixture(scope="module")
def tables():
    return estimates.Tables.read()


def estimated(definition, tables, photos=2624, **given):
    return estimates.steps(definition, ExecutionInput.from_json({**DATASET, **given}), photos, tables)


def test_every_job_of_the_state_machine_has_a_line_and_minutes_of_its_own(definition, tables):
    jobs = {
        name
        for name, state in definition["States"].items()
        if state["Type"] == "Task" and state["Resource"].endswith(".sync")
    }
    all_of_them = [
        step for given in ({}, SINGLE, {"model": "resnet18"}) for step in estimated(definition, tables, **given)
    ]
    assert {step.name for step in all_of_them if step.kind != "endpoint"} == jobs == set(tables.work_seconds)
    assert all(step.minutes >= tables.start_minutes[step.kind] for step in all_of_them if step.kind != "endpoint")


def test_only_an_architecture_that_is_not_packaged_is_traced(definition, tables):
    traced = {
        model: "Prepare with PyTorch" in {step.name for step in estimated(definition, tables, model=model)}
        for model in ("efficientnet_lite0", "resnet18")
    }
    assert traced == {"efficientnet_lite0": False, "resnet18": True}


def test_a_search_in_one_job_costs_less_than_half_of_one_with_a_machine_for_each_trial(definition, tables):
    """Eight starts of minutes for trials of a second."""
    many, one = estimated(definition, tables), estimated(definition, tables, **SINGLE)
    search, single = ({step.name: step for step in found} for found in (many, one))
    assert search["Tune hyperparameters"].jobs == 8 and search["Tune hyperparameters"].at_once == 2
    cost = sum(search[name].dollars(tables) for name in ("Tune hyperparameters", "Train best model"))
    assert single["Tune in one job"].dollars(tables) < cost / 2
    assert sum(step.minutes for step in one) < sum(step.minutes for step in many)


def test_quotas_are_those_that_service_quotas_names_and_the_endpoint_of_explanations_is_among_them(definition, tables):
    assert estimates.quotas(estimated(definition, tables)) == {
        "ml.m5.2xlarge for processing job usage": 1, "ml.m5.2xlarge for training job usage": 2,
        "ml.m5.xlarge for processing job usage": 1, "ml.m5.xlarge for transform job usage": 1,
        "ml.m5.xlarge for endpoint usage": 1,
    }  # fmt: skip
    without = estimates.quotas(estimated(definition, tables, explain={"enabled": False}))
    assert "ml.m5.xlarge for endpoint usage" not in without


def test_machines_of_the_input_are_priced_and_several_machines_count_each(definition, tables):
    found = estimated(definition, tables, instances={"training": "ml.c5.2xlarge", "training_count": 2})
    train = next(step for step in found if step.name == "Train best model")
    assert (train.machine, train.quotas) == ("ml.c5.2xlarge", {"ml.c5.2xlarge for training job usage": 2})
    assert train.machine_minutes == pytest.approx(2 * train.minutes)
    assert train.dollars(tables) == pytest.approx(tables.per_hour["ml.c5.2xlarge"] * train.machine_minutes / 60)


def test_more_photos_take_longer_and_a_machine_without_a_price_has_no_dollars(definition, tables):
    few, many = (estimated(definition, tables, photos=count)[0] for count in (100, 100_000))
    assert few.minutes < many.minutes
    strange = estimated(definition, tables, instances={"prepare": "ml.m9.huge"})[0]
    assert strange.dollars(tables) is None


def test_a_table_of_ones_own_lies_over_the_shipped_ones_and_nonsense_is_refused_in_a_sentence(tmp_path, tables):
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"per_hour": {"ml.m5.xlarge": 9.0}, "start_minutes": {"processing": 0.5}}))
    read = estimates.Tables.read(own)
    assert read.per_hour["ml.m5.xlarge"] == 9.0 and read.per_hour["ml.m5.large"] == tables.per_hour["ml.m5.large"]
    assert read.start_minutes == {**tables.start_minutes, "processing": 0.5}
    for nonsense in (
        "[]",
        "{",
        '{"per_hour": {"ml.m5.xlarge": "cheap"}}',
        '{"hourly": {}}',
        '{"photos": 0}',
        '{"per_hour": {"a": true}}',
    ):
        own.write_text(nonsense)
        with pytest.raises(estimates.DarkroomError, match=r"--table .* cannot be used"):
            estimates.Tables.read(own)


@pytest.mark.parametrize(("granted", "code"), [(0.0, 1), (2.0, 0)])
def test_a_quota_that_is_too_small_is_named_with_the_command_that_requests_more(definition, granted, code):
    quotas, machines = (boto3.client(name, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
                        for name in ("service-quotas", "stepfunctions"))  # fmt: skip
    context = SimpleNamespace(
        console=console(), speak_json=lambda _: None,
        target=SimpleNamespace(
            is_local=False, parameter=lambda _: "arn:aws:states:us-east-1:000000000000:stateMachine:darkroom-dev-pipeline",
            client=lambda name: {"service-quotas": quotas, "stepfunctions": machines}[name],
        ),
    )  # fmt: skip
    said = {"stateMachineArn": context.target.parameter(""), "name": "m", "definition": json.dumps(definition), "type": "STANDARD",
            "roleArn": "arn:aws:iam::000000000000:role/machine", "creationDate": 0}  # fmt: skip
    page = {"Quotas": [{"QuotaName": "ml.m5.2xlarge for training job usage", "QuotaCode": "L-1234", "Value": granted}]}
    with Stubber(quotas) as asked, Stubber(machines) as described:
        described.add_response("describe_state_machine", said)
        asked.add_response("list_service_quotas", {"Quotas": [], "NextToken": "more"}, {"ServiceCode": "sagemaker"})
        asked.add_response("list_service_quotas", page, {"ServiceCode": "sagemaker", "NextToken": "more"})
        done = CliRunner().invoke(estimate, ["--photos", "2624"], obj=context, standalone_mode=False)
    assert done.exception is None, done.exception
    assert done.return_value == code
    words = "--quota-code L-1234 --desired-value 2"
    assert (words in done.output) is bool(code)
    assert "All of it" in done.output and "never measured on AWS" in done.output
