"""Register model: a copy that outlives the execution's files, then a version in the model package group."""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_stepfunctions as sfn

from contract.names import REGISTERED, registered_evaluation, registered_key
from infra import grants
from infra.workflow.platform import Platform
from infra.workflow.step import Step, call, of_execution

CONTENT_TYPES = ["application/x-image", "image/jpeg", "image/png", "application/json"]
ANSWER_TYPES = ["application/json", "application/x-array"]


class RegisterModel(Step):
    """`$.registered` has the package's ARN."""

    def states(self) -> sfn.Chain:
        platform = self.platform
        # What lies below executions/ expires; a registered model must not, nor what it was judged by.
        keep = call(
            self, "Keep model", action="s3:copyObject", result="$.kept",
            parameters={
                "Bucket": platform.models.bucket_name,
                "Key.$": f"States.Format('{registered_key('{}')}', $.names.execution)",
                "CopySource.$": f"States.Format('{platform.artifacts.bucket_name}/{{}}/training/{{}}/output/model.tar.gz', "
                "$.names.key, $.training.job)",
            },
            selector={"etag.$": "$.CopyObjectResult.ETag"},
            allow=[
                ("s3:PutObject", [platform.models.arn_for_objects(f"{REGISTERED}*")]),
                ("s3:GetObject", [of_execution(platform, "training/*/output/model.tar.gz")]),
            ],
        )  # fmt: skip
        keep_evaluation = call(
            self, "Keep evaluation", action="s3:copyObject",
            parameters={
                "Bucket": platform.models.bucket_name,
                "Key.$": f"States.Format('{registered_evaluation('{}')}', $.names.execution)",
                "CopySource.$": f"States.Format('{platform.artifacts.bucket_name}/{{}}/evaluation/evaluation.json', $.names.key)",
            },
            allow=[
                ("s3:PutObject", [platform.models.arn_for_objects(f"{REGISTERED}*")]),
                ("s3:GetObject", [of_execution(platform, "evaluation/evaluation.json")]),
            ],
        )  # fmt: skip
        group = platform.model_package_group
        register = call(
            self, "Register model", action="sagemaker:createModelPackage", result="$.registered",
            parameters=request(platform), selector={"arn.$": "$.ModelPackageArn"},
            allow=[
                ("sagemaker:CreateModelPackage",
                 [grants.arn("sagemaker", f"model-package-group/{group}"), grants.arn("sagemaker", f"model-package/{group}/*")]),
                # It looks up the digest of the image; AWS does not say by whose rights.
                ("ecr:BatchGetImage", [platform.inference_repository]),
                ("ecr:DescribeImages", [platform.inference_repository]),
            ],
        )  # fmt: skip
        return sfn.Chain.start(keep).next(keep_evaluation).next(register)


def model_data(platform: Platform) -> str:
    """Intrinsic for the S3 URI of the kept artifact."""
    return f"States.Format('s3://{platform.models.bucket_name}/{registered_key('{}')}', $.names.execution)"


def request(platform: Platform) -> dict[str, Any]:
    """CreateModelPackage. A version takes no tags (only its group does), so it carries its origin as metadata."""
    settings = platform.settings
    instances = [settings.endpoints.cpu.instance_type, settings.instances.transform]
    judged = f"States.Format('s3://{platform.models.bucket_name}/{registered_evaluation('{}')}', $.names.execution)"
    statistics = {"ContentType": "application/json", "S3Uri.$": judged}
    return {
        "ModelPackageGroupName": platform.model_package_group,
        "ModelPackageDescription.$": "States.Format('{}, trained by execution {}', $.plan.name, $.names.execution)",
        "ModelApprovalStatus": "Approved" if settings.approval == "automatic" else "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [{"Image": platform.images["inference"], "ModelDataUrl.$": model_data(platform)}],
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
