"""Batch transform: the test photos through the model as it will be served, one answer per photo."""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_stepfunctions as sfn

from infra.settings import Settings
from infra.workflow import requests
from infra.workflow.job import Folder, Job, Model, TransformJob, folders
from infra.workflow.platform import Platform
from infra.workflow.step import THROTTLED, Step, bare_call, run

# SageMaker allows at most 100 MB in flight: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
CONCURRENT, PAYLOAD_MB = 4, 20


class CreateModel(Step):
    """What explanations and batch transform ask. It costs nothing until a job or endpoint uses it."""

    @classmethod
    def jobs(cls, settings: Settings) -> tuple[Job, ...]:
        trained = Folder("training", uri="$.training.model_data")
        return (
            Model(
                "Create model", "model", role="model", image="inference", machine="transform", limit="transform",
                reads=(trained,),
            ),
        )  # fmt: skip

    def states(self) -> sfn.Chain:
        return sfn.Chain.start(
            bare_call(
                self,
                "Create model",
                action="sagemaker:createModel",
                parameters=self._request(),
                result="$.model",
                selector={"arn.$": "$.ModelArn"},
                retry=THROTTLED,
            )
        )

    def _request(self) -> dict[str, Any]:
        """CreateModel with the inference image and the artifact of this execution."""
        platform, settings = self.platform, self.platform.settings
        model = {
            "ModelName.$": requests.model_name(settings),
            "ExecutionRoleArn": platform.roles["model"],
            "PrimaryContainer": {"Image": platform.images["inference"], "ModelDataUrl.$": "$.training.model_data"},
            "EnableNetworkIsolation": settings.network.isolation,
            "Tags": requests.tags(settings),
        }
        if settings.network.subnets:
            model["VpcConfig"] = requests.vpc_config(settings)
        return model


class BatchTransform(Step):
    """One state; the answers lie in `S/transform/`."""

    @classmethod
    def jobs(cls, settings: Settings) -> tuple[Job, ...]:
        return (
            TransformJob(
                "Batch transform", "transform", role="model", image="inference", machine="transform", limit="transform",
                reads=folders("test"), writes=folders("transform"),
            ),
        )  # fmt: skip

    def states(self) -> sfn.Chain:
        (job,) = self.jobs(self.platform.settings)
        return sfn.Chain.start(
            run(self, job, self.platform, result="$.transform", request=transform_request(self.platform))
        )


def transform_request(platform: Platform) -> dict[str, Any]:
    """CreateTransformJob."""
    output: dict[str, Any] = {"S3OutputPath.$": requests.in_execution("transform/"), "Accept": "application/json"}
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
        "TransformResources": {
            "InstanceCount": 1,
            "InstanceType.$": "$.instances.transform",
            **requests.volume_key(platform, "transform"),
        },
        "Tags": requests.tags(platform.settings),
    }
