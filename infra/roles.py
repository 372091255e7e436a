"""One execution role per kind of job, each with what that job reads and writes and nothing more.

`docs/architecture.md` says what each job reads and writes; a job that needs another prefix gets it here, by name.
`JobRole` serves a second state machine (the comparison) as well as the pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from constructs import Construct

from contract.names import (
    EXECUTIONS,
    MULTI_MODEL,
    PROCESSING_LOGS,
    REGISTERED,
    TRAINING_LOGS,
    TRANSFORM_LOGS,
    WEIGHTS,
    WEIGHTS_INCOMING,
    execution_key,
    log_group_of_endpoint,
)
from infra import grants
from infra.images import ImagesStack
from infra.settings import Settings
from infra.storage import StorageStack

CLARIFY_REPOSITORY = "sagemaker-clarify-processing"
RULES_REPOSITORY = "sagemaker-debugger-rules"


def of_execution(*folders: str) -> list[str]:
    """Prefixes of these folders below any execution."""
    return [f"{execution_key('*')}/{folder}/" for folder in folders]


class JobRole(iam.Role):
    """A role that SageMaker assumes for jobs of this account, with the permissions every job needs."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, storage: StorageStack, description: str,
        log_groups: Sequence[str], statements: Sequence[iam.PolicyStatement],
    ) -> None:  # fmt: skip
        super().__init__(
            scope,
            id,
            description=description,
            # SageMaker may use the role for this account's jobs only:
            # https://docs.aws.amazon.com/sagemaker/latest/dg/security-confused-deputy-prevention.html
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
        )
        streams = f"{settings.prefix}-*"
        for statement in [
            *statements,
            *(entry for group in log_groups for entry in grants.logs_to(group, streams)),
            *grants.puts_metrics(),
            *grants.uses_network(settings.network.subnets, settings.network.security_groups),
        ]:
            self.add_to_policy(statement)


