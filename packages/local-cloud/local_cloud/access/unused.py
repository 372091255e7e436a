"""What a role's policies allow and nothing needed: each action and each resource pattern is taken out once.

Where every call that was seen would still be allowed without it, the pattern is unused, or another one covers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from local_cloud.access.actions import Needed
from local_cloud.access.decision import Caller
from local_cloud.access.policy import Listed, Policy, Statement

Allowed = Callable[[Caller, Needed], bool]


@dataclass(frozen=True)
class Element:
    """One value of a statement; `needed` says whether a call that was seen would be denied without it."""

    policy: str
    sid: str
    element: str
    value: str
    beside: tuple[str, ...]
    needed: bool


def elements(caller: Caller, calls: Sequence[Needed], allowed: Allowed) -> list[Element]:
    """Every action and resource of the caller's own Allow statements, judged by the calls that were made."""
    return list(_each(caller, calls, allowed))


def _each(caller: Caller, calls: Sequence[Needed], allowed: Allowed) -> Iterator[Element]:
    for number, policy in enumerate(caller.identity):
        for index, statement in enumerate(policy.statements):
            if not statement.allow:
                continue
            alone = _with(caller, number, Policy(policy.name, (statement,)), only=True)
            concerned = [call for call in calls if allowed(alone, call)]
            for name, listed in (("Action", statement.actions), ("Resource", statement.resources)):
                for value in listed.values if listed and not listed.inverted else ():
                    without = _without(caller, number, index, statement, name, value)
                    needed = any(not allowed(without, call) for call in concerned)
                    beside = statement.resources if name == "Action" else statement.actions
                    yield Element(policy.name, statement.sid, name, value, beside.values if beside else (), needed)


def _without(caller: Caller, number: int, index: int, statement: Statement, name: str, value: str) -> Caller:
    listed = statement.actions if name == "Action" else statement.resources
    assert listed is not None
    left = Listed(tuple(each for each in listed.values if each != value))
    changed = replace(statement, actions=left) if name == "Action" else replace(statement, resources=left)
    statements = list(caller.identity[number].statements)
    statements[index : index + 1] = [changed] if left.values else []
    return _with(caller, number, Policy(caller.identity[number].name, tuple(statements)))


def _with(caller: Caller, number: int, policy: Policy, only: bool = False) -> Caller:
    policies = list(caller.identity)
    policies[number] = policy
    return replace(caller, identity=(policy,) if only else tuple(policies))
