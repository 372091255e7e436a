"""What a request needs: IAM's action, the resource's ARN and the condition keys that the service sets.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
The names and ARNs are held against that reference by a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Needed:
    """One permission that a request needs."""

    action: str
    resource: str
    context: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where resources are; `arn` writes their names."""

    account: str
    region: str

    def arn(self, service: str, resource: str, region: str | None = None, account: str | None = None) -> str:
        where = self.region if region is None else region
        return f"arn:aws:{service}:{where}:{self.account if account is None else account}:{resource}"


# The member that names the resource, and the resource's part of the ARN; the first member that is there counts.
# A value that is an ARN already stays one.
SAGEMAKER = {
    "TrainingJobName": "training-job/{}", "HyperParameterTuningJobName": "hyper-parameter-tuning-job/{}",
    "ProcessingJobName": "processing-job/{}", "TransformJobName": "transform-job/{}", "EndpointName": "endpoint/{}",
    "EndpointConfigName": "endpoint-config/{}", "ModelPackageName": "model-package/{}",
    "ModelPackageGroupName": "model-package-group/{}", "ModelName": "model/{}", "ResourceArn": "{}",
    "ModelPackageArn": "{}",
}  # fmt: skip
STATES = {
    "stateMachineAliasArn": "{}", "stateMachineVersionArn": "{}", "stateMachineArn": "{}", "executionArn": "{}",
    "mapRunArn": "{}", "activityArn": "{}", "resourceArn": "{}", "name": "stateMachine:{}",
}  # fmt: skip
BY_MEMBER: dict[str, Mapping[str, str]] = {
    "sagemaker": SAGEMAKER,
    "states": STATES,
    "ecr": {"repositoryName": "repository/{}", "repositoryNames": "repository/{}", "resourceArn": "{}"},
    "events": {"Rule": "rule/{}", "Name": "rule/{}", "ResourceARN": "{}"},
    "sns": {"TopicArn": "{}", "TargetArn": "{}", "ResourceArn": "{}", "SubscriptionArn": "{}", "Name": "{}"},
    "secretsmanager": {"SecretId": "secret:{}", "Name": "secret:{}"},
    "cloudformation": {"StackName": "stack/{}/*"},
    "cloudwatch": {"AlarmName": "alarm:{}", "DashboardName": "dashboard/{}"},
    "iam": {"GroupName": "group/{}", "InstanceProfileName": "instance-profile/{}", "RoleName": "role/{}", "UserName": "user/{}",
            "PolicyArn": "{}", "PolicySourceArn": "{}", "PolicyName": "policy/{}"},
}  # fmt: skip
ACTION = {"PublishBatch": "Publish"}
PASSED = {  # the members with which a service is handed a role
    "sagemaker": ("RoleArn", "ExecutionRoleArn"), "states": ("roleArn",), "cloudformation": ("RoleARN",),
    "events": ("RoleArn",),
}  # fmt: skip


def needed(service: str, operation: str, parameters: Parameters, place: Place) -> list[Needed]:
    """The permissions for one call of a service other than S3, by its signing name."""
    prefix = "cloudwatch" if service == "monitoring" else service
    if service == "logs":
        return [_logs(operation, parameters, place)]
    if service == "ssm":
        return _ssm(operation, parameters, place)
    if service == "sqs":
        queue = str(parameters.get("QueueUrl") or parameters.get("QueueName") or "").rsplit("/", 1)[-1]
        return [Needed(f"sqs:{operation.removesuffix('Batch')}", place.arn("sqs", queue) if queue else "*")]
    if service == "lambda":
        return _lambda(operation, parameters, place)
    if service == "kms":
        return [Needed(f"kms:{operation}", _key(parameters.get("KeyId"), place))]
    if service == "sts":
        return [
            Needed(
                f"sts:{operation}", parameters.get("RoleArn", "*"), _if("sts:externalid", parameters.get("ExternalId"))
            )
        ]
    found = [
        Needed(
            f"{prefix}:{ACTION.get(operation, operation)}",
            _named(prefix, operation, parameters, place),
            _context(prefix, parameters),
        )
    ]
    tags = parameters.get("Tags") or parameters.get("tags")
    if service == "sagemaker" and operation.startswith("Create") and tags:
        found.append(Needed("sagemaker:AddTags", found[0].resource, found[0].context))
    if operation == "CreateEndpoint" and parameters.get("EndpointConfigName"):
        config = place.arn("sagemaker", f"endpoint-config/{parameters['EndpointConfigName'].lower()}")
        found.append(Needed("sagemaker:CreateEndpoint", config, found[0].context))
    return [*found, *_passed(service, parameters)]


