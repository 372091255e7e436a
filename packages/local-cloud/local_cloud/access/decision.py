"""The judgement on one request, from all policies that concern it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from local_cloud.access.conditions import holds
from local_cloud.access.patterns import Unresolved, matches_action, matches_arn, resolve
from local_cloud.access.policy import Policy, Principals, Statement

OF_RESOURCE = "a resource-based policy"
_SESSION = re.compile(r"arn:([^:]+):sts::(\d{12}):assumed-role/(.+)/([^/]+)")


class Grant(Enum):
    """How directly a resource's policy names who asks, from the least to the most."""

    NONE = 0
    ACCOUNT = 1  # arn:aws:iam::111122223333:root: the account's own policies decide
    ROLE = 2  # the role of the session that asks
    DIRECT = 3  # this user, this session, this service, or everybody


@dataclass(frozen=True)
class Caller:
    """Who asks: the ARN of a user, a role's session or the account's root, or the name of a service."""

    arn: str
    identity: tuple[Policy, ...] = ()
    boundary: Policy | None = None
    session: tuple[Policy, ...] | None = None  # None: no session policy was given

    @property
    def is_service(self) -> bool:
        return self.arn.endswith(".amazonaws.com")

    @property
    def is_root(self) -> bool:
        return self.arn.endswith(":root")

    @property
    def account(self) -> str:
        return "" if self.is_service else self.arn.split(":")[4]

    def role_of_session(self) -> tuple[str, str] | None:
        """Account and role name of a session; a session's ARN leaves out the role's path."""
        found = _SESSION.fullmatch(self.arn)
        return (found[2], found[3]) if found else None


@dataclass(frozen=True)
class Asked:
    """One action on one resource; `context` holds condition keys in lower case, each with its values."""

    action: str
    resource: str
    account: str
    context: Mapping[str, list[str]] = field(default_factory=dict)
    resource_policy: Policy | None = None
    # Key policies and trust policies decide alone: without their leave no other policy helps.
    resource_decides: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether the request is allowed; else `reason` says what refused it, `statement` the one that denies."""

    allowed: bool
    reason: str = ""
    denied_by: str = ""


def judge(caller: Caller, asked: Asked) -> Verdict:
    """AWS's order: an explicit Deny anywhere, then what the resource grants, then what the identity may within its bounds."""
    kinds = {
        "an identity-based policy": caller.identity,
        "a permissions boundary": [policy for policy in (caller.boundary,) if policy],
        "a session policy": caller.session or (),
        OF_RESOURCE: [policy for policy in (asked.resource_policy,) if policy],
    }
    for kind, policies in kinds.items():
        for policy in policies:
            for statement in policy.statements:
                if not statement.allow and _applies(statement, caller, asked, kind == OF_RESOURCE):
                    return Verdict(False, f"with an explicit deny in {kind}", f"{policy.name} {statement.sid}".strip())
    granted = _granted(caller, asked)
    if caller.is_service:
        return _verdict(granted is Grant.DIRECT, "because no resource-based policy allows it")
    if caller.is_root and caller.account == asked.account and not asked.resource_decides:
        return Verdict(True)
    return _weighed(caller, asked, granted)


def _weighed(caller: Caller, asked: Asked, granted: Grant) -> Verdict:
    identity = caller.is_root or _allows(caller.identity, caller, asked)
    boundary = caller.boundary is None or _allows([caller.boundary], caller, asked)
    session = caller.session is None or _allows(caller.session, caller, asked)
    within = boundary and session
    if caller.account == asked.account:
        if granted is Grant.DIRECT:  # not bound by what boundary and session leave out
            return Verdict(True)
        if granted is Grant.ROLE:
            return _verdict(within, _outside(boundary))
        if asked.resource_decides and granted is Grant.NONE:
            return Verdict(False, "because no resource-based policy allows it")
    elif granted is Grant.NONE:
        return Verdict(False, "because no resource-based policy allows it")
    if not identity:
        return Verdict(False, "because no identity-based policy allows it")
    return _verdict(within, _outside(boundary))


def _verdict(allowed: bool, reason: str) -> Verdict:
    return Verdict(True) if allowed else Verdict(False, reason)


def _outside(boundary: bool) -> str:
    return f"because no {'session policy' if boundary else 'permissions boundary'} allows it"


def _allows(policies: Iterable[Policy], caller: Caller, asked: Asked) -> bool:
    return any(
        statement.allow and _applies(statement, caller, asked, of_resource=False)
        for policy in policies
        for statement in policy.statements
    )


def _granted(caller: Caller, asked: Asked) -> Grant:
    statements = asked.resource_policy.statements if asked.resource_policy else ()
    grants = [
        _grant(statement.principals, caller)
        for statement in statements
        if statement.allow and statement.principals and _applies(statement, caller, asked, of_resource=True)
    ]
    return max(grants, key=lambda grant: grant.value, default=Grant.NONE)


def _applies(statement: Statement, caller: Caller, asked: Asked, of_resource: bool) -> bool:
    """Whether principal, action, resource and conditions all fit."""
    if of_resource and (statement.principals is None or _grant(statement.principals, caller) is Grant.NONE):
        return False
    actions = statement.actions
    if any(matches_action(pattern, asked.action) for pattern in actions.values) == actions.inverted:
        return False
    if not _concerns(statement, asked, complete=not of_resource):
        return False
    return all(holds(condition, asked.context, statement.variables) for condition in statement.conditions)


def _concerns(statement: Statement, asked: Asked, complete: bool) -> bool:
    listed = statement.resources
    if listed is None:  # a trust policy: it stands at its role
        return True
    found = False
    for pattern in listed.values:
        try:
            resolved = resolve(pattern, asked.context, statement.variables)
        except Unresolved:
            continue
        found = found or matches_arn(resolved, asked.resource, complete)
    return found != listed.inverted


def _grant(principals: Principals, caller: Caller) -> Grant:
    best = max((_named(kind, value, caller) for kind, value in principals.values), key=lambda g: g.value)
    if principals.inverted:
        return Grant.DIRECT if best is Grant.NONE else Grant.NONE
    return best


def _named(kind: str, value: str, caller: Caller) -> Grant:
    if kind == "Service":
        return Grant.DIRECT if caller.is_service and value == caller.arn else Grant.NONE
    if kind != "AWS":
        return Grant.NONE
    if value == "*":
        return Grant.DIRECT
    if caller.is_service:
        return Grant.NONE
    if value == caller.arn and not caller.is_root:
        return Grant.ROLE if ":role/" in value else Grant.DIRECT
    if value == caller.account or re.fullmatch(rf"arn:[^:]+:iam::{caller.account}:root", value):
        return Grant.ACCOUNT
    session = caller.role_of_session()
    role = re.fullmatch(r"arn:[^:]+:iam::(\d{12}):role/(?:.*/)?([^/]+)", value)
    return Grant.ROLE if session and role and session == (role[1], role[2]) else Grant.NONE
