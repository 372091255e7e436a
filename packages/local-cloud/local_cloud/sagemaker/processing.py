"""Processing jobs: what CreateProcessingJob accepts, and the describe, list and stop operations."""

from pathlib import Path

from local_cloud.sagemaker.listing import Listing
from local_cloud.sagemaker.paths import inside
from local_cloud.sagemaker.processing_run import ProcessingRun
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.s3_locations import Location
from local_cloud.sagemaker.stopping import stop_job
from local_cloud.sagemaker.store import Document, public
from local_cloud.sagemaker.support import invalid, refuse_unsupported
from local_cloud.sagemaker.tags import keep_tags

NOUN = "ProcessingJob"
SUPPORTED = frozenset(
    {
        "ProcessingInputs",
        "ProcessingOutputConfig",
        "ProcessingJobName",
        "ProcessingResources",
        "StoppingCondition",
        "AppSpecification",
        "Environment",
        "NetworkConfig",
        "RoleArn",
        "Tags",
        "ExperimentConfig",
    }
)
DEFAULT_RUNTIME_SECONDS = 24 * 3600
LISTING = Listing(
    NOUN,
    "ProcessingJobSummaries",
    (
        "ProcessingJobName",
        "ProcessingJobArn",
        "CreationTime",
        "ProcessingEndTime",
        "LastModifiedTime",
        "ProcessingJobStatus",
        "FailureReason",
        "ExitMessage",
    ),
)


def create_processing_job(runtime: Runtime, request: Document) -> Document:
    """Checks, records and starts a job."""
    _check(runtime, request)
    name = request["ProcessingJobName"]
    arn = runtime.arn(NOUN, name)
    moment = runtime.store.now()
    document = {
        **{key: value for key, value in request.items() if key != "Tags"},
        "ProcessingJobArn": arn,
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "ProcessingJobStatus": "InProgress",
        "StoppingCondition": request.get("StoppingCondition", {"MaxRuntimeInSeconds": DEFAULT_RUNTIME_SECONDS}),
    }
    runtime.store.add(NOUN, name, document)
    keep_tags(runtime.store, arn, request.get("Tags"))
    runtime.on_first_job()
    ProcessingRun(runtime, document).start()
    return {"ProcessingJobArn": arn}


def restart_processing_jobs(runtime: Runtime) -> None:
    """Jobs that an earlier process left begin again; the jobs of rules are not run by themselves."""
    for job in runtime.store.all(
        NOUN, lambda d: d["ProcessingJobStatus"] == "InProgress" and "TrainingJobArn" not in d
    ):
        ProcessingRun(runtime, job).start()


def describe_processing_job(runtime: Runtime, request: Document) -> Document:
    return public(runtime.store.get(NOUN, request["ProcessingJobName"]))


def list_processing_jobs(runtime: Runtime, request: Document) -> Document:
    return LISTING.answer(runtime.store.all(NOUN), request)


def stop_processing_job(runtime: Runtime, request: Document) -> Document:
    stop_job(runtime, NOUN, request["ProcessingJobName"])
    return {}


def _check(runtime: Runtime, request: Document) -> None:
    refuse_unsupported("CreateProcessingJob", request, SUPPORTED)
    refuse_unsupported(
        "AppSpecification", request["AppSpecification"], ("ImageUri", "ContainerEntrypoint", "ContainerArguments")
    )
    names = [entry["InputName"] for entry in request.get("ProcessingInputs", [])]
    outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
    for field, given in (("ProcessingInputs", names), ("Outputs", [entry["OutputName"] for entry in outputs])):
        for name in {name for name in given if given.count(name) > 1}:
            raise invalid(f"{field} names {name!r} more than once; names must be unique.")
    for entry in request.get("ProcessingInputs", []):
        _check_input(entry)
    for entry in outputs:
        refuse_unsupported(f"the output {entry['OutputName']!r}", entry, ("OutputName", "S3Output"))
        if "S3Output" not in entry:
            raise invalid(f"The output {entry['OutputName']!r} needs an S3Output.")
        Location.parse(entry["S3Output"]["S3Uri"])
        inside(entry["S3Output"].get("LocalPath", ""), Path("/"), f"LocalPath of the output {entry['OutputName']!r}")
    runtime.context.images.check(request["AppSpecification"]["ImageUri"])
    runtime.context.job_environment(request["RoleArn"])


def _check_input(entry: Document) -> None:
    where = f"the input {entry['InputName']!r}"
    refuse_unsupported(where, entry, ("InputName", "S3Input"))
    if "S3Input" not in entry:
        raise invalid(f"{where} needs an S3Input.".capitalize())
    source = entry["S3Input"]
    if source.get("S3InputMode", "File") != "File":
        raise invalid(f"The local cloud does not support the input mode {source['S3InputMode']} of {where}. Use File.")
    if source.get("S3CompressionType", "None") != "None":
        raise invalid(
            f"S3CompressionType {source['S3CompressionType']} of {where} needs Pipe mode, which the local cloud does "
            "not support. Use None."
        )
    Location.parse(source["S3Uri"])
    inside(source.get("LocalPath", ""), Path("/"), f"LocalPath of {where}")
