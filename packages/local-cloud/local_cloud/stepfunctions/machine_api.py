"""State machines: created, updated, described, listed, deleted, and definitions checked without one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from local_cloud.errors import AwsError
from local_cloud.listing import page
from local_cloud.stepfunctions.arns import check_name, unqualified
from local_cloud.stepfunctions.definition import diagnostics, parse_definition
from local_cloud.stepfunctions.event_log import checked_logging
from local_cloud.stepfunctions.store import Store, moment
from local_cloud.stepfunctions.tagging import as_list, as_mapping
from local_cloud.stepfunctions.variables import variable_references
from local_cloud.stepfunctions.version_api import Versions

KEPT = ("loggingConfiguration", "tracingConfiguration", "encryptionConfiguration")
# What belongs to our records and not to AWS's answers.
OURS = ("tags", "lastVersion", "number", "stateMachineVersionArn", "updateDate")


class Machines:
    """Operations on state machines."""

    def __init__(self, store: Store, versions: Versions, fault: Callable[[str, dict[str, Any]], str | None]):
        self._store = store
        self._versions = versions
        self._fault = fault

    def _op_CreateStateMachine(self, request: dict[str, Any]) -> dict[str, Any]:
        check_name(request["name"])
        _check_description(request)
        kind = request.get("type", "STANDARD")
        parse_definition(request["definition"], self._fault, kind)
        arn = self._store.arn("stateMachine", request["name"])
        with self._store.lock:
            machine = self._store.machines.get(arn)
            if machine is None:
                machine = {
                    "stateMachineArn": arn, "name": request["name"], "definition": request["definition"],
                    "roleArn": request["roleArn"], "type": kind, "status": "ACTIVE", "creationDate": self._store.clock.now(),
                    "revisionId": None, "tags": as_list(as_mapping(request.get("tags", []))), **self._kept(request),
                }  # fmt: skip
                self._store.save(machine)
            elif any(machine[name] != value for name, value in _asked(request, kind).items()):
                raise AwsError("StateMachineAlreadyExists", f"State Machine Already Exists: '{arn}'")
            answer = {"stateMachineArn": arn, "creationDate": moment(machine["creationDate"])}
            if request.get("publish"):
                version = self._versions.publish(machine, request.get("versionDescription"))
                answer["stateMachineVersionArn"] = version["stateMachineVersionArn"]
        return answer

    def _op_UpdateStateMachine(self, request: dict[str, Any]) -> dict[str, Any]:
        _check_description(request)
        machine = self._store.machine(request["stateMachineArn"])
        if "definition" in request:
            parse_definition(request["definition"], self._fault, machine["type"])
        with self._store.lock:
            machine = self._store.machine(request["stateMachineArn"])
            kept = {name: request[name] for name in ("definition", "roleArn") if name in request}
            changes = kept | self._kept(request)
            if not changes and not request.get("publish"):
                raise AwsError(
                    "MissingRequiredParameter",
                    "Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration must be "
                    "specified",
                )
            if any(machine.get(name) != value for name, value in changes.items()):
                changes["revisionId"] = str(uuid.uuid4())
            now = self._store.clock.now()
            machine = {**machine, **changes, "updateDate": now}
            self._store.save(machine)
            answer = {"updateDate": moment(now)}
            if machine["revisionId"]:
                answer["revisionId"] = machine["revisionId"]
            if request.get("publish"):
                version = self._versions.publish(machine, request.get("versionDescription"))
                answer["stateMachineVersionArn"] = version["stateMachineVersionArn"]
        return answer

    def _op_DescribeStateMachine(self, request: dict[str, Any]) -> dict[str, Any]:
        arn = request["stateMachineArn"]
        if unqualified(arn)[1] and arn in self._store.aliases:
            raise AwsError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")
        machine, _ = self._store.qualified(arn)
        shown = {name: value for name, value in machine.items() if name not in OURS and value is not None}
        references = variable_references(json.loads(machine["definition"]))
        shown |= {"variableReferences": references} if references else {}
        return configured({**shown, "stateMachineArn": arn, "creationDate": moment(machine["creationDate"])})

    def _op_ListStateMachines(self, request: dict[str, Any]) -> dict[str, Any]:
        shown = [
            {**{name: m[name] for name in ("stateMachineArn", "name", "type")}, "creationDate": moment(m["creationDate"])}
            for m in sorted(self._store.machines.values(), key=lambda machine: machine["name"])
        ]  # fmt: skip
        return page("stateMachines", shown, request, default=100)

    def _op_DeleteStateMachine(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._store.lock:
            machine = self._store.machines.get(request["stateMachineArn"])
            if machine:
                self._store.remove(machine)
                self._versions.forget(machine["stateMachineArn"])
        return {}

    def _op_ValidateStateMachineDefinition(self, request: dict[str, Any]) -> dict[str, Any]:
        found = diagnostics(request["definition"], self._fault, request.get("type", "STANDARD"))
        limit = request.get("maxResults") or 100
        return {"result": "FAIL" if found else "OK", "diagnostics": found[:limit], "truncated": len(found) > limit}

    def _kept(self, request: dict[str, Any]) -> dict[str, Any]:
        kept = {name: request[name] for name in KEPT if name in request}
        if "loggingConfiguration" in kept:
            kept["loggingConfiguration"] = checked_logging(kept["loggingConfiguration"], self._store.context.logs)
        return kept


def _asked(request: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"definition": request["definition"], "roleArn": request["roleArn"], "type": kind}


def _check_description(request: dict[str, Any]) -> None:
    if "versionDescription" in request and not request.get("publish"):
        raise AwsError("ValidationException", "Version description can only be set when publish is true")


def configured(shown: dict[str, Any]) -> dict[str, Any]:
    """A state machine with AWS's defaults for what it was not given."""
    return {
        "loggingConfiguration": {"level": "OFF", "includeExecutionData": False},
        "tracingConfiguration": {"enabled": False},
        "encryptionConfiguration": {"type": "AWS_OWNED_KEY"},
        **shown,
    }
