"""Tune hyperparameters: SageMaker's own search, or the same search inside one training job (`tuning.mode: single_job`).

One job per trial uses many machines; one job for all trials saves starting a machine for each, which on small data is
most of the cost.
"""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.workflow import requests, step
from infra.workflow.platform import Platform


class TuneHyperparameters:
    """State `Tune hyperparameters`; `$.tuning.hyperparameters` are the best trial's."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        minutes = platform.settings.max_runtime_minutes.tuning
        self.job = step.job(
            scope, "Tune hyperparameters", action="createHyperParameterTuningJob", result="$.tuning", minutes=minutes,
            parameters=request(platform),
            selector={
                "job.$": "$.HyperParameterTuningJobName",
                "hyperparameters.$": "$.BestTrainingJob.TunedHyperParameters",
                "best_job.$": "$.BestTrainingJob.TrainingJobName",
                "objective.$": "$.BestTrainingJob.FinalHyperParameterTuningJobObjectiveMetric",
                "trials.$": "$.TrainingJobStatusCounters",
            },
        )  # fmt: skip


class TuneInOneJob:
    """States `Tune in one job` and `Read best trial`, which leave the same fields of `$.tuning`."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        minutes = platform.settings.max_runtime_minutes.tuning
        self.job = step.job(
            scope, "Tune in one job", action="createTrainingJob", result="$.search", minutes=minutes,
            parameters=single_job_request(platform), selector={"job.$": "$.TrainingJobName"},
        )  # fmt: skip
        self.read_best = step.read_json(
            scope, "Read best trial", bucket=platform.artifacts_bucket, key="tuning/best.json", result="$.best",
            field="trial",
        )  # fmt: skip
        self.use_best = sfn.Pass(
            scope,
            "Use best trial",
            result_path="$.tuning",
            parameters={"job.$": "$.search.job", "hyperparameters.$": "$.best.trial.hyperparameters"},
        )


class SkipTuning:
    """State `Skip tuning`: nothing to add to the hyperparameters of the plan."""

    def __init__(self, scope: Construct) -> None:
        self.state = sfn.Pass(
            scope, "Skip tuning", result_path="$.tuning", parameters={"job": "none", "hyperparameters": {}}
        )


def request(platform: Platform) -> dict:
    """CreateHyperParameterTuningJob; `prepare` planned the whole search in the API's own shape."""
    definition = requests.training_base(
        platform, output="tuning/", checkpoints="checkpoints/tuning/", instance_count="$.plan.training.instance_count"
    )
    definition["AlgorithmSpecification"] = requests.algorithm(platform)
    definition["StaticHyperParameters.$"] = "$.plan.tuning.static_hyperparameters"
    return {
        "HyperParameterTuningJobName.$": requests.job_name(platform.settings, "tune"),
        "HyperParameterTuningJobConfig.$": "$.plan.tuning.config",
        "TrainingJobDefinition": definition,
        "Tags": requests.tags(platform.settings),
    }


def single_job_request(platform: Platform) -> dict:
    """CreateTrainingJob that runs all trials; its checkpoints survive an interruption and hold `best.json`."""
    return {
        "TrainingJobName.$": requests.job_name(platform.settings, "search"),
        "AlgorithmSpecification": requests.algorithm(platform),
        "HyperParameters.$": (
            "States.JsonMerge($.plan.training.hyperparameters, $.plan.tuning.static_hyperparameters, false)"
        ),
        **requests.training_base(
            platform, output="search/", checkpoints="tuning/", instance_count="$.plan.training.instance_count"
        ),
        "Tags": requests.tags(platform.settings),
    }
