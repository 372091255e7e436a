"""The model registry: groups, versions of packages in them, and their approval.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry-models.html
"""

import threading

from local_cloud.errors import AwsError
from local_cloud.sagemaker.listing import Listing
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.store import Document, public
from local_cloud.sagemaker.support import invalid, refuse_unsupported
from local_cloud.sagemaker.tags import forget_tags, keep_tags

GROUP, PACKAGE = "ModelPackageGroup", "ModelPackage"
REASONS = {
    "ValidationSpecification": "Packages are not validated by running them.",
    "SourceAlgorithmSpecification": "Algorithm resources are not kept here; give an InferenceSpecification.",
}
PACKAGE_FIELDS = frozenset(
    {
        "ModelPackageName",
        "ModelPackageGroupName",
        "ModelPackageDescription",
        "InferenceSpecification",
        "Tags",
        "ModelApprovalStatus",
        "MetadataProperties",
        "ModelMetrics",
        "ClientToken",
        "Domain",
        "Task",
        "SamplePayloadUrl",
        "CustomerMetadataProperties",
        "DriftCheckBaselines",
        "AdditionalInferenceSpecifications",
        "SkipModelValidation",
        "SourceUri",
        "ModelCard",
        "ModelLifeCycle",
        "CertifyForMarketplace",
    }
)
UPDATE_FIELDS = frozenset(
    {
        "ModelPackageArn",
        "ModelApprovalStatus",
        "ApprovalDescription",
        "CustomerMetadataProperties",
        "CustomerMetadataPropertiesToRemove",
        "InferenceSpecification",
        "SourceUri",
        "ModelCard",
        "ModelLifeCycle",
        "ClientToken",
    }
)
GROUPS = Listing(
    GROUP,
    "ModelPackageGroupSummaryList",
    (
        "ModelPackageGroupName",
        "ModelPackageGroupArn",
        "ModelPackageGroupDescription",
        "CreationTime",
        "ModelPackageGroupStatus",
    ),
)
PACKAGES = Listing(
    PACKAGE,
    "ModelPackageSummaryList",
    (
        "ModelPackageName",
        "ModelPackageGroupName",
        "ModelPackageVersion",
        "ModelPackageArn",
        "ModelPackageDescription",
        "CreationTime",
        "ModelPackageStatus",
        "ModelApprovalStatus",
    ),
)
_versions = threading.Lock()


def create_model_package_group(runtime: Runtime, request: Document) -> Document:
    refuse_unsupported(
        "CreateModelPackageGroup", request, ("ModelPackageGroupName", "ModelPackageGroupDescription", "Tags")
    )
    name = request["ModelPackageGroupName"]
    arn = runtime.arn(GROUP, name)
    runtime.store.add(
        GROUP,
        name,
        {
            **{key: value for key, value in request.items() if key != "Tags"},
            "ModelPackageGroupArn": arn,
            "CreationTime": runtime.store.now(),
            "CreatedBy": {},
            "ModelPackageGroupStatus": "Completed",
            "_LastVersion": 0,
        },
    )
    keep_tags(runtime.store, arn, request.get("Tags"))
    return {"ModelPackageGroupArn": arn}


def describe_model_package_group(runtime: Runtime, request: Document) -> Document:
    return public(runtime.store.get(GROUP, _group_name(request["ModelPackageGroupName"])))


def list_model_package_groups(runtime: Runtime, request: Document) -> Document:
    return GROUPS.answer(runtime.store.all(GROUP), request)


def delete_model_package_group(runtime: Runtime, request: Document) -> Document:
    name = _group_name(request["ModelPackageGroupName"])
    runtime.store.get(GROUP, name)
    if _members(runtime, name):
        raise AwsError(
            "ConflictException",
            f"Model Package Group {runtime.arn(GROUP, name)} cannot be deleted: it contains "
            "ModelPackages. Delete them first.",
        )
    runtime.store.delete(GROUP, name)
    forget_tags(runtime.store, runtime.arn(GROUP, name))
    return {}


def create_model_package(runtime: Runtime, request: Document) -> Document:
    """A new version in a group, or an unversioned package with a name of its own."""
    refuse_unsupported("CreateModelPackage", request, PACKAGE_FIELDS, REASONS)
    if ("ModelPackageGroupName" in request) == ("ModelPackageName" in request):
        raise invalid("CreateModelPackage needs either ModelPackageGroupName (a version) or ModelPackageName.")
    if made := _made_with(runtime, request):
        return {"ModelPackageArn": made["ModelPackageArn"]}
    for container in request.get("InferenceSpecification", {}).get("Containers", []):
        if image := container.get("Image"):
            runtime.context.images.check(image)
    document = {key: value for key, value in request.items() if key not in ("Tags", "ClientToken")}
    if "ClientToken" in request:
        document["_ClientToken"] = request["ClientToken"]
    document |= {
        "CreationTime": runtime.store.now(),
        "CreatedBy": {},
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
    }
    if "ModelPackageGroupName" in request:
        key = _version(runtime, document)
    else:
        key = request["ModelPackageName"]
        runtime.store.add(PACKAGE, key, document | {"ModelPackageArn": runtime.arn(PACKAGE, key)})
    arn = runtime.arn(PACKAGE, key)
    keep_tags(runtime.store, arn, request.get("Tags"))
    return {"ModelPackageArn": arn}


