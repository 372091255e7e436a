"""Templates deployed to a local cloud by CloudFormation's own calls: no CDK CLI, no images, so an update takes a second."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from local_cloud.testing import RunningCloud
from tests.infra.conftest import Synthesis
from tests.infra.setting_walk import PRECIOUS

# What the bootstrap would have made: the CDK's templates ask for it.
BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"


class Deployment:
    """The stacks of one environment."""

    def __init__(self, cloud: RunningCloud, name: str):
        self.cloudformation, self._s3 = cloud.client("cloudformation"), cloud.client("s3")
        self._bucket = f"templates-of-{name}"
        self._s3.create_bucket(Bucket=self._bucket)
        cloud.client("ssm").put_parameter(Name=BOOTSTRAP_PARAMETER, Value="30", Type="String", Overwrite=True)

    def deploy(self, synthesis: Synthesis) -> None:
        """As `cdk deploy --all`: each stack after those that it depends on."""
        for stack in synthesis.stacks:
            self._deploy(stack.stack_name, (synthesis.directory / stack.template_file).read_text())

    def _deploy(self, stack: str, template: str) -> None:
        # Templates of more than 51,200 bytes are taken from S3 only.
        self._s3.put_object(Bucket=self._bucket, Key=stack, Body=template.encode())
        url = f"{self._s3.meta.endpoint_url}/{self._bucket}/{stack}"
        asked: dict[str, Any] = {"StackName": stack, "TemplateURL": url, "Capabilities": ["CAPABILITY_NAMED_IAM"]}
        exists = self.state(stack) is not None
        try:
            if exists:
                self.cloudformation.update_stack(
                    **asked,
                    Parameters=[
                        {"ParameterKey": one, "UsePreviousValue": True}
                        for one in json.loads(template).get("Parameters", {})
                        if one in self.parameters(stack)
                    ],
                )
            else:
                self.cloudformation.create_stack(**asked)
        except ClientError as error:
            if "No updates" in str(error):
                return
            raise
        waiter = self.cloudformation.get_waiter("stack_update_complete" if exists else "stack_create_complete")
        try:
            waiter.wait(StackName=stack, WaiterConfig={"Delay": 0.2, "MaxAttempts": 600})
        except Exception as error:
            raise AssertionError(f"{stack}: {self.state(stack)}: {self.reasons(stack)}") from error

    def state(self, stack: str) -> str | None:
        try:
            return self.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        except ClientError:
            return None

    def parameters(self, stack: str) -> set[str]:
        found = self.cloudformation.describe_stacks(StackName=stack)["Stacks"][0].get("Parameters", [])
        return {one["ParameterKey"] for one in found}

    def reasons(self, stack: str) -> list[str]:
        """What failed, newest first."""
        events = self.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        return [
            f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason')}"
            for e in events
            if "FAILED" in e["ResourceStatus"]
        ]

    def precious(self, synthesis: Synthesis) -> dict[str, str]:
        """Physical ids of what holds something, by stack and logical id."""
        return {name: id for name, (kind, id, _) in self.resources(synthesis).items() if kind in PRECIOUS}

    def resources(self, synthesis: Synthesis) -> dict[str, tuple[str, str, Any]]:
        """Type, physical id and moment of the last change of everything, by stack and logical id."""
        return {
            f"{stack.stack_name}/{one['LogicalResourceId']}":
                (one["ResourceType"], one["PhysicalResourceId"], one["LastUpdatedTimestamp"])
            for stack in synthesis.stacks
            for page in self.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack.stack_name)
            for one in page["StackResourceSummaries"]
        }  # fmt: skip


def difference(before: dict[str, tuple[str, str, Any]], after: dict[str, tuple[str, str, Any]]) -> dict[str, int]:
    """What an update did, in numbers of resources."""
    both = before.keys() & after.keys()
    replaced = {name for name in both if before[name][1] != after[name][1]}
    return {
        "updated": sum(before[name][2] != after[name][2] for name in both - replaced),
        "added": len(after.keys() - both),
        "removed": len(before.keys() - both),
        "replaced": len(replaced),
    }
