"""The comparison of one environment: its roles and its state machine, on the pipeline's images and buckets."""

from __future__ import annotations

from typing import Any

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_ssm as ssm
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.names import COMPARISONS, PROCESSING_LOGS, WEIGHTS, comparison_key, execution_key
from infra import grants
from infra.comparison.candidate import EXTRACTED, TRAINED
from infra.comparison.platform import ComparisonPlatform
from infra.comparison.workflow import PREPARED, SECOND, Comparison
from infra.pipeline import PipelineStack, of_this_stack
from infra.roles import JobRole
from infra.settings import Settings
from infra.workflow.permissions import MachineRole, passes, runs_jobs


class ComparisonStack(Stack):
    """Costs nothing until `darkroom compare` starts it."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, pipeline: PipelineStack, **kwargs: Any
    ) -> None:
        super().__init__(scope, id, description="Darkroom: which architecture for these photos", **kwargs)
        self.settings, self.pipeline = settings, pipeline
        self.storage, self.images = pipeline.storage, pipeline.images
        self._make_roles()
        self.machine = self._machine()
        ssm.StringParameter(
            self, "ComparisonStateMachineArnParameter",
            parameter_name=settings.parameter("comparison-state-machine-arn"),
            string_value=self.machine.state_machine_arn,
        )  # fmt: skip
        CfnOutput(self, "ComparisonStateMachineArn", value=self.machine.state_machine_arn)

    def _make_roles(self) -> None:
        data, artifacts, images = self.storage.data, self.storage.artifacts, self.images
        own = f"{execution_key('*')}/"
        readable = [grants.reads_uri(uri) for uri in self.settings.readable_prefixes]
        self.prepare_role = self._role(
            "Prepare", "prepares photos for a comparison",
            grants.reads(data, ""), *readable, grants.reads(artifacts, f"{own}input/"),
            grants.writes(
                artifacts, *(f"{own}{folder}/" for folder in (*PREPARED, *SECOND))
            ),
            grants.pulls(images.training),
        )  # fmt: skip
        self.extract_role = self._role(
            "Extract", "computes a candidate's features",
            grants.reads(artifacts, f"{own}photos/", "feature-cache/", WEIGHTS),
            grants.writes(artifacts, *(f"{own}candidates/*/{folder}/" for folder in EXTRACTED), "feature-cache/"),
            grants.pulls(images.training),
        )  # fmt: skip
        self.benchmark_role = self._role(
            "Benchmark", "measures a candidate as it would be served",
            grants.reads(
                artifacts, f"{own}candidates/*/training/", f"{own}candidates/*/extraction/",
                *(f"{own}{f}/" for f in ("test", "prepared", "photos", "second", "second-test")),
            ),
            grants.writes(artifacts, COMPARISONS),
            grants.pulls(images.inference),
        )  # fmt: skip
        self.compare_role = self._role(
            "Compare", "compares the candidates",
            grants.reads(artifacts, COMPARISONS, f"{own}asked/", f"{own}prepared/", f"{own}test/"),
            grants.writes(artifacts, f"{own}comparison/"),
            grants.pulls(images.analysis),
        )  # fmt: skip

    def _role(self, id: str, purpose: str, *statements: list[iam.PolicyStatement]) -> JobRole:
        return JobRole(
            self, f"{id}Role", settings=self.settings, storage=self.storage,
            description=f"Darkroom {self.settings.environment}: {purpose}", log_groups=[PROCESSING_LOGS],
            statements=[entry for group in statements for entry in group],
        )  # fmt: skip

    def _machine(self) -> sfn.StateMachine:
        roles = [self.prepare_role, self.extract_role, self.benchmark_role, self.compare_role]
        role = MachineRole(
            self, "MachineRole", settings=self.settings,
            statements=[
                *runs_jobs(self.settings), *passes([*roles, self.pipeline.roles.training]), *self._keeps_books()
            ],
        )  # fmt: skip
        platform = ComparisonPlatform(
            base=self.pipeline.platform,
            prepare_role=self.prepare_role.role_arn,
            extract_role=self.extract_role.role_arn,
            benchmark_role=self.benchmark_role.role_arn,
            compare_role=self.compare_role.role_arn,
            pipeline_arn=self.pipeline.machine.state_machine_arn,
        )
        name = self.settings.names.comparison
        group = logs.LogGroup(
            self,
            "MachineLogs",
            log_group_name=self.settings.names.log_group_of_machine(name, of_this_stack()),
            removal_policy=self.pipeline.removal,
        )
        group.node.default_child.retention_in_days = self.settings.logs.retention_days
        machine = sfn.StateMachine(
            self, "StateMachine", state_machine_name=name,
            definition_body=sfn.DefinitionBody.from_chainable(Comparison(Construct(self, "States"), platform).start),
            role=role, comment="Which architecture for these photos",
            logs=sfn.LogOptions(destination=group, level=sfn.LogLevel.ALL, include_execution_data=True),
            tracing_enabled=True,
        )  # fmt: skip
        role.comes_before(machine)
        return machine

    def _keeps_books(self) -> list[iam.PolicyStatement]:
        artifacts = self.storage.artifacts
        return [
            iam.PolicyStatement(
                actions=["s3:GetObject"],
                resources=[
                    artifacts.arn_for_objects(f"{execution_key('*')}/{path}")
                    for path in ("plan/plan.json", "comparison/winner.json")
                ]
                + [artifacts.arn_for_objects(f"{comparison_key('*')}/{TRAINED}")],
            ),
            iam.PolicyStatement(
                actions=["s3:PutObject"],
                resources=[
                    artifacts.arn_for_objects(path)
                    for path in (
                        *(f"{execution_key('*')}/{file}" for file in ("input/input.json", "asked/outcomes.json")),
                        *(f"{comparison_key('*')}/{file}" for file in ("question.json", TRAINED)),
                    )
                ],
            ),
            iam.PolicyStatement(
                actions=["s3:ListBucket"], resources=[artifacts.bucket_arn],
                conditions={
                    "StringLike": {"s3:prefix": [f"{COMPARISONS}*", f"{execution_key('*')}/candidates/*/training/*/output/*"]}
                },
            ),
            iam.PolicyStatement(
                actions=["states:StartExecution"], resources=[self.pipeline.machine.state_machine_arn]
            ),
        ]  # fmt: skip
