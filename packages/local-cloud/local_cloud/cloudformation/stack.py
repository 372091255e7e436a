"""A stack's record: what it is, which resources it holds, what happened to it. Written through at every step."""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from local_cloud.clock import Clock
from local_cloud.persistence.database import Database

IN_PROGRESS = "_IN_PROGRESS"
STOPPED_REASON = "The local cloud stopped during this operation. Deploy again to complete it, or delete the stack."
TAKEN_BACK = "The local cloud stopped during this update, which is therefore taken back."
# What a stack becomes when the process died in the middle of an operation. Its record says what each resource is, so
# that the next deployment does the rest: the statuses are those from which clients deploy again. An update that noted what
# was before it is carried on instead (resume.py): clients deploy nothing where the template is the one that they have.
AFTER_A_KILL = {
    "CREATE_IN_PROGRESS": "ROLLBACK_FAILED",
    "ROLLBACK_IN_PROGRESS": "ROLLBACK_FAILED",
    "DELETE_IN_PROGRESS": "DELETE_FAILED",
    "UPDATE_IN_PROGRESS": "UPDATE_ROLLBACK_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_IN_PROGRESS": "UPDATE_ROLLBACK_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_ROLLBACK_COMPLETE",
}


@dataclass
class Resource:
    """One resource of a stack as it exists: its resolved properties, and what Ref and GetAtt give."""

    logical_id: str
    type: str
    physical_id: str
    properties: dict[str, Any]
    attributes: dict[str, Any]
    depends_on: list[str]
    deletion_policy: str = "Delete"
    replace_policy: str = "Delete"
    metadata: dict[str, Any] = field(default_factory=dict)
    generation: int = 0
    status: str = ""
    reason: str = ""
    changed: float = 0.0
    # Properties to which a change was begun and never noted as done: the resource may have them, in part or not at all.
    attempted: dict[str, Any] | None = None

    @property
    def unfinished(self) -> bool:
        """Noted before it was made, and never noted as made: it may be there or not, a killed operation left it."""
        return self.status.endswith(IN_PROGRESS) and not self.physical_id


@dataclass
class Stack:
    """One stack; times in seconds since the epoch."""

    id: str
    name: str
    status: str
    created: float
    reason: str = ""
    updated: float | None = None
    deleted: float | None = None
    description: str = ""
    role: str = ""
    template: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)
    tags: list[dict[str, str]] = field(default_factory=list)
    capabilities: list[str] = field(default_factory=list)
    notifications: list[str] = field(default_factory=list)
    outputs: list[dict[str, str]] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    change_sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    # The change set that was executed last.
    change_set: str = ""
    protected: bool = False
    policy: str = ""
    disable_rollback: bool = False
    # Of the operation at work: OnFailure DELETE, RetainExceptOnCreate, and the caller's ClientRequestToken.
    delete_on_failure: bool = False
    retain_except_on_create: bool = False
    token: str = ""
    # Whether resources may differ from the template: an operation is at work, or ended half-way.
    unsettled: bool = False
    # Of an update at work: what the stack had before it, and each replaced resource with the one that was to replace it.
    before: dict[str, Any] = field(default_factory=dict)
    replaced: list[dict[str, Any]] = field(default_factory=list)

    @property
    def exists(self) -> bool:
        """Whether the name is taken by this stack."""
        return self.status != "DELETE_COMPLETE"

    @property
    def busy(self) -> bool:
        """Whether an operation is at work."""
        return self.status.endswith(IN_PROGRESS) and self.status != "REVIEW_IN_PROGRESS"

    @property
    def can_be_carried_on(self) -> bool:
        """Whether this is an update of which is known what was before it."""
        return self.busy and self.status.startswith("UPDATE_") and bool(self.before)

    def settle(self) -> None:
        """Nothing is left to do or to take back."""
        self.unsettled, self.before, self.replaced = False, {}, []


