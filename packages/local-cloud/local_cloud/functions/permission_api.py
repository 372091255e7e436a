"""Who else may invoke a function: the policy at the function, made of statements."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

from local_cloud.functions.function_api import Functions
from local_cloud.functions.names import failure, reference
from local_cloud.functions.store import Function, Store

if TYPE_CHECKING:
    from local_cloud.context import CloudContext

CONDITIONS = {
    "SourceArn": ("ArnLike", "AWS:SourceArn"), "SourceAccount": ("StringEquals", "AWS:SourceAccount"),
    "PrincipalOrgID": ("StringEquals", "aws:PrincipalOrgID"), "EventSourceToken": ("StringEquals", "lambda:EventSourceToken"),
    "FunctionUrlAuthType": ("StringEquals", "lambda:FunctionUrlAuthType"),
    "InvokedViaFunctionUrl": ("Bool", "lambda:InvokedViaFunctionUrl"),
}  # fmt: skip
MISSING = "The resource you requested does not exist."


class Permissions:
    """AddPermission, RemovePermission, GetPolicy."""

    def __init__(self, context: CloudContext, store: Store, functions: Functions):
        self._context, self._store, self._functions = context, store, functions

    def document(self, arn: str) -> str | None:
        """The policy that stands at a function, a version or an alias, as a document; None when there is none."""
        named = reference(arn, self._context.authority.place)
        function = self._store.find(named.name)
        policy = function.policies.get(_place(named.qualifier)) if function else None
        return _document(policy) if policy else None

    def _op_AddPermission(self, request: dict[str, Any]) -> dict[str, Any]:
        function, named, _ = self._functions.found(request)
        if named.qualifier == "$LATEST":
            raise failure("InvalidParameterValueException", "We currently do not support adding policies for $LATEST.")
        principal = request["Principal"]
        if not re.fullmatch(r"\*|\d{12}|arn:[\w-]+:iam::\d{12}:.+|[\w.-]+\.amazonaws\.com(\.cn)?", principal):
            words = "The provided principal was invalid. Please check the principal and try again."
            raise failure("InvalidParameterValueException", words)
        action = request["Action"]
        if not action.startswith("lambda:"):
            raise failure(
                "ValidationException",
                f"1 validation error detected: Value '{action}' at 'action' failed to satisfy constraint: Member "
                "must satisfy regular expression pattern: (lambda:[*]|lambda:[a-zA-Z]+|[*])",
            )
        statement: dict[str, Any] = {
            "Sid": request["StatementId"], "Effect": "Allow", "Principal": _principal(principal), "Action": action,
            "Resource": function.qualified(named.qualifier),
        }  # fmt: skip
        conditions: dict[str, dict[str, Any]] = {}
        for member, (operator, key) in CONDITIONS.items():
            if member in request:
                conditions.setdefault(operator, {})[key] = request[member]
        if conditions:
            statement["Condition"] = conditions
        with self._store.change(named.name, function.arn) as function:
            policy = function.policies.setdefault(_place(named.qualifier), {"statements": []})
            if any(one["Sid"] == statement["Sid"] for one in policy["statements"]):
                words = (
                    f"The statement id ({statement['Sid']}) provided already exists. Please provide a new statement id, or "
                    "remove the existing statement."
                )
                raise failure("ResourceConflictException", words, 409)
            policy["statements"].append(statement)
            policy["revision"] = _revised(function, named.qualifier)
        return {"Statement": json.dumps(statement, separators=(",", ":"))}

    def _op_RemovePermission(self, request: dict[str, Any]) -> dict[str, Any]:
        function, named, _ = self._functions.found(request)
        with self._store.change(named.name, function.arn) as function:
            policy = function.policies.get(_place(named.qualifier))
            if policy is None:
                raise failure("ResourceNotFoundException", "No policy is associated with the given resource.", 404)
            left = [one for one in policy["statements"] if one["Sid"] != request["StatementId"]]
            if len(left) == len(policy["statements"]):
                words = f"Statement {request['StatementId']} is not found in resource policy."
                raise failure("ResourceNotFoundException", words, 404)
            if left:
                policy.update(statements=left, revision=_revised(function, named.qualifier))
            else:
                del function.policies[_place(named.qualifier)]
        return {}

    def _op_GetPolicy(self, request: dict[str, Any]) -> dict[str, Any]:
        function, named, _ = self._functions.found(request)
        policy = function.policies.get(_place(named.qualifier))
        if policy is None:
            raise failure("ResourceNotFoundException", MISSING, 404)
        return {"Policy": _document(policy), "RevisionId": policy["revision"]}


def _revised(function: Function, qualifier: str | None) -> str:
    """A new revision of what the policy stands at: one id tells of both."""
    revision = str(uuid.uuid4())
    holder = function.aliases.get(qualifier or "") or function.versions[qualifier or "$LATEST"]
    holder["RevisionId"] = revision
    return revision


def _place(qualifier: str | None) -> str:
    return qualifier if qualifier and qualifier != "$LATEST" else ""


def _document(policy: dict[str, Any]) -> str:
    return json.dumps(
        {"Version": "2012-10-17", "Id": "default", "Statement": policy["statements"]}, separators=(",", ":")
    )


def _principal(said: str) -> Any:
    if said == "*":
        return "*"
    if re.fullmatch(r"\d{12}", said):
        return {"AWS": f"arn:aws:iam::{said}:root"}
    return {"AWS": said} if said.startswith("arn:") else {"Service": said}
