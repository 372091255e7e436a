"""SageMaker models, endpoint configurations, endpoints and model package groups.

Property names are the API's own; CloudFormation types a few as text or numbers, which botocore's model settles.
"""

from __future__ import annotations

import time
from typing import Any

from local_cloud.cloudformation.resources.kinds import (
    Aws,
    Made,
    Naming,
    Properties,
    ResourceType,
    delete_quietly,
    register,
    tag_changes,
    true,
)
from local_cloud.cloudformation.template import invalid
from local_cloud.services import service_model

ENDPOINT_POLL_SECONDS = 0.05


def _typed(shape: Any, value: Any) -> Any:
    """The value in the types of the API's shape: templates may give numbers and booleans as text."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        return {name: _typed(shape.members[name], v) if name in shape.members else v for name, v in value.items()}
    if kind == "list" and isinstance(value, list):
        return [_typed(shape.member, item) for item in value]
    if kind == "map" and isinstance(value, dict):
        return {name: _typed(shape.value, item) for name, item in value.items()}
    if kind in ("integer", "long") and isinstance(value, str):
        return int(value)
    if kind in ("float", "double") and isinstance(value, str):
        return float(value)
    if kind == "boolean":
        return true(value)
    if kind == "string" and not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value


def _call(aws: Aws, operation: str, request: Properties) -> Any:
    model = service_model("sagemaker").operation_model(operation)
    client = aws.client("sagemaker")
    method = next(name for name, own in client.meta.method_to_api_mapping.items() if own == operation)
    return getattr(client, method)(**_typed(model.input_shape, request))


class _Named(ResourceType):
    """A resource that is described by its create call and replaced by any change of it but of its tags."""

    noun: str

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        name = properties.get(f"{self.noun}Name") or naming.name(63)
        made = _call(aws, f"Create{self.noun}", {**properties, f"{self.noun}Name": name})
        return self._made(made[f"{self.noun}Arn"], name)

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        """Tags can be changed where nothing else can."""
        client = aws.client("sagemaker")
        changed, removed = tag_changes(old, new)
        if changed:
            client.add_tags(ResourceArn=physical_id, Tags=changed)
        if removed:
            client.delete_tags(ResourceArn=physical_id, TagKeys=removed)
        return self._made(physical_id, physical_id.rpartition("/")[2])

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        name = physical_id.rpartition("/")[2]
        client = aws.client("sagemaker")
        operation = f"Delete{self.noun}"
        method = next(method for method, own in client.meta.method_to_api_mapping.items() if own == operation)
        delete_quietly(getattr(client, method), **{f"{self.noun}Name": name})

    def _made(self, arn: str, name: str) -> Made:
        # Ref of these types is the ARN; GetAtt gives the name.
        return Made(arn, {f"{self.noun}Name": name, f"{self.noun}Arn": arn, "Id": arn, "Arn": arn})


@register
class Model(_Named):
    """A model."""

    type = "AWS::SageMaker::Model"
    noun = "Model"
    name_property = "ModelName"
    replacing = frozenset({
        "ModelName", "ExecutionRoleArn", "PrimaryContainer", "Containers", "InferenceExecutionConfig", "VpcConfig",
        "EnableNetworkIsolation",
    })  # fmt: skip
    properties = replacing | {"Tags"}


@register
class EndpointConfig(_Named):
    """An endpoint configuration: any change but of its tags makes a new one."""

    type = "AWS::SageMaker::EndpointConfig"
    noun = "EndpointConfig"
    name_property = "EndpointConfigName"
    required = frozenset({"ProductionVariants"})
    replacing = frozenset({
        "EndpointConfigName", "ProductionVariants", "ShadowProductionVariants", "DataCaptureConfig", "KmsKeyId",
        "AsyncInferenceConfig", "ExplainerConfig", "ExecutionRoleArn", "EnableNetworkIsolation", "VpcConfig",
    })  # fmt: skip
    properties = replacing | {"Tags"}


@register
class Endpoint(_Named):
    """An endpoint; the stack waits until it is in service and fails with its reason."""

    type = "AWS::SageMaker::Endpoint"
    noun = "Endpoint"
    name_property = "EndpointName"
    required = frozenset({"EndpointConfigName"})
    properties = frozenset({
        "EndpointName", "EndpointConfigName", "DeploymentConfig", "ExcludeRetainedVariantProperties",
        "RetainAllVariantProperties", "RetainDeploymentConfig", "Tags",
    })  # fmt: skip
    replacing = frozenset({"EndpointName"})
    slow = True

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        name = properties.get("EndpointName") or naming.name(63)
        chosen = {k: v for k, v in properties.items() if k in ("EndpointConfigName", "DeploymentConfig", "Tags")}
        arn = _call(aws, "CreateEndpoint", {**chosen, "EndpointName": name})["EndpointArn"]
        try:
            self._wait(aws, name)
        except ValueError:
            self.delete(aws, arn, properties)
            raise
        return self._made(arn, name)

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        name = physical_id.rpartition("/")[2]
        if new["EndpointConfigName"] != old.get("EndpointConfigName"):
            chosen = {k: v for k, v in new.items() if k not in ("EndpointName", "Tags")}
            _call(aws, "UpdateEndpoint", {**chosen, "EndpointName": name})
            self._wait(aws, name, new["EndpointConfigName"])
        return super().update(aws, physical_id, old, new)

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        super().delete(aws, physical_id, properties)
        name = physical_id.rpartition("/")[2]
        while _status(aws, name):
            time.sleep(ENDPOINT_POLL_SECONDS)

    @staticmethod
    def _wait(aws: Aws, name: str, configuration: str | None = None) -> None:
        while True:
            described = _status(aws, name)
            status = described.get("EndpointStatus")
            if status == "InService":
                if configuration and described["EndpointConfigName"] != configuration.rpartition("/")[2]:
                    raise invalid(
                        f"The update was rolled back: {described.get('FailureReason', 'no reason was given')}"
                    )
                return
            if status in ("Failed", "OutOfService", "UpdateRollbackFailed", None):
                raise invalid(described.get("FailureReason") or f"The endpoint {name} is {status or 'gone'}.")
            time.sleep(ENDPOINT_POLL_SECONDS)


def _status(aws: Aws, name: str) -> dict[str, Any]:
    from botocore.exceptions import ClientError

    try:
        return aws.client("sagemaker").describe_endpoint(EndpointName=name)
    except ClientError:
        return {}


@register
class ModelPackageGroup(_Named):
    """A group of model package versions; one that still holds versions cannot be deleted, as on AWS."""

    type = "AWS::SageMaker::ModelPackageGroup"
    noun = "ModelPackageGroup"
    name_property = "ModelPackageGroupName"
    required = frozenset({"ModelPackageGroupName"})
    properties = frozenset({"ModelPackageGroupName", "ModelPackageGroupDescription", "ModelPackageGroupPolicy", "Tags"})
    replacing = frozenset({"ModelPackageGroupName", "ModelPackageGroupDescription"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        chosen = {k: v for k, v in properties.items() if k != "ModelPackageGroupPolicy"}
        made = _call(aws, "CreateModelPackageGroup", chosen)
        return self._made(made["ModelPackageGroupArn"], properties["ModelPackageGroupName"])
