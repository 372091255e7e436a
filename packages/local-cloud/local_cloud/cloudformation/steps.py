"""One resource at a time: make, change, replace, delete; told as events, kept in the store, undone when the stack fails."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from botocore.exceptions import ClientError

from local_cloud.cloudformation import evaluate
from local_cloud.cloudformation.plan import Plan
from local_cloud.cloudformation.resources import WITHOUT_EFFECT, Aws, Made, Naming, ResourceType, known_type
from local_cloud.cloudformation.stack import Resource, Stack, StackStore
from local_cloud.cloudformation.stack_policy import StackPolicy
from local_cloud.errors import AwsError, words_for

logger = logging.getLogger("local_cloud.cloudformation")


class ResourceFailure(Exception):
    """A resource could not be made, changed or deleted; the message is its status reason."""

    def __init__(self, logical_id: str, reason: str):
        super().__init__(reason)
        self.logical_id = logical_id
        self.reason = reason


class ResourceSteps:
    """The steps of one operation on one stack. `obsolete` are replaced resources that still exist."""

    def __init__(self, store: StackStore, stack: Stack, aws: Aws, policy: StackPolicy):
        self._store = store
        self._stack = stack
        self._aws = aws
        self._policy = policy
        self._undo: list[Callable[[], None]] = []
        self.obsolete: list[Resource] = []

    def bring(self, name: str, plan: Plan) -> None:
        """Create, change or replace one resource as its template says, or leave it alone."""
        existing = self._store.resources[self._stack.id].get(name)
        if existing is not None and existing.unfinished:
            self._clear(existing)
            existing = None
        if existing is not None and existing.attempted is not None:
            existing = self._as_noted(existing)
        wanted = self._wanted(name, plan, existing)
        kind = kind_of(wanted.type)
        if existing is None:
            self._undo.append(self._create(kind, wanted, "CREATE"))
        elif existing.type != wanted.type or _replaces(kind, existing.properties, wanted.properties):
            self.guard("Update:Replace", existing)
            self._replace(kind, existing, wanted)
        elif existing.properties != wanted.properties:
            self.guard("Update:Modify", existing)
            self._update(kind, existing, wanted)
        else:
            kept = replace(
                existing, depends_on=wanted.depends_on, deletion_policy=wanted.deletion_policy,
                replace_policy=wanted.replace_policy, metadata=wanted.metadata,
            )  # fmt: skip
            if kept != existing:
                self._store.put(self._stack, kept)
                self._undo.append(lambda: self._store.put(self._stack, existing))

    def guard(self, action: str, resource: Resource) -> None:
        """Raise when the stack's policy does not allow it."""
        refusal = self._policy.refusal(action, resource.logical_id, resource.type)
        if refusal:
            self.told(resource, "UPDATE_FAILED", refusal)
            raise ResourceFailure(resource.logical_id, refusal)

    def remove(self, resource: Resource) -> bool:
        """Delete one resource; whether it worked."""
        self.told(resource, "DELETE_IN_PROGRESS")
        try:
            physical = self._left_behind(resource) if resource.unfinished else resource.physical_id
            if physical is not None:
                kind_of(resource.type).delete(self._for(resource), physical, resource.properties)
        except Exception as fault:
            reason = reason_of(fault)
            failed = replace(resource, status="DELETE_FAILED", reason=reason, changed=self._store.clock.now())
            if self._store.resources[self._stack.id].get(resource.logical_id) == resource:
                self._store.put(self._stack, failed)
            self.told(resource, "DELETE_FAILED", reason)
            return False
        self.told(resource, "DELETE_COMPLETE")
        return True

    def restore(self, old: Resource, new: Resource) -> None:
        """Take away what replaced a resource in an operation that was cut off, whether it was noted as made or not."""
        current = self._store.resources[self._stack.id].get(old.logical_id)
        if current is None or current.physical_id == old.physical_id:
            current = replace(new, physical_id="", status="UPDATE_IN_PROGRESS")
        if not self.remove(current):
            raise ResourceFailure(old.logical_id, "What replaced it could not be deleted.")
        self._store.put(self._stack, old)

    def undo_all(self) -> bool:
        """Take back every step, the last one first; whether all of it worked."""
        clean = True
        for undo in reversed(self._undo):
            try:
                undo()
            except Exception:
                logger.exception("Rolling back %s failed", self._stack.name)
                clean = False
        return clean

    def told(self, resource: Resource, status: str, reason: str = "") -> None:
        """An event of a resource."""
        self._store.event(self._stack, resource.logical_id, resource.physical_id, resource.type, status, reason)

    def _wanted(self, name: str, plan: Plan, existing: Resource | None) -> Resource:
        declared = plan.active[name]
        wanted = Resource(
            logical_id=name, type=declared["Type"], physical_id=existing.physical_id if existing else "", properties={},
            attributes={}, depends_on=sorted(evaluate.dependencies(name, plan.active)),
            deletion_policy=plan.policies[name][0], replace_policy=plan.policies[name][1], metadata=declared.get("Metadata", {}),
            generation=existing.generation if existing else 0,
        )  # fmt: skip
        try:
            properties = plan.evaluator.value(declared.get("Properties", {}))
            if lacking := kind_of(wanted.type).missing(properties):
                raise AwsError("ValidationError", lacking)
            return replace(wanted, properties=properties)
        except AwsError as error:
            self.told(wanted, "UPDATE_FAILED" if existing else "CREATE_FAILED", error.message)
            raise ResourceFailure(name, error.message) from error

    def _clear(self, resource: Resource) -> None:
        """Take away what a killed operation may have made, so that it can be made anew."""
        if not self.remove(resource):
            raise ResourceFailure(
                resource.logical_id, "What a deployment that was cut off had begun to make could not be deleted."
            )
        self._store.drop(self._stack, resource.logical_id)

    def _left_behind(self, resource: Resource) -> str | None:
        """The physical id of an unfinished resource; None when it cannot be there. Making it is the surest way to find it."""
        kind, naming = kind_of(resource.type), self._naming(resource)
        try:
            return kind.create(self._for(resource), resource.properties, naming).physical_id
        except ClientError as refused:
            if not _says_it_exists(refused):
                return None
            given = resource.properties.get(kind.name_property) if kind.name_property else None
            return kind.physical_of(self._for(resource), given or naming.asked)

    def _for(self, resource: Resource) -> Aws:
        """The clients, and whose they are."""
        return replace(self._aws, stack_id=self._stack.id, logical_id=resource.logical_id, kind=resource.type)

    def _naming(self, resource: Resource) -> Naming:
        return Naming(self._stack.name, self._stack.id, resource.logical_id, resource.generation)

    def _make(self, kind: ResourceType, wanted: Resource) -> Made:
        naming, aws = self._naming(wanted), self._for(wanted)
        try:
            return kind.create(aws, wanted.properties, naming)
        except ClientError as refused:
            given = wanted.properties.get(kind.name_property) if kind.name_property else None
            if given is not None or not naming.asked or not _says_it_exists(refused):
                raise
            # The name holds a hash of this stack: a replacement that was cut off left it behind.
            kind.delete(aws, kind.physical_of(aws, naming.asked), wanted.properties)
            return kind.create(aws, wanted.properties, naming)

    def _create(self, kind: ResourceType, wanted: Resource, verb: str) -> Callable[[], None]:
        """Make the resource; what takes it back."""
        wanted = replace(wanted, physical_id="", status=f"{verb}_IN_PROGRESS", changed=self._store.clock.now())
        self.told(wanted, f"{verb}_IN_PROGRESS")
        # Noted before it is made: after a kill, the next operation finds what may be there. A replacement leaves the note of
        # the resource that it replaces in its place; its own name tells whose it is.
        noted = verb == "CREATE"
        if noted:
            self._store.put(self._stack, wanted)
        try:
            made = self._try(wanted, f"{verb}_FAILED", lambda: self._make(kind, wanted))
        except ResourceFailure:
            if noted:
                self._store.drop(self._stack, wanted.logical_id)
            raise
        kept = self._keep(wanted, made, f"{verb}_COMPLETE")

        def undo() -> None:
            if verb == "CREATE" and kept.deletion_policy == "Retain" and not self._stack.retain_except_on_create:
                self.told(kept, "DELETE_SKIPPED")
                self._store.drop(self._stack, wanted.logical_id)
            elif self.remove(kept):
                self._store.drop(self._stack, wanted.logical_id)

        return undo

    def _update(self, kind: ResourceType, existing: Resource, wanted: Resource) -> None:
        self.told(wanted, "UPDATE_IN_PROGRESS")

        def change(old: Resource, new: Resource) -> None:
            physical = (self._store.resources[self._stack.id].get(existing.logical_id) or existing).physical_id
            call = lambda: kind.update(self._for(new), physical, old.properties, new.properties)  # noqa: E731
            made = self._try(new, "UPDATE_FAILED", call)
            # What is only told at the start (a role's id) is not told again by an update.
            merged = Made(made.physical_id, {**existing.attributes, **made.attributes})
            self._keep(new, merged, "UPDATE_COMPLETE")
            if made.physical_id != physical:  # a custom resource made another one: the old one is deleted at the end
                self.obsolete.append(replace(old, physical_id=physical))

        # Noted before the change: one that failed half-way must be taken back too, also by the next process.
        self._undo.append(lambda: change(wanted, existing))
        self._store.put(self._stack, replace(existing, attempted=wanted.properties))
        change(existing, wanted)

    def _as_noted(self, resource: Resource) -> Resource:
        """The resource with the properties that it had before a change that was cut off."""
        old, tried = replace(resource, attempted=None), resource.attempted or {}
        call = lambda: kind_of(old.type).update(self._for(old), old.physical_id, tried, old.properties)  # noqa: E731
        made = self._try(old, "UPDATE_FAILED", call)
        return self._keep(old, Made(made.physical_id, {**old.attributes, **made.attributes}), "UPDATE_COMPLETE")

    def _replace(self, kind: ResourceType, existing: Resource, wanted: Resource) -> None:
        name = kind.name_property
        given = wanted.properties.get(name) if name else None
        if name and given is not None and given == existing.properties.get(name) and existing.type == wanted.type:
            reason = (
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename "
                f"{given} and update the stack again."
            )
            self.told(existing, "UPDATE_FAILED", reason)
            raise ResourceFailure(wanted.logical_id, reason)
        reason = "Requested update requires the creation of a new physical resource; hence creating one."
        self.told(existing, "UPDATE_IN_PROGRESS", reason)
        new = replace(wanted, generation=existing.generation + 1)
        # A killed cloud must find both: the new one may be there without a note, the old one is to be deleted at the end.
        self._stack.replaced.append({"old": asdict(existing), "new": asdict(new)})
        self._store.save(self._stack)
        remove_new = self._create(kind, new, "UPDATE")

        def undo() -> None:
            remove_new()
            self._store.put(self._stack, existing)

        self._undo.append(undo)
        self.obsolete.append(existing)

    def _keep(self, wanted: Resource, made: Made, status: str) -> Resource:
        kept = replace(
            wanted, physical_id=made.physical_id, attributes=made.attributes, status=status, reason="", changed=self._store.clock.now()
        )  # fmt: skip
        self._store.put(self._stack, kept)
        self.told(kept, status)
        return kept

    def _try(self, wanted: Resource, failed: str, call: Callable[[], Made]) -> Made:
        try:
            return call()
        except Exception as fault:
            reason = reason_of(fault)
            if not isinstance(fault, ClientError | AwsError):
                logger.exception("%s of %s failed", wanted.logical_id, self._stack.name)
            self.told(wanted, failed, reason)
            raise ResourceFailure(wanted.logical_id, reason) from fault