def _passed(service: str, parameters: Parameters) -> list[Needed]:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html"""
    context = {"iam:passedtoservice": [f"{service}.amazonaws.com"]}
    roles = {_in(parameters, member) for member in PASSED.get(service, ())}
    definition = parameters.get("TrainingJobDefinition")
    if service == "sagemaker" and isinstance(definition, Mapping):
        roles.add(_in(definition, "RoleArn"))
    return [Needed("iam:PassRole", role, context) for role in sorted(filter(None, roles))]


def _in(parameters: Parameters, member: str) -> str:
    value = parameters.get(member)
    return value if isinstance(value, str) else ""


def _named(service: str, operation: str, parameters: Parameters, place: Place) -> str:
    if service == "events" and "Rule" not in operation and "Targets" not in operation:
        return "*"
    if operation == "CreateActivity":
        return place.arn("states", f"activity:{_in(parameters, 'name')}")
    if operation == "ListModelPackages" and parameters.get("ModelPackageGroupName"):
        return place.arn("sagemaker", f"model-package/{parameters['ModelPackageGroupName'].lower()}/*")
    for member, resource in BY_MEMBER.get(service, {}).items():
        value = _in(parameters, member) or next(iter(parameters.get(member) or ()), "")
        if not value:
            continue
        if value.startswith("arn:"):
            return value
        if member == "RoleName":
            return _role(value, place)
        if service == "sagemaker":
            value = value.lower()  # as its ARNs are
        region = "" if service in ("iam",) or (service == "cloudwatch" and "dashboard" in resource) else None
        return place.arn(service, resource.format(value), region)
    return "*"


def _role(name: str, place: Place) -> str:
    """A role's ARN holds its path, which a call does not name."""
    from moto.iam.models import iam_backends

    roles = list(iam_backends[place.account]["aws"].roles.values())
    return next((role.arn for role in roles if role.name == name), place.arn("iam", f"role/{name}", ""))


def _context(service: str, parameters: Parameters) -> dict[str, list[str]]:
    context: dict[str, list[str]] = {}
    tags = parameters.get("Tags") or parameters.get("tags") or ()
    pairs = [(tag.get("Key") or tag.get("key"), tag.get("Value") or tag.get("value") or "")
             for tag in tags if isinstance(tag, Mapping)]  # fmt: skip
    if pairs:
        context["aws:tagkeys"] = [key for key, _ in pairs if key]
        context |= {f"aws:requesttag/{key}".lower(): [value] for key, value in pairs if key}
    if service == "cloudwatch":
        context |= _if("cloudwatch:namespace", parameters.get("Namespace"))
    if service == "sagemaker":
        context |= _of_job(parameters)
    return context


