"""Check training health: rules and profile over what the training observed of itself."""

from __future__ import annotations

from constructs import Construct

from infra.workflow import requests, step
from infra.workflow.platform import Platform


class CheckTrainingHealth:
    """State `Check training health`."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        self.job = step.job(
            scope, "Check training health", action="createProcessingJob", result="$.health",
            minutes=platform.settings.max_runtime_minutes.analysis, parameters=request(platform),
            selector={"job.$": "$.ProcessingJobName"},
        )  # fmt: skip


def request(platform: Platform) -> dict:
    """CreateProcessingJob of `health` on the output of this one training job."""
    trained = "States.Format('{}/training/{}/output/', $.names.uri, $.training.job)"
    return requests.processing_job(
        platform, step="health", image=platform.images.training, role=platform.roles.evaluation, instance="analysis",
        entrypoint=["python", "-m", "training_code"], arguments=["health"],
        minutes=platform.settings.max_runtime_minutes.analysis,
        inputs=[requests.processing_input("training", trained)],
        outputs=[requests.processing_output("health", requests.in_execution("health/"))],
    )  # fmt: skip
