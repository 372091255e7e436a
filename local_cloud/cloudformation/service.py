"""The CloudFormation API. Operations answer when they are done, or after a while, whichever comes first.

AWS answers at once and lets callers poll, every five seconds in the CDK's case: a local stack is done in less.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from local_cloud.cloudformation import query, shown
from local_cloud.cloudformation.changes import changes
from local_cloud.cloudformation.engine import Deployment
from local_cloud.cloudformation.planning import Planner
from local_cloud.cloudformation.resources import Aws
from local_cloud.cloudformation.stack import Stack, StackStore
from local_cloud.cloudformation.template import invalid, read_template
from local_cloud.context import CloudContext
from local_cloud.errors import AwsError
from local_cloud.listing import page
from local_cloud.persistence.database import Database
from local_cloud.services import COVERAGE_PAGE
from local_cloud.wire import Answer, Request

# A caller waits this long for a stack operation before it has to poll.
ANSWER_SECONDS = 25
NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
UPDATABLE = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "CREATE_FAILED",
    "UPDATE_FAILED",
)


class CloudFormationService:
    """All stacks of this cloud."""

    def __init__(self, context: CloudContext, clients: Callable[[str], Any], database: Database):
        self._context = context
        self._store = StackStore(database)
        self._planner = Planner(context, self._store, clients)
        self._aws = Aws(clients, context.account_id, context.region)
        self._lock = threading.RLock()

    def start(self) -> None:
        """Read what earlier processes wrote."""
        self._store.load()

    def stop(self) -> None:
        """Nothing: every step is on disk already."""

    def answer(self, request: Request, operation: str) -> Answer:
        """One API call, from form parameters to XML."""
        handler = getattr(self, f"_op_{operation}", None)
        if handler is None:
            raise AwsError(
                "NotImplemented",
                f"The local cloud does not support cloudformation:{operation}. See {COVERAGE_PAGE}.",
                501,
            )
        return query.answered(operation, handler(query.parsed(request, operation)) or {})

    @classmethod
    def operations(cls) -> list[str]:
        """The operations that are supported."""
        return sorted(name.removeprefix("_op_") for name in vars(cls) if name.startswith("_op_"))

    def _op_CreateStack(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            if self._store.find(request["StackName"]):
                raise AwsError("AlreadyExistsException", f"Stack [{request['StackName']}] already exists")
            stack = self._new(request, "CREATE_IN_PROGRESS")
            work = self._prepared(stack, request, "CREATE")
            stack.disable_rollback = bool(request.get("DisableRollback")) or request.get("OnFailure") == "DO_NOTHING"
            stack.protected = bool(request.get("EnableTerminationProtection"))
            self._store.add(stack)
            self._store.set_status(stack, "CREATE_IN_PROGRESS", "User Initiated")
        self._run(work)
        return {"StackId": stack.id}

    def _op_UpdateStack(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            stack = self._idle(request["StackName"], UPDATABLE)
            draft = self._draft(stack, request)
            given, capabilities = request.get("Parameters", []), request.get("Capabilities") or []
            _plan, _chosen, seen = self._planner.plan(draft, draft.template, given, capabilities)
            if not self._differs(stack, draft, seen):
                raise invalid("No updates are to be performed.")
            work = self._prepared(stack, request, "UPDATE")
            stack.disable_rollback = bool(request.get("DisableRollback"))
            self._store.set_status(stack, "UPDATE_IN_PROGRESS", "User Initiated")
        self._run(work)
        return {"StackId": stack.id}

    def _op_DeleteStack(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            stack = self._store.find(request["StackName"])
            if stack is None or not stack.exists:
                return {}
            if stack.protected:
                raise invalid(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
            if stack.busy:
                raise invalid(f"Stack [{stack.name}] is in {stack.status} state and can not be deleted.")
            for output in stack.outputs:
                users = self._store.importers(output.get("ExportName", ""))
                if users:
                    name = output["ExportName"]
                    raise invalid(f"Export {name} cannot be deleted as it is in use by {', '.join(users)}")
        retain = request.get("RetainResources", [])
        self._run(lambda: Deployment(self._store, stack, self._aws).delete(retain))
        return {}

    def _op_CreateChangeSet(self, request: dict[str, Any]) -> dict[str, Any]:
        kind = request.get("ChangeSetType", "UPDATE")
        if kind == "IMPORT" or request.get("ResourcesToImport"):
            raise invalid(f"The local cloud does not support importing resources. See {COVERAGE_PAGE}.")
        with self._lock:
            stack = self._store.find(request["StackName"])
            if kind == "CREATE" and stack is None:
                stack = self._new(request, "REVIEW_IN_PROGRESS")
                self._planner.template_text(request, None)
                self._store.add(stack)
                self._store.set_status(stack, "REVIEW_IN_PROGRESS", "User Initiated")
            if stack is None:
                raise invalid(f"Stack [{request['StackName']}] does not exist")
            if stack.busy:
                raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
            if any(known["ChangeSetName"] == request["ChangeSetName"] for known in stack.change_sets.values()):
                raise AwsError("AlreadyExistsException", f"ChangeSet {request['ChangeSetName']} already exists")
            change_set = self._change_set(stack, request)
            stack.change_sets[change_set["ChangeSetId"]] = change_set
            self._store.save(stack)
        return {"Id": change_set["ChangeSetId"], "StackId": stack.id}

    def _op_DescribeChangeSet(self, request: dict[str, Any]) -> dict[str, Any]:
        stack, change_set = self._find_change_set(request)
        return shown.change_set(stack, change_set)

    def _op_ListChangeSets(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._known(request["StackName"])
        return {"Summaries": [shown.change_set(stack, item, summary=True) for item in stack.change_sets.values()]}

    def _op_DeleteChangeSet(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            stack, change_set = self._find_change_set(request)
        except AwsError:
            return {}
        stack.change_sets.pop(change_set["ChangeSetId"], None)
        self._store.save(stack)
        return {}

    def _op_ExecuteChangeSet(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            stack, change_set = self._find_change_set(request)
            if change_set["ExecutionStatus"] != "AVAILABLE":
                raise AwsError(
                    "InvalidChangeSetStatus",
                    f"ChangeSet [{change_set['ChangeSetId']}] cannot be executed in its current status of [{change_set['Status']}]",
                )
            if stack.busy:
                raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
            verb = "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE"
            work = self._prepared(stack, change_set["Request"], verb)
            stack.change_sets.clear()
            stack.disable_rollback = bool(request.get("DisableRollback"))
            self._store.set_status(stack, f"{verb}_IN_PROGRESS", "User Initiated")
        self._run(work)
        return {}

    def _op_DescribeStacks(self, request: dict[str, Any]) -> dict[str, Any]:
        if "StackName" in request:
            return {"Stacks": [shown.stack(self._known(request["StackName"]))]}
        return {"Stacks": [shown.stack(stack) for stack in self._sorted() if stack.exists]}

    def _op_ListStacks(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = request.get("StackStatusFilter")
        found = [shown.summary(stack) for stack in self._sorted() if not wanted or stack.status in wanted]
        return page("StackSummaries", found, request, default=100, token="NextToken")

    def _op_DescribeStackEvents(self, request: dict[str, Any]) -> dict[str, Any]:
        events = self._store.events(self._known(request["StackName"]))
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
        stack = self._known(request.get("StackName", ""))
        wanted = request.get("LogicalResourceId")
        found = self._store.resources[stack.id].values()
        return {"StackResources": [shown.resource(stack, r) for r in found if wanted in (None, r.logical_id)]}

    def _op_DescribeStackResource(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._known(request["StackName"])
        resource = self._store.resources[stack.id].get(request["LogicalResourceId"])
        if resource is None:
            raise invalid(f"Resource {request['LogicalResourceId']} does not exist for stack {stack.name}")
        detail = shown.resource(stack, resource)
        detail["LastUpdatedTimestamp"] = detail.pop("Timestamp")
        return {"StackResourceDetail": {**detail, "Metadata": json.dumps(resource.metadata)}}

    def _op_ListStackResources(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._known(request["StackName"])
        found = [shown.resource(stack, resource) for resource in self._store.resources[stack.id].values()]
        for item in found:
            item["LastUpdatedTimestamp"] = item.pop("Timestamp")
        return page("StackResourceSummaries", found, request, default=100, token="NextToken")

    def _op_GetTemplate(self, request: dict[str, Any]) -> dict[str, Any]:
        if "ChangeSetName" in request:
            stack, change_set = self._find_change_set(request)
            text = change_set["Request"]["TemplateBody"]
        else:
            stack = self._known(request["StackName"])
            text = stack.template or "{}"
        return {"TemplateBody": text, "StagesAvailable": ["Original", "Processed"]}

    def _op_GetTemplateSummary(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._known(request["StackName"]) if "StackName" in request else None
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

    def _op_UpdateTerminationProtection(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._known(request["StackName"])
        stack.protected = bool(request["EnableTerminationProtection"])
        self._store.save(stack)
        return {"StackId": stack.id}

    def _op_ContinueUpdateRollback(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            stack = self._idle(request["StackName"], ("UPDATE_ROLLBACK_FAILED",))
            # What was done is in the record; the next update brings every resource to its template.
            self._store.set_status(stack, "UPDATE_ROLLBACK_COMPLETE")
        return {}

    def _op_SetStackPolicy(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._known(request["StackName"])
        stack.policy = request.get("StackPolicyBody", "")
        self._store.save(stack)
        return {}

    def _op_GetStackPolicy(self, request: dict[str, Any]) -> dict[str, Any]:
        policy = self._known(request["StackName"]).policy
        return {"StackPolicyBody": policy} if policy else {}

    def _new(self, request: dict[str, Any], status: str) -> Stack:
        name = request["StackName"]
        arn = f"arn:aws:cloudformation:{self._context.region}:{self._context.account_id}:stack/{name}/{uuid.uuid4()}"
        stack = Stack(arn, name, status, time.time())
        self._store.resources[arn] = {}
        return stack

    def _draft(self, stack: Stack, request: dict[str, Any]) -> Stack:
        """The stack as the request wants it, not yet kept."""
        draft = replace(stack)
        draft.template = self._planner.template_text(request, stack)
        if "Tags" in request:
            draft.tags = request["Tags"]
        return draft

    def _prepared(self, stack: Stack, request: dict[str, Any], verb: str) -> Callable[[], None]:
        """The work of a deployment; raises what can be known to be wrong before it begins."""
        text = self._planner.template_text(request, stack)
        capabilities = request.get("Capabilities") or []
        plan, chosen, seen = self._planner.plan(stack, text, request.get("Parameters", []), capabilities)
        before = replace(stack)
        stack.template, stack.parameters, stack.resolved = text, chosen, seen
        stack.description = plan.template.get("Description", "")
        stack.capabilities = capabilities
        stack.tags = request.get("Tags", stack.tags)
        stack.role = request.get("RoleARN", stack.role)
        stack.notifications = request.get("NotificationARNs", stack.notifications)
        return lambda: Deployment(self._store, stack, self._aws, before).deploy(plan, verb)

    def _change_set(self, stack: Stack, request: dict[str, Any]) -> dict[str, Any]:
        draft = self._draft(stack, request)
        kept = {k: v for k, v in request.items() if k not in ("TemplateURL", "UsePreviousTemplate")}
        made = {
            "ChangeSetId": (
                f"arn:aws:cloudformation:{self._context.region}:{self._context.account_id}:changeSet/"
                f"{request['ChangeSetName']}/{uuid.uuid4()}"
            ),
            "ChangeSetName": request["ChangeSetName"],
            "CreationTime": time.time(),
            "Request": {**kept, "TemplateBody": draft.template},
            "Status": "CREATE_COMPLETE",
            "ExecutionStatus": "AVAILABLE",
            "Changes": [],
        }
        try:
            capabilities = request.get("Capabilities") or []
            plan, chosen, seen = self._planner.plan(draft, draft.template, request.get("Parameters", []), capabilities)
        except AwsError as error:
            return {**made, "Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": error.message}
        if stack.status != "REVIEW_IN_PROGRESS" and not self._differs(stack, draft, seen):
            return {**made, "Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": NO_CHANGES}
        made["Parameters"] = chosen
        made["Changes"] = changes(plan, self._store.resources[stack.id])
        return made

    @staticmethod
    def _differs(stack: Stack, draft: Stack, seen: dict[str, Any]) -> bool:
        same_template = read_template(stack.template) == read_template(draft.template) if stack.template else False
        return not (same_template and stack.resolved == seen and stack.tags == draft.tags)

    def _run(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="stack", daemon=True)
        thread.start()
        thread.join(ANSWER_SECONDS)

    def _sorted(self) -> list[Stack]:
        return sorted(self._store.stacks.values(), key=lambda stack: -stack.created)

    def _known(self, name: str) -> Stack:
        stack = self._store.find(name)
        if stack is None:
            raise invalid(f"Stack with id {name} does not exist")
        return stack

    def _idle(self, name: str, allowed: tuple[str, ...]) -> Stack:
        stack = self._store.find(name)
        if stack is None or not stack.exists:
            raise invalid(f"Stack [{name}] does not exist")
        if stack.status not in allowed:
            raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        return stack

    def _find_change_set(self, request: dict[str, Any]) -> tuple[Stack, dict[str, Any]]:
        name = request["ChangeSetName"]
        stacks = [self._known(request["StackName"])] if "StackName" in request else self._sorted()
        for stack in stacks:
            for change_set in stack.change_sets.values():
                if name in (change_set["ChangeSetName"], change_set["ChangeSetId"]):
                    return stack, change_set
        raise AwsError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)
