"""Policy documents: read once, refused by what is wrong with them.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from local_cloud.access.conditions import Condition, condition_of

CURRENT = "2012-10-17"  # the version whose documents may hold policy variables
VERSIONS = (CURRENT, "2008-10-17")
ELEMENTS = {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
KINDS_OF_PRINCIPAL = ("AWS", "Service", "Federated", "CanonicalUser")


class MalformedPolicy(ValueError):
    """One sentence that says what is wrong with a document."""


@dataclass(frozen=True)
class Listed:
    """`Action`, `Resource` or their `Not` form."""

    values: tuple[str, ...]
    inverted: bool = False


@dataclass(frozen=True)
class Principals:
    """`Principal` or `NotPrincipal`: pairs of kind and value; ("AWS", "*") is everybody."""

    values: tuple[tuple[str, str], ...]
    inverted: bool = False


@dataclass(frozen=True)
class Statement:
    """One statement; `variables` says whether `${…}` in it means something."""

    sid: str
    allow: bool
    actions: Listed
    resources: Listed | None
    principals: Principals | None
    conditions: tuple[Condition, ...]
    variables: bool


@dataclass(frozen=True)
class Policy:
    """A document with its name."""

    name: str
    statements: tuple[Statement, ...]


def read_policy(document: str | Mapping[str, Any], name: str = "") -> Policy:
    """The policy; raises `MalformedPolicy`."""
    return _read(document if isinstance(document, str) else json.dumps(document), name)


@lru_cache(maxsize=2048)
def _read(text: str, name: str) -> Policy:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise MalformedPolicy(f"The policy is not valid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise MalformedPolicy(f"A policy is a JSON object; received {type(document).__name__}.")
    version = document.get("Version", VERSIONS[1])
    if version not in VERSIONS:
        raise MalformedPolicy(f"Version {version!r} is unknown; it is one of {', '.join(VERSIONS)}.")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicy("Statement is missing or empty; it is an object or a list of objects.")
    return Policy(name, tuple(_statement(each, version == CURRENT) for each in statements))


def _statement(given: Any, variables: bool) -> Statement:
    if not isinstance(given, dict):
        raise MalformedPolicy(f"A statement is a JSON object; received {given!r:.80}.")
    if unknown := sorted(set(given) - ELEMENTS):
        raise MalformedPolicy(f"A statement has no element {unknown[0]!r}; it has {', '.join(sorted(ELEMENTS))}.")
    effect = given.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise MalformedPolicy(f"Effect is {effect!r}; it is Allow or Deny.")
    actions = _listed(given, "Action")
    if actions is None:
        raise MalformedPolicy("A statement needs Action or NotAction.")
    conditions = given.get("Condition", {})
    if not isinstance(conditions, dict) or not all(isinstance(block, dict) for block in conditions.values()):
        raise MalformedPolicy("Condition is an object: operator, then key, then value or values.")
    try:
        read = tuple(
            condition_of(operator, key, tuple(_texts(values, f"Condition {operator} {key}")))
            for operator, block in conditions.items()
            for key, values in block.items()
        )
    except ValueError as error:
        raise MalformedPolicy(str(error)) from None
    return Statement(
        str(given.get("Sid", "")), effect == "Allow", actions, _listed(given, "Resource"), _principals(given), read,
        variables,
    )  # fmt: skip


def _listed(given: Mapping[str, Any], element: str) -> Listed | None:
    if element in given and f"Not{element}" in given:
        raise MalformedPolicy(f"A statement has {element} or Not{element}, not both.")
    for name in (element, f"Not{element}"):
        if name in given:
            return Listed(tuple(_texts(given[name], name)), name != element)
    return None


def _principals(given: Mapping[str, Any]) -> Principals | None:
    if "Principal" in given and "NotPrincipal" in given:
        raise MalformedPolicy("A statement has Principal or NotPrincipal, not both.")
    for name in ("Principal", "NotPrincipal"):
        if name not in given:
            continue
        value = given[name]
        if value == "*":
            return Principals((("AWS", "*"),), name != "Principal")
        if not isinstance(value, dict) or not set(value) <= set(KINDS_OF_PRINCIPAL):
            raise MalformedPolicy(f'{name} is "*" or an object with {", ".join(KINDS_OF_PRINCIPAL)}.')
        pairs = tuple((kind, text) for kind, values in value.items() for text in _texts(values, name))
        return Principals(pairs, name != "Principal")
    return None


def _texts(value: Any, where: str) -> list[str]:
    values = value if isinstance(value, list) else [value]
    for each in values:
        if not isinstance(each, str | bool | int | float):
            raise MalformedPolicy(f"{where} holds {each!r:.80}; it holds text or a list of texts.")
    return [str(each).lower() if isinstance(each, bool) else str(each) for each in values]
