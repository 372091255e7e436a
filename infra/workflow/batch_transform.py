"""Batch transform: the test photos through the model as it will be served, one answer per photo."""

from __future__ import annotations

from constructs import Construct

from infra.workflow import requests, step
from infra.workflow.platform import Platform

# SageMaker allows at most 100 MB in flight: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
CONCURRENT, PAYLOAD_MB = 4, 20


class BatchTransform:
    """State `Batch transform`."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        self.job = step.job(
            scope, "Batch transform", action="createTransformJob", result="$.transform",
            minutes=platform.settings.max_runtime_minutes.transform, parameters=request(platform),
            selector={"job.$": "$.TransformJobName"},
        )  # fmt: skip


def request(platform: Platform) -> dict:
    """CreateTransformJob. It takes no time limit of its own: the state's timeout stops it."""
    output: dict = {"S3OutputPath.$": requests.in_execution("transform/"), "Accept": "application/json"}
    if platform.kms_key:
        output["KmsKeyId"] = platform.kms_key
    return {
        "TransformJobName.$": requests.job_name(platform.settings, "transform"),
        "ModelName.$": requests.model_name(platform.settings),
        "BatchStrategy": "SingleRecord",
        "MaxConcurrentTransforms": CONCURRENT,
        "MaxPayloadInMB": PAYLOAD_MB,
        "TransformInput": {
            "ContentType": "application/x-image",
            "DataSource": {
                "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri.$": requests.in_execution("test/")},
            },
        },
        "TransformOutput": output,
        "TransformResources": {"InstanceCount": 1, "InstanceType.$": "$.instances.transform"},
        "Tags": requests.tags(platform.settings),
    }
