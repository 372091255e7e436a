"""Tags of SageMaker resources, by ARN."""

from local_cloud.sagemaker.kinds import KINDS, resource_of
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.store import Document, Store
from local_cloud.sagemaker.support import invalid

MAXIMUM = 50


def keep_tags(store: Store, arn: str, tags: list[dict[str, str]] | None) -> list[dict[str, str]]:
    """Adds tags to a resource; a tag of the same key is replaced."""
    merged = {tag["Key"]: tag["Value"] for tag in (store.find("Tags", arn) or {}).get("Tags", [])}
    merged.update({tag["Key"]: tag["Value"] for tag in tags or []})
    if len(merged) > MAXIMUM:
        raise invalid(f"{arn} would have {len(merged)} tags; at most {MAXIMUM} are allowed.")
    kept = [{"Key": key, "Value": value} for key, value in merged.items()]
    if kept:
        store.put("Tags", arn, {"Tags": kept})
    return kept


def forget_tags(store: Store, arn: str) -> None:
    if store.find("Tags", arn):
        store.remove("Tags", arn)


def add_tags(runtime: Runtime, request: Document) -> Document:
    _require(runtime.store, request["ResourceArn"])
    return {"Tags": keep_tags(runtime.store, request["ResourceArn"], request["Tags"])}


def list_tags(runtime: Runtime, request: Document) -> Document:
    _require(runtime.store, request["ResourceArn"])
    return {"Tags": (runtime.store.find("Tags", request["ResourceArn"]) or {}).get("Tags", [])}


def delete_tags(runtime: Runtime, request: Document) -> Document:
    _require(runtime.store, request["ResourceArn"])
    tags = list_tags(runtime, request)["Tags"]
    kept = [tag for tag in tags if tag["Key"] not in request["TagKeys"]]
    runtime.store.put("Tags", request["ResourceArn"], {"Tags": kept})
    return {}


def _require(store: Store, arn: str) -> None:
    noun, name = resource_of(arn)
    if store.find(noun, name) is None or store.arn(noun, name) != arn:
        raise store.error(noun, name, KINDS[noun].missing)
