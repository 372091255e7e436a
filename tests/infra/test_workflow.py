"""The state machine walked from end to end: order, data flow, requests, and what happens when something fails."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from contract.execution_input import ExecutionInput
from contract.instances import Instances
from infra.workflow.check_training_health import ASK_AT_MOST
from tests.infra.api import problems
from tests.infra.conftest import resolve
from tests.infra.pipeline_run import OTHERS_LOG, SAMPLE, Account, TaskFailed, written
from tests.infra.test_comparison import states_of

STEPS = [
    "Prepare dataset", "Tune hyperparameters", "Train best model", "Check training health", "Explain with Clarify",
    "Batch transform", "Measure bias", "Quality gate", "Register model", "Publish", "Write report",
]  # fmt: skip


def test_the_steps_run_in_the_order_of_the_design(default):
    outcome = Account(default.definition).run(SAMPLE)
    assert outcome.status == "SUCCEEDED", (outcome.error, outcome.cause)
    assert [state for state in outcome.visited if state in STEPS] == STEPS


@pytest.mark.parametrize("settings", ["default", "full"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"tuning": {"enabled": False}}, {"tuning": {"mode": "single_job"}}, {"tuning": {"strategy": "Hyperband"}},
     {"explain": {"enabled": False}, "bias": {"enabled": False}}, {"model": "resnet18"}],
    ids=["everything", "no tuning", "tuning in one job", "hyperband", "nothing explained", "a backbone to be traced"],
)  # fmt: skip
def test_every_request_is_one_that_aws_accepts(request, settings, changes):
    definition = request.getfixturevalue(settings).definition
    outcome = Account(definition, traced="model" not in changes).run({**SAMPLE, **changes})
    assert outcome.status == "SUCCEEDED", (outcome.error, outcome.cause)
    wrong = {
        name: found
        for name, parameters in outcome.requests.items()
        if (found := problems(states_of(definition)[name]["Resource"], parameters))
    }
    assert not wrong


def test_a_request_that_aws_would_refuse_is_found():
    refused = problems("arn:aws:states:::sagemaker:createTrainingJob.sync", {"TrainingJobName": "a_b" * 30})
    assert any("RoleArn" in text for text in refused)
    assert any("is not within" in text for text in refused)
    assert any("does not match" in text for text in refused)


def test_every_request_block_of_the_machine_has_been_walked(default):
    """No state that calls a service escapes the two tests above."""
    seen: set[str] = set()
    for changes in ({}, {"tuning": {"mode": "single_job"}, "explain": {"enabled": False}, "bias": {"enabled": False}}):
        seen |= set(Account(default.definition).run({**SAMPLE, **changes}).requests)
    seen |= set(Account(default.definition, traced=False).run(SAMPLE).requests)
    tasks = {name for name, state in default.definition["States"].items() if state["Type"] == "Task"}
    assert "Read health" in tasks
    assert seen == tasks


def test_only_the_dataset_is_required_and_the_rest_has_defaults(default):
    outcome = Account(default.definition).run({"dataset": "s3://photos/some.zip"})
    assert outcome.status == "SUCCEEDED", outcome.cause
    saved = outcome.requests["Save input"]["Body"]
    assert saved["dataset"] == "s3://photos/some.zip"
    assert saved["model"] == "efficientnet_lite0"
    assert outcome.requests["Prepare dataset"]["ProcessingInputs"][1]["S3Input"]["S3Uri"] == "s3://photos/some.zip"


@pytest.mark.parametrize("given", [{}, {"dataset": 7}, {"dataset": "photos/"}, {"data": "s3://photos/"}])
def test_without_a_dataset_nothing_starts_and_the_field_is_named(default, given):
    outcome = Account(default.definition).run(given)
    assert (outcome.status, outcome.error) == ("FAILED", "InvalidExecutionInput")
    assert outcome.cause.startswith("dataset:")
    assert not outcome.requests


def test_instances_must_be_an_object(default):
    outcome = Account(default.definition).run({**SAMPLE, "instances": "ml.m5.large"})
    assert outcome.error == "InvalidExecutionInput"
    assert "instances" in outcome.cause


def test_an_execution_chooses_its_own_instances(default):
    outcome = Account(default.definition).run({**SAMPLE, "instances": {"training": "ml.g4dn.xlarge"}})
    assert outcome.requests["Train best model"]["ResourceConfig"]["InstanceType"] == "ml.g4dn.xlarge"
    assert outcome.requests["Batch transform"]["TransformResources"]["InstanceType"] == "ml.m5.xlarge"


def images(outcome) -> dict[str, str]:
    """The image of each job, by its state."""
    found = {}
    for state, request in outcome.requests.items():
        definition = request.get("TrainingJobDefinition", request)
        image = definition.get("AlgorithmSpecification", {}).get("TrainingImage")
        found[state] = json.dumps(image or request.get("AppSpecification", {}).get("ImageUri"))
    return found


def test_an_execution_that_needs_no_pytorch_starts_no_job_in_the_image_with_it(default):
    outcome = Account(default.definition).run(SAMPLE)
    used = images(outcome)
    light = used["Prepare dataset"]
    assert light == used["Tune hyperparameters"] == used["Train best model"] == used["Check training health"]
    assert "Prepare with PyTorch" not in used


@pytest.mark.parametrize("tuning", [{}, {"mode": "single_job"}, {"enabled": False}])
def test_fine_tuning_trains_in_the_image_with_pytorch_and_prepares_without(default, tuning):
    used = images(Account(default.definition).run({**SAMPLE, "fine_tune": "last_block", "tuning": tuning}))
    training = {
        used[state] for state in ("Tune hyperparameters", "Tune in one job", "Train best model") if state in used
    }
    assert len(training) == 1 and training != {used["Prepare dataset"]} == {used["Check training health"]}


def test_a_backbone_that_is_not_traced_yet_is_prepared_again_in_the_image_with_pytorch_and_trained_without(default):
    outcome = Account(default.definition, traced=False).run({**SAMPLE, "model": "resnet18"})
    assert outcome.status == "SUCCEEDED", outcome.cause
    used = images(outcome)
    assert used["Prepare with PyTorch"] != used["Prepare dataset"] == used["Train best model"]
    first, second = (outcome.requests[state] for state in ("Prepare dataset", "Prepare with PyTorch"))
    for field in ("ProcessingInputs", "ProcessingOutputConfig", "Environment", "RoleArn"):
        assert first[field] == second[field]


def test_the_saved_input_says_on_what_the_jobs_run(synthesize):
    """What `prepare` writes into Clarify's configuration, a deployment's choice too: the file is all that it reads."""
    deployed = synthesize(**{"instances.transform": "ml.c5.4xlarge", "instances.training": "ml.c5.2xlarge"})
    outcome = Account(deployed.definition).run({**SAMPLE, "instances": {"training": "ml.g4dn.xlarge"}})
    saved = ExecutionInput.from_json(outcome.requests["Save input"]["Body"]).instances
    assert (
        saved.transform == outcome.requests["Batch transform"]["TransformResources"]["InstanceType"] == "ml.c5.4xlarge"
    )
    assert saved.training == outcome.requests["Train best model"]["ResourceConfig"]["InstanceType"] == "ml.g4dn.xlarge"
    assert (saved.prepare, saved.training_count) == (Instances.prepare, 1)


def test_a_deployment_and_an_input_have_the_same_default_instances(default):
    saved = Account(default.definition).run(SAMPLE).requests["Save input"]["Body"]["instances"]
    assert saved == dataclasses.asdict(ExecutionInput.from_json(SAMPLE).instances)


def test_the_best_trial_goes_over_the_planned_hyperparameters(default):
    training = Account(default.definition).run(SAMPLE).requests["Train best model"]["HyperParameters"]
    assert training["learning_rate"] == "0.0042"
    assert training["model"] == "efficientnet_lite0"
    assert "export" not in training


def test_tuning_in_one_job_searches_trains_and_exports_in_that_job(default):
    outcome = Account(default.definition).run({**SAMPLE, "tuning": {"mode": "single_job"}})
    job = outcome.requests["Tune in one job"]
    assert json.loads(job["HyperParameters"]["search"])["max_jobs"] == 8
    assert job["HyperParameters"].get("export", "true") == "true"
    assert not {"Tune hyperparameters", "Train best model"} & set(outcome.visited)
    assert outcome.requests["Create model"]["PrimaryContainer"]["ModelDataUrl"].endswith(
        f"/training/{job['TrainingJobName']}/output/model.tar.gz"
    )
    assert outcome.output["hyperparameters"]["learning_rate"] == "0.0042"


@pytest.mark.parametrize("minutes", [721, 7200.5])
def test_more_minutes_than_the_deployment_gives_a_search_are_refused_at_once(default, minutes):
    """The state would time out and take the whole search with it."""
    outcome = Account(default.definition).run({**SAMPLE, "minutes": minutes})
    assert (outcome.status, outcome.error) == ("FAILED", "InvalidExecutionInput")
    assert "more than the 720" in outcome.cause and not outcome.requests
    assert Account(default.definition).run({**SAMPLE, "minutes": 720}).status == "SUCCEEDED"


def test_without_tuning_the_planned_hyperparameters_are_trained(default):
    outcome = Account(default.definition).run({**SAMPLE, "tuning": {"enabled": False}})
    assert "Tune hyperparameters" not in outcome.visited
    planned = outcome.requests["Train best model"]["HyperParameters"]
    assert planned["solver"] == "exact" and "learning_rate" not in planned


def test_what_is_skipped_leaves_a_file_that_says_so(default):
    outcome = Account(default.definition).run({**SAMPLE, "explain": {"enabled": False}, "bias": {"enabled": False}})
    assert outcome.status == "SUCCEEDED"
    for state, folder in (("Skip explanations", "explanations"), ("Skip bias", "bias")):
        assert outcome.requests[state]["Key"] == f"executions/run-1/{folder}/skipped.json"
        assert outcome.requests[state]["Body"]["skipped"] is True
    assert "Explain with Clarify" not in outcome.visited
    assert "Measure bias" not in outcome.visited


def test_health_is_part_of_the_output_and_of_the_model_package(default):
    found = {
        "status": "IssuesFound",
        "issues_found": 2,
        "issues": ["Overfit", "DeadRelu"],
        "issue_names": "Overfit DeadRelu",
    }
    outcome = Account(default.definition, verdict={**found, "stopped_by": "Overfit"}).run(SAMPLE)
    assert outcome.output["health"]["issues"] == ["Overfit", "DeadRelu"]
    assert outcome.output["health"]["stopped_by"] == "Overfit"
    assert outcome.output["health"]["job"] == outcome.requests["Check training health"]["ProcessingJobName"]
    metadata = outcome.requests["Register model"]["CustomerMetadataProperties"]
    assert (metadata["health_status"], metadata["health_issues"]) == ("IssuesFound", "Overfit DeadRelu")
    assert metadata["stopped_by"] == "Overfit"
    assert outcome.requests["Save outcome"]["Body"]["health"]["issues_found"] == 2


def test_a_healthy_training_is_said_to_be_so(default):
    outcome = Account(default.definition).run(SAMPLE)
    metadata = outcome.requests["Register model"]["CustomerMetadataProperties"]
    assert (metadata["health_status"], metadata["health_issues"]) == ("NoIssuesFound", "none")
    assert outcome.output["health"]["stopped_by"] == "none"


def test_the_training_request_defines_the_metrics_of_health(default):
    definitions = Account(default.definition).run(SAMPLE).requests["Train best model"]["AlgorithmSpecification"]
    names = {definition["Name"] for definition in definitions["MetricDefinitions"]}
    assert {"health:issues_found", "health:rules_without_data"} <= names


def test_open_mode_asks_for_no_rules_of_the_service(default):
    outcome = Account(default.definition).run(SAMPLE)
    assert "Ask for rule outcomes" not in default.definition["States"]
    assert not {"DebugRuleConfigurations", "ProfilerConfig"} & set(outcome.requests["Train best model"])
    assert outcome.requests["Check training health"]["AppSpecification"]["ContainerArguments"] == ["health"]


@pytest.mark.parametrize("mode", [{}, {"tuning": {"mode": "single_job"}}], ids=["tuning job", "one job"])
def test_managed_mode_waits_for_the_rules_and_goes_on_with_the_same_result(full, mode):
    account = Account(full.definition, rule_statuses=["InProgress", "InProgress", "IssuesFound"])
    outcome = account.run({**SAMPLE, **mode})
    assert outcome.status == "SUCCEEDED", outcome.cause
    assert outcome.visited.count("Ask for rule outcomes") == 3
    assert outcome.visited.count("Rules are being evaluated") == 2
    training = outcome.requests["Tune in one job" if mode else "Train best model"]
    (profiler,) = training["ProfilerRuleConfigurations"]
    assert profiler["RuleParameters"] == {"rule_to_invoke": "ProfilerReport"}
    assert "/sagemaker-debugger-rules:" in profiler["RuleEvaluatorImage"]
    assert outcome.requests["Ask for rule outcomes"] == {"TrainingJobName": training["TrainingJobName"]}
    saved = outcome.requests["Save rule outcomes"]["Body"]
    assert saved["DebugRuleEvaluationStatuses"][0]["RuleEvaluationStatus"] == "IssuesFound"
    check = outcome.requests["Check training health"]
    read = [item["S3Input"]["S3Uri"] for item in check["ProcessingInputs"]]
    place = outcome.requests["Save rule outcomes"]
    assert f"s3://{place['Bucket']}/{place['Key'].removesuffix('rules.json')}" in read
    assert check["AppSpecification"]["ContainerArguments"][-1] == "/opt/ml/processing/input/rules/rules.json"
    assert set(outcome.output["health"]) == {
        "job", "status", "issues_found", "no_data", "issues", "issue_names", "stopped_by",
    }  # fmt: skip


def test_rules_that_never_end_are_left_behind(full):
    outcome = Account(full.definition, rule_statuses=["InProgress"]).run(SAMPLE)
    assert outcome.status == "SUCCEEDED"
    assert outcome.visited.count("Ask for rule outcomes") == ASK_AT_MOST + 1
    assert "InProgress" in json.dumps(outcome.requests["Save rule outcomes"]["Body"])


def test_names_lead_back_to_the_execution_and_stay_within_limits(default):
    requests = Account(default.definition).run(SAMPLE).requests
    tuning = requests["Tune hyperparameters"]["HyperParameterTuningJobName"]
    training = requests["Train best model"]["TrainingJobName"]
    assert len(tuning) <= 32
    assert tuning.split("-")[:3] == training.split("-")[:3]
    assert training.endswith("-train-0-0")
    tags = {tag["Key"]: tag["Value"] for tag in requests["Train best model"]["Tags"]}
    assert tags["darkroom:execution"].endswith(":run-1")
    assert tags["darkroom:environment"] == "dev"


def test_every_job_is_tagged(default):
    requests = Account(default.definition).run(SAMPLE).requests
    for name, state in default.definition["States"].items():
        if name in requests and ":sagemaker:" in state["Resource"] and "aws-sdk" not in state["Resource"]:
            assert {tag["Key"] for tag in requests[name]["Tags"]} >= {"darkroom:execution", "darkroom:environment"}, (
                name
            )


@pytest.mark.parametrize(
    ("metric", "value", "passes"),
    [("accuracy", 0.9, True), ("accuracy", 0.8, True), ("accuracy", 0.79, False), ("macro_f1", 0.1, False),
     ("balanced_accuracy", 0.95, True), ("worst_class_recall", 0.0, False)],
)  # fmt: skip
def test_the_quality_gate_compares_the_metric_that_was_asked_for(default, metric, value, passes):
    account = Account(default.definition, evaluation={metric: value})
    outcome = account.run({**SAMPLE, "quality_gate": {"metric": metric, "minimum": 0.8}})
    assert ("Register model" in outcome.visited) is passes
    assert "Write report" in outcome.visited
    if not passes:
        assert (outcome.status, outcome.error) == ("FAILED", "QualityGateNotMet")
        assert metric in outcome.cause
        assert str(value) in outcome.cause
        assert "0.8" in outcome.cause


def test_manual_approval_registers_but_does_not_publish(full):
    outcome = Account(full.definition).run(SAMPLE)
    assert outcome.requests["Register model"]["ModelApprovalStatus"] == "PendingManualApproval"
    assert not {"Publish", "Note approved model"} & set(outcome.visited)
    assert outcome.status == "SUCCEEDED"


def test_a_registered_model_does_not_lie_where_files_expire(default):
    requests = Account(default.definition).run(SAMPLE).requests
    (container,) = requests["Register model"]["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"].endswith("/registered/run-1/model.tar.gz")
    assert container["ModelDataUrl"] == f"s3://{requests['Keep model']['Bucket']}/{requests['Keep model']['Key']}"
    assert requests["Note approved model"]["Name"] == "/darkroom/dev/approved-model-package"
    # Nor does anything else that the package points to.
    places = re.findall(r"s3://[^\"]+", json.dumps(requests["Register model"]))
    assert sorted(place.split("/", 3)[3] for place in places) == [
        "registered/run-1/evaluation.json", "registered/run-1/model.tar.gz",
    ]  # fmt: skip
    assert requests["Keep evaluation"]["CopySource"].endswith("/executions/run-1/evaluation/evaluation.json")


def test_a_model_is_published_under_a_key_that_no_other_execution_writes(default):
    account = Account(default.definition)
    first = account.run({**SAMPLE, "name": "pets"})
    assert first.requests["Publish"]["Key"] == "multi-model/pets/run-1/model.tar.gz"
    assert first.requests["Publish fixed name"]["Key"] == "multi-model/pets/model.tar.gz"
    noted = first.requests["Note target model"]
    assert (noted["Name"], noted["Value"]) == ("/darkroom/dev/target-models/pets", "pets/run-1/model.tar.gz")
    assert "f" * 16 in noted["Description"]  # which photos it was trained on
    assert first.requests["Save outcome"]["Body"]["published"]["target_model"] == noted["Value"]


def test_the_fixed_name_stays_with_the_first_model_because_endpoints_keep_what_was_overwritten(default):
    account = Account(default.definition)
    account.run({**SAMPLE, "name": "pets"})
    second = account.run({**SAMPLE, "name": "pets"})
    assert second.status == "SUCCEEDED"
    assert "Publish" in second.visited
    assert "Publish fixed name" not in second.visited
    # Another name has a fixed name of its own, also where one begins with the other.
    assert "Publish fixed name" in account.run({**SAMPLE, "name": "pet"}).visited


def test_of_two_first_publications_at_once_one_gives_the_fixed_name_its_model_and_the_other_copies_the_same(default):
    """Both have seen that the key is free; the other one made the parameter first."""
    account = Account(default.definition)
    account.parameters["/darkroom/dev/fixed-models/pets"] = "run-0"
    second = account.run({**SAMPLE, "name": "pets"})
    assert second.status == "SUCCEEDED"
    assert second.requests["Publish"]["CopySource"].endswith("/registered/run-1/model.tar.gz")
    assert second.requests["Publish fixed name"]["CopySource"].endswith("/registered/run-0/model.tar.gz")
    assert second.requests["Note target model"]["Value"] == "pets/run-1/model.tar.gz"


def test_a_claim_of_the_fixed_name_that_fails_for_another_reason_is_a_failure(default):
    trouble = TaskFailed("Ssm.SsmException", "Access denied")
    outcome = Account(
        default.definition, failing={"Claim fixed name": trouble, "Read owner of fixed name": trouble}
    ).run({**SAMPLE, "name": "pets"})
    assert outcome.status == "FAILED"
    assert "Access denied" in outcome.cause


def test_a_model_without_a_name_is_called_after_its_photos(default):
    outcome = Account(default.definition).run({"dataset": "s3://data/datasets/beans-0123456789ab.zip"})
    assert outcome.requests["Publish"]["Key"].startswith("multi-model/beans/")


def test_the_report_reads_only_what_is_always_there(default):
    outcome = Account(default.definition).run({**SAMPLE, "explain": {"enabled": False}, "bias": {"enabled": False}})
    read = {item["S3Input"]["S3Uri"] for item in outcome.requests["Write report"]["ProcessingInputs"]}
    assert read <= written(outcome)


def test_what_a_state_saves_is_an_object_since_step_functions_makes_json_of_text_too(default, full):
    saved: dict[str, object] = {}
    for definition in (default.definition, full.definition):
        for changes in ({}, {"explain": {"enabled": False}, "bias": {"enabled": False}}):
            requests = Account(definition).run({**SAMPLE, **changes}).requests
            saved |= {name: request["Body"] for name, request in requests.items() if "Body" in request}
    assert {"Save input", "Save outcome", "Save rule outcomes", "Skip explanations", "Skip bias"} <= set(saved)
    assert not [name for name, body in saved.items() if not isinstance(body, dict | list)]


def test_the_log_of_a_shadow_endpoint_of_awss_own_image_gets_the_deployments_retention(full):
    """SageMaker makes that log group, without an end, under a name that has the time in it."""
    account = Account(full.definition)
    outcome = account.run(SAMPLE)
    assert outcome.status == "SUCCEEDED"
    id = outcome.requests["Explain with Clarify"]["ProcessingJobName"].partition("-explain-")[0]
    assert account.log_groups.pop(OTHERS_LOG) is None
    assert account.log_groups == {f"/aws/sagemaker/Endpoints/{id}-model-1764086400": 90}


def test_our_own_clarify_image_gives_the_log_its_end_itself(default):
    assert not [state for state in default.definition["States"] if "shadow endpoint" in state]


def test_what_is_written_to_parameters_fits_a_standard_one_with_the_longest_names(default):
    """Parameter Store: 4,096 characters of value, 1,024 of description, 15 levels. An execution's name has 80, a bucket's 63."""
    outcome = Account(default.definition).run({**SAMPLE, "name": "n" * 40})
    written = [request for state, request in outcome.every_request if "Overwrite" in request]
    assert len(written) >= 4
    for request in written:
        longest = {key: str(value).replace("run-1", "e" * 80) + "b" * 63 for key, value in request.items()}
        assert len(longest["Value"]) <= 4096
        assert len(longest.get("Description", "")) <= 1024
        assert request["Name"].count("/") <= 15 and len(longest["Name"]) <= 1011
    owned = [
        resolve(parameter["Properties"]["Value"])
        for stack in default.templates
        for parameter in default.resources(stack, "AWS::SSM::Parameter").values()
    ]
    assert owned and max(map(len, owned)) + 63 <= 4096
