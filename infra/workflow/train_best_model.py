"""Train best model: the planned hyperparameters with the best trial's over them, exported as `model.tar.gz`."""

from __future__ import annotations

from constructs import Construct

from infra.settings import Settings
from infra.workflow import requests, step
from infra.workflow.platform import Platform

RESULT = {
    "job.$": "$.TrainingJobName",
    "model_data.$": "$.ModelArtifacts.S3ModelArtifacts",
    "hyperparameters.$": "$.HyperParameters",
}


class TrainBestModel:
    """State `Train best model`; `$.training.job` and `$.training.model_data` are what came out."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        minutes = platform.settings.max_runtime_minutes.training
        best = "States.JsonMerge($.plan.training.hyperparameters, $.tuning.hyperparameters, false)"
        self.job = step.job(
            scope, "Train best model", action="createTrainingJob", result="$.training",
            minutes=minutes + step.spot_wait(platform.settings),
            parameters=request(
                platform, step="train", hyperparameters=best, checkpoints="checkpoints/training/", minutes=minutes
            ),
            selector=RESULT, retry=retry(platform.settings),
        )  # fmt: skip


def retry(settings: Settings) -> list[dict]:
    return [step.SPOT] if settings.spot_training else []


def request(platform: Platform, *, step: str, hyperparameters: str, checkpoints: str, minutes: int) -> dict:
    """CreateTrainingJob; `platform.debugger` adds AWS's rules and profiler in managed mode."""
    return {
        "TrainingJobName.$": requests.job_name(platform.settings, step),
        "AlgorithmSpecification": requests.algorithm(platform),
        "HyperParameters.$": hyperparameters,
        **requests.training_base(
            platform,
            output="training/",
            checkpoints=checkpoints,
            instance_count="$.plan.training.instance_count",
            minutes=minutes,
        ),
        **platform.debugger,
        "Tags": requests.tags(platform.settings),
    }
