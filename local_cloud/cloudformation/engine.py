"""Brings a stack to what its template says, or back to what it was.

Resources are made in the order of their dependencies, those that take seconds beside the others. A failure undoes what
this operation did, in reverse. Old resources are deleted only after everything new exists.
"""

from __future__ import annotations

import concurrent.futures
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError

from local_cloud.cloudformation import evaluate
from local_cloud.cloudformation.resources import TYPES, WITHOUT_EFFECT, Aws, Made, Naming, ResourceType
from local_cloud.cloudformation.stack import Resource, Stack, StackStore
from local_cloud.errors import AwsError

logger = logging.getLogger("local_cloud.cloudformation")

PARALLEL = 8
# What a stack whose update failed has from before.
RESTORED = ("template", "parameters", "resolved", "description", "capabilities", "tags", "role", "notifications")


class ResourceFailure(Exception):
    """A resource could not be made, changed or deleted; the message is its status reason."""

    def __init__(self, logical_id: str, reason: str):
        super().__init__(reason)
        self.logical_id = logical_id
        self.reason = reason


@dataclass(frozen=True)
class Plan:
    """What a template asks for: its resources whose condition holds, and how to evaluate it."""

    template: dict[str, Any]
    active: dict[str, Any]
    evaluator: evaluate.Evaluator
    # Names of the exports that evaluating it has used so far.
    imports: set[str]


