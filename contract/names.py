"""Every name that one process makes and another makes again, reads back or asks for: spelt here and nowhere else.

infra gives these names to what it makes, the command line asks AWS for them. Both take them from `Names`, so a deployment with
another `project` or `environment` is found by whoever knows the two words. What cannot be read back, such as two deployments
whose stacks would have equal names, cannot be said: the words have letters and digits only.

Intrinsics of the States Language fill in `{}`; the functions that take a text are given `"{}"` there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

PROJECT: Final = "darkroom"
ENVIRONMENT: Final = "dev"
WORD: Final = re.compile(r"[a-z][a-z0-9]*")
LONGEST_PREFIX: Final = 14
LONGEST_MODEL_NAME: Final = 40

# The stacks in the order in which they are deployed; they are deleted in the opposite one.
STORAGE, IMAGES, PIPELINE, ENDPOINTS, COMPARISON = "Storage", "Images", "Pipeline", "Endpoints", "Comparison"
PARTS: Final = (STORAGE, IMAGES, PIPELINE, ENDPOINTS, COMPARISON)
# Begins the description of every stack. A stack of another app may have one of our names, but not this description.
DESCRIPTION: Final = "Darkroom: "
PROJECT_TAG, ENVIRONMENT_TAG, EXECUTION_TAG = "darkroom:project", "darkroom:environment", "darkroom:execution"

# SageMaker's own log groups, the same for every user of an account.
PROCESSING_LOGS: Final = "/aws/sagemaker/ProcessingJobs"
TRAINING_LOGS: Final = "/aws/sagemaker/TrainingJobs"
TRANSFORM_LOGS: Final = "/aws/sagemaker/TransformJobs"
ENDPOINT_LOGS: Final = "/aws/sagemaker/Endpoints/"
# Variable of the job that makes a shadow endpoint: how many days the endpoint's log is kept if the job fails.
SHADOW_LOG_DAYS: Final = "SHADOW_ENDPOINT_LOG_DAYS"
# Names below /aws/vendedlogs/ keep the account's log resource policy short:
# https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html
MACHINE_LOGS: Final = "/aws/vendedlogs/states/"

# Folders of the buckets.
EXECUTIONS: Final = "executions/"
COMPARISONS: Final = "comparisons/"
REGISTERED: Final = "registered/"
MULTI_MODEL: Final = "multi-model/"
FEATURE_CACHE: Final = "feature-cache/"
WEIGHTS: Final = "weights/"
WEIGHTS_INCOMING: Final = f"{WEIGHTS}.incoming/"  # a file that no job has checked yet
MODEL_FILE: Final = "model.tar.gz"

# Where uploads lie in the data bucket.
DATASETS: Final = "datasets/"

# SSM parameters in which the stacks say what they made; the command line reads them.
DATA_BUCKET: Final = "data-bucket"
ARTIFACTS_BUCKET: Final = "artifacts-bucket"
MODELS_BUCKET: Final = "models-bucket"
STATE_MACHINE: Final = "state-machine-arn"
COMPARISON_MACHINE: Final = "comparison-state-machine-arn"
PACKAGE_GROUP: Final = "model-package-group"
WEIGHTS_JOB: Final = "weights-job"  # JSON: network, volume, key and tags of the job that `darkroom weights add` starts
WEIGHTS_ROLE: Final = "weights-role-arn"
IMAGE_URIS: Final = "images/"
# The training image with PyTorch: a few executions need it, and it is ten times as large.
WITH_PYTORCH: Final = "training-torch"
ENDPOINT: Final = "-endpoint"  # ends the parameter with the name of an endpoint
CPU_ENDPOINT: Final = f"cpu{ENDPOINT}"
MULTI_MODEL_ENDPOINT: Final = f"multi-model{ENDPOINT}"

# What a value says that has none yet: an SSM parameter cannot be empty.
NOTHING: Final = "none"

# SSM parameters that the state machine and `darkroom approve` write. No template owns one: an update of it would take back what
# they wrote. They are there once a model is approved, and they outlive the stacks.
APPROVED_PACKAGE: Final = "approved-model-package"
APPROVED_DATA: Final = "approved-model-data"
TARGET_MODELS: Final = "target-models/"
# Whose model has the name without a version: the parameter is made once and never overwritten, so of two first publications one wins.
FIXED_MODELS: Final = "fixed-models/"
# A parameter of the Pipeline stack that always says NOTHING: what endpoints serve until they are told to serve the approved model.
NO_MODEL: Final = "no-model"


class NameRefused(ValueError):
    """A project or environment that names cannot be made of: says the value received and what is allowed."""


def log_group_of_endpoint(endpoint: str) -> str:
    return f"{ENDPOINT_LOGS}{endpoint}"


def execution_key(name: str) -> str:
    """Where an execution writes in the artifacts bucket, without a slash at the end."""
    return f"{EXECUTIONS}{name}"


def comparison_key(key: str) -> str:
    """Where the results of a comparison lie, which outlive its execution; without a slash at the end."""
    return f"{COMPARISONS}{key}"


def model_name(dataset: str) -> str:
    """The name of a model that was given none: its data set's, so that models of different photos never share one by chance.

    Of an upload (`datasets/pets-0123456789ab.zip`) that is the folder's name, without the mark of its content.
    """
    bucket, _, key = dataset.removeprefix("s3://").partition("/")
    last = key.rstrip("/").rpartition("/")[2] or bucket
    stem = re.sub(r"-[0-9a-f]{12}$", "", re.sub(r"\.(zip|manifest|lst|csv|jsonl?)$", "", last, flags=re.IGNORECASE))
    words = re.findall(r"[a-z0-9]+", stem.lower())
    return "-".join(words)[:LONGEST_MODEL_NAME].strip("-") or "photos"


def registered_key(execution: str) -> str:
    """The artifact of a registered model, in the models bucket."""
    return f"{REGISTERED}{execution}/{MODEL_FILE}"


def registered_evaluation(execution: str) -> str:
    """How a registered model was judged, in the models bucket: it must last as long as the model."""
    return f"{REGISTERED}{execution}/evaluation.json"


def target_model(name: str, execution: str) -> str:
    """What a caller of the multi-model endpoint asks for: one version of a model, under a key that is never written again."""
    return f"{name}/{execution}/{MODEL_FILE}"


def fixed_target_model(name: str) -> str:
    """The name without a version: the first model that was published under it, for ever. Endpoints go on answering with a model
    that was overwritten, so this is written once and left alone.
    https://docs.aws.amazon.com/sagemaker/latest/dg/add-models-to-endpoint.html
    """
    return f"{name}/{MODEL_FILE}"


def multi_model_key(target: str) -> str:
    """Where the multi-model endpoint finds a target model, in the models bucket."""
    return f"{MULTI_MODEL}{target}"


def weights_key(model: str) -> str:
    """Folder of a model's weights in the artifacts bucket; names of hubs have slashes."""
    return f"{WEIGHTS}{model.replace('/', '__')}"


