"""Brings a stack to what its template says, or back to what it was.

Resources are made in the order of their dependencies, those that take seconds beside the others. A failure undoes what
this operation did, in reverse. Old resources are deleted only after everything new exists.
"""

from __future__ import annotations

import concurrent.futures
import logging
from graphlib import TopologicalSorter

from local_cloud.access.authority import become, current
from local_cloud.cloudformation import evaluate
from local_cloud.cloudformation.plan import Plan
from local_cloud.cloudformation.resources import Aws
from local_cloud.cloudformation.stack import Resource, Stack, StackStore
from local_cloud.cloudformation.stack_policy import StackPolicy
from local_cloud.cloudformation.steps import ResourceFailure, ResourceSteps, kind_of, reason_of
from local_cloud.errors import AwsError

logger = logging.getLogger("local_cloud.cloudformation")

# How CloudFormation calls its sessions of a stack's role.
SESSION = "AWSCloudFormation"
PARALLEL = 8
# What a stack whose update failed has from before.
RESTORED = ("template", "parameters", "resolved", "description", "capabilities", "tags", "role", "policy")


class Deployment:
    """One create, update, delete or rollback of one stack."""

    def __init__(
        self,
        store: StackStore,
        stack: Stack,
        aws: Aws,
        before: Stack | None = None,
        policy: str = "",
        seconds: float | None = None,
    ):
        """`before` is the stack as it was when its last operation had ended: what a failed update goes back to.

        `policy` guards this operation; it fails after so many `seconds` (TimeoutInMinutes).
        """
        self._store = store
        self._stack = stack
        self._before = before
        self._steps = ResourceSteps(store, stack, aws, StackPolicy(policy))
        self._deadline = None if seconds is None else self._store.clock.ticks() + seconds

    @property
    def resources(self) -> dict[str, Resource]:
        """The resources that the stack holds now."""
        return self._store.resources[self._stack.id]

    def deploy(self, plan: Plan, verb: str) -> None:
        """Create (`verb` CREATE) or update (UPDATE) the stack; ends in a final status."""
        try:
            for name in set(self.resources) - set(plan.active):
                self._steps.guard("Update:Delete", self.resources[name])
            self._walk(plan)
            outputs = self._outputs(plan)
        except Exception as failure:
            if not isinstance(failure, ResourceFailure | AwsError):
                logger.exception("The deployment of %s met a fault of the local cloud", self._stack.name)
            reason = self._failure_reason(failure)
            if self._stack.disable_rollback:
                self._store.set_status(self._stack, f"{verb}_FAILED", reason)
            elif verb == "CREATE":
                self._roll_back_creation(reason)
            else:
                self._roll_back_update(reason)
            return
        removed = [self.resources[name] for name in list(self.resources) if name not in plan.active]
        self._stack.outputs, self._stack.imports = outputs, sorted(plan.imports)
        if verb == "UPDATE":
            self._stack.updated = self._store.clock.now()
            self._store.set_status(self._stack, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        self._clean_up(removed)
        self._stack.settle()
        self._store.set_status(self._stack, f"{verb}_COMPLETE")

    def finish(self, plan: Plan) -> None:
        """The rest of an update that was cut off while old resources were deleted."""
        self._steps.obsolete = [Resource(**pair["old"]) for pair in self._stack.replaced]
        self._clean_up([self.resources[name] for name in list(self.resources) if name not in plan.active])
        self._stack.settle()
        self._store.set_status(self._stack, "UPDATE_COMPLETE")

    def take_back(self, plan: Plan) -> None:
        """Undo an update that was cut off: `plan` is that of the template before it, which the stack has again."""
        try:
            for pair in reversed(self._stack.replaced):
                self._steps.restore(Resource(**pair["old"]), Resource(**pair["new"]))
            self._stack.replaced = []
            self._walk(plan)
        except Exception as failure:
            if not isinstance(failure, ResourceFailure | AwsError):
                logger.exception("Taking back the update of %s met a fault of the local cloud", self._stack.name)
            self._store.set_status(self._stack, "UPDATE_ROLLBACK_FAILED", self._failure_reason(failure))
            return
        self._clean_up([self.resources[name] for name in list(self.resources) if name not in plan.active])
        self._stack.settle()
        self._store.set_status(self._stack, "UPDATE_ROLLBACK_COMPLETE")

    def delete(self, retain: list[str]) -> None:
        """Delete the stack with everything in it that is not to be retained."""
        failed = self._delete_all(retain)
        if failed:
            names = ", ".join(failed)
            self._store.set_status(
                self._stack, "DELETE_FAILED", f"The following resource(s) failed to delete: [{names}]. "
            )
            return
        self._stack.deleted = self._store.clock.now()
        self._stack.outputs, self._stack.imports = [], []
        self._store.set_status(self._stack, "DELETE_COMPLETE")

    def _walk(self, plan: Plan) -> None:
        order = evaluate.creation_order(plan.active)
        waiting = TopologicalSorter({name: evaluate.dependencies(name, plan.active) for name in order})
        waiting.prepare()
        running: dict[concurrent.futures.Future[None], str] = {}
        with concurrent.futures.ThreadPoolExecutor(PARALLEL, initializer=become, initargs=(current(),)) as pool:
            while waiting.is_active():
                ready = sorted(waiting.get_ready(), key=order.index)
                for name in ready:
                    self._check_time()
                    if kind_of(plan.active[name]["Type"]).slow:
                        running[pool.submit(self._steps.bring, name, plan)] = name
                    else:
                        self._steps.bring(name, plan)
                        waiting.done(name)
                if running and not ready:
                    finished, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                    for future in finished:
                        future.result()
                        waiting.done(running.pop(future))

    def _check_time(self) -> None:
        if self._deadline is not None and self._store.clock.ticks() > self._deadline:
            raise AwsError(
                "ValidationError", "Stack creation time exceeded the specified timeout. Rollback requested by user."
            )

    def _clean_up(self, removed: list[Resource]) -> None:
        for resource in reversed(self._steps.obsolete):
            if resource.replace_policy == "Retain":
                self._steps.told(resource, "DELETE_SKIPPED")
            else:
                self._steps.remove(resource)
        for resource in _deletion_order(removed):
            if resource.unfinished or resource.deletion_policy == "Delete":
                self._steps.remove(resource)
            else:
                self._steps.told(resource, "DELETE_SKIPPED")
            self._store.drop(self._stack, resource.logical_id)

    def _delete_all(self, retain: list[str]) -> list[str]:
        failed: list[str] = []
        for resource in _deletion_order(list(self.resources.values())):
            needed_by = [name for name in failed if resource.logical_id in self.resources[name].depends_on]
            if not resource.unfinished and (resource.deletion_policy != "Delete" or resource.logical_id in retain):
                self._steps.told(resource, "DELETE_SKIPPED")
            elif needed_by or not self._steps.remove(resource):
                failed.append(resource.logical_id)
                continue
            self._store.drop(self._stack, resource.logical_id)
        return failed

    def _roll_back_creation(self, reason: str) -> None:
        self._store.set_status(self._stack, "ROLLBACK_IN_PROGRESS", reason)
        self._steps.undo_all()
        self._stack.deleted, self._stack.change_set = self._store.clock.now(), ""  # AWS tells when the rollback was
        self._store.set_status(self._stack, "ROLLBACK_FAILED" if self.resources else "ROLLBACK_COMPLETE")
        if self._stack.delete_on_failure and not self.resources:
            self.delete([])

    def _roll_back_update(self, reason: str) -> None:
        self._store.set_status(self._stack, "UPDATE_ROLLBACK_IN_PROGRESS", reason)
        clean = self._steps.undo_all()
        for name in RESTORED:
            setattr(self._stack, name, getattr(self._before, name))
        self._stack.settle()
        self._stack.unsettled = not clean
        self._store.set_status(self._stack, "UPDATE_ROLLBACK_COMPLETE" if clean else "UPDATE_ROLLBACK_FAILED")

    def _outputs(self, plan: Plan) -> list[dict[str, str]]:
        made = []
        for name, output in plan.template.get("Outputs", {}).items():
            if not plan.evaluator.condition(output.get("Condition")):
                continue
            entry = {"OutputKey": name, "OutputValue": str(plan.evaluator.value(output["Value"]))}
            if "Description" in output:
                entry["Description"] = output["Description"]
            if "Export" in output:
                entry["ExportName"] = plan.evaluator.value(output["Export"]["Name"])
                self._check_export(entry["ExportName"])
            made.append(entry)
        kept = {entry.get("ExportName") for entry in made}
        for output in self._stack.outputs:
            export = output.get("ExportName")
            if export and export not in kept and self._store.importers(export):
                users = ", ".join(self._store.importers(export))
                raise AwsError("ValidationError", f"Export {export} cannot be deleted as it is in use by {users}")
        return made

    def _check_export(self, name: str) -> None:
        _value, owner = self._store.exports().get(name, ("", self._stack))
        if owner.id != self._stack.id:
            raise AwsError("ValidationError", f"Export with name {name} is already exported by stack {owner.name}.")

    @staticmethod
    def _failure_reason(failure: Exception) -> str:
        if isinstance(failure, ResourceFailure):
            return f"The following resource(s) failed: [{failure.logical_id}]: {failure.reason}"
        return reason_of(failure)


def _deletion_order(resources: list[Resource]) -> list[Resource]:
    """Users before what they use."""
    named = {resource.logical_id: resource for resource in resources}
    users: dict[str, set[str]] = {name: set() for name in named}
    for resource in resources:
        for need in resource.depends_on:
            if need in users:
                users[need].add(resource.logical_id)
    ordered = evaluate.in_order(users)
    # Updates may leave two that name each other: they go last, in any order.
    return [named[name] for name in (*ordered, *(name for name in named if name not in ordered))]
