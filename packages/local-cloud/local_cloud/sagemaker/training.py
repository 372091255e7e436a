"""Training jobs: what CreateTrainingJob accepts, and the describe, list and stop operations."""

from typing import Any

from local_cloud.errors import AwsError
from local_cloud.sagemaker.builtin_metrics import metric_definitions
from local_cloud.sagemaker.channels import check_channels
from local_cloud.sagemaker.cluster import hosts_of
from local_cloud.sagemaker.job_logs import metric_patterns
from local_cloud.sagemaker.listing import Listing
from local_cloud.sagemaker.rule_evaluation import begin_evaluations
from local_cloud.sagemaker.rules import STATUSES, check_rules, rules_of
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.s3_locations import Location
from local_cloud.sagemaker.stopping import stop_job
from local_cloud.sagemaker.store import Document, public
from local_cloud.sagemaker.support import invalid, refuse_unsupported
from local_cloud.sagemaker.tags import keep_tags
from local_cloud.sagemaker.training_run import TrainingRun

NOUN = "TrainingJob"
SUPPORTED = frozenset(
    {
        "TrainingJobName",
        "HyperParameters",
        "AlgorithmSpecification",
        "RoleArn",
        "InputDataConfig",
        "OutputDataConfig",
        "ResourceConfig",
        "VpcConfig",
        "StoppingCondition",
        "Tags",
        "EnableNetworkIsolation",
        "EnableInterContainerTrafficEncryption",
        "EnableManagedSpotTraining",
        "CheckpointConfig",
        "DebugHookConfig",
        "DebugRuleConfigurations",
        "TensorBoardOutputConfig",
        "ExperimentConfig",
        "ProfilerConfig",
        "ProfilerRuleConfigurations",
        "Environment",
        "RetryStrategy",
    }
)
ALGORITHM_FIELDS = (
    "TrainingImage",
    "TrainingInputMode",
    "MetricDefinitions",
    "ContainerEntrypoint",
    "ContainerArguments",
    "EnableSageMakerMetricsTimeSeries",
    "TrainingImageConfig",
)
RESOURCE_FIELDS = (
    "InstanceType",
    "InstanceCount",
    "VolumeSizeInGB",
    "VolumeKmsKeyId",
    "KeepAlivePeriodInSeconds",
    "InstanceGroups",
)
DEFAULT_RUNTIME_SECONDS = 24 * 3600
# A tag that only the local cloud acts on: it takes the spot instance away once, that long after training began.
INTERRUPT_TAG = "local:interrupt-after-seconds"
LISTING = Listing(
    NOUN,
    "TrainingJobSummaries",
    (
        "TrainingJobName",
        "TrainingJobArn",
        "CreationTime",
        "TrainingEndTime",
        "LastModifiedTime",
        "TrainingJobStatus",
        "SecondaryStatus",
    ),
)


def create_training_job(runtime: Runtime, request: Document) -> Document:
    """Checks, records and starts a job."""
    request = with_built_in_metrics(request)
    check_training(runtime, request)
    return {"TrainingJobArn": start_training(runtime, request)}


def with_built_in_metrics(request: Document) -> Document:
    """The request of a job or of a tuning's trials, with the metrics that AWS defines for a built-in algorithm's image."""
    algorithm = request["AlgorithmSpecification"]
    defined = metric_definitions(algorithm)
    return {**request, "AlgorithmSpecification": {**algorithm, "MetricDefinitions": defined}} if defined else request


def check_training(runtime: Runtime, request: Document) -> None:
    """Everything that AWS refuses at once, without starting anything."""
    refuse_unsupported("CreateTrainingJob", request, SUPPORTED)
    algorithm = request["AlgorithmSpecification"]
    refuse_unsupported(
        "AlgorithmSpecification",
        algorithm,
        ALGORITHM_FIELDS,
        {"AlgorithmName": "Algorithm resources are not kept here; name a TrainingImage."},
    )
    if "TrainingImage" not in algorithm:
        raise invalid("AlgorithmSpecification needs a TrainingImage.")
    refuse_unsupported("ResourceConfig", request.get("ResourceConfig", {}), RESOURCE_FIELDS)
    _check_resources(request.get("ResourceConfig", {}))
    metric_patterns(algorithm.get("MetricDefinitions", []))
    _check_limits(request)
    Location.parse(request["OutputDataConfig"]["S3OutputPath"])
    if request["OutputDataConfig"].get("CompressionType", "GZIP") != "GZIP":
        raise invalid("OutputDataConfig.CompressionType NONE is not offered here: models are packed. Leave it out.")
    runtime.context.images.check(algorithm["TrainingImage"])
    check_rules(runtime, request)
    runtime.context.job_environment(request["RoleArn"])
    check_channels(request.get("InputDataConfig", []), algorithm["TrainingInputMode"], runtime.context.objects)


