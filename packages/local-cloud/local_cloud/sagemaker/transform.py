"""Transform jobs: what CreateTransformJob accepts, and the describe, list and stop operations."""

from local_cloud.sagemaker.json_path import check_path
from local_cloud.sagemaker.listing import Listing
from local_cloud.sagemaker.model_hosting import hosted_model
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.s3_locations import Location, sources_of
from local_cloud.sagemaker.stopping import stop_job
from local_cloud.sagemaker.store import Document, public
from local_cloud.sagemaker.support import invalid, refuse_unsupported
from local_cloud.sagemaker.tags import keep_tags
from local_cloud.sagemaker.transform_run import TransformRun

NOUN = "TransformJob"
SUPPORTED = frozenset(
    {
        "TransformJobName",
        "ModelName",
        "MaxConcurrentTransforms",
        "ModelClientConfig",
        "MaxPayloadInMB",
        "BatchStrategy",
        "Environment",
        "TransformInput",
        "TransformOutput",
        "TransformResources",
        "DataProcessing",
        "Tags",
        "ExperimentConfig",
    }
)
MAXIMUM_TOTAL_PAYLOAD_MB = 100
LISTING = Listing(
    NOUN,
    "TransformJobSummaries",
    (
        "TransformJobName",
        "TransformJobArn",
        "CreationTime",
        "TransformEndTime",
        "LastModifiedTime",
        "TransformJobStatus",
        "FailureReason",
    ),
    sort_order="Descending",
)


def create_transform_job(runtime: Runtime, request: Document) -> Document:
    """Checks, records and starts a job."""
    _check(runtime, request)
    name = request["TransformJobName"]
    arn = runtime.arn(NOUN, name)
    moment = runtime.store.now()
    document = {
        **{key: value for key, value in request.items() if key != "Tags"},
        "TransformJobArn": arn,
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "TransformJobStatus": "InProgress",
        "DataProcessing": {
            "InputFilter": "$",
            "OutputFilter": "$",
            "JoinSource": "None",
            **request.get("DataProcessing", {}),
        },
    }
    runtime.store.add(NOUN, name, document)
    keep_tags(runtime.store, arn, request.get("Tags"))
    TransformRun(runtime, document).start()
    return {"TransformJobArn": arn}


def restart_transform_jobs(runtime: Runtime) -> None:
    """Jobs that an earlier process left begin again."""
    for job in runtime.store.all(NOUN, lambda d: d["TransformJobStatus"] == "InProgress"):
        TransformRun(runtime, job).start()


def describe_transform_job(runtime: Runtime, request: Document) -> Document:
    return public(runtime.store.get(NOUN, request["TransformJobName"]))


def list_transform_jobs(runtime: Runtime, request: Document) -> Document:
    return LISTING.answer(runtime.store.all(NOUN), request)


def stop_transform_job(runtime: Runtime, request: Document) -> Document:
    stop_job(runtime, NOUN, request["TransformJobName"])
    return {}


def _check(runtime: Runtime, request: Document) -> None:
    refuse_unsupported("CreateTransformJob", request, SUPPORTED)
    given = request["TransformInput"]
    split = given.get("SplitType", "None")
    if split not in ("None", "Line"):
        raise invalid(f"The local cloud does not support the SplitType {split}. Use None or Line.")
    if request.get("MaxConcurrentTransforms", 1) * request.get("MaxPayloadInMB", 6) > MAXIMUM_TOTAL_PAYLOAD_MB:
        raise invalid(
            f"MaxConcurrentTransforms * MaxPayloadInMB is "
            f"{request.get('MaxConcurrentTransforms', 1) * request.get('MaxPayloadInMB', 6)}; it must not exceed "
            f"{MAXIMUM_TOTAL_PAYLOAD_MB}."
        )
    if request.get("BatchStrategy") == "SingleRecord" and request.get("MaxPayloadInMB") == 0:
        raise invalid("MaxPayloadInMB 0 (no limit) needs the BatchStrategy MultiRecord.")
    if "S3DataSource" not in given["DataSource"]:
        raise invalid("TransformInput.DataSource needs an S3DataSource.")
    processing = request.get("DataProcessing", {})
    for field in ("InputFilter", "OutputFilter"):
        check_path(processing.get(field, "$"), field)
    if processing.get("JoinSource") == "Input" and split == "None" and "json" not in given.get("ContentType", ""):
        raise invalid("JoinSource Input needs JSON input, or records split by line.")
    Location.parse(request["TransformOutput"]["S3OutputPath"])
    hosted_model(runtime, request["ModelName"])
    source = given["DataSource"]["S3DataSource"]
    sources_of(runtime.context.objects, source["S3DataType"], source["S3Uri"])
