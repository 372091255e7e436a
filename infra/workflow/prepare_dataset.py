"""Prepare dataset: validate the input, read and split the photos, compute features, and plan what follows."""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.names import WEIGHTS
from contract.plan import STATE_FILE
from infra.workflow import requests, step
from infra.workflow.platform import Platform

OUTPUTS = ("plan", "prepared", "photos", "features", "weights", "test", "explain")


class PrepareDataset:
    """States `Prepare dataset` and `Read plan`; `$.prepared.plan` is what the state machine needs of what `prepare` decided."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        self.job = step.job(
            scope, "Prepare dataset", action="createProcessingJob", result="$.preparation",
            minutes=platform.settings.max_runtime_minutes.prepare, parameters=request(platform),
            selector={"job.$": "$.ProcessingJobName"},
        )  # fmt: skip
        self.read_plan = step.read_json(
            scope, "Read plan", bucket=platform.artifacts_bucket, key=STATE_FILE, result="$.prepared",
            field="plan",
        )  # fmt: skip
        self.use_plan = sfn.Pass(scope, "Use plan", input_path="$.prepared.plan", result_path="$.plan")


def request(platform: Platform) -> dict:
    """CreateProcessingJob of `prepare`."""
    name = requests.model_name(platform.settings)
    job = requests.processing_job(
        platform, step="prepare", image=platform.images.training, role=platform.roles.prepare, instance="prepare",
        entrypoint=["python", "-m", "training_code"], arguments=None,
        arguments_path=f"States.Array('prepare', '--model-name', {name})",
        minutes=platform.settings.max_runtime_minutes.prepare,
        inputs=[
            requests.processing_input("request", requests.in_execution("input/")),
            requests.processing_input("dataset", "$.input.dataset"),
        ],
        outputs=[requests.processing_output(name, requests.in_execution(f"{name}/")) for name in OUTPUTS],
    )  # fmt: skip
    # Features of a backbone are the same for every execution on the same photos.
    job["Environment"] = {
        "FEATURE_CACHE_URI": f"s3://{platform.artifacts_bucket}/feature-cache/",
        "WEIGHTS_URI": f"s3://{platform.artifacts_bucket}/{WEIGHTS}",
    }
    return job
