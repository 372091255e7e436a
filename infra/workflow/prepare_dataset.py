"""Prepare dataset: validate the input, read and split the photos, compute features, and plan what follows."""

from __future__ import annotations

from dataclasses import replace

from aws_cdk import aws_stepfunctions as sfn

from contract.names import FEATURE_CACHE, WEIGHTS, WITH_PYTORCH
from contract.plan import STATE_FILE
from infra.settings import Settings
from infra.workflow import requests
from infra.workflow.job import Folder, ProcessingJob, folders
from infra.workflow.platform import Platform
from infra.workflow.step import Step, read_json, run


class PrepareDataset(Step):
    """`$.plan` is what the state machine needs of what `prepare` decided."""

    @classmethod
    def jobs(cls, settings: Settings) -> tuple[ProcessingJob, ...]:
        light = ProcessingJob(
            "Prepare dataset", "prepare", role="prepare", image="training", machine="prepare", limit="prepare",
            command=("training_code", "prepare"),
            arguments=f"States.Array('prepare', '--model-name', {requests.model_name(settings)})",
            reads=(
                Folder("input", channel="request", at="request"),
                Folder("dataset", uri="$.input.dataset", outside=True),
            ),
            writes=folders("plan", "prepared", "photos", "features", "weights", "test", "explain"),
        )  # fmt: skip
        return light, replace(light, state="Prepare with PyTorch", id="prepare-torch", image=WITH_PYTORCH)

    def states(self) -> sfn.Chain:
        """The image without PyTorch says at once when it needs the other one; the plan of that one never does."""
        light, heavy = (
            run(self, with_caches(job, self.platform), self.platform, result="$.preparation")
            for job in self.jobs(self.platform.settings)
        )
        read = read_json(self, "Read plan", self.platform, key=STATE_FILE, result="$.prepared", field="plan")
        use = sfn.Pass(self, "Use plan", input_path="$.prepared.plan", result_path="$.plan")
        again = sfn.Condition.boolean_equals("$.prepared.plan.pytorch.prepare", True)
        light.next(read)
        heavy.next(read)
        read.next(sfn.Choice(self, "Is PyTorch needed to prepare?").when(again, heavy).otherwise(use))
        return sfn.Chain.custom(light, [use], use)


def with_caches(job: ProcessingJob, platform: Platform) -> ProcessingJob:
    """Features of a backbone are the same for every execution on the same photos, and weights for all."""
    bucket = platform.artifacts.bucket_name
    caches = {"FEATURE_CACHE_URI": f"s3://{bucket}/{FEATURE_CACHE}", "WEIGHTS_URI": f"s3://{bucket}/{WEIGHTS}"}
    return replace(job, environment=caches)
