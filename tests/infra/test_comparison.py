"""The comparison's stack and state machine: requests, order, what a failing candidate means, and who may do what."""

from __future__ import annotations

import copy
import json
import re
import subprocess

import pytest

from contract.comparison_input import ComparisonInput
from darkroom.failures import explained
from tests.infra.api import problems
from tests.infra.comparison_run import SAMPLE, ComparisonAccount
from tests.infra.conftest import ROOT, resolve
from tests.infra.snapshots import stale
from tests.infra.state_machine import TaskFailed

TASKS = [
    "Save input", "Prepare photos", "Prepare both sets", "Read plan", "Save question", "Look for result",
    "Look for training", "Read training", "Look for model", "Extract features", "Train candidate", "Save training",
    "Benchmark", "Benchmark on both sets", "Save outcomes", "Compare", "Read winner", "Start the pipeline with the winner",
]  # fmt: skip
OTHERS = [
    "Set defaults",
    "Use instances",
    "Summarize",
    "Summarize with the pipeline",
    "Use plan",
    "Note training",
    "Trained",
    "Measured before",
    "Candidate failed",
    "Benchmark failed",
    "Benchmarked",
]
ORDER = ["Prepare photos", "Extract features", "Train candidate", "Benchmark", "Compare"]
EVERYTHING = {**SAMPLE, "evaluate_on": "s3://data/datasets/other.zip", "start_pipeline": True, "tune": 4}


def definition_of(synthesis) -> dict:
    (machine,) = synthesis.resources("Comparison", "AWS::StepFunctions::StateMachine").values()
    text = resolve(machine["Properties"]["DefinitionString"])
    return json.loads(re.sub(r"[0-9a-f]{64}", "<asset>", text))


def states_of(definition: dict) -> dict[str, dict]:
    """Every state by its name, those inside a Map too."""
    found = {}
    for name, state in definition["States"].items():
        found[name] = state
        if "ItemProcessor" in state:
            found |= states_of(state["ItemProcessor"])
    return found


@pytest.fixture(scope="module")
def definition(default) -> dict:
    return definition_of(default)


def test_stack(default, snapshot_json):
    template = json.loads(re.sub(r"[0-9a-f]{64}", "<asset>", json.dumps(default.templates["Comparison"])))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            # As for the pipeline: states have snapshots of their own, here it is their order and connection.
            states = states_of(json.loads(resolve(resource["Properties"]["DefinitionString"])))
            resource["Properties"]["DefinitionString"] = {
                name: sorted({state.get("Next"), state.get("Default")} - {None}) for name, state in states.items()
            }
    assert template == snapshot_json


@pytest.mark.parametrize("state", [*TASKS, *OTHERS])
def test_state(definition, state, snapshot_json):
    assert states_of(definition)[state] == snapshot_json


@pytest.mark.parametrize("state", ["Train candidates", "Benchmark candidates"])
def test_map(definition, state, snapshot_json):
    assert {k: v for k, v in definition["States"][state].items() if k != "ItemProcessor"} == snapshot_json


def test_no_snapshot_is_kept_of_what_is_not_there_any_more():
    states = {f"test_state[{name}]" for name in (*TASKS, *OTHERS)}
    assert not stale(
        "test_comparison", states | {"test_stack", "test_map[Train candidates]", "test_map[Benchmark candidates]"}
    )


def test_every_task_has_a_snapshot(definition):
    assert {name for name, state in states_of(definition).items() if state["Type"] == "Task"} == set(TASKS)


@pytest.mark.parametrize("settings", ["default", "full"])
@pytest.mark.parametrize("asked", [SAMPLE, EVERYTHING], ids=["plain", "everything"])
def test_every_request_is_one_that_aws_accepts(request, settings, asked):
    definition = definition_of(request.getfixturevalue(settings))
    outcome = ComparisonAccount(definition).run(asked)
    assert outcome.status == "SUCCEEDED", (outcome.error, outcome.cause)
    states = states_of(definition)
    wrong = [
        (name, found)
        for name, parameters in outcome.every_request
        if (found := problems(states[name]["Resource"], _with_image(parameters)))
    ]
    assert not wrong


@pytest.mark.parametrize("example", ["cifar10-keras-4.json", "plantvillage-jumpstart-15.json"])
def test_the_requests_of_a_shipped_example_are_ones_that_aws_accepts(definition, example):
    given = json.loads((ROOT / "examples" / example).read_text()) | {"dataset": SAMPLE["dataset"]}
    outcome = ComparisonAccount(definition).run(given)
    assert outcome.status == "SUCCEEDED", (outcome.error, outcome.cause)
    trained = [parameters for name, parameters in outcome.every_request if name == "Train candidate"]
    assert len(trained) == {"cifar10-keras-4.json": 4, "plantvillage-jumpstart-15.json": 15}[example]
    states = states_of(definition)
    assert not [
        found for name, p in outcome.every_request if (found := problems(states[name]["Resource"], _with_image(p)))
    ]