class JobRoles(Construct):
    """The roles of the pipeline's jobs."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, storage: StorageStack, images: ImagesStack
    ) -> None:
        super().__init__(scope, id)
        self._settings, self._storage = settings, storage
        data, artifacts, models = storage.data, storage.artifacts, storage.models
        managed = settings.debugger == "managed"
        self.prepare = self._role(
            "Prepare", "prepares data sets", PROCESSING_LOGS,
            grants.reads(data, ""),
            *(grants.reads_uri(uri) for uri in settings.readable_prefixes),
            grants.reads(artifacts, *of_execution("input"), "feature-cache/", WEIGHTS),
            grants.writes(
                artifacts,
                *of_execution("plan", "prepared", "photos", "features", "weights", "test", "explain"),
                "feature-cache/",
            ),
            grants.pulls(images.training),
        )  # fmt: skip
        self.training = self._role(
            "Training", "tunes and trains", TRAINING_LOGS,
            grants.reads(artifacts, *of_execution("photos", "features", "weights", "checkpoints", "tuning")),
            grants.writes(artifacts, *of_execution("training", "tuning", "checkpoints")),
            grants.pulls(images.training),
            *([self._evaluates_rules(storage)] if managed else []),
        )  # fmt: skip
        self.evaluation = self._role(
            "Evaluation", "judges training health and predictions", PROCESSING_LOGS,
            grants.reads(
                artifacts,
                *of_execution("training", "transform", "prepared", "plan", *(["rules"] if managed else [])),
            ),
            grants.writes(artifacts, *of_execution("health", "evaluation", "bias-input")),
            grants.pulls(images.training),
        )  # fmt: skip
        self.analysis = self._role(
            "Analysis", "explains predictions and measures bias", PROCESSING_LOGS,
            grants.reads(artifacts, *of_execution("explain", "bias-input")),
            grants.writes(artifacts, *of_execution("explanations", "bias")),
            self._pulls_analysis(images),
            self._shadow_endpoint(),
        )  # fmt: skip
        self.model = self._role(
            "Model", "serves models in batch transform and endpoints",
            TRANSFORM_LOGS,
            grants.reads(artifacts, *of_execution("training", "test")),
            grants.writes(artifacts, *of_execution("transform")),
            grants.reads(models, REGISTERED, MULTI_MODEL),
            # The groups of lasting endpoints are the Endpoints stack's: a line that comes late must not make one again.
            grants.logs_to(log_group_of_endpoint(f"{settings.prefix}-*"), "*", creates=False),
            *self._shadow_logs(),
            grants.pulls(images.inference, *([images.inference_gpu] if images.inference_gpu else [])),
        )  # fmt: skip
        self.report = self._role(
            "Report", "writes the report of an execution", PROCESSING_LOGS,
            grants.reads(artifacts, EXECUTIONS),
            self._reads_history(),
            grants.writes(artifacts, *of_execution("report")),
            grants.pulls(images.analysis),
        )  # fmt: skip

        # Started by `darkroom weights add`, not by the state machine, which may therefore not pass it.
        self.weights = self._role(
            "Weights", "fetches and checks weights for the weight store", PROCESSING_LOGS,
            grants.reads(artifacts, WEIGHTS_INCOMING),
            grants.writes(artifacts, WEIGHTS),
            grants.pulls(images.training),
        )  # fmt: skip

    @property
    def all(self) -> list[JobRole]:
        return [self.prepare, self.training, self.evaluation, self.analysis, self.model, self.report]

    def _role(self, id: str, purpose: str, log_group: str, *statements: list[iam.PolicyStatement]) -> JobRole:
        return JobRole(
            self, id, settings=self._settings, storage=self._storage,
            description=f"Darkroom {self._settings.environment}: {purpose}", log_groups=[log_group],
            statements=[entry for group in statements for entry in group],
        )  # fmt: skip

    def _reads_history(self) -> list[iam.PolicyStatement]:
        """For the report's trials and timeline."""
        prefix = self._settings.prefix
        kinds = {
            "hyper-parameter-tuning-job": (
                "DescribeHyperParameterTuningJob",
                "ListTrainingJobsForHyperParameterTuningJob",
            ),
            "training-job": ("DescribeTrainingJob",),
        }
        return [
            *(
                iam.PolicyStatement(
                    actions=[f"sagemaker:{action}" for action in actions],
                    resources=[grants.arn("sagemaker", f"{kind}/{prefix}-*")],
                )
                for kind, actions in kinds.items()
            ),
            iam.PolicyStatement(
                actions=["states:GetExecutionHistory"],
                resources=[grants.arn("states", f"execution:{self._settings.names.pipeline}:*")],
            ),
        ]

    def _pulls_analysis(self, images: ImagesStack) -> list[iam.PolicyStatement]:
        if self._settings.clarify == "open":
            return grants.pulls(images.analysis)
        # AWS keeps Clarify's image in an account of its own in each region.
        return grants.pulls(repositories=(grants.arn("ecr", f"repository/{CLARIFY_REPOSITORY}", account="*"),))

    def _evaluates_rules(self, storage: StorageStack) -> list[iam.PolicyStatement]:
        """SageMaker runs each rule as a processing job with the training's role, in an image of AWS's own account."""
        folders = of_execution("debugger", "profiler")
        return [
            *grants.reads(storage.artifacts, *folders),
            *grants.writes(storage.artifacts, *folders),
            *grants.logs_to(PROCESSING_LOGS, f"{self._settings.prefix}-*"),
            *grants.pulls(repositories=(grants.arn("ecr", f"repository/{RULES_REPOSITORY}", account="*"),)),
        ]

    def _shadow_logs(self) -> list[list[iam.PolicyStatement]]:
        """Our Clarify image makes the group of its shadow endpoint; with AWS's image SageMaker makes it, by the model's role."""
        if self._settings.clarify == "open":
            return []
        return [[iam.PolicyStatement(actions=["logs:CreateLogGroup"], resources=[self._group_of_shadows()])]]

    def _group_of_shadows(self) -> str:
        return grants.arn("logs", f"log-group:{log_group_of_endpoint(self._settings.names.shadows)}")

    def _shadow_endpoint(self) -> list[iam.PolicyStatement]:
        """Clarify asks the model through an endpoint that lives as long as its job.

        Its name begins with the model's: `<prefix>-<8 hex>-…`. The eight `?` keep the lasting endpoints out of reach.
        https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-processing-job-configure-parameters.html
        """
        names = self._settings.names.shadows
        return [
            iam.PolicyStatement(
                actions=[
                    "sagemaker:AddTags",
                    "sagemaker:CreateEndpoint",
                    "sagemaker:CreateEndpointConfig",
                    "sagemaker:DeleteEndpoint",
                    "sagemaker:DeleteEndpointConfig",
                    "sagemaker:DescribeEndpoint",
                    "sagemaker:DescribeEndpointConfig",
                    "sagemaker:InvokeEndpoint",
                ],
                resources=[grants.arn("sagemaker", f"{kind}/{names}") for kind in ("endpoint", "endpoint-config")],
            ),
            iam.PolicyStatement(
                actions=["sagemaker:DescribeModel"], resources=[grants.arn("sagemaker", f"model/{names}")]
            ),
            *(
                [
                    iam.PolicyStatement(
                        actions=["logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:PutRetentionPolicy"],
                        resources=[self._group_of_shadows()],
                    )
                ]
                if self._settings.clarify == "open"
                else []
            ),
        ]
