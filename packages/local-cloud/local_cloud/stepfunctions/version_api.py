"""Versions and aliases: a state machine as it was published, and names that share out executions between two of them.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-cd-aliasing-versioning.html
"""

from __future__ import annotations

import re
from typing import Any

from local_cloud.errors import AwsError
from local_cloud.listing import page
from local_cloud.stepfunctions.arns import check_arn, unqualified
from local_cloud.stepfunctions.store import Store, moment

ALIAS_NAME = r"^(?=.*[a-zA-Z_\-\.])[a-zA-Z0-9_\-\.]+$"
MAXIMUM_VERSIONS = 1000
MAXIMUM_ALIASES = 100


class Versions:
    """Operations on versions and aliases."""

    def __init__(self, store: Store):
        self._store = store

    def publish(self, machine: dict[str, Any], description: str | None = None) -> dict[str, Any]:
        """The version of a state machine's current revision; a new one unless the latest one is of this revision."""
        with self._store.lock:
            latest = next(iter(self._of(machine["stateMachineArn"])), None)
            if latest and latest["revisionId"] == machine["revisionId"]:
                return latest
            if len(self._of(machine["stateMachineArn"])) >= MAXIMUM_VERSIONS:
                raise AwsError("ServiceQuotaExceededException", "The maximum number of versions was reached.")
            number = machine.get("lastVersion", 0) + 1  # the number of a deleted version is not used again
            self._store.save({**machine, "lastVersion": number})
            made = {
                **{k: v for k, v in machine.items() if k not in ("tags", "lastVersion")},
                "stateMachineVersionArn": f"{machine['stateMachineArn']}:{number}",
                "creationDate": self._store.clock.now(), "number": number,
                **({"description": description} if description is not None else {}),
            }  # fmt: skip
            self._store.save(made)
            return made

    def forget(self, machine_arn: str) -> None:
        """Remove versions and aliases together with their state machine."""
        for record in [*self._of(machine_arn), *self._aliases_of(machine_arn)]:
            self._store.remove(record)

    def _op_PublishStateMachineVersion(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._store.lock:
            machine = self._store.machine(request["stateMachineArn"])
            wanted = request.get("revisionId")
            if wanted is not None and wanted != (machine["revisionId"] or "INITIAL"):
                raise AwsError(
                    "ConflictException",
                    f"Failed to publish the State Machine version for revision {wanted}. The current State Machine "
                    f"revision is {machine['revisionId'] or 'INITIAL'}.",
                )
            made = self.publish(machine, request.get("description"))
        return {"creationDate": moment(made["creationDate"]), "stateMachineVersionArn": made["stateMachineVersionArn"]}

    def _op_ListStateMachineVersions(self, request: dict[str, Any]) -> dict[str, Any]:
        self._store.machine(request["stateMachineArn"])
        shown = [
            {"stateMachineVersionArn": v["stateMachineVersionArn"], "creationDate": moment(v["creationDate"])}
            for v in self._of(request["stateMachineArn"])
        ]
        return page("stateMachineVersions", shown, request, default=100)

    def _op_DeleteStateMachineVersion(self, request: dict[str, Any]) -> dict[str, Any]:
        arn = request["stateMachineVersionArn"]
        check_arn(arn, "stateMachine")
        plain, qualifier = unqualified(arn)
        if not qualifier.isdigit():
            raise AwsError("ValidationException", f"{arn} is not a state machine version ARN.")
        with self._store.lock:
            using = [
                alias["name"]
                for alias in self._aliases_of(plain)
                if any(route["stateMachineVersionArn"] == arn for route in alias["routingConfiguration"])
            ]
            if using:
                raise AwsError(
                    "ConflictException",
                    "Version to be deleted must not be referenced by an alias. Current list of aliases referencing this "
                    f"version: [{', '.join(using)}]",
                )
            if arn in self._store.versions:
                self._store.remove(self._store.versions[arn])
        return {}

    def _op_CreateStateMachineAlias(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["name"]
        if not re.fullmatch(ALIAS_NAME, name):
            raise AwsError(
                "ValidationException",
                f"1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: Member must satisfy "
                f"regular expression pattern: {ALIAS_NAME}",
            )
        with self._store.lock:
            machine_arn = self._routed(request["routingConfiguration"])
            arn = f"{machine_arn}:{name}"
            given = {k: request[k] for k in ("description", "routingConfiguration") if k in request}
            existing = self._store.aliases.get(arn)
            if existing:
                if any(existing.get(k) != given.get(k) for k in ("description", "routingConfiguration")):
                    raise AwsError(
                        "ConflictException",
                        "Failed to create alias because an alias with the same name and a different routing "
                        "configuration already exists.",
                    )
                return {"stateMachineAliasArn": arn, "creationDate": moment(existing["creationDate"])}
            if len(self._aliases_of(machine_arn)) >= MAXIMUM_ALIASES:
                raise AwsError("ServiceQuotaExceededException", "The maximum number of aliases was reached.")
            now = self._store.clock.now()
            made: dict[str, Any] = {
                "stateMachineAliasArn": arn,
                "name": name,
                **given,
                "creationDate": now,
                "updateDate": now,
            }
            self._store.save(made)
        return {"stateMachineAliasArn": arn, "creationDate": moment(now)}

    def _op_UpdateStateMachineAlias(self, request: dict[str, Any]) -> dict[str, Any]:
        changes = {k: request[k] for k in ("description", "routingConfiguration") if k in request}
        with self._store.lock:
            alias = self._alias(request["stateMachineAliasArn"])
            if not changes:
                raise AwsError(
                    "ValidationException", "Either the description or the RoutingConfiguration must be specified"
                )
            if "routingConfiguration" in changes:
                machine_arn = self._routed(changes["routingConfiguration"])
                if machine_arn != unqualified(alias["stateMachineAliasArn"])[0]:
                    raise AwsError("ValidationException", "An alias must stay with its state machine.")
            changed: dict[str, Any] = {**alias, **changes, "updateDate": self._store.clock.now()}
            self._store.save(changed)
        return {"updateDate": moment(changed["updateDate"])}

    def _op_DescribeStateMachineAlias(self, request: dict[str, Any]) -> dict[str, Any]:
        alias = self._alias(request["stateMachineAliasArn"])
        dates = {name: moment(alias[name]) for name in ("creationDate", "updateDate")}
        return {**alias, **dates}

    def _op_ListStateMachineAliases(self, request: dict[str, Any]) -> dict[str, Any]:
        plain, qualifier = unqualified(request["stateMachineArn"])
        self._store.machine(plain)
        shown = [
            {"stateMachineAliasArn": alias["stateMachineAliasArn"], "creationDate": moment(alias["creationDate"])}
            for alias in self._aliases_of(plain)
            if not qualifier
            or any(r["stateMachineVersionArn"] == request["stateMachineArn"] for r in alias["routingConfiguration"])
        ]
        return page("stateMachineAliases", shown, request, default=100)

    def _op_DeleteStateMachineAlias(self, request: dict[str, Any]) -> dict[str, Any]:
        check_arn(request["stateMachineAliasArn"], "stateMachine")
        with self._store.lock:
            alias = self._store.aliases.get(request["stateMachineAliasArn"])
            if alias:
                self._store.remove(alias)
        return {}

    def _alias(self, arn: str) -> dict[str, Any]:
        check_arn(arn, "stateMachine")
        if arn not in self._store.aliases:
            raise AwsError("ResourceNotFound", "Request references a resource that does not exist.")
        return self._store.aliases[arn]

    def _of(self, machine_arn: str) -> list[dict[str, Any]]:
        """Versions of a state machine, the newest first."""
        found = [v for v in self._store.versions.values() if v["stateMachineArn"] == machine_arn]
        return sorted(found, key=lambda version: -version["number"])

    def _aliases_of(self, machine_arn: str) -> list[dict[str, Any]]:
        found = [a for a in self._store.aliases.values() if unqualified(a["stateMachineAliasArn"])[0] == machine_arn]
        return sorted(found, key=lambda alias: alias["name"])

    def _routed(self, routes: list[dict[str, Any]]) -> str:
        """The state machine of a routing configuration; ValidationException for what AWS refuses."""
        arns = [route["stateMachineVersionArn"] for route in routes]
        shown = f"[{', '.join(arns)}]"
        if not all(unqualified(arn)[1].isdigit() for arn in arns):
            raise AwsError(
                "ValidationException",
                f"Routing configuration must contain state machine version ARNs. Received: {shown}",
            )
        if len(set(arns)) != len(arns):
            raise AwsError(
                "ValidationException",
                f"Routing configuration must contain distinct state machine version ARNs. Received: {shown}",
            )
        if len({unqualified(arn)[0] for arn in arns}) != 1:
            raise AwsError(
                "ValidationException",
                f"Routing configuration must contain versions of one state machine. Received: {shown}",
            )
        weights = [route["weight"] for route in routes]
        if sum(weights) != 100:
            raise AwsError(
                "ValidationException", f"Sum of routing configuration weights must equal 100. Received: {weights}"
            )
        for arn in arns:
            if arn not in self._store.versions:
                raise AwsError("ResourceNotFound", "Request references a resource that does not exist.")
        return unqualified(arns[0])[0]
