"""The comparison of one environment: its roles and its state machine, on the pipeline's images and buckets."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_logs as logs
from aws_cdk import aws_ssm as ssm
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.names import COMPARISON_MACHINE, COMPARISONS, FEATURE_CACHE, WEIGHTS, execution_key
from infra import grants
from infra.comparison.jobs import JOBS
from infra.comparison.workflow import Comparison
from infra.pipeline import PipelineStack, of_this_stack
from infra.roles import JobRole, role_of
from infra.settings import Settings
from infra.storage import key_of
from infra.workflow.permissions import MachineRole, lists, passes, runs_jobs

PURPOSES = {
    "compare-prepare": "prepares photos for a comparison",
    "compare-extract": "computes a candidate's features",
    "compare-benchmark": "measures a candidate as it would be served",
    "compare-compare": "compares the candidates",
}


class ComparisonStack(Stack):
    """Costs nothing until `darkroom compare` starts it."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, pipeline: PipelineStack, **kwargs: Any
    ) -> None:
        super().__init__(scope, id, description="Darkroom: which architecture for these photos", **kwargs)
        self.settings, self.pipeline = settings, pipeline
        self.storage, self.images = pipeline.storage, pipeline.images
        self.roles = self._roles()
        self.machine = self._machine()
        ssm.StringParameter(
            self, "ComparisonStateMachineArnParameter",
            parameter_name=settings.parameter(COMPARISON_MACHINE),
            string_value=self.machine.state_machine_arn,
        )  # fmt: skip
        CfnOutput(self, "ComparisonStateMachineArn", value=self.machine.state_machine_arn)

    def _roles(self) -> dict[str, JobRole]:
        """By the names that the jobs give them; candidates are trained with the pipeline's role."""
        data, artifacts = self.storage.data, self.storage.artifacts
        own = f"{execution_key('*')}/"
        beyond = {
            "compare-prepare": [
                grants.reads(data, ""), *(grants.reads_uri(uri) for uri in self.settings.readable_prefixes),
            ],
            "compare-extract": [grants.reads(artifacts, FEATURE_CACHE, WEIGHTS), grants.writes(artifacts, FEATURE_CACHE)],
            "compare-benchmark": [grants.writes(artifacts, COMPARISONS)],
            "compare-compare": [grants.reads(artifacts, COMPARISONS, f"{own}test/")],
        }  # fmt: skip
        return {
            name: role_of(
                self, f"{name.removeprefix('compare-').capitalize()}Role", purpose, [job for job in JOBS if job.role == name],
                *beyond[name], settings=self.settings, storage=self.storage, images=self.images,
            )
            for name, purpose in PURPOSES.items()
        }  # fmt: skip

    def _machine(self) -> sfn.StateMachine:
        training = self.pipeline.roles.of_jobs["training"]
        candidates = f"{execution_key('*')}/candidates/*/training/*/output/*"
        role = MachineRole(
            self, "MachineRole", settings=self.settings,
            statements=[
                *runs_jobs(self.settings),
                *passes([*self.roles.values(), training]),
                lists(self.storage.artifacts, f"{COMPARISONS}*", candidates),
            ],
        )  # fmt: skip
        roles = {**self.pipeline.platform.roles, **{name: one.role_arn for name, one in self.roles.items()}}
        key = key_of(self, self.settings)
        platform = dataclasses.replace(self.pipeline.platform, roles=roles, kms_key=key)
        pipeline_arn = self.pipeline.machine.state_machine_arn
        name = self.settings.names.comparison
        group = logs.LogGroup(
            self,
            "MachineLogs",
            log_group_name=self.settings.names.log_group_of_machine(name, of_this_stack()),
            removal_policy=self.pipeline.removal,
        )
        resource = cast(logs.CfnLogGroup, group.node.default_child)
        resource.retention_in_days, resource.kms_key_id = self.settings.logs.retention_days, key
        machine = sfn.StateMachine(
            self, "StateMachine", state_machine_name=name,
            definition_body=sfn.DefinitionBody.from_chainable(
                Comparison(Construct(self, "States"), platform, pipeline_arn).start
            ),
            role=role, comment="Which architecture for these photos",
            logs=sfn.LogOptions(destination=group, level=sfn.LogLevel.ALL, include_execution_data=True),
            tracing_enabled=True,
        )  # fmt: skip
        role.comes_before(machine)
        return machine
