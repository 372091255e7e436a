"""The blocks that SageMaker requests are made of, one function each; the comparison's state machine uses them too.

`$.names` and `$.instances` are what the first states of an execution made: `id` (8 hexadecimal digits),
`uri` (`s3://…/executions/<name>`), `key` (the same without bucket); instance types by kind of job.
"""

from __future__ import annotations

from typing import Any, Literal

from contract.instances import has_own_disks
from contract.metrics import metric_definitions
from contract.names import EXECUTION_TAG
from infra.settings import Settings
from infra.workflow.platform import Platform

Kind = Literal["prepare", "training", "analysis", "transform"]  # of machine: a field of `instances`

INPUT = "/opt/ml/processing/input"
OUTPUT = "/opt/ml/processing/output"

# Both the attempt of a Retry and the redrive of an execution begin a new job; a job's name can be used once.
# A tuning job's name has 32 characters at most, all others 63.
ATTEMPT = "$$.State.RetryCount, $$.Execution.RedriveCount"


def job_name(settings: Settings, step: str) -> str:
    """Intrinsic for a name that no other attempt, redrive or execution has and that leads back to its execution."""
    return f"States.Format('{settings.names.job(step)}', $.names.id, {ATTEMPT})"


def model_name(settings: Settings) -> str:
    """Intrinsic for the name of the execution's model, which `prepare` must know before it exists."""
    return f"States.Format('{settings.names.model('{}')}', $.names.id)"


def in_execution(folder: str) -> str:
    """Intrinsic for the S3 URI of a folder of this execution."""
    return f"States.Format('{{}}/{folder}', $.names.uri)"


def tags(settings: Settings) -> list[dict[str, str]]:
    """Every job says which execution made it; cost reports group by these tags."""
    return [
        {"Key": EXECUTION_TAG, "Value.$": "$$.Execution.Id"},
        *({"Key": key, "Value": value} for key, value in settings.all_tags.items()),
    ]


def processing_input(name: str, uri: str, folder: str | None = None) -> dict[str, Any]:
    """An S3 prefix (an intrinsic or JSONPath) copied to `<INPUT>/<folder>` before the job starts."""
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri.$": uri,
            "LocalPath": f"{INPUT}/{folder or name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
            "S3CompressionType": "None",
        },
    }


def processing_output(name: str, uri: str, path: str | None = None) -> dict[str, Any]:
    """A folder below `<OUTPUT>` copied to an S3 prefix when the job ends."""
    return {
        "OutputName": name,
        "S3Output": {
            "S3Uri.$": uri,
            "LocalPath": path or f"{OUTPUT}/{name}",
            "S3UploadMode": "EndOfJob",
        },
    }


def processing_job(
    platform: Platform, *, step: str, image: str, entrypoint: list[str] | None, arguments: list[Any] | None, role: str,
    instance: Kind, minutes: int, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]],
    arguments_path: str | None = None, isolated: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """CreateProcessingJob. Entry point and arguments are both set: AWS would otherwise use the image's own entry point.

    `arguments_path` is an intrinsic that makes the arguments during the execution.
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_AppSpecification.html
    """
    settings = platform.settings
    specification: dict[str, Any] = {"ImageUri": image}
    if entrypoint:
        specification["ContainerEntrypoint"] = entrypoint
    if arguments:
        specification["ContainerArguments"] = arguments
    if arguments_path:
        specification["ContainerArguments.$"] = arguments_path
    request = {
        "ProcessingJobName.$": job_name(settings, step),
        "AppSpecification": specification,
        "RoleArn": role,
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": 1,
                "InstanceType.$": f"$.instances.{instance}",
                "VolumeSizeInGB": settings.volume_gb,
                **volume_key(platform, instance),
            }
        },
        "ProcessingInputs": inputs,
        "ProcessingOutputConfig": {"Outputs": outputs, **_key("KmsKeyId", platform)},
        "StoppingCondition": {"MaxRuntimeInSeconds": minutes * 60},
        "NetworkConfig": {
            "EnableNetworkIsolation": isolated and settings.network.isolation,
            "EnableInterContainerTrafficEncryption": settings.network.encrypt_between_machines,
            **({"VpcConfig": vpc_config(settings)} if settings.network.subnets else {}),
        },
        "Tags": tags(settings),
    }
    return request