class Deployment:
    """One create, update, delete or rollback of one stack."""

    def __init__(self, store: StackStore, stack: Stack, aws: Aws, before: Stack | None = None):
        """`before` is the stack as it was when its last operation had ended: what a failed update goes back to."""
        self._store = store
        self._stack = stack
        self._aws = aws
        self._before = before
        self._undo: list[Callable[[], None]] = []
        self._obsolete: list[Resource] = []

    @property
    def resources(self) -> dict[str, Resource]:
        """The resources that the stack holds now."""
        return self._store.resources[self._stack.id]

    def deploy(self, plan: Plan, verb: str) -> None:
        """Create (`verb` CREATE) or update (UPDATE) the stack; ends in a final status."""
        try:
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
            self._stack.updated = time.time()
            self._store.set_status(self._stack, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        self._clean_up(self._obsolete, removed)
        self._store.set_status(self._stack, f"{verb}_COMPLETE")

    def delete(self, retain: list[str]) -> None:
        """Delete the stack with everything in it that is not to be retained."""
        self._store.set_status(self._stack, "DELETE_IN_PROGRESS", "User Initiated")
        failed = self._delete_all(retain)
        if failed:
            names = ", ".join(failed)
            self._store.set_status(
                self._stack, "DELETE_FAILED", f"The following resource(s) failed to delete: [{names}]. "
            )
            return
        self._stack.deleted = time.time()
        self._stack.outputs, self._stack.imports = [], []
        self._store.set_status(self._stack, "DELETE_COMPLETE")

    def _walk(self, plan: Plan) -> None:
        order = evaluate.creation_order(plan.active)
        needs = {name: evaluate.dependencies(name, plan.active) for name in order}
        waiting, done = list(order), set()
        running: dict[concurrent.futures.Future, str] = {}
        with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
            while waiting or running:
                ready = [name for name in waiting if needs[name] <= done]
                for name in ready:
                    waiting.remove(name)
                    if _kind(plan.active[name]["Type"]).slow:
                        running[pool.submit(self._bring, name, plan)] = name
                    else:
                        self._bring(name, plan)
                        done.add(name)
                if running and not any(needs[name] <= done for name in waiting):
                    finished, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                    for future in finished:
                        future.result()
                        done.add(running.pop(future))

    def _bring(self, name: str, plan: Plan) -> None:
        """Create or change one resource."""
        declared = plan.active[name]
        kind = _kind(declared["Type"])
        existing = self.resources.get(name)
        try:
            properties = plan.evaluator.value(declared.get("Properties", {}))
        except AwsError as error:
            self._event(
                name, declared["Type"], "", "CREATE_FAILED" if existing is None else "UPDATE_FAILED", error.message
            )
            raise ResourceFailure(name, error.message) from error
        wanted = Resource(
            logical_id=name, type=declared["Type"], physical_id="", properties=properties, attributes={},
            depends_on=sorted(evaluate.dependencies(name, plan.active)),
            deletion_policy=declared.get("DeletionPolicy", "Delete"),
            replace_policy=declared.get("UpdateReplacePolicy", "Delete"), metadata=declared.get("Metadata", {}),
        )  # fmt: skip
        if existing is None:
            self._create(kind, wanted)
        elif existing.type != wanted.type or _replaces(kind, existing.properties, properties):
            self._replace(kind, existing, wanted)
        elif existing.properties != properties:
            self._update(kind, existing, wanted)
        else:
            kept = replace(
                existing, depends_on=wanted.depends_on, deletion_policy=wanted.deletion_policy,
                replace_policy=wanted.replace_policy, metadata=wanted.metadata,
            )  # fmt: skip
            if kept != existing:
                self._store.put(self._stack, kept)
                self._undo.append(lambda: self._store.put(self._stack, existing))

    def _create(self, kind: ResourceType, wanted: Resource, verb: str = "CREATE") -> None:
        self._event(wanted.logical_id, wanted.type, "", f"{verb}_IN_PROGRESS")
        naming = Naming(self._stack.name, self._stack.id, wanted.logical_id, wanted.generation)
        made = self._try(wanted, f"{verb}_FAILED", lambda: kind.create(self._aws, wanted.properties, naming))
        made_resource = self._keep(wanted, made, f"{verb}_COMPLETE")

        def undo() -> None:
            self._remove(made_resource, "DELETE")
            self._store.drop(self._stack, wanted.logical_id)

        self._undo.append(undo)

    def _update(self, kind: ResourceType, existing: Resource, wanted: Resource) -> None:
        wanted = replace(wanted, generation=existing.generation, physical_id=existing.physical_id)
        self._event(wanted.logical_id, wanted.type, existing.physical_id, "UPDATE_IN_PROGRESS")

        def undo() -> None:
            self._event(wanted.logical_id, wanted.type, existing.physical_id, "UPDATE_IN_PROGRESS")
            made = kind.update(self._aws, existing.physical_id, wanted.properties, existing.properties)
            self._keep(existing, made, "UPDATE_COMPLETE")

        self._undo.append(undo)
        made = self._try(
            wanted, "UPDATE_FAILED",
            lambda: kind.update(self._aws, existing.physical_id, existing.properties, wanted.properties),
        )  # fmt: skip
        # What only exists from the start (a role's id) is not told again by an update.
        self._keep(wanted, Made(made.physical_id, {**existing.attributes, **made.attributes}), "UPDATE_COMPLETE")

    def _replace(self, kind: ResourceType, existing: Resource, wanted: Resource) -> None:
        name = kind.name_property
        if (
            name
            and name in wanted.properties
            and wanted.properties[name] == existing.properties.get(name)
            and existing.type == wanted.type
        ):
            reason = (
                f"CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename "
                f"{wanted.properties[name]} and update the stack again."
            )
            self._event(wanted.logical_id, wanted.type, existing.physical_id, "UPDATE_FAILED", reason)
            raise ResourceFailure(wanted.logical_id, reason)
        reason = "Requested update requires the creation of a new physical resource; hence creating one."
        self._event(wanted.logical_id, wanted.type, existing.physical_id, "UPDATE_IN_PROGRESS", reason)
        self._create(kind, replace(wanted, generation=existing.generation + 1), "UPDATE")
        self._obsolete.append(existing)
        self._undo.append(lambda: self._store.put(self._stack, existing))
        # The undo of the creation dropped the record: putting the old one back must come after it.
        self._undo[-1], self._undo[-2] = self._undo[-2], self._undo[-1]

    def _keep(self, wanted: Resource, made: Made, status: str) -> Resource:
        kept = replace(
            wanted,
            physical_id=made.physical_id,
            attributes=made.attributes,
            status=status,
            reason="",
            changed=time.time(),
        )
        self._store.put(self._stack, kept)
        self._event(kept.logical_id, kept.type, kept.physical_id, status)
        return kept

    def _try(self, wanted: Resource, failed: str, call: Callable[[], Made]) -> Made:
        try:
            return call()
        except Exception as fault:
            reason = _reason(fault)
            if not isinstance(fault, ClientError | AwsError | ValueError):
                logger.exception("%s of %s failed", wanted.logical_id, self._stack.name)
            self._event(wanted.logical_id, wanted.type, wanted.physical_id, failed, reason)
            raise ResourceFailure(wanted.logical_id, reason) from fault

    def _remove(self, resource: Resource, verb: str = "DELETE") -> bool:
        """Delete one resource; whether it worked."""
        self._event(resource.logical_id, resource.type, resource.physical_id, f"{verb}_IN_PROGRESS")
        try:
            _kind(resource.type).delete(self._aws, resource.physical_id, resource.properties)
        except Exception as fault:
            reason = _reason(fault)
            failed = replace(resource, status="DELETE_FAILED", reason=reason, changed=time.time())
            if self.resources.get(resource.logical_id) == resource:
                self._store.put(self._stack, failed)
            self._event(resource.logical_id, resource.type, resource.physical_id, "DELETE_FAILED", reason)
            return False
        self._event(resource.logical_id, resource.type, resource.physical_id, f"{verb}_COMPLETE")
        return True

    def _clean_up(self, obsolete: list[Resource], removed: list[Resource]) -> None:
        for resource in reversed(obsolete):
            if resource.replace_policy == "Retain":
                self._event(resource.logical_id, resource.type, resource.physical_id, "DELETE_SKIPPED")
            else:
                self._remove(resource)
        for resource in _deletion_order(removed):
            if resource.deletion_policy == "Delete":
                self._remove(resource)
            else:
                self._event(resource.logical_id, resource.type, resource.physical_id, "DELETE_SKIPPED")
            self._store.drop(self._stack, resource.logical_id)

    def _delete_all(self, retain: list[str]) -> list[str]:
        failed: list[str] = []
        for resource in _deletion_order(list(self.resources.values())):
            needed_by = [name for name in failed if resource.logical_id in self.resources[name].depends_on]
            if resource.deletion_policy != "Delete" or resource.logical_id in retain:
                self._event(resource.logical_id, resource.type, resource.physical_id, "DELETE_SKIPPED")
            elif needed_by or not self._remove(resource):
                failed.append(resource.logical_id)
                continue
            self._store.drop(self._stack, resource.logical_id)
        return failed

    def _roll_back_creation(self, reason: str) -> None:
        self._store.set_status(self._stack, "ROLLBACK_IN_PROGRESS", reason)
        self._undo_all()
        self._store.set_status(self._stack, "ROLLBACK_FAILED" if self.resources else "ROLLBACK_COMPLETE")

    def _roll_back_update(self, reason: str) -> None:
        self._store.set_status(self._stack, "UPDATE_ROLLBACK_IN_PROGRESS", reason)
        clean = self._undo_all()
        for name in RESTORED:
            setattr(self._stack, name, getattr(self._before, name))
        self._store.set_status(self._stack, "UPDATE_ROLLBACK_COMPLETE" if clean else "UPDATE_ROLLBACK_FAILED")

    def _undo_all(self) -> bool:
        clean = True
        for undo in reversed(self._undo):
            try:
                undo()
            except Exception:
                logger.exception("Rolling back %s failed", self._stack.name)
                clean = False
        return clean

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
        return _reason(failure)

    def _event(self, logical: str, kind: str, physical: str, status: str, reason: str = "") -> None:
        self._store.event(self._stack, logical, physical, kind, status, reason)


class _WithoutEffect(ResourceType):
    """A type that makes nothing here (see `resources/without_effect.py`)."""

    def create(self, aws: Aws, properties: dict[str, Any], naming: Naming) -> Made:
        return Made(naming.name(128))

    def update(self, aws: Aws, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> Made:
        return Made(physical_id)

    def delete(self, aws: Aws, physical_id: str, properties: dict[str, Any]) -> None:
        return


_NOTHING = _WithoutEffect()


def _kind(name: str) -> ResourceType:
    return _NOTHING if name in WITHOUT_EFFECT else TYPES[name]


def _replaces(kind: ResourceType, old: dict[str, Any], new: dict[str, Any]) -> bool:
    return any(old.get(name) != new.get(name) for name in kind.replacing)


def _deletion_order(resources: list[Resource]) -> list[Resource]:
    """Users before what they use."""
    remaining = {resource.logical_id: resource for resource in resources}
    ordered: list[Resource] = []
    while remaining:
        used = {need for resource in remaining.values() for need in resource.depends_on}
        free = [name for name in remaining if name not in used] or list(remaining)
        ordered += [remaining.pop(name) for name in free]
    return ordered


def _reason(fault: Exception) -> str:
    if isinstance(fault, ClientError):
        error, metadata = fault.response["Error"], fault.response["ResponseMetadata"]
        return f"{error.get('Message', '')} ({error['Code']}, Status Code: {metadata.get('HTTPStatusCode')})"
    if isinstance(fault, AwsError):
        return fault.message
    return str(fault) or type(fault).__name__
