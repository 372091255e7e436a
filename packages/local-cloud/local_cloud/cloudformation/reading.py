"""What the CloudFormation API shows: stacks, events, resources, templates, change sets, exports."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from local_cloud.cloudformation import shown
from local_cloud.cloudformation.planning import Planner
from local_cloud.cloudformation.stack import Stack, StackStore
from local_cloud.cloudformation.template import invalid, read_template
from local_cloud.errors import AwsError
from local_cloud.listing import page

# AWS still describes the change set that was executed last, and lists it no more.
EXECUTED = "EXECUTE_COMPLETE"


class StackReader:
    """The operations that change nothing."""

    _store: StackStore
    _planner: Planner

    def _op_DescribeChangeSet(self, request: dict[str, Any]) -> dict[str, Any]:
        stack, change_set = self._find_change_set(request)
        return shown.change_set(stack, change_set, values=bool(request.get("IncludePropertyValues")))

    def _op_ListChangeSets(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._known(request.get("StackName", ""))
        waiting = [item for item in stack.change_sets.values() if item["ExecutionStatus"] != EXECUTED]
        return {"Summaries": [shown.change_set(stack, item, summary=True) for item in waiting]}

    def _op_DescribeStacks(self, request: dict[str, Any]) -> dict[str, Any]:
        if "StackName" in request:
            return {"Stacks": [shown.stack(self._known(request.get("StackName", "")))]}
        return {"Stacks": [shown.stack(stack) for stack in self._sorted() if stack.exists]}

    def _op_ListStacks(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = request.get("StackStatusFilter")
        found = [shown.summary(stack) for stack in self._sorted() if not wanted or stack.status in wanted]
        return page("StackSummaries", found, request, default=100, token="NextToken")

    def _op_DescribeStackEvents(self, request: dict[str, Any]) -> dict[str, Any]:
        events = self._store.events(self._known(request.get("StackName", ""), "Stack [{}] does not exist"))
        dated = [{**event, "Timestamp": datetime.fromtimestamp(event["Timestamp"], UTC)} for event in events]
        return page("StackEvents", dated, request, default=100, token="NextToken")

    def _op_DescribeEvents(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request.get("StackName") or request.get("ChangeSetName", "")
        stack = self._store.find(name)
        if stack is None:  # a change set by its ARN
            stack = next((s for s in self._sorted() if name in s.change_sets), None)
        events = self._store.events(stack) if stack else []
        made = [
            {**event, "Timestamp": datetime.fromtimestamp(event["Timestamp"], UTC), "EventType": "STACK_EVENT"}
            for event in events
            if not request.get("Filters", {}).get("FailedEvents") or event["ResourceStatus"].endswith("FAILED")
        ]
        return page("OperationEvents", made, request, default=100, token="NextToken")

    def _op_DescribeStackResources(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._holder(request)
        wanted = request.get("LogicalResourceId")
        found = self._store.resources[stack.id].values()
        return {"StackResources": [shown.resource(stack, r) for r in found if wanted in (None, r.logical_id)]}

    def _holder(self, request: dict[str, Any]) -> Stack:
        """The stack that is named, or that holds a physical resource; AWS refuses both at once."""
        physical = request.get("PhysicalResourceId")
        if physical is None:
            return self._known(request.get("StackName", ""))
        if "StackName" in request:
            raise invalid("You cannot specify both StackName and PhysicalResourceId.")
        for stack in self._sorted():
            if stack.exists and any(one.physical_id == physical for one in self._store.resources[stack.id].values()):
                return stack
        raise invalid(f"Stack for {physical} does not exist")

    def _op_DescribeStackResource(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._known(request.get("StackName", ""), "Stack '{}' does not exist")
        resource = self._store.resources[stack.id].get(request["LogicalResourceId"])
        if resource is None:
            raise invalid(f"Resource {request['LogicalResourceId']} does not exist for stack {request['StackName']}")
        detail = shown.resource(stack, resource)
        detail["LastUpdatedTimestamp"] = detail.pop("Timestamp")
        return {"StackResourceDetail": {**detail, "Metadata": json.dumps(resource.metadata)}}

    def _op_ListStackResources(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._known(request.get("StackName", ""))
        found = [shown.resource(stack, resource) for resource in self._store.resources[stack.id].values()]
        for item in found:
            item["LastUpdatedTimestamp"] = item.pop("Timestamp")
        return page("StackResourceSummaries", found, request, default=100, token="NextToken")

    def _op_GetTemplate(self, request: dict[str, Any]) -> dict[str, Any]:
        if "ChangeSetName" in request:
            if "StackName" not in request and not request["ChangeSetName"].startswith("arn:"):
                raise invalid("StackName is a required parameter.")
            stack, change_set = self._find_change_set(request)
            text = change_set["Request"]["TemplateBody"]
        elif "StackName" not in request:
            raise invalid("StackName is required if ChangeSetName is not specified.")
        else:
            stack = self._known(request["StackName"])
            text = stack.template or "{}"
        return {"TemplateBody": text, "StagesAvailable": ["Original", "Processed"]}

    def _op_GetTemplateSummary(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._known(request.get("StackName", "")) if "StackName" in request else None
        if stack and stack.status == "REVIEW_IN_PROGRESS":
            raise invalid("GetTemplateSummary cannot be called on REVIEW_IN_PROGRESS stacks.")
        text = stack.template if stack else self._planner.template_text(request, None)
        return shown.template_summary(read_template(text))

    def _op_ValidateTemplate(self, request: dict[str, Any]) -> dict[str, Any]:
        summary = shown.template_summary(read_template(self._planner.template_text(request, None)))
        kept = ("Description", "Capabilities", "CapabilitiesReason")
        parameters = [
            {k: v for k, v in p.items() if k in ("ParameterKey", "DefaultValue", "NoEcho", "Description")}
            for p in summary["Parameters"]
        ]
        return {**{k: summary[k] for k in kept if k in summary}, "Parameters": parameters}

    def _op_ListExports(self, request: dict[str, Any]) -> dict[str, Any]:
        found = [
            {"ExportingStackId": owner.id, "Name": name, "Value": value}
            for name, (value, owner) in sorted(self._store.exports().items())
        ]
        return page("Exports", found, request, default=100, token="NextToken")

    def _op_ListImports(self, request: dict[str, Any]) -> dict[str, Any]:
        users = self._store.importers(request["ExportName"])
        if not users:
            raise invalid(f"Export '{request['ExportName']}' is not imported by any stack.")
        return {"Imports": users}

    def _op_GetStackPolicy(self, request: dict[str, Any]) -> dict[str, Any]:
        policy = self._known(request.get("StackName", "")).policy
        return {"StackPolicyBody": policy} if policy else {}

    def _sorted(self) -> list[Stack]:
        return sorted(self._store.stacks.values(), key=lambda stack: -stack.created)

    def _known(self, name: str, otherwise: str = "Stack with id {} does not exist") -> Stack:
        if not name:
            raise invalid("StackName must be given")
        stack = self._store.find(name)
        if stack is None:
            raise invalid(otherwise.format(name))
        return stack

    def _find_change_set(self, request: dict[str, Any]) -> tuple[Stack, dict[str, Any]]:
        name = request["ChangeSetName"]
        if "StackName" not in request and not name.startswith("arn:"):
            raise invalid("StackName must be specified if ChangeSetName is not specified as an ARN.")
        stacks = self._sorted()
        if "StackName" in request and not name.startswith("arn:"):
            stacks = [self._known(request["StackName"], "Stack [{}] does not exist")]
        for stack in stacks:
            for change_set in reversed(stack.change_sets.values()):
                if name in (change_set["ChangeSetName"], change_set["ChangeSetId"]):
                    return stack, change_set
        raise AwsError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)
