"""What `destroy` must delete before and after CloudFormation does its part: contents of buckets, and models.

Buckets cannot be deleted while they hold objects, a model package group not while it holds versions, and the models
that executions made belong to no stack.
"""

import re
from typing import Any

from darkroom.publishing import remove_notes
from darkroom.target import Target


class Removal:
    """Everything of one deployment."""

    def __init__(self, target: Target):
        self.target = target
        self.names = target.names
        self._stacks = self._own_stacks()

    def _own_stacks(self) -> list[str]:
        stacks = self.target.client("cloudformation").describe_stacks()["Stacks"]
        begin = f"{self.names.stack_prefix}-"
        return [stack["StackName"] for stack in stacks if re.fullmatch(rf"{begin}[A-Za-z]+", stack["StackName"])]

    def plan(self) -> list[str]:
        """One line for each thing that will be deleted."""
        lines = [f"stack {name}" for name in self._stacks]
        lines += [f"bucket {name} with {len(self._objects(name))} object versions" for name in self._buckets()]
        lines += [f"model package {arn}" for arn in self._packages()]
        return lines + [f"model {name}" for name in self._models()]

    def empty(self) -> None:
        """Empty the buckets and the registry, so that the stacks can be deleted."""
        client = self.target.client("s3")
        buckets = self._buckets()
        for bucket in buckets:
            # Or deleting from one bucket writes access logs into another.
            client.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
        for bucket in buckets:
            found = self._objects(bucket)
            for start in range(0, len(found), 1000):
                client.delete_objects(Bucket=bucket, Delete={"Objects": found[start : start + 1000], "Quiet": True})
        for arn in self._packages():
            self.target.client("sagemaker").delete_model_package(ModelPackageName=arn)

    def forget_models(self) -> None:
        """Delete the models that executions made; after the stacks, because endpoints may use them."""
        for name in self._models():
            self.target.client("sagemaker").delete_model(ModelName=name)
        remove_notes(self.target)

    def _buckets(self) -> list[str]:
        return [
            item["PhysicalResourceId"]
            for stack in self._stacks
            for item in self._resources(stack)
            if item["ResourceType"] == "AWS::S3::Bucket" and item.get("PhysicalResourceId")
        ]

    def _resources(self, stack: str) -> list[dict[str, Any]]:
        pages = self.target.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        return [item for page in pages for item in page["StackResourceSummaries"]]

    def _objects(self, bucket: str) -> list[dict[str, str]]:
        pages = self.target.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket)
        found = [item for page in pages for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]]
        return [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]

    def _packages(self) -> list[str]:
        group = self.names.model_package_group
        client = self.target.client("sagemaker")
        groups = client.list_model_package_groups(NameContains=group)["ModelPackageGroupSummaryList"]
        if group not in [item["ModelPackageGroupName"] for item in groups]:
            return []
        pages = client.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
        return [item["ModelPackageArn"] for page in pages for item in page["ModelPackageSummaryList"]]

    def _models(self) -> list[str]:
        pages = self.target.client("sagemaker").get_paginator("list_models").paginate(NameContains=self.names.prefix)
        names = [item["ModelName"] for page in pages for item in page["Models"]]
        return [name for name in names if self.names.is_model(name)]
