"""The nouns of the SageMaker API: how each kind of resource names itself, its ARN and its status.

The noun is the one used in operation names (CreateTrainingJob → "TrainingJob"), here and in `wait_for_change`.
"""

from dataclasses import dataclass

from local_cloud.errors import AwsError


@dataclass(frozen=True)
class Kind:
    """One kind of resource; `missing` and `exists` are AWS's error code and wording, which differ per kind."""

    noun: str
    arn_type: str
    name_field: str
    arn_field: str
    status_field: str | None
    missing: tuple[str, str]
    exists: tuple[str, str]


def _job(noun: str, arn_type: str, missing: tuple[str, str]) -> Kind:
    words = arn_type.replace("-", " ")
    return Kind(
        noun,
        arn_type,
        f"{noun}Name",
        f"{noun}Arn",
        f"{noun}Status",
        missing,
        (
            "ResourceInUse",
            f"A {words} named {{name}} already exists ({{arn}}); {words} names must be unique within an "
            "AWS account and AWS Region.",
        ),
    )


def _hosted(noun: str, arn_type: str, words: str, status: str | None = None) -> Kind:
    return Kind(
        noun,
        arn_type,
        f"{noun}Name",
        f"{noun}Arn",
        status,
        ("ValidationException", f'Could not find {words} "{{arn}}".'),
        ("ValidationException", f'Cannot create already existing {words} "{{arn}}".'),
    )


KINDS: dict[str, Kind] = {
    kind.noun: kind
    for kind in (
        _job("TrainingJob", "training-job", ("ValidationException", "Requested resource not found.")),
        _job(
            "HyperParameterTuningJob",
            "hyper-parameter-tuning-job",
            ("ResourceNotFound", "Could not find a hyperparameter tuning job named {name}."),
        ),
        _job(
            "ProcessingJob", "processing-job", ("ValidationException", "Could not find requested job with name: {name}")
        ),
        _job(
            "TransformJob", "transform-job", ("ValidationException", "Could not find requested job with name: {name}")
        ),
        _hosted("Model", "model", "model"),
        _hosted("EndpointConfig", "endpoint-config", "endpoint configuration"),
        _hosted("Endpoint", "endpoint", "endpoint", "EndpointStatus"),
        Kind(
            "ModelPackageGroup",
            "model-package-group",
            "ModelPackageGroupName",
            "ModelPackageGroupArn",
            "ModelPackageGroupStatus",
            ("ValidationException", "ModelPackageGroup {arn} does not exist."),
            ("ValidationException", "Model Package Group already exists: {arn}"),
        ),
        Kind(
            "ModelPackage",
            "model-package",
            "ModelPackageName",
            "ModelPackageArn",
            "ModelPackageStatus",
            ("ValidationException", "ModelPackage {arn} does not exist."),
            ("ConflictException", "Model Package already exists: {arn}"),
        ),
    )
}

JOB_KINDS = ("TrainingJob", "HyperParameterTuningJob", "ProcessingJob", "TransformJob")
FINAL_STATUSES = frozenset({"Completed", "Failed", "Stopped"})


def arn(region: str, account_id: str, noun: str, name: str) -> str:
    """The ARN of a resource; for model packages `name` is `group/version`."""
    return f"arn:aws:sagemaker:{region}:{account_id}:{KINDS[noun].arn_type}/{name}"


def resource_of(resource_arn: str) -> tuple[str, str]:
    """(noun, name) of a SageMaker ARN."""
    service, _, rest = resource_arn.partition(":sagemaker:")
    arn_type, _, name = rest.rpartition(":")[2].partition("/")
    for kind in KINDS.values():
        if kind.arn_type == arn_type and name and service.startswith("arn:"):
            return kind.noun, name
    raise AwsError(
        "ValidationException",
        f"{resource_arn!r} is not the ARN of a SageMaker resource of a kind that the "
        f"local cloud has: {', '.join(k.arn_type for k in KINDS.values())}.",
    )
