"""Stacks, change sets and templates as the API shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from local_cloud.cloudformation.parameters import MASK, hidden, masked, text
from local_cloud.cloudformation.resources import TYPES
from local_cloud.cloudformation.stack import Resource, Stack
from local_cloud.cloudformation.template import read_template

IAM_REASON = "The following resource(s) require capabilities: [{types}]"


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as a time."""
    return datetime.fromtimestamp(seconds, UTC)


def stack(found: Stack) -> dict[str, Any]:
    """DescribeStacks."""
    parameters, visible = [], masked(_declared(found.template), found.parameters)
    for name, value in found.parameters.items():
        entry = {"ParameterKey": name, "ParameterValue": visible[name]}
        seen = found.resolved.get(name)
        if isinstance(seen, str) and seen != value and visible[name] == value:
            entry["ResolvedValue"] = seen
        parameters.append(entry)
    return {
        "StackId": found.id, "StackName": found.name, "Description": found.description or None,
        "CreationTime": moment(found.created), "StackStatus": found.status, "StackStatusReason": found.reason or None,
        "Parameters": parameters, "Outputs": found.outputs, "Tags": found.tags, "Capabilities": found.capabilities,
        "NotificationARNs": found.notifications, "RoleARN": found.role or None, "DisableRollback": found.disable_rollback,
        "EnableTerminationProtection": found.protected, "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
        "LastUpdatedTime": moment(found.updated) if found.updated else None,
        "DeletionTime": moment(found.deleted) if found.deleted else None,
    }  # fmt: skip


def _declared(template: str) -> dict[str, Any]:
    return read_template(template).get("Parameters", {}) if template else {}


def summary(found: Stack) -> dict[str, Any]:
    """ListStacks."""
    whole = stack(found)
    kept = (
        "StackId",
        "StackName",
        "CreationTime",
        "LastUpdatedTime",
        "DeletionTime",
        "StackStatus",
        "StackStatusReason",
        "DriftInformation",
    )
    return {**{name: whole[name] for name in kept}, "TemplateDescription": found.description or None}


def resource(found: Stack, item: Resource) -> dict[str, Any]:
    """DescribeStackResources."""
    return {
        "StackName": found.name, "StackId": found.id, "LogicalResourceId": item.logical_id,
        "PhysicalResourceId": item.physical_id, "ResourceType": item.type, "Timestamp": moment(item.changed),
        "ResourceStatus": item.status, "ResourceStatusReason": item.reason or None,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }  # fmt: skip


def change_set(found: Stack, item: dict[str, Any], summary: bool = False) -> dict[str, Any]:
    """DescribeChangeSet, and with `summary` an entry of ListChangeSets."""
    request = item["Request"]
    made = {
        "ChangeSetId": item["ChangeSetId"], "ChangeSetName": item["ChangeSetName"], "StackId": found.id,
        "StackName": found.name, "Description": request.get("Description"), "CreationTime": moment(item["CreationTime"]),
        "ExecutionStatus": item["ExecutionStatus"], "Status": item["Status"], "StatusReason": item.get("StatusReason"),
    }  # fmt: skip
    if summary:
        return made
    given = item.get("Parameters", {})  # of a change set that failed there are none, and its template may be anything
    visible = masked(_declared(request["TemplateBody"]), given) if given else {}
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in visible.items()]
    return {
        **made, "Parameters": parameters, "Tags": request.get("Tags", []), "Capabilities": request.get("Capabilities", []),
        "NotificationARNs": request.get("NotificationARNs", []), "Changes": item["Changes"],
    }  # fmt: skip


def template_summary(template: dict[str, Any]) -> dict[str, Any]:
    """GetTemplateSummary."""
    parameters = []
    for name, definition in template.get("Parameters", {}).items():
        entry = {
            "ParameterKey": name,
            "ParameterType": definition.get("Type", "String"),
            "NoEcho": hidden(definition),
            "Description": definition.get("Description"),
        }
        if "Default" in definition:
            entry["DefaultValue"] = MASK if hidden(definition) else text(definition["Default"])
        parameters.append(entry)
    types = sorted({item["Type"] for item in template["Resources"].values()})
    identities = [kind for kind in types if kind.startswith("AWS::IAM::")]
    named = any(
        TYPES[item["Type"]].name_property in item.get("Properties", {})
        for item in template["Resources"].values()
        if item["Type"] in identities and item["Type"] in TYPES
    )
    made: dict[str, Any] = {
        "Parameters": parameters,
        "ResourceTypes": types,
        "Description": template.get("Description"),
    }
    if identities:
        made["Capabilities"] = ["CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"]
        made["CapabilitiesReason"] = IAM_REASON.format(types=", ".join(identities))
    return made
