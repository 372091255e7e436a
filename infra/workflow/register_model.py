"""Register model: a copy that outlives the execution's files, then a version in the model package group."""

from __future__ import annotations

from constructs import Construct

from contract.names import registered_evaluation, registered_key
from infra.workflow import step
from infra.workflow.platform import Platform

CONTENT_TYPES = ["application/x-image", "image/jpeg", "image/png", "application/json"]
ANSWER_TYPES = ["application/json", "application/x-array"]


class RegisterModel:
    """States `Keep model`, `Keep evaluation` and `Register model`; `$.registered` has the package's ARN."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        # What lies below executions/ expires; a registered model must not, nor what it was judged by.
        self.keep = step.call(
            scope, "Keep model", action="aws-sdk:s3:copyObject", result="$.kept",
            parameters={
                "Bucket": platform.models_bucket,
                "Key.$": f"States.Format('{registered_key('{}')}', $.names.execution)",
                "CopySource.$": f"States.Format('{platform.artifacts_bucket}/{{}}/training/{{}}/output/model.tar.gz', "
                "$.names.key, $.training.job)",
            },
            selector={"etag.$": "$.CopyObjectResult.ETag"},
        )  # fmt: skip
        self.keep_evaluation = step.call(
            scope, "Keep evaluation", action="aws-sdk:s3:copyObject", result=None,
            parameters={
                "Bucket": platform.models_bucket,
                "Key.$": f"States.Format('{registered_evaluation('{}')}', $.names.execution)",
                "CopySource.$": f"States.Format('{platform.artifacts_bucket}/{{}}/evaluation/evaluation.json', $.names.key)",
            },
        )  # fmt: skip
        self.call = step.call(
            scope, "Register model", action="aws-sdk:sagemaker:createModelPackage", result="$.registered",
            parameters=request(platform), selector={"arn.$": "$.ModelPackageArn"},
        )  # fmt: skip
        self.states = (self.keep, self.keep_evaluation, self.call)


def model_data(platform: Platform) -> str:
    """Intrinsic for the S3 URI of the kept artifact."""
    return f"States.Format('s3://{platform.models_bucket}/{registered_key('{}')}', $.names.execution)"


def request(platform: Platform) -> dict:
    """CreateModelPackage. A version takes no tags (only its group does), so it carries its origin as metadata."""
    settings = platform.settings
    instances = [settings.endpoints.cpu.instance_type, settings.instances.transform]
    judged = f"States.Format('s3://{platform.models_bucket}/{registered_evaluation('{}')}', $.names.execution)"
    statistics = {"ContentType": "application/json", "S3Uri.$": judged}
    return {
        "ModelPackageGroupName": platform.model_package_group,
        "ModelPackageDescription.$": "States.Format('{}, trained by execution {}', $.plan.name, $.names.execution)",
        "ModelApprovalStatus": "Approved" if settings.approval == "automatic" else "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [{"Image": platform.images.inference, "ModelDataUrl.$": model_data(platform)}],
            "SupportedContentTypes": CONTENT_TYPES,
            "SupportedResponseMIMETypes": ANSWER_TYPES,
            "SupportedRealtimeInferenceInstanceTypes": list(dict.fromkeys(instances)),
            "SupportedTransformInstanceTypes": [settings.instances.transform],
        },
        "ModelMetrics": {"ModelQuality": {"Statistics": statistics}},
        "CustomerMetadataProperties": {
            "execution.$": "$$.Execution.Id",
            "dataset.$": "$.plan.dataset.fingerprint",
            "training_job.$": "$.training.job",
            "accuracy.$": "States.Format('{}', $.evaluation.accuracy)",
            "balanced_accuracy.$": "States.Format('{}', $.evaluation.balanced_accuracy)",
            "health_status.$": "$.health.status",
            "health_issues.$": "$.health.issue_names",
            "stopped_by.$": "$.health.stopped_by",
        },
    }
