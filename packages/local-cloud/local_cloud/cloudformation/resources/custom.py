"""Custom resources: whatever a template calls `Custom::Name` or AWS::CloudFormation::CustomResource, made by its provider."""

from __future__ import annotations

from typing import Any

from local_cloud.cloudformation.resources.kinds import CUSTOM, Aws, Made, Naming, Properties, ResourceType, register

# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html
SERVICE_TIMEOUT = 3600


@register
class CustomResource(ResourceType):
    """A resource that a function or a topic makes; every property but the provider's name is the provider's business."""

    type = CUSTOM
    properties = required = frozenset({"ServiceToken"})
    replacing = frozenset({"ServiceToken"})
    slow = True

    def fault(self, properties: Properties) -> str | None:
        return None

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        return _made(_asked(aws, "Create", properties))

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        return _made(_asked(aws, "Update", new, PhysicalResourceId=physical_id, OldResourceProperties=_texts(old)))

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        _asked(aws, "Delete", properties, PhysicalResourceId=physical_id)


def _asked(aws: Aws, kind: str, properties: Properties, **more: Any) -> dict[str, Any]:
    request = {
        "RequestType": kind, "ServiceToken": properties["ServiceToken"], "StackId": aws.stack_id, "ResourceType": aws.kind,
        "LogicalResourceId": aws.logical_id, "ResourceProperties": _texts(properties), **more,
    }  # fmt: skip
    return aws.ask(properties["ServiceToken"], request, float(properties.get("ServiceTimeout", SERVICE_TIMEOUT)))


def _made(answer: dict[str, Any]) -> Made:
    return Made(answer["PhysicalResourceId"], answer.get("Data") or {})


def _texts(value: Any) -> Any:
    """Properties as a provider gets them: CloudFormation hands every scalar on as text."""
    if isinstance(value, dict):
        return {name: _texts(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)
