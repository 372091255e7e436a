"""Tune and train: a search for hyperparameters, then the best ones trained and exported as `model.tar.gz`.

Three ways: SageMaker's own search, one job for each trial; the same search inside one training job (`tuning.mode: single_job`), which
saves starting a machine for each trial, on small data most of the cost; or no search.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_stepfunctions as sfn

from contract.names import WITH_PYTORCH
from infra.settings import Settings
from infra.workflow import requests
from infra.workflow.job import Job, TrainingJob, TuningJob, folders
from infra.workflow.platform import Platform
from infra.workflow.step import SPOT, Step, read_json, run, spot_wait

RESULT = {
    "job.$": "$.TrainingJobName",
    "model_data.$": "$.ModelArtifacts.S3ModelArtifacts",
    "hyperparameters.$": "$.HyperParameters",
}
TUNED = {
    "job.$": "$.HyperParameterTuningJobName",
    "hyperparameters.$": "$.BestTrainingJob.TunedHyperParameters",
    "best_job.$": "$.BestTrainingJob.TrainingJobName",
    "objective.$": "$.BestTrainingJob.FinalHyperParameterTuningJobObjectiveMetric",
    "trials.$": "$.TrainingJobStatusCounters",
}
IMAGE = "$.training_image"
BEST = "States.JsonMerge($.plan.training.hyperparameters, $.tuning.hyperparameters, false)"
INPUTS = ("features", "photos", "weights")


class TrainBestModel(Step):
    """`$.tuning.hyperparameters` are the best trial's; `$.training.job` and `$.training.model_data` are what came out."""

    @classmethod
    def jobs(cls, settings: Settings) -> tuple[Job, ...]:
        common: dict[str, Any] = {
            "role": "training",
            "image": "training",
            "or_image": WITH_PYTORCH,
            "machine": "training",
            "command": ("training_code", "train"),
        }
        return (
            TuningJob(
                "Tune hyperparameters", "tune", limit="tuning", reads=folders(*INPUTS, "checkpoints"),
                writes=folders("tuning", "checkpoints"), **common,
            ),
            TrainingJob(
                "Tune in one job", "search", limit="tuning", reads=folders(*INPUTS, "tuning"),
                writes=folders("training", "tuning"), **common,
            ),
            TrainingJob(
                "Train best model", "train", limit="training", reads=folders(*INPUTS, "checkpoints"),
                writes=folders("training", "checkpoints"), **common,
            ),
        )  # fmt: skip

    def states(self) -> sfn.Chain:
        tune, search, train = self.jobs(self.platform.settings)
        trained = self._train(train, BEST, "checkpoints/training/")
        searched = run(
            self, tune, self.platform, result="$.tuning", request=tuning_request(self.platform), selector=TUNED
        )
        skipped = sfn.Pass(
            self, "Skip tuning", result_path="$.tuning", parameters={"job": "none", "hyperparameters": {}}
        )
        in_one_job = (
            sfn.Chain.start(self._train(search, "$.plan.training.hyperparameters", "tuning/"))
            .next(read_json(self, "Read best trial", self.platform, key="tuning/best.json", result="$.best", field="trial"))
            .next(
                sfn.Pass(
                    self, "Use best trial", result_path="$.tuning",
                    parameters={"job.$": "$.training.job", "hyperparameters.$": "$.best.trial.hyperparameters"},
                )
            )
        )  # fmt: skip
        skipped.next(trained)
        searched.next(trained)
        return self._image_of_the_plan().next(
            sfn.Choice(self, "Choose tuning")
            .when(sfn.Condition.boolean_equals("$.plan.tuning.enabled", False), skipped)
            .when(sfn.Condition.string_equals("$.plan.tuning.mode", "single_job"), in_one_job)
            .otherwise(searched)
            .afterwards()
        )

    def _image_of_the_plan(self) -> sfn.Chain:
        """`$.training_image`: most trainings need no PyTorch, and the image without it is there in a fraction of the time."""
        images = self.platform.images
        light, heavy = (
            sfn.Pass(self, name, result=sfn.Result.from_string(images[image]), result_path=IMAGE)
            for name, image in (("Train without PyTorch", "training"), ("Train with PyTorch", WITH_PYTORCH))
        )
        with_torch = sfn.Condition.boolean_equals("$.plan.pytorch.training", True)
        return sfn.Choice(self, "Is PyTorch needed to train?").when(with_torch, heavy).otherwise(light).afterwards()

    def _train(self, job: Job, hyperparameters: str, checkpoints: str) -> sfn.CustomState:
        settings, minutes = self.platform.settings, job.minutes(self.platform)
        request = training_request(
            self.platform, job, hyperparameters=hyperparameters, checkpoints=checkpoints, minutes=minutes
        )
        return run(
            self, job, self.platform, result="$.training", request=request, selector=RESULT,
            minutes=minutes + spot_wait(settings), retry=[SPOT] if settings.spot_training else [],
        )  # fmt: skip


def training_request(
    platform: Platform, job: Job, *, hyperparameters: str, checkpoints: str, minutes: int
) -> dict[str, Any]:
    """CreateTrainingJob; `platform.debugger` adds AWS's rules and profiler in managed mode."""
    return {
        "TrainingJobName.$": requests.job_name(platform.settings, job.id),
        "AlgorithmSpecification": requests.algorithm(IMAGE),
        "HyperParameters.$": hyperparameters,
        **requests.training_base(
            platform, output="training/", checkpoints=checkpoints, instance_count="$.plan.training.instance_count",
            minutes=minutes,
        ),
        **platform.debugger,
        "Tags": requests.tags(platform.settings),
    }  # fmt: skip


def tuning_request(platform: Platform) -> dict[str, Any]:
    """CreateHyperParameterTuningJob; `prepare` planned the whole search in the API's own shape."""
    definition = requests.training_base(
        platform, output="tuning/", checkpoints="checkpoints/tuning/", instance_count="$.plan.training.instance_count",
        minutes=platform.settings.max_runtime_minutes.training,
    )  # fmt: skip
    definition["AlgorithmSpecification"] = requests.algorithm(IMAGE)
    definition["StaticHyperParameters.$"] = "$.plan.tuning.static_hyperparameters"
    return {
        "HyperParameterTuningJobName.$": requests.job_name(platform.settings, "tune"),
        "HyperParameterTuningJobConfig.$": "$.plan.tuning.config",
        "TrainingJobDefinition": definition,
        "Tags": requests.tags(platform.settings),
    }
