"""Endpoints that serve the approved model. Until somebody asks for them they do not exist, so they cost nothing.

What was approved stands in SSM parameters that the state machine writes and CloudFormation reads at deploy time. No template
owns them, so before the first approval they are not there, and a stack that reads a missing parameter cannot be deployed.
So this one reads a parameter that says `none`, which makes the condition false, until it is told to read those
(`Names.served`); CloudFormation remembers that. Images come from parameters, too: this stack is deployed alone after each
approved model, and must take the images that are deployed, not those that the code would make today. Models and endpoint
configurations have names made by CloudFormation, because neither can be changed: a new model makes new ones, and the
endpoint, whose name lasts, is updated in place.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import CfnCondition, CfnOutput, CfnParameter, CfnResource, Fn, RemovalPolicy, Stack
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from contract.instances import has_own_disks
from contract.names import ENDPOINT, IMAGE_URIS, MULTI_MODEL, NO_MODEL, NOTHING, log_group_of_endpoint
from infra.images import ImagesStack
from infra.pipeline import PipelineStack
from infra.settings import Endpoint, Settings
from infra.storage import StorageStack, key_of

# EC2 has to start a machine and pull the image; SageMaker's default of the health check is for small ones.
STARTUP_SECONDS = 600
# Our GPU image is made of CUDA 13 wheels, which need a driver of the 580 series. Machines of the default image have 470 on g4dn and g5,
# and this is the one image with 580. https://docs.aws.amazon.com/sagemaker/latest/dg/inference-gpu-drivers.html
GPU_MACHINE_IMAGE = "al2023-ami-sagemaker-inference-gpu-4-1"
# Endpoints, and the settings that switch them on.
SWITCHES = {"cpu": "cpu", "multi-model": "multi_model", "gpu": "gpu"}


class EndpointsStack(Stack):
    """Endpoints `cpu`, `multi-model` and `gpu`, each by its setting."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, storage: StorageStack, images: ImagesStack,
        pipeline: PipelineStack, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(scope, id, description="Darkroom: endpoints of the approved model", **kwargs)
        self.settings = settings
        self.role_arn = pipeline.roles.of_jobs["model"].role_arn
        self.add_stack_dependency(images, "Endpoints run images that must have been pushed")
        self.add_stack_dependency(pipeline, "It owns the parameters that name the approved model")
        # Both are always declared, so that both can always be given.
        self.package, self.data = (self._parameter(id, NO_MODEL) for id in settings.names.served)
        self.approved = CfnCondition(
            self, "ModelIsApproved", expression=Fn.condition_not(Fn.condition_equals(self.package, NOTHING))
        )
        self.key = key_of(self, settings)
        self.groups = {name: self._log_group(name) for name in SWITCHES}
        endpoints = settings.endpoints
        if endpoints.cpu.enabled:
            packaged = sagemaker.CfnModel.ContainerDefinitionProperty(model_package_name=self.package)
            self._endpoint("cpu", endpoints.cpu, packaged)
        if endpoints.multi_model.enabled:
            many = sagemaker.CfnModel.ContainerDefinitionProperty(
                image=self._parameter("InferenceImage", f"{IMAGE_URIS}inference"), mode="MultiModel",
                model_data_url=f"s3://{storage.models.bucket_name}/{MULTI_MODEL}",
            )  # fmt: skip
            self._endpoint("multi-model", endpoints.multi_model, many)
        if endpoints.gpu.enabled:
            # The package names the CPU image, so this model is made of image and artifact.
            on_gpu = sagemaker.CfnModel.ContainerDefinitionProperty(
                image=self._parameter("InferenceGpuImage", f"{IMAGE_URIS}inference-gpu"),
                model_data_url=self.data,
            )
            self._endpoint("gpu", endpoints.gpu, on_gpu)
        CfnOutput(self, "ServedModelPackage", value=self.package)
        CfnOutput(self, "ServedModelData", value=self.data)
        # A stack whose resources are all conditional could not be created before a model is approved.
        ssm.StringParameter(
            self, "EndpointsParameter", parameter_name=settings.parameter("endpoints"),
            string_value=",".join(self._names()) or NOTHING,
            description="Endpoints that exist once a model is approved",
        )  # fmt: skip

    def _names(self) -> list[str]:
        return [
            self.settings.names.endpoint(name)
            for name, field in SWITCHES.items()
            if getattr(self.settings.endpoints, field).enabled
        ]

    def _parameter(self, id: str, parameter: str) -> str:
        """What stands in an SSM parameter at deploy time."""
        return CfnParameter(
            self, id, type="AWS::SSM::Parameter::Value<String>", default=self.settings.parameter(parameter)
        ).value_as_string  # fmt: skip

    def _log_group(self, name: str) -> logs.CfnLogGroup:
        """There whether the endpoint is or not: SageMaker would make it without retention, and one that was kept when its
        endpoint was switched off would stand in the way when it is switched on again. An empty one costs nothing."""
        group = logs.CfnLogGroup(
            self, f"{construct_id(name)}Logs", log_group_name=log_group_of_endpoint(self.settings.names.endpoint(name)),
            retention_in_days=self.settings.logs.retention_days, kms_key_id=self.key,
        )  # fmt: skip
        group.apply_removal_policy(RemovalPolicy.RETAIN if self.settings.removal == "retain" else RemovalPolicy.DESTROY)
        return group

    def _endpoint(
        self, name: str, setting: Endpoint, container: sagemaker.CfnModel.ContainerDefinitionProperty
    ) -> sagemaker.CfnEndpoint:
        id = construct_id(name)
        full_name = self.settings.names.endpoint(name)
        network = self.settings.network
        model = sagemaker.CfnModel(
            self, f"{id}Model", execution_role_arn=self.role_arn, primary_container=container,
            vpc_config=sagemaker.CfnModel.VpcConfigProperty(
                subnets=list(network.subnets), security_group_ids=list(network.security_groups)
            ) if network.subnets else None,
            # The models of a multi-model endpoint are fetched while it serves; whether an isolated one gets them, only AWS can show.
            enable_network_isolation=network.isolation and name != "multi-model",
        )  # fmt: skip
        variant = sagemaker.CfnEndpointConfig.ProductionVariantProperty(
            variant_name="AllTraffic", model_name=model.attr_model_name, initial_instance_count=setting.instance_count,
            instance_type=setting.instance_type, initial_variant_weight=1,
            container_startup_health_check_timeout_in_seconds=STARTUP_SECONDS,
            inference_ami_version=GPU_MACHINE_IMAGE if name == "gpu" else None,
        )  # fmt: skip
        key = None if has_own_disks(setting.instance_type) else self.key
        configuration = sagemaker.CfnEndpointConfig(
            self, f"{id}EndpointConfig", production_variants=[variant], kms_key_id=key
        )
        endpoint = sagemaker.CfnEndpoint(
            self, f"{id}Endpoint", endpoint_name=full_name, endpoint_config_name=configuration.attr_endpoint_config_name
        )  # fmt: skip
        endpoint.add_resource_dependency(self.groups[name])
        parameter = ssm.CfnParameter(
            self, f"{id}EndpointParameter", name=self.settings.parameter(f"{name}{ENDPOINT}"), type="String",
            value=endpoint.attr_endpoint_name,
        )  # fmt: skip
        for resource in (model, configuration, endpoint, parameter):
            self._only_when_approved(resource)
        output = CfnOutput(self, f"{id}EndpointName", value=endpoint.attr_endpoint_name)
        output.condition = self.approved
        return endpoint

    def _only_when_approved(self, resource: CfnResource) -> None:
        resource.cfn_options.condition = self.approved


def construct_id(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))
