"""Publish: put an approved model where endpoints take it from. The Endpoints stack follows at its next deploy."""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.names import multi_model_key, registered_key
from infra.workflow import step
from infra.workflow.platform import Platform
from infra.workflow.register_model import model_data


class Publish:
    """States `Publish` (the multi-model endpoint sees the model at once), `Note model data`, `Note approved model`."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        bucket = platform.models_bucket
        self.copy = step.call(
            scope, "Publish", action="aws-sdk:s3:copyObject", result="$.published",
            parameters={
                "Bucket": bucket,
                "Key.$": f"States.Format('{multi_model_key('{}')}', $.plan.name)",
                "CopySource.$": f"States.Format('{bucket}/{registered_key('{}')}', $.names.execution)",
            },
            selector={"etag.$": "$.CopyObjectResult.ETag"},
        )  # fmt: skip
        self.note_data = note(scope, platform, "Note model data", "approved-model-data", model_data(platform))
        # Last, because it is what makes endpoints possible.
        self.note_package = note(scope, platform, "Note approved model", "approved-model-package", "$.registered.arn")


def note(scope: Construct, platform: Platform, name: str, parameter: str, value: str) -> sfn.CustomState:
    """PutParameter over the value that the Pipeline stack made."""
    return step.call(
        scope, name, action="aws-sdk:ssm:putParameter", result=None,
        parameters={"Name": platform.settings.parameter(parameter), "Value.$": value, "Overwrite": True},
    )  # fmt: skip