class StackStore:
    """All stacks in memory and in the database."""

    def __init__(self, database: Database, clock: Clock):
        self._database, self.clock = database, clock
        self._lock = threading.RLock()
        self.stacks: dict[str, Stack] = {}
        self.resources: dict[str, dict[str, Resource]] = {}

    def load(self) -> None:
        """Read everything; what was at work in a killed process gets its failed status."""
        for key, record in self._database.read("SELECT id, record FROM stack"):
            self.stacks[key] = Stack(**json.loads(record))
            self.resources[key] = {}
        for key, name, record in self._database.read("SELECT stack, name, record FROM stack_resource"):
            self.resources[key][name] = Resource(**json.loads(record))
        for stack in list(self.stacks.values()):
            if stack.status in AFTER_A_KILL and not stack.can_be_carried_on:
                self.set_status(stack, AFTER_A_KILL[stack.status], STOPPED_REASON)

    def find(self, name: str) -> Stack | None:
        """The stack of that name or ARN; deleted ones by ARN only."""
        if name in self.stacks:
            return self.stacks[name]
        return next((stack for stack in list(self.stacks.values()) if stack.name == name and stack.exists), None)

    def add(self, stack: Stack) -> None:
        """A new stack."""
        self.save(stack)
        with self._lock:
            self.stacks[stack.id] = stack
            self.resources.setdefault(stack.id, {})

    def save(self, stack: Stack) -> None:
        """Write the stack's own record."""
        self._database.write("INSERT OR REPLACE INTO stack VALUES (?,?)", (stack.id, json.dumps(asdict(stack))))

    def put(self, stack: Stack, resource: Resource) -> None:
        """Write a resource of the stack."""
        row = (stack.id, resource.logical_id, json.dumps(asdict(resource)))
        self._database.write("INSERT OR REPLACE INTO stack_resource VALUES (?,?,?)", row)
        self.resources[stack.id][resource.logical_id] = resource

    def drop(self, stack: Stack, logical_id: str) -> None:
        """The stack no longer holds this resource."""
        self._database.write("DELETE FROM stack_resource WHERE stack=? AND name=?", (stack.id, logical_id))
        self.resources[stack.id].pop(logical_id, None)

    def set_status(self, stack: Stack, status: str, reason: str = "") -> None:
        """A new status of the stack, with its event."""
        stack.status, stack.reason = status, reason
        self.save(stack)
        self.event(stack, stack.name, stack.id, "AWS::CloudFormation::Stack", status, reason)

    def event(self, stack: Stack, logical: str, physical: str, kind: str, status: str, reason: str = "") -> None:
        """Something happened to the stack or one of its resources."""
        event = {
            "StackId": stack.id, "EventId": f"{logical}-{status}-{uuid.uuid4()}", "StackName": stack.name,
            "LogicalResourceId": logical, "PhysicalResourceId": physical, "ResourceType": kind, "Timestamp": self.clock.now(),
            "ResourceStatus": status, **({"ResourceStatusReason": reason} if reason else {}),
            **({"ClientRequestToken": stack.token} if stack.token else {}),
        }  # fmt: skip
        self._database.write(
            "INSERT INTO stack_event SELECT ?, COALESCE(MAX(number), 0) + 1, ? FROM stack_event WHERE stack=?",
            (stack.id, json.dumps(event), stack.id),
        )

    def events(self, stack: Stack) -> list[dict[str, Any]]:
        """All events, newest first."""
        query = "SELECT record FROM stack_event WHERE stack=? ORDER BY number DESC"
        return [json.loads(record) for (record,) in self._database.read(query, (stack.id,))]

    def exports(self) -> dict[str, tuple[str, Stack]]:
        """All exported values by name, with the stack that exports them."""
        return {
            output["ExportName"]: (output["OutputValue"], stack)
            for stack in list(self.stacks.values())
            if stack.exists
            for output in stack.outputs
            if "ExportName" in output
        }

    def importers(self, export: str) -> list[str]:
        """Names of the stacks that import a value."""
        return [stack.name for stack in list(self.stacks.values()) if stack.exists and export in stack.imports]
