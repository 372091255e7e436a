"""The tags of the resource that a call names: `aws:ResourceTag`, the same under each service's own prefix, and those of objects in S3.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_tags.html. Buckets are left out: AWS looks at their tags only where that is
switched on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

PARTITION = "aws"
# Services that have the key under their own name, too.
OWN_PREFIX = ("iam", "sagemaker", "ecr", "ssm", "secretsmanager")
# Actions of S3 that know the tags of the object: the reference, "s3:ExistingObjectTag/<key>".
OF_OBJECTS = ("s3:GetObject", "s3:DeleteObject", "s3:PutObjectTagging", "s3:GetObjectTagging", "s3:PutObjectAcl")
Find = Callable[[str, str], Mapping[str, str]]


def tags_of_resource(action: str, resource: str, account: str, region: str, of_own: Find) -> dict[str, list[str]]:
    """The condition keys; `of_own` finds the tags of this cloud's own services by service and ARN."""
    service = action.partition(":")[0]
    if service == "s3":
        prefixes = ("s3:existingobjecttag",) if action.startswith(OF_OBJECTS) and "/" in resource else ()
    else:
        prefixes = ("aws:resourcetag", *((f"{service}:resourcetag",) if service in OWN_PREFIX else ()))
    if not prefixes or not resource.startswith("arn:"):
        return {}
    if service in ("sagemaker", "states"):
        tags = of_own(service, resource)
    else:
        find = _OF_MOTO.get(service)
        tags = find(resource, account, region) if find else {}
    return {f"{prefix}/{key}".lower(): [value] for prefix in prefixes for key, value in (tags or {}).items()}


def _backend(service: Any, account: str, region: str) -> Any:
    from moto.backends import get_backend

    return get_backend(service)[account][region]


def _pairs(tags: Any) -> dict[str, str]:
    """Tags as moto keeps them here and there: a mapping, one of pairs, or a list of pairs."""
    if isinstance(tags, Mapping):
        return {key: tag["Value"] if isinstance(tag, Mapping) else tag for key, tag in tags.items()}
    return {tag.get("Key") or tag["TagKey"]: tag.get("Value", tag.get("TagValue", "")) for tag in tags or ()}


def _last(resource: str, separator: str) -> str:
    return resource.rpartition(separator)[2]


def _iam(resource: str, account: str, _: str) -> dict[str, str]:
    backend = _backend("iam", account, PARTITION)
    found = {"role": backend.roles, "user": backend.users}.get(_last(resource, ":").partition("/")[0], {})
    return _pairs(next((each.tags for each in list(found.values()) if each.arn == resource), None))


def _kms(resource: str, account: str, region: str) -> dict[str, str]:
    return _backend("kms", account, region).tagger.get_tag_dict_for_resource(_last(resource, "/"))


def _of_tagger(service: str) -> Callable[[str, str, str], dict[str, str]]:
    return lambda resource, account, region: _backend(service, account, region).tagger.get_tag_dict_for_resource(
        resource
    )


def _sqs(resource: str, account: str, region: str) -> dict[str, str]:
    return _pairs(getattr(_backend("sqs", account, region).queues.get(_last(resource, ":")), "tags", None))


def _sns(resource: str, account: str, region: str) -> dict[str, str]:
    return _pairs(getattr(_backend("sns", account, region).topics.get(resource), "_tags", None))


def _ssm(resource: str, account: str, region: str) -> dict[str, str]:
    tags = _backend("ssm", account, region)._resource_tags.get("Parameter", {})
    name = resource.partition(":parameter/")[2]
    return _pairs(tags.get(f"/{name}") or tags.get(name))


def _secret(resource: str, account: str, region: str) -> dict[str, str]:
    name = resource.partition(":secret:")[2]
    for secret in list(dict.values(_backend("secretsmanager", account, region).secrets)):
        if name in (secret.name, secret.arn.partition(":secret:")[2]):
            return _pairs(secret.tags)
    return {}


def _logs(resource: str, account: str, region: str) -> dict[str, str]:
    group = resource.partition(":log-group:")[2].partition(":")[0]
    return _pairs(getattr(_backend("logs", account, region).groups.get(group), "tags", None))


def _s3(resource: str, account: str, _: str) -> dict[str, str]:
    return _backend("s3", account, PARTITION).tagger.get_tag_dict_for_resource(resource)


_OF_MOTO: dict[str, Callable[[str, str, str], Mapping[str, str]]] = {
    "iam": _iam, "kms": _kms, "sqs": _sqs, "sns": _sns, "ssm": _ssm, "secretsmanager": _secret, "logs": _logs, "s3": _s3,
    "ecr": _of_tagger("ecr"), "events": _of_tagger("events"), "cloudwatch": _of_tagger("cloudwatch"),
}  # fmt: skip