def _made_with(runtime: Runtime, request: Document) -> Document | None:
    """The package that the same request has made before: its ClientToken says that it is the same."""
    token, group = request.get("ClientToken"), request.get("ModelPackageGroupName")
    if token is None:
        return None
    group = group and _group_name(group)

    def same(package: Document) -> bool:
        return package.get("_ClientToken") == token and package.get("ModelPackageGroupName") == group

    return next(iter(runtime.store.all(PACKAGE, same)), None)


def describe_model_package(runtime: Runtime, request: Document) -> Document:
    package = _package(runtime, request["ModelPackageName"])
    # A version has no name of its own; the API requires the field, and AWS fills it with the group's name.
    package.setdefault("ModelPackageName", package.get("ModelPackageGroupName"))
    return public(package)


def list_model_packages(runtime: Runtime, request: Document) -> Document:
    group = request.get("ModelPackageGroupName")
    kind = request.get("ModelPackageType", "Versioned" if group else "Unversioned")
    if group:
        runtime.store.get(GROUP, _group_name(group))
    approval = request.get("ModelApprovalStatus")

    def wanted(package: Document) -> bool:
        versioned = "ModelPackageGroupName" in package
        return (
            (kind == "Both" or versioned == (kind == "Versioned"))
            and (not group or package.get("ModelPackageGroupName") == _group_name(group))
            and (not approval or package.get("ModelApprovalStatus") == approval)
        )

    return PACKAGES.answer(runtime.store.all(PACKAGE, wanted), request)


def update_model_package(runtime: Runtime, request: Document) -> Document:
    refuse_unsupported("UpdateModelPackage", request, UPDATE_FIELDS)
    package = _package(runtime, request["ModelPackageArn"])
    if "ModelApprovalStatus" in request and "ModelPackageGroupName" not in package:
        raise invalid("ModelApprovalStatus can be changed for versions in a model package group only.")
    metadata = package.get("CustomerMetadataProperties", {}) | request.get("CustomerMetadataProperties", {})
    for key in request.get("CustomerMetadataPropertiesToRemove", []):
        metadata.pop(key, None)
    fields = {
        key: request[key]
        for key in (
            "ModelApprovalStatus",
            "ApprovalDescription",
            "InferenceSpecification",
            "SourceUri",
            "ModelCard",
            "ModelLifeCycle",
        )
        if key in request
    }
    runtime.store.change(PACKAGE, _key(package), CustomerMetadataProperties=metadata or None, **fields)
    return {"ModelPackageArn": package["ModelPackageArn"]}


def delete_model_package(runtime: Runtime, request: Document) -> Document:
    package = _package(runtime, request["ModelPackageName"])
    runtime.store.delete(PACKAGE, _key(package))
    forget_tags(runtime.store, package["ModelPackageArn"])
    return {}


def _version(runtime: Runtime, document: Document) -> str:
    """Adds the next version of a group; a deleted version's number is not used again."""
    group = _group_name(document["ModelPackageGroupName"])
    with _versions:
        version = runtime.store.get(GROUP, group)["_LastVersion"] + 1
        key = f"{group}/{version}"
        # First: a kill in between leaves a number unused, and not one that is taken for the next version.
        runtime.store.change(GROUP, group, _LastVersion=version)
        runtime.store.add(
            PACKAGE,
            key,
            {
                "ModelApprovalStatus": "PendingManualApproval",
                **document,
                "ModelPackageGroupName": group,
                "ModelPackageVersion": version,
                "ModelPackageArn": runtime.arn(PACKAGE, key),
            },
        )
    return key


def _package(runtime: Runtime, name_or_arn: str) -> Document:
    key = name_or_arn.partition(":model-package/")[2] or name_or_arn
    return runtime.store.get(PACKAGE, key)


def _key(package: Document) -> str:
    return package["ModelPackageArn"].partition(":model-package/")[2]


def _group_name(name_or_arn: str) -> str:
    return name_or_arn.partition(":model-package-group/")[2] or name_or_arn


def _members(runtime: Runtime, group: str) -> list[Document]:
    return runtime.store.all(PACKAGE, lambda package: package.get("ModelPackageGroupName") == group)