@dataclass(frozen=True)
class JobName:
    """`<prefix>-<id>[-<place>]-<step>-<retry>-<redrive>`: a name that no other attempt, redrive or execution has.

    `id`: eight hexadecimal digits of the execution; `place`: index of a comparison's candidate in its plan.
    """

    prefix: str
    id: str
    step: str
    retry: int = 0
    redrive: int = 0
    place: int | None = None

    _FORM = re.compile(
        r"(?P<prefix>[a-z][a-z0-9]*-[a-z][a-z0-9]*)-(?P<id>[0-9a-f]{8})(?:-(?P<place>\d+))?"
        r"-(?P<step>[a-z]+(?:-[a-z]+)*)-(?P<retry>\d+)-(?P<redrive>\d+)"
    )

    def __str__(self) -> str:
        id = self.id if self.place is None else self.candidate("{}", "{}").format(self.id, self.place)
        return self.pattern(self.prefix, self.step).format(id, self.retry, self.redrive)

    @staticmethod
    def pattern(prefix: str, step: str) -> str:
        """With `{}` for id, retry and redrive: what States.Format makes a name of."""
        return f"{prefix}-{{}}-{step}-{{}}-{{}}"

    @staticmethod
    def candidate(id: str, place: str) -> str:
        """The id of one candidate's jobs."""
        return f"{id}-{place}"

    @classmethod
    def read(cls, text: str) -> JobName | None:
        """None for a name that no state machine of ours has made."""
        found = cls._FORM.fullmatch(text)
        if found is None:
            return None
        place = found["place"]
        return cls(
            found["prefix"], found["id"], found["step"], int(found["retry"]), int(found["redrive"]),
            None if place is None else int(place),
        )  # fmt: skip


