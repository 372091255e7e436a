"""Tuning jobs really search: ranges and scalings hold, limits are kept, the best trial is reported, bad ones are counted."""

from __future__ import annotations

import json
import math

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from local_cloud.errors import AwsError
from local_cloud.sagemaker.search import Search
from local_cloud.sagemaker.search_space import search_space
from tests.sagemaker.platform import new_name

# The objective has its maximum, 1, at a learning rate of 0.03.
BOWL = """
rate = float(hyperparameters["rate"])
import math
say(f"accuracy={1 - (math.log10(rate) - math.log10(0.03)) ** 2 / 10:.6f};")
"""
RATE = {"Name": "rate", "MinValue": "0.0001", "MaxValue": "1", "ScalingType": "Logarithmic"}


def tuning_request(platform, program=BOWL, *, ranges=None, limits=None, static=None, **config):
    training = platform.training_request(program, metrics={"accuracy": "accuracy=([0-9.-]+);"})
    training.pop("TrainingJobName")
    static = training.pop("HyperParameters") | (static or {})
    return {
        "HyperParameterTuningJobName": new_name("tune"),
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "accuracy"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2, **(limits or {})},
            "ParameterRanges": ranges or {"ContinuousParameterRanges": [RATE]},
            "RandomSeed": 1,
            **config,
        },
        "TrainingJobDefinition": {**training, "StaticHyperParameters": static},
    }


def tune(platform, *arguments, **options):
    request = tuning_request(platform, *arguments, **options)
    platform.api.create_hyper_parameter_tuning_job(**request)
    return platform.finished("HyperParameterTuningJob", request["HyperParameterTuningJobName"], 60)


def trials(platform, job, **parameters):
    name = job["HyperParameterTuningJobName"]
    answer = platform.api.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, MaxResults=100, **parameters
    )
    return answer["TrainingJobSummaries"]


def test_a_search_reports_its_best_trial(platform):
    job = tune(platform)
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert job["TrainingJobStatusCounters"]["Completed"] == job["ObjectiveStatusCounters"]["Succeeded"] == 4
    ranked = trials(platform, job, SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    best = job["BestTrainingJob"]
    assert ranked[0]["TrainingJobName"] == best["TrainingJobName"]
    values = [trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for trial in ranked]
    assert (
        values == sorted(values, reverse=True)
        and best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == values[0]
    )
    assert ranked[0]["TrainingJobName"].startswith(f"{job['HyperParameterTuningJobName']}-00")
    child = platform.api.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert child["TuningJobArn"] == job["HyperParameterTuningJobArn"]
    assert child["HyperParameters"]["_tuning_objective_metric"] == "accuracy"
    assert child["HyperParameters"]["rate"] == best["TunedHyperParameters"]["rate"]


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_a_seed_chooses_the_same_trials_whatever_order_they_end_in(platform, strategy):
    """Before, a trial was chosen from whatever results were there, so which of two ended first decided."""
    slow = BOWL.replace(
        "import math",
        "import math, time\ntime.sleep(0.8 if (rate > 0.01) == (hyperparameters['slow'] == 'high') else 0)",
    )
    chosen = [
        [
            trial["TunedHyperParameters"]["rate"]
            for trial in trials(
                platform,
                tune(platform, slow, static={"slow": which}, limits={"MaxNumberOfTrainingJobs": 7}, Strategy=strategy, RandomSeed=seed),
                SortBy="CreationTime", SortOrder="Ascending",
            )
        ]
        for which, seed in (("high", 5), ("low", 5), ("low", 6))
    ]  # fmt: skip
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]


def test_a_grid_tries_every_combination_once(platform):
    job = tune(
        platform,
        "say('accuracy=1;')",
        ranges={
            "CategoricalParameterRanges": [{"Name": "a", "Values": ["x", "y"]}, {"Name": "b", "Values": ["1", "2"]}]
        },
        Strategy="Grid",
    )
    tried = sorted((t["TunedHyperParameters"]["a"], t["TunedHyperParameters"]["b"]) for t in trials(platform, job))
    assert tried == [("x", "1"), ("x", "2"), ("y", "1"), ("y", "2")]


