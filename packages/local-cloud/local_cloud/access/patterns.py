"""Patterns of actions and ARNs, and policy variables in them.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

# ${key}, ${key, 'default'}, and the three that stand for a literal character: ${*}, ${?}, ${$}.
VARIABLE = re.compile(r"\$\{\s*([^,}\s]+)\s*(?:,\s*'([^']*)'\s*)?\}")
_ARN_PARTS = 6


class Unresolved(Exception):
    """A policy variable whose key is not in the request: what holds it matches nothing."""


@lru_cache(maxsize=8192)
def _compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    """`pattern` with * and ? as wildcards; a character after a NUL stands for itself."""
    text = re.sub(
        r"\x00(.)|([*])|([?])|(.)",
        lambda found: ".*" if found[2] else "." if found[3] else re.escape(found[1] or found[4]),
        pattern,
        flags=re.DOTALL,
    )
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def matches(pattern: str, value: str, ignore_case: bool = False) -> bool:
    """Whether all of `value` fits."""
    return _compiled(pattern, ignore_case).fullmatch(value) is not None


def resolve(pattern: str, context: Mapping[str, list[str]], variables: bool) -> str:
    """`pattern` with its variables filled in; their values are literal: a * in a value is no wildcard."""
    if not variables or "${" not in pattern:
        return pattern

    def value(found: re.Match[str]) -> str:
        key, default = found[1], found[2]
        if key in ("*", "?", "$"):
            return "\x00" + key
        values = context.get(key.lower())
        if values is not None and len(values) == 1:
            return literal(values[0])
        if values is None and default is not None:
            return literal(default)
        raise Unresolved(key)

    return VARIABLE.sub(value, pattern)


def literal(text: str) -> str:
    """A pattern that only `text` fits."""
    return re.sub(r"([*?\x00])", "\x00\\1", text)


def plain(pattern: str) -> str:
    """What a resolved pattern says where it is compared and not matched."""
    return re.sub(r"\x00(.)", r"\1", pattern, flags=re.DOTALL)


def matches_action(pattern: str, action: str) -> bool:
    """`s3:Get*` and the like; neither service nor name depends on case."""
    return matches(pattern, action, ignore_case=True)


def matches_arn(pattern: str, arn: str, complete: bool = False) -> bool:
    """Each of the six parts by itself: a * never reaches over the first five colons.

    `complete`: a pattern with fewer parts ends in ones that fit everything, as in the policies of an identity.
    """
    if pattern == "*":
        return True
    parts, given = pattern.split(":", _ARN_PARTS - 1), arn.split(":", _ARN_PARTS - 1)
    if len(parts) < _ARN_PARTS and (complete or parts[-1].endswith("*")):
        parts += ["*"] * (_ARN_PARTS - len(parts))
    return len(parts) == len(given) and all(map(matches, parts, given))
