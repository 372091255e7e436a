"""What `destroy` deletes: the stacks of one deployment, and what lies in or beside them that CloudFormation does not delete.

Buckets cannot be deleted while they hold objects, a model package group not while it holds versions. The models that
executions made belong to no stack, nor do endpoints and log groups of jobs that were killed. What a template retains stays,
with all that is in it.
"""

from typing import Any

from rich.console import Console

from contract.names import ENDPOINT_LOGS
from darkroom import stacks
from darkroom.failure import DarkroomError
from darkroom.publishing import remove_notes
from darkroom.target import Target

BUCKET, GROUP = "AWS::S3::Bucket", "AWS::SageMaker::ModelPackageGroup"


class Removal:
    """Everything of one deployment, as it was when it was looked at."""

    def __init__(self, target: Target):
        self.target, self.names = target, target.names
        self.stacks = stacks.of(target, self.names)
        self.kept: list[str] = []
        self.buckets, self.groups = self._resources(BUCKET), self._resources(GROUP)

    def plan(self) -> list[str]:
        """One line for each thing that will be deleted."""
        lines = [f"stack {stack.name}" for stack in self.stacks]
        lines += [f"bucket {name} with {len(self._objects(name))} object versions" for name in self.buckets]
        lines += [f"model package {arn}" for arn in self._packages()]
        lines += [f"model {name}" for name in self._models()]
        return lines + [f"endpoint {name}, left by a job" for name in self._shadows()]

    def delete(self, console: Console) -> None:
        """All of the plan."""
        self._empty()
        for name in self._shadows():
            self.target.client("sagemaker").delete_endpoint(EndpointName=name)
        try:
            stacks.delete(self.target, self.stacks, console)
        except DarkroomError:
            # S3 delivers access logs late; a bucket that was empty may have got some since.
            console.print("  Once more, after emptying the buckets again:")
            self._empty()
            stacks.delete(self.target, stacks.of(self.target, self.names), console)
        # After the stacks, because endpoints may use them.
        for name in self._models():
            self.target.client("sagemaker").delete_model(ModelName=name)
        for name in self._log_groups():
            self.target.client("logs").delete_log_group(logGroupName=name)
        remove_notes(self.target)

    def _empty(self) -> None:
        client = self.target.client("s3")
        for bucket in self.buckets:
            # Or deleting from one bucket writes access logs into another.
            client.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
        for bucket in self.buckets:
            objects = self._objects(bucket)
            for start in range(0, len(objects), 1000):
                said = client.delete_objects(
                    Bucket=bucket, Delete={"Objects": objects[start : start + 1000], "Quiet": True}
                )
                if errors := said.get("Errors"):
                    first = errors[0]
                    raise DarkroomError(
                        f"{len(errors)} objects of the bucket {bucket} cannot be deleted; {first.get('Key')}: "
                        f"{first.get('Code')}, {first.get('Message')}",
                        "Nothing of a stack has been deleted yet. Mend that, then give the same command again.",
                    )
        for arn in self._packages():
            self.target.client("sagemaker").delete_model_package(ModelPackageName=arn)

    def _resources(self, kind: str) -> list[str]:
        """Physical ids of a kind; what the template retains goes to `kept` instead."""
        lost: list[str] = []
        for stack in self.stacks:
            resources = [item for item in stacks.resources(self.target, stack.id) if item["ResourceType"] == kind]
            declared = stacks.template(self.target, stack.id).get("Resources", {}) if resources else {}
            for item in resources:
                name = item.get("PhysicalResourceId")
                if not name or item["ResourceStatus"] == "DELETE_COMPLETE":
                    continue
                policy = declared.get(item["LogicalResourceId"], {}).get("DeletionPolicy", "Delete")
                retained = policy == "Retain" or policy == "RetainExceptOnCreate"
                (self.kept if retained else lost).append(name)
        return lost

    def _objects(self, bucket: str) -> list[dict[str, str]]:
        pages = self.target.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket)
        versions = [item for page in pages for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]]
        return [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in versions]

    def _packages(self) -> list[str]:
        return [
            item["ModelPackageArn"]
            for group in self.groups
            for item in self._listed("list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=group)
        ]

    def _models(self) -> list[str]:
        models = self._listed("list_models", "Models", NameContains=self.names.prefix)
        return [item["ModelName"] for item in models if self.names.is_model(item["ModelName"])]

    def _shadows(self) -> list[str]:
        endpoints = self._listed("list_endpoints", "Endpoints", NameContains=self.names.prefix)
        return [item["EndpointName"] for item in endpoints if self.names.is_shadow(item["EndpointName"])]

    def _listed(self, operation: str, field: str, **filters: str) -> list[dict[str, Any]]:
        pages = self.target.client("sagemaker").get_paginator(operation).paginate(**filters)
        return [item for page in pages for item in page[field]]

    def _log_groups(self) -> list[str]:
        """SageMaker makes one for each endpoint of a job; nobody else deletes them."""
        pages = (
            self.target.client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=ENDPOINT_LOGS)
        )
        names = [group["logGroupName"] for page in pages for group in page["logGroups"]]
        return [name for name in names if self.names.is_shadow(name.removeprefix(ENDPOINT_LOGS))]
