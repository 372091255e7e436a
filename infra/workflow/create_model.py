"""Create model: what explanations and batch transform ask. It costs nothing until a job or endpoint uses it."""

from __future__ import annotations

from constructs import Construct

from infra.workflow import requests, step
from infra.workflow.platform import Platform


class CreateModel:
    """State `Create model`; the name is `requests.model_name`."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        self.call = step.call(
            scope, "Create model", action="sagemaker:createModel", result="$.model", parameters=request(platform),
            selector={"arn.$": "$.ModelArn"},
        )  # fmt: skip


def request(platform: Platform) -> dict:
    """CreateModel with the inference image and the artifact of this execution."""
    settings = platform.settings
    model = {
        "ModelName.$": requests.model_name(settings),
        "ExecutionRoleArn": platform.roles.model,
        "PrimaryContainer": {"Image": platform.images.inference, "ModelDataUrl.$": "$.training.model_data"},
        "Tags": requests.tags(settings),
    }
    if settings.network.subnets:
        model["VpcConfig"] = requests.vpc_config(settings)
    return model
