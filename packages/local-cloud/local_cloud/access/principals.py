"""Who asks, from what IAM holds of roles and users, and what stands at resources: trust, bucket, key, topic and queue policies."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from local_cloud.access.decision import Caller
from local_cloud.access.policy import MalformedPolicy, Policy, read_policy

logger = logging.getLogger("local_cloud")
PARTITION = "aws"


class Principals:
    """The identities of one account, read from moto's IAM at each question: a changed policy counts at once."""

    def __init__(self, account_id: str):
        self._account = account_id
        self._seen: dict[str, Any] = {}

    def of_role(self, role_arn: str, session_name: str, session_policy: str | None = None) -> Caller:
        """The caller that a session of this role is; the session of a deleted role may do nothing."""
        arn = f"arn:{PARTITION}:sts::{self._account}:assumed-role/{role_arn.rsplit('/', 1)[-1]}/{session_name}"
        role = self.role(role_arn)
        if role is None:
            return Caller(arn)
        session = None if session_policy is None else _all({"session policy": session_policy})
        return Caller(arn, _of_identity(role), self._boundary(role.permissions_boundary_arn), session)

    def of_user(self, user: Any) -> Caller:
        """The caller that an IAM user is, with the policies of its groups."""
        groups = [group for group in self._iam.groups.values() if user in group.users]
        policies = tuple(policy for identity in (user, *groups) for policy in _of_identity(identity))
        return Caller(user.arn, policies, self._boundary(getattr(user, "permissions_boundary_arn", None)))

    def identity(self, arn: str) -> Caller | None:
        """A user, group or role with its policies, as itself and not as a session; None when there is none."""
        role = self.role(arn)
        if role is not None:
            return Caller(arn, _of_identity(role), self._boundary(role.permissions_boundary_arn))
        for user in list(self._iam.users.values()):
            if user.arn == arn:
                return self.of_user(user)
        group = next((group for group in list(self._iam.groups.values()) if group.arn == arn), None)
        return Caller(arn, _of_identity(group)) if group is not None else None

    def roles(self) -> list[Any]:
        """moto's records of all roles."""
        return list(self._iam.roles.values())

    def role(self, role_arn: str) -> Any | None:
        """moto's record of a role; one that was found before is looked at first, and is it as long as IAM has it."""
        roles = self._iam.roles
        known = self._seen.get(role_arn)
        if known is not None and known.arn == role_arn and roles.get(known.id) is known:
            return known
        found = next((role for role in list(roles.values()) if role.arn == role_arn), None)
        if found is not None:
            self._seen[role_arn] = found
        return found

    def facts(self, caller: Caller) -> dict[str, list[str]]:
        """The condition keys that tell about the caller.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
        """
        if caller.is_service:
            return {"aws:principaltype": ["Service"], "aws:principalisawsservice": ["true"],
                    "aws:principalservicename": [caller.arn]}  # fmt: skip
        facts = {"aws:principalaccount": [caller.account], "aws:principalisawsservice": ["false"]}
        session = caller.role_of_session()
        if session:
            role = next((role for role in self.roles() if role.name == session[1]), None)
            if role is not None:
                facts |= {
                    "aws:principalarn": [role.arn],
                    "aws:principaltype": ["AssumedRole"],
                    "aws:userid": [f"{role.id}:{caller.arn.rsplit('/', 1)[1]}"],
                }
                facts |= _tags("aws:principaltag", _role_tags(role))
            return facts
        facts |= {"aws:principalarn": [caller.arn], "aws:principaltype": ["Account" if caller.is_root else "User"]}
        if not caller.is_root:
            facts["aws:username"] = [caller.arn.rsplit("/", 1)[1]]
        return facts

    @property
    def _iam(self) -> Any:
        from moto.iam.models import iam_backends

        return iam_backends[self._account][PARTITION]

    def _boundary(self, arn: str | None) -> Policy | None:
        """A boundary that is gone or cannot be read leaves nothing allowed; without one there is no bound."""
        if not arn:
            return None
        managed = self._iam.managed_policies.get(arn)
        return (_first(arn, _current(managed)) if managed else None) or Policy(arn, ())


def of_resource(
    action: str, resource: str, account_id: str, region: str, own: Mapping[str, Callable[[str], str | None]]
) -> tuple[Policy | None, bool]:
    """The policy that stands at the resource, and whether nothing is allowed without it."""
    service, _, name = action.partition(":")
    document: Any = None
    if service == "s3" and resource.startswith(f"arn:{PARTITION}:s3:::"):
        from moto.s3.models import s3_backends

        bucket = s3_backends[account_id][PARTITION].buckets.get(resource.rsplit(":", 1)[1].partition("/")[0])
        document = getattr(bucket, "policy", None)
    elif service in own and resource.startswith("arn:"):
        document = own[service](resource)
    elif service == "kms" and ":key/" in resource:
        from moto.kms.models import kms_backends

        key = kms_backends[account_id][region].keys.get(resource.rsplit("/", 1)[1])
        return _first(resource, getattr(key, "policy", None)), True
    elif service == "sns":
        from moto.sns.models import sns_backends

        document = getattr(sns_backends[account_id][region].topics.get(resource), "policy", None)
    elif service == "sqs":
        from moto.sqs.models import sqs_backends

        document = getattr(sqs_backends[account_id][region].queues.get(resource.rpartition(":")[2]), "policy", None)
    elif service == "sts" and name.startswith(("AssumeRole", "TagSession")):
        role = Principals(account_id).role(resource)
        return _first(resource, getattr(role, "assume_role_policy_document", None)), True
    return _first(resource, document), False


def _role_tags(role: Any) -> Mapping[str, str]:
    tags = role.tags
    if isinstance(tags, Mapping):
        return {key: tag["Value"] if isinstance(tag, Mapping) else tag for key, tag in tags.items()}
    return {tag["Key"]: tag["Value"] for tag in tags or ()}


def _tags(prefix: str, tags: Mapping[str, str]) -> dict[str, list[str]]:
    return {f"{prefix}/{key}".lower(): [value] for key, value in tags.items()}


def _of_identity(identity: Any) -> tuple[Policy, ...]:
    managed = {arn: _current(policy) for arn, policy in identity.managed_policies.items()}
    return _all({**identity.policies, **managed})


def _current(policy: Any) -> str:
    """The document of a managed policy's default version."""
    return next(version.document for version in policy.versions if version.is_default)


def _first(name: str, document: Any) -> Policy | None:
    policies = _all({name: document}) if document else ()
    return policies[0] if policies else None


def _all(documents: Mapping[str, Any]) -> tuple[Policy, ...]:
    return tuple(_readable(documents.items()))


def _readable(documents: Iterable[tuple[str, Any]]) -> Iterable[Policy]:
    """A document that IAM should have refused allows nothing."""
    for name, document in documents:
        text = document.decode() if isinstance(document, bytes) else document
        try:
            yield read_policy(text, name)
        except MalformedPolicy as fault:
            logger.warning("The policy %s counts for nothing: %s", name, fault)
