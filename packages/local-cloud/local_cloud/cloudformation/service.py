"""The CloudFormation API. Operations answer when they are done, or after a while, whichever comes first.

AWS answers at once and lets callers poll, every five seconds in the CDK's case: a local stack is done in less.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from local_cloud.access.authority import acting
from local_cloud.capabilities import Capabilities
from local_cloud.cloudformation.accepted import refuse_unheeded
from local_cloud.cloudformation.custom_resources import CustomResources
from local_cloud.cloudformation.engine import RESTORED, SESSION, Deployment
from local_cloud.cloudformation.plan import Plan
from local_cloud.cloudformation.planning import Planner
from local_cloud.cloudformation.reading import EXECUTED, StackReader
from local_cloud.cloudformation.resources import Aws
from local_cloud.cloudformation.resume import Resumption
from local_cloud.cloudformation.stack import Stack, StackStore
from local_cloud.cloudformation.template import invalid, read_template
from local_cloud.context import CloudContext
from local_cloud.errors import AwsError
from local_cloud.persistence.database import Database
from local_cloud.services import COVERAGE_PAGE

# A caller waits this long for a stack operation before it has to poll.
ANSWER_SECONDS = 25
STACK_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
INCOMPLETE = "[WARN] --include-property-values option can return incomplete ChangeSet data because:"
NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
UPDATABLE = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "CREATE_FAILED",
    "UPDATE_FAILED",
)


def _outputs_of(plan: Plan) -> dict[str, str]:
    """The outputs that the template gives now, where no resource changes."""
    made = {}
    for name, output in plan.template.get("Outputs", {}).items():
        if plan.evaluator.condition(output.get("Condition")):
            try:
                made[name] = str(plan.evaluator.value(output["Value"]))
            except AwsError:
                made[name] = ""
    return made


class CloudFormationService(StackReader):
    """All stacks of this cloud."""

    def __init__(
        self, context: CloudContext, clients: Callable[[str], Any], database: Database, capabilities: Capabilities
    ):
        self._custom = CustomResources(capabilities, clients, context.clock)
        self._context = context
        self._store = StackStore(database, context.clock)
        self._planner = Planner(context, self._store, clients)
        self._aws = Aws(clients, context.account_id, context.region, self._custom.ask)
        self._lock = threading.RLock()

    def start(self) -> None:
        """Read what earlier processes wrote."""
        self._store.load()

    def carry_on(self) -> None:
        """Bring updates that a kill cut off to an end, beside everything else; callers wait, as for any update."""
        cut_off = [stack for stack in self._store.stacks.values() if stack.can_be_carried_on]
        if cut_off:
            work = Resumption(self._store, self._planner, self._aws)
            threading.Thread(target=work.all_of, args=(cut_off,), name="cut-off updates", daemon=True).start()

    def stop(self) -> None:
        """No provider is waited for; every step is on disk already."""
        self._custom.stop()

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """One API operation; request and response in the API's shape."""
        handler = getattr(self, f"_op_{operation}", None)
        if handler is None:
            raise AwsError(
                "NotImplemented",
                f"The local cloud does not support cloudformation:{operation}. See {COVERAGE_PAGE}.",
                501,
            )
        refuse_unheeded(request)
        self._planner.check_role(request.get("RoleARN"))
        return handler(request) or {}

    @classmethod
    def operations(cls) -> list[str]:
        """The operations that are supported."""
        return sorted(name.removeprefix("_op_") for name in dir(cls) if name.startswith("_op_"))

    def _op_CreateStack(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            known = self._store.find(request["StackName"])
            if known and self._repeated(known, request):
                return {"StackId": known.id}
            if known:
                raise AwsError("AlreadyExistsException", f"Stack [{request['StackName']}] already exists")
            stack = self._new(request, "CREATE_IN_PROGRESS")
            if "DisableRollback" in request and "OnFailure" in request:
                raise invalid("You can specify either DisableRollback or OnFailure, but not both.")
            stack.policy = self._planner.stack_policy(request) or ""
            minutes = request.get("TimeoutInMinutes")
            work = self._prepared(stack, request, "CREATE", seconds=60 * minutes if minutes else None)
            stack.disable_rollback = bool(request.get("DisableRollback")) or request.get("OnFailure") == "DO_NOTHING"
            stack.delete_on_failure = request.get("OnFailure") == "DELETE"
            stack.protected = bool(request.get("EnableTerminationProtection"))
            self._store.add(stack)
            self._store.set_status(stack, "CREATE_IN_PROGRESS", "User Initiated")
        self._run(stack, work)
        return {"StackId": stack.id}

    def _op_UpdateStack(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            known = self._store.find(request["StackName"])
            if known and self._repeated(known, request):
                return {"StackId": known.id}
            stack = self._idle(request["StackName"], UPDATABLE)
            draft = self._draft(stack, request)
            plan, _chosen, seen = self._planner.plan(draft, draft.template, request)
            policy = self._planner.stack_policy(request)
            during = self._planner.stack_policy(request, "StackPolicyDuringUpdate")
            if not self._differs(stack, draft, plan, self._planner.compared(stack, plan, seen).changes()[0]):
                raise invalid("No updates are to be performed.")
            work = self._prepared(stack, request, "UPDATE", stack.policy if during is None else during)
            stack.policy = stack.policy if policy is None else policy
            stack.change_set = ""
            stack.disable_rollback = bool(request.get("DisableRollback"))
            self._store.set_status(stack, "UPDATE_IN_PROGRESS", "User Initiated")
        self._run(stack, work)
        return {"StackId": stack.id}

    def _op_DeleteStack(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            stack = self._store.find(request["StackName"])
            if stack is None or not stack.exists or self._repeated(stack, request):
                return {}
            retain = request.get("RetainResources") or []
            if retain and stack.status != "DELETE_FAILED":
                raise invalid(
                    f"Invalid operation on stack [{stack.name}]. When you delete a stack, specify which resources to retain "
                    "only when the stack is in the DELETE_FAILED state."
                )
            if unknown := sorted(set(retain) - set(self._store.resources[stack.id])):
                raise invalid(f"Stack [{stack.name}] has no resources {unknown} to retain")
            if stack.protected:
                raise invalid(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
            if stack.busy:
                raise invalid(f"Stack [{stack.name}] is in {stack.status} state and can not be deleted.")
            for output in stack.outputs:
                users = self._store.importers(output.get("ExportName", ""))
                if users:
                    name = output["ExportName"]
                    raise invalid(f"Export {name} cannot be deleted as it is in use by {', '.join(users)}")
            stack.token = request.get("ClientRequestToken", "")
            stack.role = request.get("RoleARN", stack.role)
            stack.change_set = ""
            self._store.set_status(stack, "DELETE_IN_PROGRESS", "User Initiated")
        self._run(stack, lambda: Deployment(self._store, stack, self._aws).delete(retain))
        return {}

    def _op_CreateChangeSet(self, request: dict[str, Any]) -> dict[str, Any]:
        kind = request.get("ChangeSetType", "UPDATE")
        if kind == "IMPORT":
            raise invalid(f"The local cloud does not support importing resources. See {COVERAGE_PAGE}.")
        with self._lock:
            stack = self._store.find(request["StackName"])
            new = kind == "CREATE" and (stack is None or not stack.exists) and ":" not in request["StackName"]
            if new:
                stack = self._new(request, "REVIEW_IN_PROGRESS")
            if stack is None:
                raise invalid(f"Stack [{request['StackName']}] does not exist")
            if kind == "CREATE" and stack.status != "REVIEW_IN_PROGRESS":
                raise invalid(
                    f"Stack [{request['StackName']}] already exists and cannot be created again with the changeSet "
                    f"[{request['ChangeSetName']}]."
                )
            if stack.status not in (*UPDATABLE, "REVIEW_IN_PROGRESS"):
                raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
            for known in stack.change_sets.values():
                token = request.get("ClientToken")
                if token and (known["ChangeSetName"], known["Request"].get("ClientToken")) == (
                    request["ChangeSetName"],
                    token,
                ):
                    return {"Id": known["ChangeSetId"], "StackId": stack.id}
            waiting = [known for known in stack.change_sets.values() if known["ExecutionStatus"] != EXECUTED]
            if any(known["ChangeSetName"] == request["ChangeSetName"] for known in waiting):
                raise AwsError("AlreadyExistsException", f"ChangeSet {request['ChangeSetName']} already exists")
            change_set = self._change_set(stack, request)
            stack.change_sets[change_set["ChangeSetId"]] = change_set
            if new:
                self._store.add(stack)
                self._store.set_status(stack, "REVIEW_IN_PROGRESS", "User Initiated")
            self._store.save(stack)
        return {"Id": change_set["ChangeSetId"], "StackId": stack.id}

    def _op_DeleteChangeSet(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            stack, change_set = self._find_change_set(request)
        except AwsError as error:
            if error.code == "ChangeSetNotFound":
                return {}
            raise
        stack.change_sets.pop(change_set["ChangeSetId"], None)
        self._store.save(stack)
        return {}

    def _op_ExecuteChangeSet(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            if (known := self._store.find(request.get("StackName", ""))) and self._repeated(known, request):
                return {}
            stack, change_set = self._find_change_set(request)
            if change_set["ExecutionStatus"] != "AVAILABLE":
                raise AwsError(
                    "InvalidChangeSetStatus",
                    f"ChangeSet [{change_set['ChangeSetId']}] cannot be executed in its current status of "
                    f"[{change_set['ExecutionStatus'] if change_set['ExecutionStatus'] == EXECUTED else change_set['Status']}]",
                )
            if stack.busy:
                raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
            verb = "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE"
            asked = {**change_set["Request"], "ClientRequestToken": request.get("ClientRequestToken", "")}
            asked["RetainExceptOnCreate"] = request.get("RetainExceptOnCreate")
            work = self._prepared(stack, asked, verb, stack.policy if verb == "UPDATE" else "")
            # AWS deletes the others, and still describes this one.
            stack.change_sets = {change_set["ChangeSetId"]: {**change_set, "ExecutionStatus": EXECUTED}}
            stack.change_set, stack.updated = change_set["ChangeSetId"], self._context.clock.now()
            on_failure = asked.get("OnStackFailure")
            stack.disable_rollback = bool(request.get("DisableRollback")) or on_failure == "DO_NOTHING"
            stack.delete_on_failure = verb == "CREATE" and on_failure == "DELETE"
            self._store.set_status(stack, f"{verb}_IN_PROGRESS", "User Initiated")
        self._run(stack, work)
        return {}

    def _op_UpdateTerminationProtection(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._known(request.get("StackName", ""))
        stack.protected = bool(request["EnableTerminationProtection"])
        self._store.save(stack)
        return {"StackId": stack.id}

    def _op_ContinueUpdateRollback(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            stack = self._idle(request["StackName"], ("UPDATE_ROLLBACK_FAILED",))
            work = Resumption(self._store, self._planner, self._aws).continued_rollback(stack)
        self._run(stack, work)
        return {}

    def _op_SetStackPolicy(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._known(request.get("StackName", ""))
        policy = self._planner.stack_policy(request)
        if policy is None:
            raise invalid("You must specify either StackPolicyURL or StackPolicyBody")
        stack.policy = policy
        self._store.save(stack)
        return {}

    def _new(self, request: dict[str, Any], status: str) -> Stack:
        name = request["StackName"]
        if not STACK_NAME.fullmatch(name):
            raise invalid(
                f"1 validation error detected: Value '{name[:200]}' at 'stackName' failed to satisfy constraint: Member must "
                f"satisfy regular expression pattern: {STACK_NAME.pattern}"
            )
        arn = f"arn:aws:cloudformation:{self._context.region}:{self._context.account_id}:stack/{name}/{uuid.uuid4()}"
        stack = Stack(arn, name, status, self._context.clock.now())
        self._store.resources[arn] = {}
        return stack

    def _draft(self, stack: Stack, request: dict[str, Any]) -> Stack:
        """The stack as the request wants it, not yet kept."""
        draft = replace(stack)
        draft.template = self._planner.template_text(request, stack)
        if "Tags" in request:
            draft.tags = request["Tags"]
        return draft

    def _prepared(
        self, stack: Stack, request: dict[str, Any], verb: str, policy: str = "", seconds: float | None = None
    ) -> Callable[[], None]:
        """The work of a deployment; raises what can be known to be wrong before it begins."""
        text = self._planner.template_text(request, stack)
        capabilities = request.get("Capabilities") or []
        plan, chosen, seen = self._planner.plan(stack, text, request)
        self._planner.compared(
            stack, plan, seen
        ).changes()  # what cannot be evaluated is refused before anything is made
        before = replace(stack)
        stack.unsettled = True
        stack.before = {name: getattr(stack, name) for name in RESTORED} if verb == "UPDATE" else {}
        stack.replaced = []
        stack.template, stack.parameters, stack.resolved = text, chosen, seen
        stack.description = plan.template.get("Description", "")
        stack.capabilities = capabilities
        stack.tags = request.get("Tags", stack.tags)
        stack.role = request.get("RoleARN", stack.role)
        stack.retain_except_on_create = bool(request.get("RetainExceptOnCreate"))
        stack.delete_on_failure = False
        stack.token = request.get("ClientRequestToken", "")
        return lambda: Deployment(self._store, stack, self._aws, before, policy, seconds).deploy(plan, verb)

    @staticmethod
    def _repeated(stack: Stack, request: dict[str, Any]) -> bool:
        """Whether this is the same request once more: AWS does it once and answers both."""
        return bool(stack.token) and stack.exists and stack.token == request.get("ClientRequestToken")

    def _change_set(self, stack: Stack, request: dict[str, Any]) -> dict[str, Any]:
        draft = self._draft(stack, request)
        kept = {k: v for k, v in request.items() if k not in ("TemplateURL", "UsePreviousTemplate")}
        made = {
            "ChangeSetId": (
                f"arn:aws:cloudformation:{self._context.region}:{self._context.account_id}:changeSet/"
                f"{request['ChangeSetName']}/{uuid.uuid4()}"
            ),
            "ChangeSetName": request["ChangeSetName"],
            "CreationTime": self._context.clock.now(),
            "Request": {**kept, "TemplateBody": draft.template},
            "Status": "CREATE_COMPLETE",
            "ExecutionStatus": "AVAILABLE",
            "Changes": [],
        }
        plan, chosen, seen = self._planner.plan(draft, draft.template, request)
        made["Parameters"], made["Resolved"] = chosen, seen
        compared = self._planner.compared(stack, plan, seen)
        plain, valued = compared.changes()
        if compared.warnings:
            made["Warning"] = f"{INCOMPLETE} {'; '.join(compared.warnings)}"
        if stack.status != "REVIEW_IN_PROGRESS" and not self._differs(stack, draft, plan, plain):
            return {**made, "Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": NO_CHANGES}
        return {**made, "Changes": plain, "ValuedChanges": valued}

    @staticmethod
    def _differs(stack: Stack, draft: Stack, plan: Plan, found: list[dict[str, Any]]) -> bool:
        """Whether an update would do anything; a description, a mapping or a parameter alone is nothing to do."""
        before = read_template(stack.template).get("Outputs", {}) if stack.template else {}
        outputs = before != plan.template.get("Outputs", {}) or _outputs_of(plan) != {
            output["OutputKey"]: output["OutputValue"] for output in stack.outputs
        }
        return stack.unsettled or bool(found) or outputs or stack.tags != draft.tags

    def _run(self, stack: Stack, work: Callable[[], None]) -> None:
        """What CloudFormation does for a stack it does as the stack's role, if it has one."""

        def in_its_name() -> None:
            with acting(stack.role, SESSION):
                work()

        thread = threading.Thread(target=in_its_name, name="stack", daemon=True)
        thread.start()
        thread.join(ANSWER_SECONDS)

    def _idle(self, name: str, allowed: tuple[str, ...]) -> Stack:
        stack = self._store.find(name)
        if stack is None or not stack.exists:
            raise invalid(f"Stack [{name}] does not exist")
        if stack.status not in allowed:
            raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        return stack
