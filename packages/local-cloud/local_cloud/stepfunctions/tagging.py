"""Tags of state machines and activities."""

from __future__ import annotations

from typing import Any

from local_cloud.errors import AwsError
from local_cloud.stepfunctions.store import Store


class Tagging:
    """TagResource, UntagResource, ListTagsForResource."""

    def __init__(self, store: Store):
        self._store = store

    def _op_TagResource(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._retag(request["resourceArn"], as_mapping(request["tags"]), [])

    def _op_UntagResource(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._retag(request["resourceArn"], {}, request["tagKeys"])

    def _op_ListTagsForResource(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"tags": self._tagged(request["resourceArn"])["tags"]}

    def _retag(self, arn: str, added: dict[str, str], removed: list[str]) -> dict[str, Any]:
        with self._store.lock:
            record = self._tagged(arn)
            tags = as_mapping(record["tags"]) | added
            kept = as_list({key: value for key, value in tags.items() if key not in removed})
            self._store.save({**record, "tags": kept})
        return {}

    def _tagged(self, arn: str) -> dict[str, Any]:
        found = self._store.machines.get(arn) or self._store.activities.get(arn)
        if found is None:
            raise AwsError("ResourceNotFound", f"Resource not found: '{arn}'")
        return found


def as_mapping(given: list[dict[str, str]]) -> dict[str, str]:
    """Tags by key; ValidationException for one without a key, which the model allows and AWS does not."""
    if not all(tag.get("key") for tag in given):
        raise AwsError("ValidationException", "Each tag needs a key.")
    return {tag["key"]: tag.get("value", "") for tag in given}


def as_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags as the API shows them."""
    return [{"key": key, "value": value} for key, value in tags.items()]