def _with_image(parameters: dict) -> dict:
    return json.loads(json.dumps(parameters).replace("<asset>", "0" * 64))


def test_both_ways_together_walk_every_task(definition):
    runs = (
        ComparisonAccount(definition).run(SAMPLE),
        ComparisonAccount(definition, trained=("alexnet",)).run(EVERYTHING),
    )
    assert {name for run in runs for name in run.requests} == set(TASKS)


def test_every_candidate_is_trained_before_the_first_is_benchmarked(definition):
    account = ComparisonAccount(definition)
    outcome = account.run(SAMPLE)
    assert list(dict.fromkeys(state for state in outcome.visited if state in ORDER)) == ORDER
    benchmarks = [i for i, (state, _) in enumerate(account.calls) if state == "Benchmark"]
    trainings = [i for i, (state, _) in enumerate(account.calls) if state == "Train candidate"]
    assert len(benchmarks) == len(trainings) == 3
    assert max(trainings) < min(benchmarks)
    assert definition["States"]["Benchmark candidates"]["MaxConcurrency"] == 1


@pytest.mark.parametrize("state", ["Look for result", "Extract features", "Train candidate", "Benchmark"])
def test_a_candidate_that_fails_is_recorded_and_stops_no_other(definition, state):
    trouble = {f"{state} of resnet18": TaskFailed("States.TaskFailed", "no weights for resnet18")}
    account = ComparisonAccount(definition, failing=trouble)
    outcome = account.run(SAMPLE)
    assert outcome.status == "SUCCEEDED"
    saved = json.loads(account.objects["executions/run-1/asked/outcomes.json"])
    assert [(one["candidate"]["name"], one["state"]) for one in saved] == [
        ("alexnet", "measured"), ("resnet18", "failed"), ("googlenet", "measured"),
    ]  # fmt: skip
    assert saved[1]["cause"] == "no weights for resnet18"
    assert "Benchmark" in account.states_of("googlenet")
    assert "Compare" in outcome.requests


def test_a_measured_candidate_is_not_done_again(definition):
    account = ComparisonAccount(definition, measured=("resnet18", "googlenet"))
    outcome = account.run(SAMPLE)
    assert outcome.status == "SUCCEEDED"
    for name in ("resnet18", "googlenet"):
        assert account.states_of(name) == ["Look for result"]
    assert {"Extract features", "Train candidate", "Benchmark"} <= set(account.states_of("alexnet"))
    saved = json.loads(account.objects["executions/run-1/asked/outcomes.json"])
    assert [one["state"] for one in saved] == ["measured"] * 3


def test_a_candidate_that_was_trained_before_an_interruption_is_only_measured(definition):
    account = ComparisonAccount(definition, trained=("resnet18",))
    outcome = account.run(SAMPLE)
    assert outcome.status == "SUCCEEDED"
    assert account.states_of("resnet18") == [
        "Look for result", "Look for training", "Read training", "Look for model", "Benchmark",
    ]  # fmt: skip
    (request,) = [r for name, r in outcome.every_request if name == "Benchmark" and "/earlier/" in json.dumps(r)]
    sources = {one["InputName"]: one["S3Input"]["S3Uri"] for one in request["ProcessingInputs"]}
    assert sources["training"].endswith("executions/earlier/candidates/resnet18/training/old-train/output/")
    assert request["AppSpecification"]["ContainerArguments"] == ["--times", "0,1,2,3"]
    (looked,) = [r for name, r in outcome.every_request if name == "Look for model"]
    assert looked["Prefix"] == "executions/earlier/candidates/resnet18/training/old-train/output/model.tar.gz"


def test_a_trained_model_that_has_expired_is_trained_again(definition):
    account = ComparisonAccount(definition, trained=("resnet18",), expired=True)
    assert account.run(SAMPLE).status == "SUCCEEDED"
    assert {"Extract features", "Train candidate", "Save training"} <= set(account.states_of("resnet18"))
    note = json.loads(account.objects[next(key for key in account.objects if key.endswith("/resnet18/trained.json"))])
    assert note["names"]["uri"].endswith("executions/run-1/candidates/resnet18")


def test_a_failed_preparation_ends_the_comparison_in_words(definition):
    trouble = {"ProcessingJobName": "p", "ExitMessage": "models: received 'alexnett'"}
    outcome = ComparisonAccount(definition, failing={"Prepare photos": trouble}).run(SAMPLE)
    assert (outcome.status, outcome.error) == ("FAILED", "States.TaskFailed")
    told = explained(outcome.visited[-1], outcome.error, outcome.cause)
    assert told["reason"] == "Prepare photos failed: models: received 'alexnett'"
    assert "Train candidate" not in outcome.requests


