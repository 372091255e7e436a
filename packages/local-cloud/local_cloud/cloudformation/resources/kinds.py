"""What a resource type is: how it is made, changed and deleted through the service's own API.

Nothing here talks to a backend: a stack's resources go the way that a user's would, with the same refusals.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

Properties = dict[str, Any]


def _nobody(token: str, request: dict[str, Any], seconds: float) -> dict[str, Any]:
    raise NotImplementedError("Nobody can be asked here")


@dataclass(frozen=True)
class Aws:
    """What a resource type may use: clients of this cloud's services, and where it is."""

    client: Callable[[str], Any]
    account_id: str
    region: str
    # Asks a custom resource's provider and waits: its service token, the request, the seconds that it has.
    ask: Callable[[str, dict[str, Any], float], dict[str, Any]] = _nobody
    stack_id: str = ""
    logical_id: str = ""
    kind: str = ""

    def arn(self, service: str, resource: str) -> str:
        """An ARN of this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"


@dataclass
class Naming:
    """How physical names are made when a template gives none: stack, logical id and a short hash of both.

    `asked` is the last name that was made: what a creation that was refused would have been called.
    """

    stack_name: str
    stack_id: str
    logical_id: str
    generation: int = 0
    asked: str = ""

    def name(self, limit: int = 64, lower: bool = False, separator: str = "-") -> str:
        """A name that is the same each time it is asked for and differs between stacks and replacements."""
        seed = f"{self.stack_id}/{self.logical_id}/{self.generation}".encode()
        suffix = hashlib.sha256(seed).hexdigest()[:12]
        suffix = suffix if lower else suffix.upper()
        head = f"{self.stack_name}{separator}{self.logical_id}"
        head = re.sub(r"[^A-Za-z0-9-]", "", head)[: limit - len(suffix) - 1]
        name = f"{head}{separator}{suffix}"
        self.asked = name.lower() if lower else name
        return self.asked


@dataclass(frozen=True)
class Made:
    """A resource that exists: what Ref gives, and what GetAtt gives."""

    physical_id: str
    attributes: dict[str, Any] = field(default_factory=dict)


class ResourceType:
    """One CloudFormation type. Subclasses name their properties: one that is not named is refused, never ignored."""

    type: str
    properties: frozenset[str] = frozenset()
    # Properties without any effect here, each with the reason; the coverage page shows them.
    without_effect: dict[str, str] = {}  # noqa: RUF012
    required: frozenset[str] = frozenset()
    # A change of one of these makes a new resource and deletes the old one.
    replacing: frozenset[str] = frozenset()
    name_property: str | None = None
    # Whether making it takes seconds: others that do not need it go on meanwhile.
    slow = False

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        """Make it."""
        raise NotImplementedError

    def physical_of(self, aws: Aws, name: str) -> str:
        """The physical id of one with this name, as `delete` takes it."""
        return name

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        """Change it in place."""
        raise NotImplementedError

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        """Delete it; something that is gone already is no error."""
        raise NotImplementedError

    def missing(self, properties: Properties) -> str | None:
        """What fails a resource that lacks a property, in AWS's words, or None."""
        lacking = sorted(self.required - set(properties))
        said = ", ".join(f"The property {{/{name}}} is required" for name in lacking)
        return f"Property validation failure: [{said}]" if lacking else None

    def fault(self, properties: Properties) -> str | None:
        """What is wrong with the names of the properties, or None."""
        unknown = set(properties) - self.properties - set(self.without_effect)
        if unknown:
            return f"The local cloud does not support the properties [{', '.join(sorted(unknown))}] of {self.type}"
        return None


CUSTOM = "AWS::CloudFormation::CustomResource"
TYPES: dict[str, ResourceType] = {}


def known_type(name: str) -> ResourceType | None:
    """The type of that name; every `Custom::Name` is one type."""
    return TYPES.get(CUSTOM if name.startswith("Custom::") else name)


def register(kind: type[ResourceType]) -> type[ResourceType]:
    """Make a type known."""
    TYPES[kind.type] = kind()
    return kind


def gone(error: ClientError, *codes: str) -> bool:
    """Whether the error says that the thing does not exist."""
    code = error.response["Error"]["Code"]
    message = error.response["Error"].get("Message", "")
    return (
        code in codes
        or "NotFound" in code
        or "NoSuch" in code
        or "DoesNotExist" in code
        or (code == "ValidationException" and "Could not find" in message)
    )


@contextmanager
def whole(kind: ResourceType, aws: Aws, physical_id: str, properties: Properties) -> Iterator[None]:
    """Delete what was just made when the rest of its making fails: half a resource belongs to no stack."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            kind.delete(aws, physical_id, properties)
        raise


def delete_quietly(call: Callable[..., Any], *codes: str, **arguments: Any) -> None:
    """Delete something that may be gone."""
    try:
        call(**arguments)
    except ClientError as error:
        if not gone(error, *codes):
            raise


def tag_changes(old: Properties, new: Properties, key: str = "Tags") -> tuple[list[dict[str, Any]], list[str]]:
    """Tags to set and tag keys to remove."""
    before = {tag["Key"]: tag["Value"] for tag in old.get(key, [])}
    after = {tag["Key"]: tag["Value"] for tag in new.get(key, [])}
    changed = [{"Key": k, "Value": v} for k, v in after.items() if before.get(k) != v]
    return changed, [k for k in before if k not in after]


def as_text(value: Any) -> str:
    """A JSON document as the APIs take it; templates give it as text or as an object."""
    return value if isinstance(value, str) else json.dumps(value)


def true(value: Any) -> bool:
    """Booleans may come as text."""
    return value is True or str(value).lower() == "true"


def pick(properties: Properties, *names: str) -> Properties:
    """The properties of these names that are there."""
    return {name: properties[name] for name in names if name in properties}
