"""Allowed or denied, for every call that somebody other than the account's root makes: off, reported, or enforced.

`report` lets everything happen and remembers what AWS would have denied; `enforce` denies it in AWS's words.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_cloud.access.actions import Needed, Place
from local_cloud.access.decision import Asked, Caller, Verdict, judge
from local_cloud.access.principals import Principals, of_resource
from local_cloud.access.resource_tags import tags_of_resource
from local_cloud.access.simulation import simulate
from local_cloud.access.unused import Element, elements
from local_cloud.clock import Clock
from local_cloud.documents import read_json, write_json
from local_cloud.errors import AwsError
from local_cloud.refusals import refusal

MODES = ("off", "report", "enforce")
KEPT = 5000  # questions that are remembered, each with its answer
ALIKE = 20  # of them about objects of one folder


@dataclass(frozen=True)
class Acting:
    """The role in whose name a part of the cloud works: a state machine's, a job's."""

    role_arn: str
    session: str


_ACTING: ContextVar[Acting | None] = ContextVar("acting", default=None)


@contextlib.contextmanager
def acting(role_arn: str | None, session: str) -> Iterator[None]:
    """What this thread asks for inside is asked in the name of the role; without one, nothing changes."""
    token = _ACTING.set(Acting(role_arn, session) if role_arn else _ACTING.get())
    try:
        yield
    finally:
        _ACTING.reset(token)


@contextlib.contextmanager
def itself() -> Iterator[None]:
    """Inside, this thread works for the cloud: what a service does once a call is permitted needs no leave of the caller."""
    token = _ACTING.set(None)
    try:
        yield
    finally:
        _ACTING.reset(token)


def current() -> Acting | None:
    """In whose name this thread works, to be handed to a thread of its own."""
    return _ACTING.get()


def become(actor: Acting | None) -> None:
    """From now on this thread works in that name."""
    _ACTING.set(actor)


class Authority:
    """Judges calls; `questions` says what was asked, by whom, and how AWS would have answered."""

    def __init__(self, account_id: str, region: str, kept: Path, clock: Clock):
        """`kept` is the file that remembers the mode."""
        self._kept = kept
        self.mode = read_json(kept)["mode"] if kept.exists() else "report"
        self.principals = Principals(account_id)
        self.place = Place(account_id, region)
        # Policies at resources of services that are the cloud's own, by the service: a resource's ARN to a document.
        self.resource_policies: dict[str, Callable[[str], str | None]] = {}
        self._clock = clock
        # The tags of a resource of SageMaker or Step Functions, by service and ARN; the cloud knows once these are there.
        self.tags_of_own: Callable[[str, str], Mapping[str, str]] = lambda service, arn: {}
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._folders: dict[tuple[str, str, str, bool], int] = {}

    def change(self, mode: str) -> None:
        """Another mode from now on; `off` forgets what was asked before."""
        if mode not in MODES:
            raise AwsError(
                "ValidationException", f"The mode of permissions is {mode!r}; allowed are {', '.join(MODES)}."
            )
        write_json(self._kept, {"mode": mode})
        with self._lock:
            self.mode = mode
            if mode == "off":
                self._asked, self._folders = {}, {}

    def caller(self) -> Caller | None:
        """In whose name this thread works; None when it is the cloud itself, or permissions are off."""
        now = _ACTING.get()
        if now is None or self.mode == "off":
            return None
        return self.principals.of_role(now.role_arn, now.session)

    def holder(self, holder: Any) -> Caller | None:
        """The caller whose key signed a request: a session or a user of moto's; None is the root, which may do everything."""
        if holder is None or self.mode == "off":
            return None
        if hasattr(holder, "role_arn"):
            return self.principals.of_role(holder.role_arn, holder.session_name, holder.policy or None)
        return self.principals.of_user(holder)

    def check(self, caller: Caller, service: str, permissions: Iterable[Needed]) -> None:
        """Judges and remembers each permission; raises AWS's AccessDenied for the first that is denied, when enforced."""
        facts = self.principals.facts(caller)
        for permission in permissions:
            verdict = self.judge(caller, permission, facts)
            self._note(caller, permission, verdict)
            if not verdict.allowed and self.mode == "enforce":
                raise denied(service, caller, permission, verdict)

    def check_here(self, service: str, permissions: Iterable[Needed]) -> None:
        """The same in whose name this thread works."""
        caller = self.caller()
        if caller is not None:
            self.check(caller, service, permissions)

    def note_here(self, permissions: Iterable[Needed]) -> None:
        """What a service does on the side, as writing a job's log: AWS leaves it out when it is denied, and goes on."""
        caller = self.caller()
        if caller is None:
            return
        for permission in permissions:
            self._note(caller, permission, self.judge(caller, permission))

    def judge(self, caller: Caller, permission: Needed, facts: Mapping[str, list[str]] | None = None) -> Verdict:
        """AWS's judgement, with the condition keys that every request has; `facts` are those about the caller."""
        if permission.action == "sts:GetCallerIdentity":
            return Verdict(True)  # nobody needs leave for it
        now = self._clock.moment()
        context = {
            "aws:currenttime": [now.isoformat()],
            "aws:epochtime": [str(int(now.timestamp()))],
            "aws:requestedregion": [self.place.region],
            "aws:resourceaccount": [self.place.account],
            "aws:securetransport": ["true"],  # AWS's endpoints speak TLS; this one is on the loopback interface
            "aws:sourceip": ["127.0.0.1"],
            **(self.principals.facts(caller) if facts is None else facts),
            **self._tags(permission),
            **permission.context,
        }
        policy, decides = of_resource(
            permission.action, permission.resource, self.place.account, self.place.region, self.resource_policies
        )
        return judge(
            caller, Asked(permission.action, permission.resource, self.place.account, context, policy, decides)
        )

    def _tags(self, permission: Needed) -> dict[str, list[str]]:
        return tags_of_resource(
            permission.action, permission.resource, self.place.account, self.place.region, self.tags_of_own
        )

    def check_trust(self, role_arn: str, service: str) -> None:
        """Whether the role lets the service assume it: `states.amazonaws.com` and the like."""
        if self.mode == "off":
            return
        context = {"aws:sourceaccount": [self.place.account]}
        self.check(Caller(service), "sts", [Needed("sts:AssumeRole", role_arn, context)])

    def simulated(self, operation: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to SimulatePrincipalPolicy or SimulateCustomPolicy."""
        return simulate(self.principals, self.place.account, operation, asked)

    def questions(self) -> list[dict[str, Any]]:
        """What was asked since the cloud started, denied first, each once."""
        with self._lock:
            found = [dict(each) for each in self._asked.values()]
        return sorted(found, key=lambda each: (each["allowed"], each["principal"], each["action"], each["resource"]))

    def unused(self) -> dict[str, list[Element]]:
        """For each role that has asked something: its actions and resources, and which of them nothing has needed."""
        calls: dict[str, list[Needed]] = {}
        for each in self.questions():
            if each["allowed"] and each["principal"].startswith("role "):
                needs = Needed(each["action"], each["resource"], each["context"])
                calls.setdefault(each["principal"].removeprefix("role "), []).append(needs)
        roles = {role.name: role.arn for role in self.principals.roles()}
        return {
            name: elements(
                self.principals.of_role(roles[name], "asked"),
                made,
                lambda caller, call: self.judge(caller, call).allowed,
            )
            for name, made in sorted(calls.items())
            if name in roles
        }

    def _note(self, caller: Caller, permission: Needed, verdict: Verdict) -> None:
        session = caller.role_of_session()
        principal = f"role {session[1]}" if session else caller.arn
        key = (principal, permission.action, permission.resource)
        with self._lock:
            known = self._asked.get(key)
            if known is None or (known["allowed"] and not verdict.allowed):
                folder = (principal, permission.action, permission.resource.rpartition("/")[0], verdict.allowed)
                self._folders[folder] = self._folders.get(folder, 0) + 1
                if len(self._asked) >= KEPT or self._folders[folder] > ALIKE:
                    return
                known = self._asked[key] = {
                    "principal": principal, "action": permission.action, "resource": permission.resource,
                    "allowed": verdict.allowed, "reason": verdict.reason, "denied_by": verdict.denied_by,
                    "context": {k: list(v) for k, v in permission.context.items()}, "times": 0,
                }  # fmt: skip
            known["times"] += 1


def denied(service: str, caller: Caller, permission: Needed, verdict: Verdict) -> AwsError:
    """AWS's words, in the family of codes of the service that was asked.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
    """
    kind = "" if verdict.reason.startswith("with") else f" the {permission.action} action"
    return refusal(
        "denied", service,
        f"User: {caller.arn} is not authorized to perform: {permission.action} on resource: "
        f"{permission.resource if permission.resource.startswith('arn:') else '*'} {verdict.reason.removesuffix(' it')}{kind}",
    )  # fmt: skip
