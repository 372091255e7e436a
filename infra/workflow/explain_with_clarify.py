"""Explain with Clarify: which regions of a few photos decided, by Clarify's own job contract.

Open and managed mode differ in the image alone. https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-processing-job-run.html
"""

from __future__ import annotations

from constructs import Construct

from contract.names import SHADOW_LOG_DAYS
from infra.workflow import requests, step
from infra.workflow.platform import Platform
from infra.workflow.skip import skip


class ExplainWithClarify:
    """States `Explain with Clarify` and, when explanations are not wanted, `Skip explanations`."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        self.job = step.job(
            scope, "Explain with Clarify", action="createProcessingJob", result="$.explanations",
            minutes=platform.settings.max_runtime_minutes.analysis, parameters=request(platform),
            selector={"job.$": "$.ProcessingJobName"},
        )  # fmt: skip
        self.skipped = skip(
            scope, "Skip explanations", platform, folder="explanations", result="$.explanations",
            reason="explain.enabled is false in the execution input",
        )  # fmt: skip


def request(platform: Platform) -> dict:
    return clarify_request(
        platform, "explain", config="explain/config/", data="explain/photos/", output="explanations/"
    )


def clarify_request(platform: Platform, name: str, *, config: str, data: str, output: str) -> dict:
    """CreateProcessingJob of a Clarify image: no command, `analysis_config.json` says what to do."""
    job = requests.processing_job(
        platform, step=name, image=platform.images.clarify, role=platform.roles.analysis, instance="analysis",
        entrypoint=None, arguments=None, minutes=platform.settings.max_runtime_minutes.analysis,
        inputs=[
            requests.processing_input("analysis_config", requests.in_execution(config), "config"),
            requests.processing_input("dataset", requests.in_execution(data), "data"),
        ],
        outputs=[requests.processing_output("analysis_result", requests.in_execution(output), requests.OUTPUT)],
    )  # fmt: skip
    if platform.settings.clarify == "open":
        job["Environment"] = {SHADOW_LOG_DAYS: str(platform.settings.logs.retention_days)}
    return job
