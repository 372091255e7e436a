"""Tune hyperparameters: SageMaker's own search, or the same search inside one training job (`tuning.mode: single_job`).

One job per trial uses many machines; one job for all trials saves starting a machine for each, which on small data is
most of the cost.
"""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.workflow import requests, step, train_best_model
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
    """States `Tune in one job`, `Read best trial` and `Use best trial`, which leave `$.training` and `$.tuning`.

    The same job trains and exports the best model, so that `Train best model` is not needed after it.
    """

    def __init__(self, scope: Construct, platform: Platform) -> None:
        minutes = platform.settings.max_runtime_minutes.tuning
        self.job = step.job(
            scope, "Tune in one job", action="createTrainingJob", result="$.training",
            minutes=minutes + step.spot_wait(platform.settings),
            parameters=train_best_model.request(
                platform, step="search", hyperparameters="$.plan.training.hyperparameters", checkpoints="tuning/",
                minutes=minutes,
            ),
            selector=train_best_model.RESULT, retry=train_best_model.retry(platform.settings),
        )  # fmt: skip
        self.read_best = step.read_json(
            scope, "Read best trial", bucket=platform.artifacts_bucket, key="tuning/best.json", result="$.best",
            field="trial",
        )  # fmt: skip
        self.use_best = sfn.Pass(
            scope,
            "Use best trial",
            result_path="$.tuning",
            parameters={"job.$": "$.training.job", "hyperparameters.$": "$.best.trial.hyperparameters"},
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
        platform,
        output="tuning/",
        checkpoints="checkpoints/tuning/",
        instance_count="$.plan.training.instance_count",
        minutes=platform.settings.max_runtime_minutes.training,
    )
    definition["AlgorithmSpecification"] = requests.algorithm(platform)
    definition["StaticHyperParameters.$"] = "$.plan.tuning.static_hyperparameters"
    return {
        "HyperParameterTuningJobName.$": requests.job_name(platform.settings, "tune"),
        "HyperParameterTuningJobConfig.$": "$.plan.tuning.config",
        "TrainingJobDefinition": definition,
        "Tags": requests.tags(platform.settings),
    }
