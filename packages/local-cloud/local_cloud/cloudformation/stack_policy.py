"""Stack policies: which updates of which resources a stack allows.

Without a policy everything is allowed; with one, everything that no statement allows is denied, and a Deny wins. A policy
guards updates only, not DeleteStack.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/protect-stack-resources.html
"""

from __future__ import annotations

import fnmatch
import json
from typing import Any

from local_cloud.cloudformation.template import invalid

ACTIONS = ("Update:*", "Update:Modify", "Update:Replace", "Update:Delete")
FIELDS = {"Sid", "Effect", "Action", "NotAction", "Principal", "Resource", "NotResource", "Condition"}
TESTS = {"StringEquals": lambda value, wanted: value == wanted, "StringLike": fnmatch.fnmatchcase}
PREFIX = "LogicalResourceId/"


class StackPolicy:
    """A parsed policy; an empty text or an empty object is none."""

    def __init__(self, text: str):
        self._statements = _parsed(text)

    def refusal(self, action: str, logical_id: str, kind: str) -> str | None:
        """Why an action (`Update:Modify`, ...) on a resource is not allowed, or None."""
        if not self._statements:
            return None
        applying = [s for s in self._statements if _applies(s, action, logical_id, kind)]
        for statement in applying:
            if statement["Effect"] == "Deny":
                number = self._statements.index(statement) + 1
                named = next((statement[name] for name in ("Resource", "NotResource") if name in statement), "*")
                what = next((statement[name] for name in ("Action", "NotAction") if name in statement), "Update:*")
                return (
                    f"Action denied by stack policy: Statement [#{number}] does not allow "
                    f"[{', '.join(_many(what))}] for resource [{', '.join(_many(named))}]"
                )
        return (
            None if applying else f"Action not allowed by stack policy: no statement allows {action} for {logical_id}"
        )


def checked(text: str) -> str:
    """The text; ValidationError when it is no stack policy."""
    StackPolicy(text)
    return text


def _parsed(text: str) -> list[dict[str, Any]]:
    wrong = invalid("Error validating stack policy: Invalid stack policy")
    if not text.strip():
        return []
    try:
        document = json.loads(text)
    except ValueError:
        raise wrong from None
    if document == {}:
        return []
    if not isinstance(document, dict) or set(document) - {"Version", "Id", "Statement"}:
        raise wrong
    statements = document.get("Statement")
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not all(_valid(statement) for statement in statements):
        raise wrong
    return statements


def _valid(statement: Any) -> bool:
    if not isinstance(statement, dict) or set(statement) - FIELDS or statement.get("Effect") not in ("Allow", "Deny"):
        return False
    if statement.get("Principal") not in ("*", ["*"]):
        return False
    if ("Action" in statement) == ("NotAction" in statement) or ("Resource" in statement) == (
        "NotResource" in statement
    ):
        return False
    actions = _many(statement.get("Action", statement.get("NotAction")))
    resources = _many(statement.get("Resource", statement.get("NotResource")))
    if not all(action in ACTIONS for action in actions) or not all(isinstance(one, str) for one in resources):
        return False
    if not all(one == "*" or one.startswith(PREFIX) for one in resources):
        return False
    return _valid_condition(statement.get("Condition", {}))


def _valid_condition(condition: Any) -> bool:
    return isinstance(condition, dict) and all(
        test in TESTS and isinstance(keys, dict) and set(keys) == {"ResourceType"} for test, keys in condition.items()
    )


def _applies(statement: dict[str, Any], action: str, logical_id: str, kind: str) -> bool:
    named = any(wanted in ("Update:*", action) for wanted in _many(statement.get("Action", statement.get("NotAction"))))
    if named == ("NotAction" in statement):
        return False
    places = _many(statement.get("Resource", statement.get("NotResource")))
    meant = any(place == "*" or fnmatch.fnmatchcase(PREFIX + logical_id, place) for place in places)
    if meant == ("NotResource" in statement):
        return False
    return all(
        any(TESTS[test](kind, wanted) for wanted in _many(keys["ResourceType"]))
        for test, keys in statement.get("Condition", {}).items()
    )


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
