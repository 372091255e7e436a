"""SimulatePrincipalPolicy and SimulateCustomPolicy: the judgement on calls that nobody makes.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from local_cloud.access.decision import Asked, Caller, Verdict, judge
from local_cloud.access.policy import MalformedPolicy, Policy, read_policy
from local_cloud.access.principals import Principals
from local_cloud.errors import AwsError

OPERATIONS = ("SimulateCustomPolicy", "SimulatePrincipalPolicy")


def simulate(principals: Principals, account_id: str, operation: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The answer in the API's shape. Raises NoSuchEntity and InvalidInput."""
    caller = _caller(principals, account_id, operation, asked)
    context = {
        entry["ContextKeyName"].lower(): list(entry.get("ContextKeyValues", ()))
        for entry in asked.get("ContextEntries", ())
    }
    of_resource = _read([asked["ResourcePolicy"]], "ResourcePolicy")[0] if asked.get("ResourcePolicy") else None
    results = []
    for action in asked["ActionNames"]:
        if ":" not in action:
            raise AwsError("InvalidInput", f"Invalid Action Name: {action!r}. An action is written service:Name.")
        for resource in asked.get("ResourceArns") or ["*"]:
            owner = resource.split(":")[4] if resource.count(":") >= 5 else ""
            verdict = judge(caller, Asked(action, resource, owner or account_id, context, of_resource))
            results.append(_result(action, resource, caller, verdict))
    return {"EvaluationResults": results, "IsTruncated": False}


def _caller(principals: Principals, account_id: str, operation: str, asked: Mapping[str, Any]) -> Caller:
    given = _read(asked.get("PolicyInputList", ()), "PolicyInputList")
    bounds = _read(asked.get("PermissionsBoundaryPolicyInputList", ()), "PermissionsBoundaryPolicyInputList")
    if operation == "SimulateCustomPolicy":
        arn = asked.get("CallerArn") or f"arn:aws:iam::{account_id}:user/simulated"
        return Caller(arn, given, bounds[0] if bounds else None)
    source = principals.identity(asked["PolicySourceArn"])
    if source is None:
        raise AwsError("NoSuchEntity", f"The entity {asked['PolicySourceArn']} does not exist.", 404)
    return Caller(
        asked.get("CallerArn") or source.arn, (*source.identity, *given), bounds[0] if bounds else source.boundary
    )


def _result(action: str, resource: str, caller: Caller, verdict: Verdict) -> dict[str, Any]:
    denied = "explicitDeny" if verdict.reason.startswith("with") else "implicitDeny"
    result: dict[str, Any] = {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": "allowed" if verdict.allowed else denied,
        "MatchedStatements": [],
        "MissingContextValues": [],
    }
    if caller.boundary is not None:
        outside = "boundary" in verdict.reason
        result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": not outside}
    return result


def _read(documents: Iterable[str], member: str) -> tuple[Policy, ...]:
    try:
        return tuple(read_policy(document, member) for document in documents)
    except MalformedPolicy as fault:
        raise AwsError("InvalidInput", f"{member}: {fault}") from None
