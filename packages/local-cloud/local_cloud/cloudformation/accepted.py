"""What requests may ask for that the local cloud cannot do: refused by name, never accepted and forgotten.

Everything else that a request may carry acts as on AWS; a test compares this with botocore's model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_cloud.cloudformation.template import invalid
from local_cloud.services import COVERAGE_PAGE

# Member: whether a value asks for something, and what cannot be done here. The other values are the defaults.
REFUSED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "NotificationARNs": (bool, "sends no stack events to SNS topics"),
    "RollbackConfiguration": (
        lambda given: bool(given.get("RollbackTriggers") or given.get("MonitoringTimeInMinutes")),
        "watches no alarms during a deployment",
    ),
    "DeploymentConfig": (
        lambda given: given.get("Mode", "STANDARD") != "STANDARD",
        "has only the deployment mode STANDARD",
    ),
    "DeploymentMode": (bool, "does not revert drift"),
    "ResourcesToImport": (bool, "does not import resources"),
    "DeletionMode": (
        lambda given: given != "STANDARD",
        "cannot force a deletion; name what to keep in RetainResources",
    ),
    "ResourcesToSkip": (bool, "skips no resources when a rollback is continued"),
    "ForceRollback": (bool, "cannot force a rollback"),
    "OperationId": (bool, "keeps no operations apart; leave it out to read all events"),
    "StackSetName": (bool, "has no stack sets"),
    "CallAs": (lambda given: given != "SELF", "has no delegated administrators"),
}
# There is nothing here that these could act on: no nested stacks, no hooks that validate, no macros to warn of. The CDK bootstraps with
# ImportExistingResources=true; where something of that name exists, creating it fails here by name.
IDLE = ("IncludeNestedStacks", "DisableValidation", "TemplateSummaryConfig", "TemplateStage", "ImportExistingResources")
# What a resource may be named in ResourceTypes: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
WILDCARD = "*"


def refuse_unheeded(request: dict[str, Any]) -> None:
    """Raise for the first member that asks for something which would not happen."""
    for name, (asks, cannot) in REFUSED.items():
        if name in request and request[name] is not None and asks(request[name]):
            raise invalid(f"The local cloud {cannot} ({name}). See {COVERAGE_PAGE}.")


def check_resource_types(allowed: list[str] | None, used: set[str]) -> None:
    """ResourceTypes limits what a template may work with."""
    if not allowed:
        return
    for kind in sorted(used):
        if not any(kind == one or (one.endswith(WILDCARD) and kind.startswith(one[:-1])) for one in allowed):
            raise invalid(f"Resource type {kind} is not allowed by parameter ResourceTypes {allowed}")