@pytest.mark.parametrize("given", [{}, {"dataset": "photos/"}])
def test_without_a_dataset_nothing_starts(definition, given):
    outcome = ComparisonAccount(definition).run(given)
    assert (outcome.status, outcome.error) == ("FAILED", "InvalidExecutionInput")
    assert not outcome.requests


@pytest.mark.parametrize(
    ("wanted", "winner", "starts"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_the_pipeline_starts_only_when_asked_for_and_only_with_a_winner(definition, wanted, winner, starts):
    outcome = ComparisonAccount(definition, winner=winner).run({**SAMPLE, "start_pipeline": wanted})
    assert outcome.status == "SUCCEEDED"
    assert ("Start the pipeline with the winner" in outcome.requests) is starts
    assert ("Summarize with the pipeline" in outcome.visited) is starts
    if starts:
        begun = json.loads(outcome.requests["Start the pipeline with the winner"]["Input"])
        assert begun == {"dataset": SAMPLE["dataset"], "model": "alexnet"}


def test_tuning_makes_each_training_search_first(definition):
    outcome = ComparisonAccount(definition).run(EVERYTHING)
    searches = [request["HyperParameters"] for name, request in outcome.every_request if name == "Train candidate"]
    assert len(searches) == 3
    for one in searches:
        search = json.loads(one["search"])
        assert search["max_jobs"] == 4
        varied = {entry["Name"] for ranges in search["parameter_ranges"].values() for entry in ranges}
        assert "learning_rate" in varied
        assert not varied & set(one)


@pytest.mark.parametrize(
    "chosen", [{}, {"prepare": "ml.c5.xlarge", "training": "ml.g5.xlarge", "transform": "ml.c5.large"}]
)
def test_candidates_run_on_the_machines_that_the_page_prices(definition, chosen):
    outcome = ComparisonAccount(definition).run({**SAMPLE, "instances": chosen})
    priced = ComparisonInput.from_json(outcome.requests["Save input"]["Body"]).instances
    for state, kind in (("Extract features", "prepare"), ("Benchmark", "transform")):
        cluster = outcome.requests[state]["ProcessingResources"]["ClusterConfig"]
        assert cluster["InstanceType"] == getattr(priced, kind), state
    assert outcome.requests["Train candidate"]["ResourceConfig"]["InstanceType"] == priced.training


def test_all_candidates_read_the_same_photos_and_write_their_own_folder(definition):
    outcome = ComparisonAccount(definition).run(SAMPLE)
    trainings = [request for name, request in outcome.every_request if name == "Train candidate"]
    photos = {
        c["DataSource"]["S3DataSource"]["S3Uri"]
        for t in trainings
        for c in t["InputDataConfig"]
        if c["ChannelName"] == "photos"
    }
    assert len(photos) == 1
    assert len({t["OutputDataConfig"]["S3OutputPath"] for t in trainings}) == len(trainings)
    assert len({t["TrainingJobName"] for t in trainings}) == len(trainings)


def test_the_state_machine_is_valid_asl_and_a_broken_one_is_not(definition, tmp_path):
    broken = copy.deepcopy(definition)
    broken["States"]["Compare"]["Next"] = "Nowhere"
    codes = []
    for number, one in enumerate((definition, broken)):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(one))
        command = [
            str(ROOT / ".venv/bin/node"),
            str(ROOT / "node_modules/.bin/asl-validator"),
            "--json-path",
            str(path),
        ]
        codes.append(subprocess.run(command, capture_output=True, text=True, timeout=60).returncode)
    assert codes[0] == 0
    assert codes[1] != 0


def test_the_machine_may_start_its_own_pipeline_and_nothing_else(default):
    found = [
        statement
        for policy in default.resources("Comparison", "AWS::IAM::Policy").values()
        for statement in resolve(policy["Properties"]["PolicyDocument"]["Statement"])
        if "states:StartExecution" in statement["Action"]
    ]
    assert len(found) == 1
    assert found[0]["Resource"] != "*"


def test_no_statement_allows_every_action_or_writes_everywhere(default):
    for policy in default.resources("Comparison", "AWS::IAM::Policy").values():
        for statement in resolve(policy["Properties"]["PolicyDocument"]["Statement"]):
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not any(action == "*" or action.endswith(":*") for action in actions)
            if "s3:PutObject" in actions:
                places = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
                assert all("/" in place.split(":::")[1] for place in places), statement


def test_what_the_comparison_saves_is_an_object_since_step_functions_makes_json_of_text_too(definition):
    requests = ComparisonAccount(definition).run(EVERYTHING).requests
    saved = {name: request["Body"] for name, request in requests.items() if "Body" in request}
    assert {"Save input", "Save question", "Save training", "Save outcomes"} <= set(saved)
    assert not [name for name, body in saved.items() if not isinstance(body, dict | list)]
