"""The pipeline of one environment: roles, model registry, state machine, and what a user needs to start it."""

from __future__ import annotations

from typing import Any, cast

from aws_cdk import Aws, CfnOutput, Fn, RemovalPolicy, Stack
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_ssm as ssm
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.names import (
    NO_MODEL,
    NOTHING,
    PACKAGE_GROUP,
    PROCESSING_LOGS,
    STATE_MACHINE,
    TRAINING_LOGS,
    TRANSFORM_LOGS,
    WEIGHTS_JOB,
    WEIGHTS_ROLE,
    WITH_PYTORCH,
)
from infra import managed
from infra.images import ImagesStack
from infra.roles import JobRoles
from infra.settings import Settings
from infra.storage import StorageStack, key_of
from infra.workflow import pipeline, requests
from infra.workflow.permissions import MachineRole, passes, runs_jobs
from infra.workflow.platform import Platform


def of_this_stack() -> str:
    """A word that no other stack has, not even one of the same name made later: the first eight digits of its id.

    A log group that `removal=retain` kept would stand in the way of a new one of its name.
    """
    return Fn.select(0, Fn.split("-", Fn.select(2, Fn.split("/", Aws.STACK_ID))))


class PipelineStack(Stack):
    """Nothing in it costs anything until an execution starts."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        storage: StorageStack,
        images: ImagesStack,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, id, description="Darkroom: from photos to a registered model", **kwargs)
        self.settings, self.storage, self.images = settings, storage, images
        self.add_stack_dependency(images, "Jobs run images that must have been pushed")
        self.removal = RemovalPolicy.RETAIN if settings.removal == "retain" else RemovalPolicy.DESTROY
        self.key = key_of(self, settings)
        self.roles = JobRoles(self, "Roles", settings=settings, storage=storage, images=images)
        self.group = self._registry()
        self.platform = self._platform()
        self.machine = self._machine()
        self._parameter(NO_MODEL, NOTHING)
        self._parameter(STATE_MACHINE, self.machine.state_machine_arn)
        self._parameter(WEIGHTS_ROLE, self.roles.weights.role_arn)
        self._parameter(WEIGHTS_JOB, self.to_json_string(requests.by_hand(self.platform)))
        self._parameter(PACKAGE_GROUP, self.group.model_package_group_name)
        # Without an endpoint nobody imports it, and CloudFormation refuses to remove an export that the deployed stack still uses.
        self.export_value(self.roles.of_jobs["model"].role_arn)
        CfnOutput(self, "StateMachineArn", value=self.machine.state_machine_arn)
        CfnOutput(self, "ModelPackageGroupName", value=self.group.model_package_group_name)
        if settings.logs.own_job_groups:
            for name, group in (
                ("Training", TRAINING_LOGS),
                ("Processing", PROCESSING_LOGS),
                ("Transform", TRANSFORM_LOGS),
            ):
                self._log_group(f"{name}Logs", group)

    def _platform(self) -> Platform:
        """Names and ARNs for the states; the comparison's state machine takes the same."""
        analysis = self.images.analysis.image_uri
        clarify = managed.image_uri(self, "clarify") if self.settings.clarify == "managed" else analysis
        debugger = managed.debugger(managed.image_uri(self, "debugger")) if self.settings.debugger == "managed" else {}
        return Platform(
            settings=self.settings,
            images={
                "training": self.images.training.image_uri, WITH_PYTORCH: self.images.training_torch.image_uri,
                "analysis": analysis, "inference": self.images.inference.image_uri, "clarify": clarify,
            },
            roles={name: role.role_arn for name, role in self.roles.of_jobs.items()},
            artifacts=self.storage.artifacts,
            models=self.storage.models,
            inference_repository=self.images.inference.repository.repository_arn,
            model_package_group=self.settings.names.model_package_group,
            kms_key=self.key,
            debugger=debugger,
        )  # fmt: skip

    def _registry(self) -> sagemaker.CfnModelPackageGroup:
        group = sagemaker.CfnModelPackageGroup(
            self, "ModelPackageGroup", model_package_group_name=self.settings.names.model_package_group,
            model_package_group_description=f"Models that passed Darkroom's quality gate ({self.settings.environment})",
        )  # fmt: skip
        group.apply_removal_policy(self.removal)
        return group

    def _machine(self) -> sfn.StateMachine:
        role = MachineRole(
            self, "MachineRole", settings=self.settings,
            statements=[
                *runs_jobs(self.settings),
                *passes(list(self.roles.of_jobs.values())),
                *pipeline.rights(self.platform),
            ],
        )  # fmt: skip
        states = Construct(self, "States")
        machine = sfn.StateMachine(
            self,
            "StateMachine",
            state_machine_name=self.settings.names.pipeline,
            definition_body=sfn.DefinitionBody.from_chainable(pipeline.pipeline(states, self.platform)),
            role=role,
            comment="From a data set of photos to a registered model",
            logs=sfn.LogOptions(
                destination=self._log_group(
                    "MachineLogs",
                    self.settings.names.log_group_of_machine(self.settings.names.pipeline, of_this_stack()),
                ),
                level=sfn.LogLevel.ALL,
                include_execution_data=True,
            ),
            tracing_enabled=True,
        )
        role.comes_before(machine)
        return machine

    def _log_group(self, id: str, name: str) -> logs.LogGroup:
        days = self.settings.logs.retention_days
        # The enumeration's members are named in words; CloudFormation's property is the number.
        group = logs.LogGroup(self, id, log_group_name=name, removal_policy=self.removal)
        resource = cast(logs.CfnLogGroup, group.node.default_child)
        resource.retention_in_days, resource.kms_key_id = days, self.key
        return group

    def _parameter(self, name: str, value: str) -> ssm.StringParameter:
        id = "".join(word.capitalize() for word in name.split("-")) + "Parameter"
        return ssm.StringParameter(self, id, parameter_name=self.settings.parameter(name), string_value=value)