class _WithoutEffect(ResourceType):
    """A type that makes nothing here (see `resources/without_effect.py`)."""

    def create(self, aws: Aws, properties: dict[str, Any], naming: Naming) -> Made:
        return Made(naming.name(128))

    def update(self, aws: Aws, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> Made:
        return Made(physical_id)

    def delete(self, aws: Aws, physical_id: str, properties: dict[str, Any]) -> None:
        return


_NOTHING = _WithoutEffect()


def kind_of(name: str) -> ResourceType:
    """The resource type of that name."""
    kind = _NOTHING if name in WITHOUT_EFFECT else known_type(name)
    if kind is None:
        raise KeyError(name)
    return kind


def _says_it_exists(refused: ClientError) -> bool:
    error = refused.response["Error"]
    return bool(
        re.search(r"AlreadyExist|AlreadyOwned|ResourceInUse|NameExists|QueueNameExists", error["Code"])
    ) or bool(re.search(r"already exist", error.get("Message", ""), re.IGNORECASE))


def reason_of(fault: Exception) -> str:
    """A failure as a status reason."""
    if isinstance(fault, ClientError):
        error, metadata = fault.response["Error"], fault.response["ResponseMetadata"]
        return f"{error.get('Message', '')} ({error['Code']}, Status Code: {metadata.get('HTTPStatusCode')})"
    if isinstance(fault, AwsError | OSError):
        return words_for(fault)
    return "A property is not what the local cloud understands; its log says more."


def _replaces(kind: ResourceType, old: dict[str, Any], new: dict[str, Any]) -> bool:
    return any(old.get(name) != new.get(name) for name in kind.replacing)
