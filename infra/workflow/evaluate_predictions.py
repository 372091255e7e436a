"""Evaluate predictions: join the answers of batch transform with the truth, and prepare the bias measurement."""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.workflow import requests, step
from infra.workflow.platform import Platform

INPUTS, OUTPUTS = ("transform", "prepared"), ("evaluation", "bias-input")


class EvaluatePredictions:
    """States `Evaluate predictions` and `Read evaluation`; `$.evaluation` holds the metrics of the test photos and the gate as judged."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        self.job = step.job(
            scope, "Evaluate predictions", action="createProcessingJob", result="$.evaluating",
            minutes=platform.settings.max_runtime_minutes.analysis, parameters=request(platform),
            selector={"job.$": "$.ProcessingJobName"},
        )  # fmt: skip
        self.read = step.read_json(
            scope, "Read evaluation", bucket=platform.artifacts_bucket, key="evaluation/evaluation.json",
            result="$.evaluated", field="evaluation",
        )  # fmt: skip
        self.use = sfn.Pass(scope, "Use evaluation", input_path="$.evaluated.evaluation", result_path="$.evaluation")


def request(platform: Platform) -> dict:
    """CreateProcessingJob of `evaluate`."""
    return requests.processing_job(
        platform, step="evaluate", image=platform.images.training, role=platform.roles.evaluation, instance="analysis",
        entrypoint=["python", "-m", "training_code"], arguments=["evaluate"],
        minutes=platform.settings.max_runtime_minutes.analysis,
        inputs=[requests.processing_input(name, requests.in_execution(f"{name}/")) for name in INPUTS],
        outputs=[requests.processing_output(name, requests.in_execution(f"{name}/")) for name in OUTPUTS],
    )  # fmt: skip