def by_hand(platform: Platform) -> dict[str, Any]:
    """What a processing job of the command line has in common with those of the state machine, as blocks of CreateProcessingJob."""
    settings = platform.settings
    return {
        "ClusterConfig": {"VolumeSizeInGB": settings.volume_gb, **_key("VolumeKmsKeyId", platform)},
        "ProcessingOutputConfig": _key("KmsKeyId", platform),
        "NetworkConfig": {
            "EnableInterContainerTrafficEncryption": settings.network.encrypt_between_machines,
            **({"VpcConfig": vpc_config(settings)} if settings.network.subnets else {}),
        },
        "Tags": [{"Key": key, "Value": value} for key, value in settings.all_tags.items()],
    }


def algorithm(image: str) -> dict[str, Any]:
    """`image`: a URI, or the JSONPath where one stands."""
    return {
        "TrainingImage.$" if image.startswith("$.") else "TrainingImage": image,
        "TrainingInputMode": "File",
        "MetricDefinitions": metric_definitions(),
    }


def channels() -> list[dict[str, Any]]:
    """What a training reads: features are copied, the packed photos and the weights are read as they are needed."""
    return [channel("features", "File"), channel("photos", "FastFile"), channel("weights", "FastFile")]


def channel(name: str, mode: Literal["File", "FastFile"]) -> dict[str, Any]:
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri.$": in_execution(f"{name}/"),
        "S3DataDistributionType": "FullyReplicated",
    }
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": mode}


def training_base(
    platform: Platform, *, output: str, checkpoints: str, instance_count: Any, minutes: int
) -> dict[str, Any]:
    """What tuning and training have in common. `instance_count` is a number or a JSONPath."""
    settings = platform.settings
    counted = {"InstanceCount.$": instance_count} if isinstance(instance_count, str) else {"InstanceCount": 1}
    seconds = minutes * 60
    stopping: dict[str, Any] = {"MaxRuntimeInSeconds": seconds}
    if settings.spot_training:
        stopping["MaxWaitTimeInSeconds"] = seconds + settings.max_runtime_minutes.spot_wait * 60
    base = {
        "RoleArn": platform.roles["training"],
        "InputDataConfig": channels(),
        "OutputDataConfig": {"S3OutputPath.$": in_execution(output), **_key("KmsKeyId", platform)},
        "ResourceConfig": {
            **counted,
            "InstanceType.$": "$.instances.training",
            "VolumeSizeInGB": settings.volume_gb,
            **volume_key(platform, "training"),
        },
        # A training works on its channels alone. https://docs.aws.amazon.com/sagemaker/latest/dg/mkt-algo-model-internet-free.html
        "EnableNetworkIsolation": settings.network.isolation,
        "EnableInterContainerTrafficEncryption": settings.network.encrypt_between_machines,
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": settings.spot_training,
        "CheckpointConfig": {"S3Uri.$": in_execution(checkpoints), "LocalPath": "/opt/ml/checkpoints"},
    }
    if settings.network.subnets:
        base["VpcConfig"] = vpc_config(settings)
    return base


def vpc_config(settings: Settings) -> dict[str, list[str]]:
    return {
        "Subnets": list(settings.network.subnets),
        "SecurityGroupIds": list(settings.network.security_groups),
    }


def volume_key(platform: Platform, machine: Kind) -> dict[str, str]:
    """The key for the volume of a machine; hardware encrypts disks that a machine brings, and SageMaker refuses a key for those."""
    if has_own_disks(getattr(platform.settings.instances, machine)):
        return {}
    return _key("VolumeKmsKeyId", platform)


def _key(field: str, platform: Platform) -> dict[str, str]:
    return {field: platform.kms_key} if platform.kms_key else {}