def start_training(runtime: Runtime, request: Document, fields: Document | None = None, **listeners: Any) -> str:
    """Records a checked job, with more fields, and starts its run; a tuning job listens to it (`on_metric`, `on_end`)."""
    name = request["TrainingJobName"]
    arn = runtime.arn(NOUN, name)
    moment = runtime.store.now()
    document = {
        **{key: value for key, value in request.items() if key != "Tags"},
        **(fields or {}),
        "TrainingJobArn": arn,
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Starting",
        "StoppingCondition": {"MaxRuntimeInSeconds": DEFAULT_RUNTIME_SECONDS, **request.get("StoppingCondition", {})},
        "SecondaryStatusTransitions": [
            {"Status": "Starting", "StartTime": moment, "StatusMessage": "Preparing the instances for training"}
        ],
        # AWS says both, asked for or not; the SDK's `attach` reads the key.
        "OutputDataConfig": {"KmsKeyId": "", "CompressionType": "GZIP", **request["OutputDataConfig"]},
        "ModelArtifacts": {"S3ModelArtifacts": f"{_output(request)}/model.tar.gz"},
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
        "EnableManagedSpotTraining": request.get("EnableManagedSpotTraining", False),
        "EnableInterContainerTrafficEncryption": request.get("EnableInterContainerTrafficEncryption", False),
    }
    if request.get("EnableManagedSpotTraining") and (seconds := _interrupt_after(request)):
        document["_InterruptAfterSeconds"] = seconds
    if "ProfilerConfig" in request:
        document["ProfilingStatus"] = "Disabled" if request["ProfilerConfig"].get("DisableProfiler") else "Enabled"
    runtime.store.add(NOUN, name, document)
    runtime.store.change(NOUN, name, **begin_evaluations(runtime, document))
    keep_tags(runtime.store, arn, request.get("Tags"))
    runtime.on_first_job()
    TrainingRun(runtime, document, **listeners).start()
    return arn


def restart_training_jobs(runtime: Runtime) -> None:
    """Jobs that an earlier process left begin again, with their checkpoints; trials begin with their tuning job."""
    for job in runtime.store.all(NOUN, lambda d: d["TrainingJobStatus"] == "InProgress" and "_TuningJobName" not in d):
        if rules_of(job) and not any(field in job for field in STATUSES.values()):  # killed before its rules were noted
            job |= begin_evaluations(runtime, job)
            runtime.store.put(NOUN, job["TrainingJobName"], job)
        TrainingRun(runtime, job, again=True).start()


def describe_training_job(runtime: Runtime, request: Document) -> Document:
    return public(runtime.store.get(NOUN, request["TrainingJobName"]))


def list_training_jobs(runtime: Runtime, request: Document) -> Document:
    refuse_unsupported(
        "ListTrainingJobs",
        request,
        {
            "NextToken",
            "MaxResults",
            "CreationTimeAfter",
            "CreationTimeBefore",
            "LastModifiedTimeAfter",
            "LastModifiedTimeBefore",
            "NameContains",
            "StatusEquals",
            "SortBy",
            "SortOrder",
        },
    )
    return LISTING.answer(runtime.store.all(NOUN), request)


def stop_training_job(runtime: Runtime, request: Document) -> Document:
    stop_job(runtime, NOUN, request["TrainingJobName"])
    return {}


def interrupt_training_job(runtime: Runtime, name: str) -> None:
    """Takes the spot instance away from a running managed-spot job; it starts again with its checkpoints."""
    job = runtime.store.get(NOUN, name)
    run = runtime.runs.find(NOUN, name)
    if not job["EnableManagedSpotTraining"] or run is None:
        raise invalid(
            f"The training job {name} cannot be interrupted: it is {job['TrainingJobStatus']} and managed spot "
            f"training is {'on' if job['EnableManagedSpotTraining'] else 'off'}."
        )
    run.control.request_interrupt()


def _output(request: Document) -> str:
    return f"{request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{request['TrainingJobName']}/output"


def _interrupt_after(request: Document) -> float | None:
    for tag in request.get("Tags", []):
        if tag["Key"] == INTERRUPT_TAG:
            try:
                return float(tag["Value"])
            except ValueError as error:
                raise invalid(f"The tag {INTERRUPT_TAG} is {tag['Value']!r}; a number of seconds is needed.") from error
    return None


def _check_resources(resources: Document) -> None:
    if "InstanceGroups" in resources:
        if "InstanceType" in resources or "InstanceCount" in resources:
            raise invalid("ResourceConfig has both InstanceGroups and InstanceType or InstanceCount; give one of them.")
    elif "InstanceType" not in resources or "InstanceCount" not in resources:
        raise invalid("ResourceConfig needs InstanceType and InstanceCount, or InstanceGroups.")
    if not 1 <= len(hosts_of(resources)) <= 20:
        raise AwsError(
            "ResourceLimitExceeded",
            f"The account-level service limit 'Number of instances across training jobs' "
            f"is 20 Instances; {len(hosts_of(resources))} were asked for.",
        )


def _check_limits(request: Document) -> None:
    stopping = request.get("StoppingCondition", {})
    runtime_seconds = stopping.get("MaxRuntimeInSeconds", DEFAULT_RUNTIME_SECONDS)
    wait = stopping.get("MaxWaitTimeInSeconds")
    spot = request.get("EnableManagedSpotTraining", False)
    if spot and wait is None:
        raise invalid("MaxWaitTimeInSeconds must be given when EnableManagedSpotTraining is true.")
    if wait is not None and not spot:
        raise invalid("MaxWaitTimeInSeconds is only allowed when EnableManagedSpotTraining is true.")
    if wait is not None and wait < runtime_seconds:
        raise invalid(
            f"Invalid MaxWaitTimeInSeconds {wait}: it must be equal to or greater than MaxRuntimeInSeconds "
            f"{runtime_seconds}."
        )
    for block in ("DebugHookConfig", "TensorBoardOutputConfig", "ProfilerConfig"):
        if "S3OutputPath" in request.get(block, {}):
            Location.parse(request[block]["S3OutputPath"])
    if "CheckpointConfig" in request:
        Location.parse(request["CheckpointConfig"]["S3Uri"])
