"""Stacks, change sets and templates as the API shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from local_cloud.cloudformation.parameters import MASK, hidden, masked, text
from local_cloud.cloudformation.resources import known_type
from local_cloud.cloudformation.stack import Resource, Stack
from local_cloud.cloudformation.template import read_template
from local_cloud.errors import AwsError

# By which property AWS imports a resource, of the types whose name that is.
IDENTIFIERS = {
    "AWS::CloudWatch::Alarm": "AlarmName", "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::ECR::Repository": "RepositoryName", "AWS::IAM::Role": "RoleName", "AWS::KMS::Alias": "AliasName",
    "AWS::Logs::LogGroup": "LogGroupName", "AWS::S3::Bucket": "BucketName", "AWS::SSM::Parameter": "Name",
}  # fmt: skip
IAM_REASON = "The following resource(s) require capabilities: [{types}]"


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as a time."""
    return datetime.fromtimestamp(seconds, UTC)


def stack(found: Stack) -> dict[str, Any]:
    """DescribeStacks."""
    given, visible = found.parameters, masked(_declared(found.template), found.parameters)
    parameters = [_parameter(name, given, visible, found.resolved) for name in given]
    return {
        "StackId": found.id, "StackName": found.name, "Description": found.description or None,
        "CreationTime": moment(found.created), "StackStatus": found.status, "StackStatusReason": found.reason or None,
        "Parameters": parameters or None, "Outputs": found.outputs or None, "Tags": found.tags,
        "Capabilities": found.capabilities or None, "RollbackConfiguration": {}, "ChangeSetId": found.change_set or None,
        "NotificationARNs": found.notifications, "RoleARN": found.role or None, "DisableRollback": found.disable_rollback,
        "EnableTerminationProtection": found.protected if found.exists else None,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
        "LastUpdatedTime": moment(found.updated) if found.updated else None,
        "DeletionTime": moment(found.deleted) if found.deleted else None,
    }  # fmt: skip


def _parameter(name: str, given: dict[str, str], visible: dict[str, str], seen: dict[str, Any]) -> dict[str, str]:
    """A parameter; what SSM gave for it is its resolved value."""
    entry = {"ParameterKey": name, "ParameterValue": visible[name]}
    resolved = seen.get(name)
    if isinstance(resolved, str) and resolved != given[name] and visible[name] == given[name]:
        entry["ResolvedValue"] = resolved
    return entry


def _declared(template: str) -> dict[str, Any]:
    try:
        return read_template(template).get("Parameters", {}) if template else {}
    except AwsError:  # kept by an earlier version, which read it
        return UNREADABLE


class _Hidden(dict[str, Any]):
    """Parameters of a template that cannot be read: any of them may be a secret."""

    def get(self, name: str, default: Any = None) -> dict[str, Any]:
        return {"NoEcho": True}


UNREADABLE = _Hidden()


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


def change_set(found: Stack, item: dict[str, Any], summary: bool = False, values: bool = False) -> dict[str, Any]:
    """DescribeChangeSet, with `values` of properties, and with `summary` an entry of ListChangeSets."""
    request = item["Request"]
    made = {
        "ChangeSetId": item["ChangeSetId"], "ChangeSetName": item["ChangeSetName"], "StackId": found.id,
        "StackName": found.name, "Description": request.get("Description"), "CreationTime": moment(item["CreationTime"]),
        "ExecutionStatus": item["ExecutionStatus"], "Status": item["Status"], "StatusReason": item.get("StatusReason"),
        "IncludeNestedStacks": request.get("IncludeNestedStacks", False),
    }  # fmt: skip
    if summary:
        return made
    given = item.get("Parameters", {})  # of a change set that failed there are none, and its template may be anything
    visible = masked(_declared(request["TemplateBody"]), given) if given else {}
    parameters = [_parameter(name, given, visible, item.get("Resolved", {})) for name in given]
    return {
        **made, "Parameters": parameters or None, "Tags": request.get("Tags") or None, "RollbackConfiguration": {},
        "Capabilities": request.get("Capabilities", []), "NotificationARNs": request.get("NotificationARNs", []),
        "Changes": item.get("ValuedChanges", item["Changes"]) if values else item["Changes"],
        **({"StatusReason": item["Warning"]} if values and item.get("Warning") else {}),
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
        kind.name_property in item.get("Properties", {})
        for item in template["Resources"].values()
        if item["Type"] in identities and (kind := known_type(item["Type"])) is not None
    )
    made: dict[str, Any] = {
        "Parameters": parameters,
        "ResourceTypes": types,
        "Description": template.get("Description"),
        "Version": text(template.get("AWSTemplateFormatVersion", "2010-09-09")),
        "Metadata": str(template["Metadata"]) if "Metadata" in template else None,
        "ResourceIdentifierSummaries": [
            {
                "ResourceType": kind,
                "LogicalResourceIds": [name for name, item in template["Resources"].items() if item["Type"] == kind],
                "ResourceIdentifiers": [IDENTIFIERS[kind]] if kind in IDENTIFIERS else None,
            }
            for kind in types
        ],
    }
    if identities:
        made["Capabilities"] = ["CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"]
        made["CapabilitiesReason"] = IAM_REASON.format(types=", ".join(identities))
    return made