def _of_job(parameters: Parameters) -> dict[str, list[str]]:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemaker.html#amazonsagemaker-policy-keys"""
    found: dict[str, set[str]] = {}
    keys = {
        "InstanceType": "sagemaker:instancetypes", "VolumeKmsKeyId": "sagemaker:volumekmskey",
        "KmsKeyId": "sagemaker:outputkmskey", "EnableNetworkIsolation": "sagemaker:networkisolation",
        "EnableInterContainerTrafficEncryption": "sagemaker:intercontainertrafficencryption",
        "Subnets": "sagemaker:vpcsubnets", "SecurityGroupIds": "sagemaker:vpcsecuritygroupids",
    }  # fmt: skip

    def walk(value: Any) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                if name in keys and not isinstance(inner, Mapping):
                    texts = inner if isinstance(inner, list) else [inner]
                    found.setdefault(keys[name], set()).update(_text(each) for each in texts)
                else:
                    walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(parameters)
    return {key: sorted(values) for key, values in found.items()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _if(key: str, value: Any) -> dict[str, list[str]]:
    return {key: [str(value)]} if value is not None else {}


# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
WITHOUT_FUNCTION = ("ListFunctions", "ListEventSourceMappings", "CreateEventSourceMapping")
ON_VERSION = (
    "Invoke",
    "GetFunction",
    "GetFunctionConfiguration",
    "AddPermission",
    "RemovePermission",
    "GetPolicy",
    "DeleteFunction",
)


def _lambda(operation: str, parameters: Parameters, place: Place) -> list[Needed]:
    context: dict[str, list[str]] = {}
    named = str(parameters.get("FunctionName") or parameters.get("Resource") or "")
    function, _, qualifier = named.rpartition("function:")[2].partition(":") if named else ("", "", "")
    qualifier = str(parameters.get("Qualifier") or qualifier)
    arn = place.arn("lambda", f"function:{function}")
    if qualifier and operation in ON_VERSION:
        arn += f":{qualifier}"
    if "EventSourceMapping" in operation:
        context |= {"lambda:functionarn": [arn]} if function else {}
        arn = place.arn("lambda", f"event-source-mapping:{parameters.get('UUID', '')}")
    context |= _if("lambda:principal", parameters.get("Principal"))
    context |= _if("lambda:functionurlauthtype", parameters.get("FunctionUrlAuthType"))
    resource = "*" if operation in WITHOUT_FUNCTION else arn
    tags = parameters.get("Tags")
    if isinstance(tags, Mapping):
        context["aws:tagkeys"] = list(tags)
        context |= {f"aws:requesttag/{key}".lower(): [str(value)] for key, value in tags.items()}
    found = [Needed(f"lambda:{'InvokeFunction' if operation == 'Invoke' else operation}", resource, context)]
    role = _in(parameters, "Role")
    if role:
        found.append(Needed("iam:PassRole", role, {"iam:passedtoservice": ["lambda.amazonaws.com"]}))
    return found


def _logs(operation: str, parameters: Parameters, place: Place) -> Needed:
    group = (
        parameters.get("logGroupName") or str(parameters.get("logGroupIdentifier") or "").rsplit("log-group:", 1)[-1]
    )
    stream = parameters.get("logStreamName") or ""
    resource = f"log-group:{group.removesuffix(':*')}"
    if operation not in ("CreateLogGroup", "DeleteLogGroup", "TagResource", "ListTagsForResource"):
        resource += f":log-stream:{stream}"
    return Needed(f"logs:{operation}", place.arn("logs", resource))


def _ssm(operation: str, parameters: Parameters, place: Place) -> list[Needed]:
    names = parameters.get("Names") or [
        parameters.get("Name") or parameters.get("Path") or parameters.get("ResourceId")
    ]
    if "Parameter" not in operation or operation.startswith("Describe") or not names[0]:
        return [Needed(f"ssm:{operation}", "*")]
    return [Needed(f"ssm:{operation}", place.arn("ssm", f"parameter/{str(name).lstrip('/')}")) for name in names]


def _key(key: Any, place: Place) -> str:
    if not isinstance(key, str) or not key:
        return "*"
    if key.startswith("arn:"):
        return key
    if key.startswith("alias/"):
        from moto.kms.models import kms_backends

        key = kms_backends[place.account][place.region].get_key_id_from_alias(key) or key
    return place.arn("kms", key if key.startswith("alias/") else f"key/{key}")


# S3's actions are seldom called like its operations.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
S3 = {
    "HeadObject": "GetObject", "HeadBucket": "ListBucket", "ListObjects": "ListBucket", "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions", "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads", "ListParts": "ListMultipartUploadParts",
    "CreateMultipartUpload": "PutObject", "UploadPart": "PutObject", "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject", "CopyObject": "PutObject", "PostObject": "PutObject", "DeleteObjects": "DeleteObject",
    "GetBucketEncryption": "GetEncryptionConfiguration", "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration", "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock", "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration", "GetBucketLifecycle": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration", "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketCors": "GetBucketCORS", "PutBucketCors": "PutBucketCORS", "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketTagging": "PutBucketTagging", "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification", "GetObjectAttributes": "GetObject",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration", "GetBucketReplication": "GetReplicationConfiguration",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration", "PutBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketReplication": "PutReplicationConfiguration",
}  # fmt: skip
OF_VERSION = {
    "GetObject",
    "DeleteObject",
    "GetObjectTagging",
    "PutObjectTagging",
    "DeleteObjectTagging",
    "GetObjectAcl",
}


def needed_of_s3(
    operation: str, bucket: str, key: str, query: Mapping[str, str], headers: Mapping[str, str], keys: list[str]
) -> list[Needed]:
    """The permissions for one call of S3; `keys` are those that DeleteObjects names."""
    name = S3.get(operation, operation)
    if not bucket:
        return [Needed(f"s3:{name}", "*")]
    if name in OF_VERSION and "versionId" in query:
        name = name.replace("Object", "ObjectVersion", 1)
    arn = f"arn:aws:s3:::{bucket}"
    context: dict[str, list[str]] = {}
    if name in ("ListBucket", "ListBucketVersions", "ListBucketMultipartUploads"):
        for parameter in ("prefix", "delimiter", "max-keys"):
            context |= _if(f"s3:{parameter}", query.get(parameter))
    for header in ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-acl"):
        context |= _if(f"s3:{header}", headers.get(header))
    found = [Needed(f"s3:{name}", f"{arn}/{each}" if each else arn, context) for each in keys or [key]]
    source = headers.get("x-amz-copy-source")
    if source and operation in ("CopyObject", "UploadPartCopy"):
        found.append(Needed("s3:GetObject", f"arn:aws:s3:::{unquote(source).partition('?')[0].lstrip('/')}"))
    return found