@dataclass(frozen=True)
class Names:
    """The names of one deployment. Raises NameRefused."""

    project: str = PROJECT
    environment: str = ENVIRONMENT

    def __post_init__(self) -> None:
        for field, value in (("project", self.project), ("environment", self.environment)):
            if not WORD.fullmatch(value):
                raise NameRefused(f"{field} is {value!r}: expected lower-case letters and digits.")
        # A tuning job's name has at most 32 characters: "<project>-<environment>-12345678-tune-0-0".
        if len(self.prefix) > LONGEST_PREFIX:
            raise NameRefused(
                f"project and environment make the prefix {self.prefix!r} of {len(self.prefix)} characters: at most "
                f"{LONGEST_PREFIX} are allowed, because a tuning job's name is limited to 32. Shorten one of them."
            )

    def __str__(self) -> str:
        return f"project {self.project}, environment {self.environment}"

    @property
    def prefix(self) -> str:
        """Begins the name of every job, model and endpoint."""
        return f"{self.project}-{self.environment}"

    @property
    def tags(self) -> dict[str, str]:
        return {PROJECT_TAG: self.project, ENVIRONMENT_TAG: self.environment}

    # Stacks

    @property
    def stack_prefix(self) -> str:
        """`Darkroom` for the default environment, `Darkroom-Prod` for another one in the same account."""
        words = [self.project] if self.environment == ENVIRONMENT else [self.project, self.environment]
        return "-".join(word.capitalize() for word in words)

    def stack(self, part: str) -> str:
        if part not in PARTS:
            raise ValueError(f"{part!r} is not a stack: {', '.join(PARTS)}")
        return f"{self.stack_prefix}-{part}"

    @property
    def stacks(self) -> list[str]:
        """In the order of deployment."""
        return [self.stack(part) for part in PARTS]

    @classmethod
    def of_stack(cls, stack: str) -> Names | None:
        """Whose stack it would be by its name; None if no deployment has a stack of this name."""
        *words, part = stack.split("-")
        if part not in PARTS or len(words) not in (1, 2):
            return None
        try:
            names = cls(*(word.lower() for word in words))
        except NameRefused:
            return None
        return names if names.stack(part) == stack else None

    # SSM parameters

    @property
    def parameters(self) -> str:
        """Path of all parameters."""
        return f"/{self.project}/{self.environment}/"

    def parameter(self, name: str) -> str:
        return f"{self.parameters}{name}"

    @property
    def served(self) -> dict[str, str]:
        """Parameters with which the Endpoints stack serves the approved model; CloudFormation keeps them for later updates."""
        return {
            "ApprovedModelPackage": self.parameter(APPROVED_PACKAGE),
            "ApprovedModelData": self.parameter(APPROVED_DATA),
        }

    def target_model_parameter(self, name: str) -> str:
        """Says which target model was published last under a name."""
        return self.parameter(f"{TARGET_MODELS}{name}")

    def fixed_model_parameter(self, name: str) -> str:
        """Says which execution's model has the name without a version."""
        return self.parameter(f"{FIXED_MODELS}{name}")

    @property
    def key_alias(self) -> str:
        """Of the key that encrypts everything, where there is one."""
        return f"alias/{self.prefix}"

    # State machines and jobs

    @property
    def pipeline(self) -> str:
        """The pipeline's state machine."""
        return f"{self.prefix}-pipeline"

    @property
    def comparison(self) -> str:
        """The comparison's state machine."""
        return f"{self.prefix}-comparison"

    @staticmethod
    def log_group_of_machine(machine: str, stack: str) -> str:
        """`stack` tells deployments of the same name apart: an earlier one may have left its log group."""
        return f"{MACHINE_LOGS}{machine}-{stack}"

    def job(self, step: str) -> str:
        """With `{}` for id, retry and redrive."""
        return JobName.pattern(self.prefix, step)

    def weights_job(self, id: str) -> str:
        """The job of `darkroom weights add`, which no state machine starts."""
        return f"{self.prefix}-{id}-weights"

    # Models and endpoints

    @property
    def model_package_group(self) -> str:
        return self.prefix

    def model(self, id: str) -> str:
        """The SageMaker model that an execution makes."""
        return f"{self.prefix}-{id}-model"

    def is_model(self, name: str) -> bool:
        """Whether an execution of this deployment has made it."""
        return re.fullmatch(self.model("[0-9a-f]{8}"), name) is not None

    def endpoint(self, kind: str) -> str:
        """A lasting endpoint: cpu, multi-model or gpu."""
        return f"{self.prefix}-{kind}"

    @property
    def shadows(self) -> str:
        """Pattern of IAM for the endpoints that live as long as the job that explains predictions; eight `?` for the id."""
        return f"{self.shadow_prefix('????????')}*"

    def shadow_prefix(self, id: str) -> str:
        """Begins the names of all endpoints of that kind which an execution makes."""
        return f"{self.prefix}-{id}-"

    def is_shadow(self, endpoint: str) -> bool:
        return re.fullmatch(rf"{self.prefix}-[0-9a-f]{{8}}-.+", endpoint) is not None
