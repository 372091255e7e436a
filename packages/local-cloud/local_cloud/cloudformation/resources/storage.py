"""S3 buckets and their policies."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from local_cloud.cloudformation.resources.kinds import (
    Aws,
    Made,
    Naming,
    Properties,
    ResourceType,
    as_text,
    delete_quietly,
    pick,
    register,
    true,
    whole,
)
from local_cloud.cloudformation.template import invalid


@register
class Bucket(ResourceType):
    """A bucket. Deleting one that still holds objects fails, as on AWS."""

    type = "AWS::S3::Bucket"
    name_property = "BucketName"
    replacing = frozenset({"BucketName", "ObjectLockEnabled"})
    properties = frozenset({
        "BucketName", "BucketEncryption", "PublicAccessBlockConfiguration", "VersioningConfiguration", "OwnershipControls",
        "LifecycleConfiguration", "CorsConfiguration", "LoggingConfiguration", "NotificationConfiguration", "Tags",
        "ObjectLockEnabled",
    })  # fmt: skip
    without_effect = {  # noqa: RUF012
        "AccessControl": "canned ACLs are legacy; the local cloud has one account",
        "IntelligentTieringConfigurations": "storage classes cost nothing here",
        "MetricsConfigurations": "there are no request metrics here",
        "InventoryConfigurations": "there are no inventory reports here",
        "AccelerateConfiguration": "the network is loopback",
    }

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        name = properties.get("BucketName") or naming.name(63, lower=True)
        options: dict[str, Any] = {"Bucket": name}
        if aws.region != "us-east-1":
            options["CreateBucketConfiguration"] = {"LocationConstraint": aws.region}
        if true(properties.get("ObjectLockEnabled")):
            options["ObjectLockEnabledForBucket"] = True
        if _exists(aws, name):
            raise invalid(f"{name} already exists")
        aws.client("s3").create_bucket(**options)
        with whole(self, aws, name, properties):
            return self._configure(aws, name, {}, properties)

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        return self._configure(aws, physical_id, old, new)

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(aws.client("s3").delete_bucket, Bucket=physical_id)

    def _configure(self, aws: Aws, name: str, old: Properties, new: Properties) -> Made:
        s3 = aws.client("s3")
        for part, put, delete in _PARTS:
            if new.get(part) == old.get(part):
                continue
            if part in new:
                put(s3, name, new[part])
            elif callable(delete):
                delete(s3, name)
            else:
                getattr(s3, delete)(Bucket=name)
        suffix = f"{name}.s3"
        return Made(
            name,
            {
                "Arn": f"arn:aws:s3:::{name}",
                "DomainName": f"{suffix}.amazonaws.com",
                "RegionalDomainName": f"{suffix}.{aws.region}.amazonaws.com",
                "DualStackDomainName": f"{suffix}.dualstack.{aws.region}.amazonaws.com",
                "WebsiteURL": f"http://{name}.s3-website-{aws.region}.amazonaws.com",
            },
        )


def _exists(aws: Aws, name: str) -> bool:
    try:
        aws.client("s3").head_bucket(Bucket=name)
    except ClientError:
        return False
    return True


def _encryption(s3: Any, name: str, value: Any) -> None:
    rules = [
        {
            "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
            "BucketKeyEnabled": true(rule.get("BucketKeyEnabled", False)),
        }
        for rule in value["ServerSideEncryptionConfiguration"]
    ]
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})


def _public_access(s3: Any, name: str, value: Any) -> None:
    flags = {key: true(flag) for key, flag in value.items()}
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=flags)


def _versioning(s3: Any, name: str, value: Any) -> None:
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": value["Status"]})


def _no_versioning(s3: Any, name: str) -> None:
    """Versions stay: a bucket that had versioning once cannot be without.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html
    """
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})


def _no_logging(s3: Any, name: str) -> None:
    s3.put_bucket_logging(Bucket=name, BucketLoggingStatus={})


def _no_notifications(s3: Any, name: str) -> None:
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={})


def _ownership(s3: Any, name: str, value: Any) -> None:
    s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls={"Rules": value["Rules"]})


def _lifecycle(s3: Any, name: str, value: Any) -> None:
    rules = [lifecycle_rule(rule, index) for index, rule in enumerate(value["Rules"])]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})


def lifecycle_rule(rule: dict[str, Any], index: int) -> dict[str, Any]:
    """A lifecycle rule in the API's shape, which differs from CloudFormation's in most members."""
    made: dict[str, Any] = {"ID": rule.get("Id", f"rule-{index}"), "Status": rule["Status"]}
    conditions = {"Prefix": rule.get("Prefix", "")}
    tags = [pick(tag, "Key", "Value") for tag in rule.get("TagFilters", [])]
    sizes = {key: int(rule[key]) for key in ("ObjectSizeGreaterThan", "ObjectSizeLessThan") if key in rule}
    made["Filter"] = {"And": {**conditions, "Tags": tags, **sizes}} if tags or sizes else conditions
    expiration: dict[str, Any] = {}
    if "ExpirationInDays" in rule:
        expiration["Days"] = int(rule["ExpirationInDays"])
    if "ExpirationDate" in rule:
        expiration["Date"] = rule["ExpirationDate"]
    if "ExpiredObjectDeleteMarker" in rule:
        expiration["ExpiredObjectDeleteMarker"] = true(rule["ExpiredObjectDeleteMarker"])
    if expiration:
        made["Expiration"] = expiration
    old = rule.get("NoncurrentVersionExpiration") or (
        {"NoncurrentDays": rule["NoncurrentVersionExpirationInDays"]}
        if "NoncurrentVersionExpirationInDays" in rule
        else None
    )
    if old:
        made["NoncurrentVersionExpiration"] = {key: int(number) for key, number in old.items()}
    if "AbortIncompleteMultipartUpload" in rule:
        days = int(rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"])
        made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    if "Transitions" in rule:
        made["Transitions"] = [
            {"StorageClass": step["StorageClass"], "Days": int(step["TransitionInDays"])}
            for step in rule["Transitions"]
        ]
    if "NoncurrentVersionTransitions" in rule:
        made["NoncurrentVersionTransitions"] = [
            {"StorageClass": step["StorageClass"], "NoncurrentDays": int(step["TransitionInDays"])}
            for step in rule["NoncurrentVersionTransitions"]
        ]
    return made


# How S3's API calls what the template names otherwise.
CORS_NAMES = {"Id": "ID", "MaxAge": "MaxAgeSeconds", "ExposedHeaders": "ExposeHeaders"}


def _cors(s3: Any, name: str, value: Any) -> None:
    rules = [{CORS_NAMES.get(name, name): value for name, value in rule.items()} for rule in value["CorsRules"]]
    s3.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": rules})


def _logging(s3: Any, name: str, value: Any) -> None:
    enabled = {"TargetBucket": value.get("DestinationBucketName", name), "TargetPrefix": value.get("LogFilePrefix", "")}
    s3.put_bucket_logging(Bucket=name, BucketLoggingStatus={"LoggingEnabled": enabled})


def _notifications(s3: Any, name: str, value: Any) -> None:
    made: dict[str, Any] = {}
    if "EventBridgeConfiguration" in value:
        made["EventBridgeConfiguration"] = {}
    for source, target, arn in (
        ("TopicConfigurations", "TopicConfigurations", "Topic"),
        ("QueueConfigurations", "QueueConfigurations", "Queue"),
        ("LambdaConfigurations", "LambdaFunctionConfigurations", "Function"),
    ):
        member = "LambdaFunctionArn" if arn == "Function" else f"{arn}Arn"
        if source in value:
            made[target] = [{member: item[arn], "Events": [item["Event"]], **_filter(item)} for item in value[source]]
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=made)


def _filter(item: dict[str, Any]) -> dict[str, Any]:
    rules = item.get("Filter", {}).get("S3Key", {}).get("Rules")
    return {"Filter": {"Key": {"FilterRules": rules}}} if rules else {}


def _tags(s3: Any, name: str, value: Any) -> None:
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": value})


# Property, how it is set, and how it is taken back: a name of an operation, or a function where there is none.
_PARTS = (
    ("VersioningConfiguration", _versioning, _no_versioning),
    ("BucketEncryption", _encryption, "delete_bucket_encryption"),
    ("PublicAccessBlockConfiguration", _public_access, "delete_public_access_block"),
    ("OwnershipControls", _ownership, "delete_bucket_ownership_controls"),
    ("LifecycleConfiguration", _lifecycle, "delete_bucket_lifecycle"),
    ("CorsConfiguration", _cors, "delete_bucket_cors"),
    ("LoggingConfiguration", _logging, _no_logging),
    ("NotificationConfiguration", _notifications, _no_notifications),
    ("Tags", _tags, "delete_bucket_tagging"),
)


@register
class BucketPolicy(ResourceType):
    """A bucket's policy."""

    type = "AWS::S3::BucketPolicy"
    properties = required = frozenset({"Bucket", "PolicyDocument"})
    replacing = frozenset({"Bucket"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        aws.client("s3").put_bucket_policy(Bucket=properties["Bucket"], Policy=as_text(properties["PolicyDocument"]))
        return Made(properties["Bucket"], {"Bucket": properties["Bucket"]})

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        return self.create(aws, new, Naming("", "", ""))

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(aws.client("s3").delete_bucket_policy, Bucket=properties["Bucket"])
