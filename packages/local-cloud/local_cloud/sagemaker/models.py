"""Models and endpoint configurations: recorded and checked; nothing runs until an endpoint or a job uses them."""

from local_cloud.errors import AwsError
from local_cloud.sagemaker.listing import Listing
from local_cloud.sagemaker.model_hosting import package_container
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.s3_locations import Location
from local_cloud.sagemaker.store import Document, public
from local_cloud.sagemaker.support import invalid, refuse_unsupported
from local_cloud.sagemaker.tags import forget_tags, keep_tags

CONTAINER_FIELDS = (
    "ContainerHostname",
    "Image",
    "ImageConfig",
    "Mode",
    "ModelDataUrl",
    "ModelDataSource",
    "Environment",
    "ModelPackageName",
    "MultiModelConfig",
)
VARIANT_FIELDS = (
    "VariantName",
    "ModelName",
    "InitialInstanceCount",
    "InstanceType",
    "InitialVariantWeight",
    "VolumeSizeInGB",
    "ModelDataDownloadTimeoutInSeconds",
    "ContainerStartupHealthCheckTimeoutInSeconds",
    "RoutingConfig",
    "EnableSSMAccess",
    "InferenceAmiVersion",
)
VARIANT_REASONS = {
    "ServerlessConfig": "Serverless endpoints scale on AWS's own machines; use InstanceType and InitialInstanceCount.",
    "AcceleratorType": "Elastic Inference has ended.",
}
CONFIG_REASONS = {
    "AsyncInferenceConfig": "Asynchronous endpoints have no local queue yet.",
    "DataCaptureConfig": "Requests are not captured here.",
}
MODELS = Listing("Model", "Models", ("ModelName", "ModelArn", "CreationTime"), sort_order="Descending")
CONFIGS = Listing(
    "EndpointConfig",
    "EndpointConfigs",
    ("EndpointConfigName", "EndpointConfigArn", "CreationTime"),
    sort_order="Descending",
)


def create_model(runtime: Runtime, request: Document) -> Document:
    refuse_unsupported(
        "CreateModel",
        request,
        (
            "ModelName",
            "PrimaryContainer",
            "Containers",
            "ExecutionRoleArn",
            "Tags",
            "VpcConfig",
            "EnableNetworkIsolation",
        ),
    )
    containers = request.get("Containers") or []
    if bool(containers) == ("PrimaryContainer" in request):
        raise invalid("CreateModel needs either PrimaryContainer or Containers.")
    if len(containers) > 1:
        raise invalid(
            f"The local cloud does not support inference pipelines: Containers has {len(containers)} entries. "
            "Use one container."
        )
    if "ExecutionRoleArn" not in request:
        raise invalid("ExecutionRoleArn is required.")
    _check_container(runtime, request.get("PrimaryContainer") or containers[0])
    runtime.context.job_environment(request["ExecutionRoleArn"])
    return _add(runtime, "Model", request)


def create_endpoint_config(runtime: Runtime, request: Document) -> Document:
    refuse_unsupported(
        "CreateEndpointConfig",
        request,
        (
            "EndpointConfigName",
            "ProductionVariants",
            "Tags",
            "KmsKeyId",
            "ExecutionRoleArn",
            "VpcConfig",
            "EnableNetworkIsolation",
        ),
        CONFIG_REASONS,
    )
    names = [variant["VariantName"] for variant in request["ProductionVariants"]]
    for name in {name for name in names if names.count(name) > 1}:
        raise invalid(f"Production variant names must be unique; {name!r} is given more than once.")
    for variant in request["ProductionVariants"]:
        refuse_unsupported(f"the variant {variant['VariantName']!r}", variant, VARIANT_FIELDS, VARIANT_REASONS)
        for needed in ("ModelName", "InstanceType", "InitialInstanceCount"):
            if needed not in variant:
                raise invalid(f"{needed} is required for the production variant {variant['VariantName']!r}.")
        if runtime.store.find("Model", variant["ModelName"]) is None:
            raise invalid(f'Could not find model "{runtime.arn("Model", variant["ModelName"])}".')
    weights = [variant.get("InitialVariantWeight", 1.0) for variant in request["ProductionVariants"]]
    if not sum(weights):
        raise invalid("The weights of all production variants are 0; at least one must be positive.")
    return _add(runtime, "EndpointConfig", request)


def describe_model(runtime: Runtime, request: Document) -> Document:
    return public(runtime.store.get("Model", request["ModelName"]))


def describe_endpoint_config(runtime: Runtime, request: Document) -> Document:
    return public(runtime.store.get("EndpointConfig", request["EndpointConfigName"]))


def list_models(runtime: Runtime, request: Document) -> Document:
    return MODELS.answer(runtime.store.all("Model"), request)


def list_endpoint_configs(runtime: Runtime, request: Document) -> Document:
    return CONFIGS.answer(runtime.store.all("EndpointConfig"), request)


def delete_model(runtime: Runtime, request: Document) -> Document:
    return _delete(runtime, "Model", request["ModelName"])


def delete_endpoint_config(runtime: Runtime, request: Document) -> Document:
    return _delete(runtime, "EndpointConfig", request["EndpointConfigName"])


def _add(runtime: Runtime, noun: str, request: Document) -> Document:
    name = request[f"{noun}Name"]
    arn = runtime.arn(noun, name)
    document = {key: value for key, value in request.items() if key != "Tags"}
    runtime.store.add(
        noun,
        name,
        {
            **document,
            f"{noun}Arn": arn,
            "CreationTime": runtime.store.now(),
            "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
        },
    )
    keep_tags(runtime.store, arn, request.get("Tags"))
    return {f"{noun}Arn": arn}


def _delete(runtime: Runtime, noun: str, name: str) -> Document:
    runtime.store.delete(noun, name)
    forget_tags(runtime.store, runtime.arn(noun, name))
    return {}


def _check_container(runtime: Runtime, container: Document) -> None:
    refuse_unsupported("the container", container, CONTAINER_FIELDS)
    if "ModelPackageName" in container:
        name = container["ModelPackageName"].partition("model-package/")[2] or container["ModelPackageName"]
        package = runtime.store.get("ModelPackage", name)
        if package.get("ModelApprovalStatus", "Approved") != "Approved":
            raise invalid(
                f"Cannot create Model from ModelPackage {package['ModelPackageArn']}: its ModelApprovalStatus is "
                f"{package['ModelApprovalStatus']}; only an Approved package can be deployed."
            )
        container = package_container(runtime, container["ModelPackageName"])
    if "Image" not in container:
        raise invalid("The container needs an Image or a ModelPackageName.")
    runtime.context.images.check(container["Image"])
    _check_data(runtime, container)


def _check_data(runtime: Runtime, container: Document) -> None:
    multi = container.get("Mode") == "MultiModel"
    if "ModelDataUrl" in container and "ModelDataSource" in container:
        raise invalid("Give either ModelDataUrl or ModelDataSource, not both.")
    if multi and not container.get("ModelDataUrl", "").endswith("/"):
        raise invalid(
            f"ModelDataUrl of a multi-model container must be an S3 prefix that ends with '/'; got "
            f"{container.get('ModelDataUrl')!r}."
        )
    url = container.get("ModelDataUrl")
    if url and not multi:
        where = Location.parse(url)
        try:
            found = runtime.context.objects.info(where.bucket, where.key) is not None
        except AwsError:
            found = False
        if not found:
            raise invalid(f"Could not find model data at {url}.")
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source is not None:
        refuse_unsupported("ModelDataSource.S3DataSource", source, ("S3Uri", "S3DataType", "CompressionType"))
        Location.parse(source["S3Uri"])