def test_a_search_in_which_no_trial_succeeds_fails(platform):
    job = tune(platform, "sys.exit(1)", limits={"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 1})
    assert (
        job["HyperParameterTuningJobStatus"] == "Failed" and "No training job succeeded after 3" in job["FailureReason"]
    )
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 3


def test_one_failing_trial_does_not_fail_the_search(platform):
    job = tune(
        platform,
        "sys.exit(1) if hyperparameters['a'] == 'bad' else say('accuracy=0.5;')",
        ranges={"CategoricalParameterRanges": [{"Name": "a", "Values": ["bad", "good"]}]},
        limits={"MaxNumberOfTrainingJobs": 2},
        Strategy="Grid",
    )
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 1}
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"a": "good"}


def test_stopping_a_search_stops_its_trials(platform):
    request = tuning_request(platform, "say('accuracy=0.1;'); time.sleep(60)")
    name = request["HyperParameterTuningJobName"]
    platform.api.create_hyper_parameter_tuning_job(**request)
    platform.until("HyperParameterTuningJob", name, lambda job: job["TrainingJobStatusCounters"]["InProgress"] == 2)
    platform.api.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    job = platform.finished("HyperParameterTuningJob", name)
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert {trial["TrainingJobStatus"] for trial in trials(platform, job)} == {"Stopped"}


def test_hyperband_stops_hopeless_trials_early(platform):
    job = tune(
        platform,
        """
        for epoch in range(9):
            say(f"accuracy={float(hyperparameters['height']) + epoch / 1000:.4f};"); time.sleep(0.05)
        """,
        ranges={
            "ContinuousParameterRanges": [{"Name": "height", "MinValue": "0", "MaxValue": "1", "ScalingType": "Linear"}]
        },
        limits={"MaxNumberOfTrainingJobs": 12, "MaxParallelTrainingJobs": 2},
        Strategy="Hyperband",
        StrategyConfig={"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}},
    )
    assert job["TrainingJobStatusCounters"]["Stopped"] >= 1
    assert job["TrainingJobStatusCounters"]["Completed"] >= 1


def test_a_warm_start_knows_the_parents_trials(platform):
    parent = tune(platform, limits={"MaxNumberOfTrainingJobs": 2})
    request = tuning_request(platform, limits={"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1})
    # The SageMaker SDK says a trial's resources by this field.
    definition = request["TrainingJobDefinition"]
    resources = definition.pop("ResourceConfig")
    definition["HyperParameterTuningResourceConfig"] = {
        "InstanceConfigs": [resources],
        "AllocationStrategy": "Prioritized",
    }
    request["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": parent["HyperParameterTuningJobName"]}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    platform.api.create_hyper_parameter_tuning_job(**request)
    job = platform.finished("HyperParameterTuningJob", request["HyperParameterTuningJobName"])
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    trial = platform.api.describe_training_job(TrainingJobName=job["BestTrainingJob"]["TrainingJobName"])
    assert trial["ResourceConfig"] == resources


def edited(request, change):
    config = request["HyperParameterTuningJobConfig"]
    change(config, request)
    return request


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c, r: c["ParameterRanges"]["ContinuousParameterRanges"][0].update(MinValue="2"), "must be less than"),
        (lambda c, r: c["ParameterRanges"]["ContinuousParameterRanges"][0].update(MinValue="0"), "above 0"),
        (lambda c, r: c["ParameterRanges"]["ContinuousParameterRanges"][0].update(MinValue="low"), "not numeric"),
        (lambda c, r: c["ResourceLimits"].update(MaxParallelTrainingJobs=9), "MaxParallelTrainingJobs"),
        (lambda c, r: c["HyperParameterTuningJobObjective"].update(MetricName="f1"), "f1"),
        (lambda c, r: c.update(Strategy="Grid"), "CategoricalParameterRanges only"),
        (lambda c, r: c.update(Strategy="Hyperband"), "MinResource"),
        (lambda c, r: r.update(HyperParameterTuningJobName="n" * 33), "less than or equal to 32"),
        (lambda c, r: r["TrainingJobDefinition"].pop("ResourceConfig"), "either ResourceConfig or"),
        (lambda c, r: r["TrainingJobDefinition"]["StaticHyperParameters"].update(rate="1"), "both static and tuned"),
    ],
)
def test_a_search_that_cannot_be_is_refused(platform, change, text):
    request = json.loads(json.dumps(tuning_request(platform)))
    config = request["HyperParameterTuningJobConfig"]
    change(config, request)
    with pytest.raises(ClientError) as refused:
        platform.api.create_hyper_parameter_tuning_job(**request)
    error = refused.value.response["Error"]
    assert error["Code"] == "ValidationException" and text in error["Message"]


