"""Train best model: the planned hyperparameters with the best trial's over them, exported as `model.tar.gz`."""

from __future__ import annotations

from constructs import Construct

from infra.workflow import requests, step
from infra.workflow.platform import Platform


class TrainBestModel:
    """State `Train best model`; `$.training.job` and `$.training.model_data` are what came out."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        settings = platform.settings
        minutes = settings.max_runtime_minutes.training
        if settings.spot_training:
            minutes += settings.max_runtime_minutes.spot_wait
        self.job = step.job(
            scope, "Train best model", action="createTrainingJob", result="$.training", minutes=minutes,
            parameters=request(platform), retry=[step.SPOT] if settings.spot_training else None,
            selector={
                "job.$": "$.TrainingJobName",
                "model_data.$": "$.ModelArtifacts.S3ModelArtifacts",
                "hyperparameters.$": "$.HyperParameters",
            },
        )  # fmt: skip


def request(platform: Platform) -> dict:
    """CreateTrainingJob; `platform.debugger` adds AWS's rules and profiler in managed mode."""
    return {
        "TrainingJobName.$": requests.job_name(platform.settings, "train"),
        "AlgorithmSpecification": requests.algorithm(platform),
        "HyperParameters.$": "States.JsonMerge($.plan.training.hyperparameters, $.tuning.hyperparameters, false)",
        **requests.training_base(
            platform,
            output="training/",
            checkpoints="checkpoints/training/",
            instance_count="$.plan.training.instance_count",
        ),
        **platform.debugger,
        "Tags": requests.tags(platform.settings),
    }
