"""What Step Functions keeps: state machines, versions, aliases, activities and executions, each a row before it is shown."""

from __future__ import annotations

import json
import random
import threading
from datetime import UTC, datetime
from typing import Any

from local_cloud.context import CloudContext
from local_cloud.errors import AwsError
from local_cloud.persistence.database import Database
from local_cloud.stepfunctions.arns import check_arn, unqualified

# The field that names a record of each kind; the first one that a record has says what it is.
KINDS = ("activityArn", "stateMachineAliasArn", "stateMachineVersionArn", "stateMachineArn")
Records = dict[str, dict[str, Any]]


class Store:
    """All records, in memory and on disk. Whoever changes several together holds `lock`."""

    def __init__(self, context: CloudContext, database: Database):
        self.context = context
        self.clock = context.clock
        self.database = database
        self.lock = threading.RLock()
        self.kept: dict[str, Records] = {kind: {} for kind in KINDS}
        self.executions: Records = {}
        # Set when the cloud stops: no execution writes any more.
        self.suspended = threading.Event()

    @property
    def machines(self) -> Records:
        """State machines by ARN."""
        return self.kept["stateMachineArn"]

    @property
    def versions(self) -> Records:
        """Versions by ARN; each holds the state machine as it was published."""
        return self.kept["stateMachineVersionArn"]

    @property
    def aliases(self) -> Records:
        """Aliases by ARN."""
        return self.kept["stateMachineAliasArn"]

    @property
    def activities(self) -> Records:
        """Activities by ARN."""
        return self.kept["activityArn"]

    def load(self) -> None:
        """Read what earlier processes wrote."""
        for arn, text in self.database.read("SELECT arn, record FROM state_machine"):
            record = json.loads(text)
            self.kept[_kind(record)][arn] = record
        rows = self.database.read("SELECT arn, record FROM execution")
        self.executions = {arn: json.loads(text) for arn, text in rows}

    def save(self, record: dict[str, Any]) -> None:
        """Write a state machine, version, alias or activity."""
        kind = _kind(record)
        row = (record[kind], json.dumps(record))
        self.database.write("INSERT OR REPLACE INTO state_machine VALUES (?,?)", row)
        self.kept[kind][record[kind]] = record

    def remove(self, record: dict[str, Any]) -> None:
        """Delete a state machine, version, alias or activity."""
        kind = _kind(record)
        self.database.write("DELETE FROM state_machine WHERE arn=?", (record[kind],))
        self.kept[kind].pop(record[kind], None)

    def keep_execution(self, record: dict[str, Any]) -> None:
        """Show an execution that somebody else has written."""
        self.executions[record["executionArn"]] = record

    def arn(self, kind: str, name: str) -> str:
        """The ARN of a resource of this account."""
        return f"arn:aws:states:{self.context.region}:{self.context.account_id}:{kind}:{name}"

    def machine(self, arn: str) -> dict[str, Any]:
        """A state machine by its own ARN."""
        check_arn(arn, "stateMachine")
        if arn not in self.machines:
            raise AwsError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")
        return self.machines[arn]

    def qualified(self, arn: str) -> tuple[dict[str, Any], dict[str, str]]:
        """The state machine that an ARN asks for, as published where it names a version or an alias, and these two ARNs."""
        check_arn(arn, "stateMachine")
        plain, qualifier = unqualified(arn)
        if not qualifier:
            return self.machine(arn), {}
        named = {}
        version = arn
        if arn in self.aliases:
            routes = self.aliases[arn]["routingConfiguration"]
            (chosen,) = random.choices(routes, [route["weight"] for route in routes])
            version, named = chosen["stateMachineVersionArn"], {"stateMachineAliasArn": arn}
        if version not in self.versions:
            raise AwsError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")
        made = {**self.versions[version], "stateMachineArn": plain}
        return made, {"stateMachineVersionArn": version, **named}

    def execution(self, arn: str) -> dict[str, Any]:
        """An execution of a standard state machine."""
        check_arn(arn, "execution")
        if arn not in self.executions:
            raise AwsError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
        return self.executions[arn]


def _kind(record: dict[str, Any]) -> str:
    return next(kind for kind in KINDS if kind in record)


def moment(seconds: float) -> datetime:
    """A time as answers show it."""
    return datetime.fromtimestamp(seconds, UTC)
