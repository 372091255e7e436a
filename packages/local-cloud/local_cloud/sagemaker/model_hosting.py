"""Where a model comes from: the container of a Model resource, resolved through a model package where it names one."""

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_cloud.errors import AwsError
from local_cloud.sagemaker.artifacts import unpack
from local_cloud.sagemaker.channels import place
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.s3_locations import Location, objects_under
from local_cloud.sagemaker.store import Document
from local_cloud.sagemaker.support import invalid


@dataclass(frozen=True)
class HostedModel:
    """Everything that is needed to start a model's container."""

    name: str
    role: str
    image: str
    environment: dict[str, str] = field(default_factory=dict)
    data_url: str | None = None
    uncompressed: bool = False
    multi_model: bool = False
    caches: bool = True
    isolated: bool = False


def hosted_model(runtime: Runtime, name: str) -> HostedModel:
    """The model of that name; raises AWS's error when there is none."""
    model = runtime.store.get("Model", name)
    container = model.get("PrimaryContainer") or model["Containers"][0]
    if "ModelPackageName" in container:
        packaged = package_container(runtime, container["ModelPackageName"])
        container = {
            **packaged,
            **container,
            "Environment": {**packaged.get("Environment", {}), **container.get("Environment", {})},
        }
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    cache = container.get("MultiModelConfig", {}).get("ModelCacheSetting", "Enabled")
    return HostedModel(
        name=name,
        role=model["ExecutionRoleArn"],
        image=container["Image"],
        environment=container.get("Environment", {}),
        data_url=container.get("ModelDataUrl") or source.get("S3Uri"),
        uncompressed=source.get("CompressionType") == "None",
        multi_model=container.get("Mode") == "MultiModel",
        caches=cache == "Enabled",
        isolated=model.get("EnableNetworkIsolation", False),
    )


def package_container(runtime: Runtime, name_or_arn: str) -> Document:
    """The first container of a model package's inference specification."""
    name = name_or_arn.partition("model-package/")[2] or name_or_arn
    package = runtime.store.get("ModelPackage", name)
    if "InferenceSpecification" not in package:
        raise invalid(f"The model package {name_or_arn} has no InferenceSpecification and cannot be deployed.")
    return package["InferenceSpecification"]["Containers"][0]


def bring_model(context: Any, model: HostedModel, folder: Path) -> None:
    """Downloads and unpacks the model's data into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    if not model.data_url or model.multi_model:
        return
    where = Location.parse(model.data_url)
    if model.uncompressed:
        place(objects_under(context.objects, model.data_url), folder, context.objects, linked=False)
        return
    archive = folder.parent / f".{hashlib.sha256(model.data_url.encode()).hexdigest()[:16]}.tar.gz"
    try:
        context.objects.link(where.bucket, where.key, archive)
    except AwsError as error:
        raise invalid(f"Could not find model data at {model.data_url}.") from error
    try:
        unpack(archive, folder)
    finally:
        archive.unlink(missing_ok=True)


def discard(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