def test_a_search_that_does_not_exist_is_not_found(platform):
    with pytest.raises(ClientError) as refused:
        platform.api.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="nobody")
    assert refused.value.response["Error"]["Code"] == "ResourceNotFound"


@settings(deadline=None, max_examples=40)  # importing Optuna takes half a second, once
@given(
    kind=st.sampled_from(["Integer", "Continuous"]),
    scaling=st.sampled_from(["Auto", "Linear", "Logarithmic"]),
    bounds=st.tuples(st.integers(1, 1000), st.integers(1, 1000)).filter(lambda b: b[0] < b[1]),
    seed=st.integers(0, 1000),
)
def test_every_sampled_value_lies_within_its_range(kind, scaling, bounds, seed):
    entry = {"Name": "p", "MinValue": str(bounds[0]), "MaxValue": str(bounds[1]), "ScalingType": scaling}
    parameters = search_space({f"{kind}ParameterRanges": [entry]})
    objective = {"Type": "Minimize", "MetricName": "m"}
    search = Search(
        {"Strategy": "Random", "RandomSeed": seed, "HyperParameterTuningJobObjective": objective}, parameters, 4
    )
    _, tuned = search.ask()
    value = float(tuned["p"])
    assert bounds[0] <= value <= bounds[1] and (kind == "Continuous" or value.is_integer())
    assert parameters[0].text(parameters[0].searched(tuned["p"])) == tuned["p"]


def test_reverse_logarithmic_scaling_searches_close_to_one():
    entry = {"Name": "p", "MinValue": "0.9", "MaxValue": "0.9999", "ScalingType": "ReverseLogarithmic"}
    objective = {"Type": "Minimize", "MetricName": "m"}
    config = {"Strategy": "Random", "RandomSeed": 3, "HyperParameterTuningJobObjective": objective}
    search = Search(config, search_space({"ContinuousParameterRanges": [entry]}), 60)
    values = [float(search.ask()[1]["p"]) for _ in range(60)]
    assert all(0.9 <= value <= 0.9999 for value in values)
    assert sum(value > 0.99 for value in values) > 20  # two thirds of the range's decades lie there
    with pytest.raises(AwsError, match="ReverseLogarithmic"):
        search_space({"ContinuousParameterRanges": [{**entry, "MaxValue": "1.5"}]})


def test_the_bayesian_search_beats_random_choice_on_a_bowl():
    entry = {"Name": "p", "MinValue": "-10", "MaxValue": "10", "ScalingType": "Linear"}
    found = {}
    for strategy in ("Random", "Bayesian"):
        results = []
        for seed in range(5):
            config = {"Strategy": strategy, "RandomSeed": seed,
                      "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "m"}}  # fmt: skip
            search, best = Search(config, search_space({"ContinuousParameterRanges": [entry]}), 30), math.inf
            for _ in range(30):
                trial, tuned = search.ask()
                value = (float(tuned["p"]) - 3) ** 2
                search.tell(trial, value)
                best = min(best, value)
            results.append(best)
        found[strategy] = sorted(results)[2]
    assert found["Bayesian"] < found["Random"]
