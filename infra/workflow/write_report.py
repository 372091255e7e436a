"""Write report: one page from what all steps left, also for a model that did not pass the gate."""

from __future__ import annotations

from constructs import Construct

from infra.workflow import requests, step
from infra.workflow.platform import Platform

FOLDERS = ("plan", "prepared", "health", "explanations", "evaluation", "bias", "outcome")


class WriteReport:
    """States `Save outcome` (what the state machine itself knows, as a file) and `Write report`."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        self.save_outcome = step.call(
            scope, "Save outcome", action="aws-sdk:s3:putObject", result=None,
            parameters={
                "Bucket": platform.artifacts_bucket,
                "Key.$": "States.Format('{}/outcome/outcome.json', $.names.key)",
                "Body.$": "$",
                "ContentType": "application/json",
            },
        )  # fmt: skip
        self.job = step.job(
            scope, "Write report", action="createProcessingJob", result="$.report",
            minutes=platform.settings.max_runtime_minutes.analysis, parameters=request(platform),
            selector={"job.$": "$.ProcessingJobName"},
        )  # fmt: skip


def request(platform: Platform) -> dict:
    """CreateProcessingJob of `report`."""
    return requests.processing_job(
        platform, step="report", image=platform.images.analysis, role=platform.roles.report, instance="analysis",
        entrypoint=["python", "-m", "analysis_code"], arguments=["report"],
        minutes=platform.settings.max_runtime_minutes.analysis,
        inputs=[requests.processing_input(name, requests.in_execution(f"{name}/")) for name in FOLDERS],
        outputs=[requests.processing_output("report", requests.in_execution("report/"))],
    )  # fmt: skip
