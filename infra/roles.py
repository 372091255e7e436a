"""One execution role per kind of job, each with what that job reads and writes and nothing more.

What a job reads and writes it declares itself (infra/workflow/job.py); what no folder of an execution says is added here.
`JobRole` serves a second state machine (the comparison) as well as the pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from constructs import Construct

from contract.names import (
    FEATURE_CACHE,
    MULTI_MODEL,
    PROCESSING_LOGS,
    REGISTERED,
    WEIGHTS,
    WEIGHTS_INCOMING,
    WITH_PYTORCH,
    execution_key,
    log_group_of_endpoint,
)
from infra import grants
from infra.images import ImagesStack
from infra.settings import Settings
from infra.storage import StorageStack
from infra.workflow import pipeline
from infra.workflow.job import Job

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
            **grants.company_rules(scope, id, settings),
        )
        streams = f"{settings.prefix}-*"
        for statement in [
            *statements,
            *(entry for group in log_groups for entry in grants.logs_to(group, streams)),
            *grants.puts_metrics(),
            *grants.uses_network(settings.network.subnets, settings.network.security_groups),
        ]:
            self.add_to_policy(statement)


# What a role is for, as the console shows it; a role without an entry is described by its jobs' states.
PURPOSES = {
    "prepare": "prepares data sets",
    "training": "tunes and trains",
    "evaluation": "judges training health and predictions",
    "analysis": "explains predictions and measures bias",
    "model": "serves models in batch transform and endpoints",
    "report": "writes the report of an execution",
}


def role_of(
    scope: Construct, id: str, purpose: str, jobs: Sequence[Job], *beyond: list[iam.PolicyStatement],
    settings: Settings, storage: StorageStack, images: ImagesStack,
) -> JobRole:  # fmt: skip
    """A role with what these jobs declare, and `beyond` it what no folder of an execution says."""
    reads = dict.fromkeys(one.name for job in jobs for one in job.reads if not one.outside)
    writes = dict.fromkeys(one.name for job in jobs for one in job.writes if not one.outside)
    statements = [
        grants.reads(storage.artifacts, *of_execution(*reads)) if reads else [],
        grants.writes(storage.artifacts, *of_execution(*writes)) if writes else [],
        pulls([image for job in jobs for image in job.images], settings, images),
        *beyond,
    ]
    return JobRole(
        scope, id, settings=settings, storage=storage, log_groups=[jobs[0].logs],
        description=f"Darkroom {settings.environment}: {purpose}",
        statements=[entry for group in statements for entry in group],
    )  # fmt: skip


def pulls(names: Sequence[str], settings: Settings, images: ImagesStack) -> list[iam.PolicyStatement]:
    """Pull the images of these names."""
    known = {
        "training": images.training, WITH_PYTORCH: images.training_torch, "analysis": images.analysis, "inference": images.inference,
    }  # fmt: skip
    if settings.clarify == "open":
        known["clarify"] = images.analysis
    elif "clarify" in names:
        # AWS keeps Clarify's image in an account of its own in each region.
        return grants.pulls(repositories=(grants.arn("ecr", f"repository/{CLARIFY_REPOSITORY}", account="*"),))
    return grants.pulls(*(known[name] for name in dict.fromkeys(names)))


class JobRoles(Construct):
    """The roles of the pipeline's jobs, by the names that the jobs give them: each with what its jobs read, write and pull."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, storage: StorageStack, images: ImagesStack
    ) -> None:
        super().__init__(scope, id)
        self._settings, self._storage, self._images = settings, storage, images
        declared = pipeline.jobs(settings)
        self.of_jobs = {
            name: self._role_of(name, [job for job in declared if job.role == name])
            for name in dict.fromkeys(job.role for job in declared)
        }
        # Started by `darkroom weights add`, not by the state machine, which may therefore not pass it.
        self.weights = JobRole(
            self, "Weights", settings=settings, storage=storage, log_groups=[PROCESSING_LOGS],
            description=f"Darkroom {settings.environment}: fetches and checks weights for the weight store",
            statements=[
                *grants.reads(storage.artifacts, WEIGHTS_INCOMING),
                *grants.writes(storage.artifacts, WEIGHTS),
                *grants.pulls(images.training_torch),
            ],
        )  # fmt: skip

    def _role_of(self, name: str, jobs: Sequence[Job]) -> JobRole:
        return role_of(
            self, name.capitalize(), PURPOSES.get(name) or ", ".join(job.state for job in jobs), jobs,
            *self._beyond(name), settings=self._settings, storage=self._storage, images=self._images,
        )  # fmt: skip

    def _beyond(self, role: str) -> list[list[iam.PolicyStatement]]:
        """Data sets, caches, models, endpoints and histories: what a role needs beside its jobs' folders."""
        settings, storage = self._settings, self._storage
        if role == "prepare":
            return [
                grants.reads(storage.data, ""),
                *(grants.reads_uri(uri) for uri in settings.readable_prefixes),
                grants.reads(storage.artifacts, FEATURE_CACHE, WEIGHTS),
                grants.writes(storage.artifacts, FEATURE_CACHE),
            ]
        if role == "training" and settings.debugger == "managed":
            return [self._evaluates_rules(storage)]
        if role == "analysis":
            return [self._shadow_endpoint()]
        if role == "model":
            return [
                grants.reads(storage.models, REGISTERED, MULTI_MODEL),
                # The groups of lasting endpoints are the Endpoints stack's: a line that comes late must not make one again.
                grants.logs_to(log_group_of_endpoint(f"{settings.prefix}-*"), "*", creates=False),
                *self._shadow_logs(),
                grants.pulls(self._images.inference_gpu) if self._images.inference_gpu else [],
            ]
        if role == "report":
            # Pictures of mistakes and the training's own output are looked up where the outcome says that they lie.
            return [grants.reads(storage.artifacts, *of_execution("training", "test")), self._reads_history()]
        return []

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
