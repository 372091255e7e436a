"""JSONPath as the States Language uses it: reference paths by our own reader, filters and wildcards by jsonpath-ng."""

from __future__ import annotations

import copy
import itertools
import re
from functools import lru_cache
from typing import Any

from local_cloud.stepfunctions.failures import PathMissing, StateFailure

# `$name`, `$name.field`, `$name[0]`: a variable of the state machine.
VARIABLE = re.compile(r"\$([^\W\d]\w*)(?=[.\[]|$)")
STEP = re.compile(
    r"""\.([A-Za-z_\u0080-\uffff][\w\-\u0080-\uffff]*)|\[(-?\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]"""
)


# A dot before a bracket says nothing, as in `$.[?(@.year < 1999)]`; within quotes it is text.
DOT_BEFORE_BRACKET = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?<!\.)\.(?=\[)""")


def _without_idle_dots(path: str) -> str:
    return DOT_BEFORE_BRACKET.sub(lambda found: found[1] or "", path) if ".[" in path else path


@lru_cache(maxsize=4096)
def reference_steps(path: str) -> tuple[str | int, ...] | None:
    """The steps of a path that names exactly one node; None when it has wildcards, slices or filters."""
    path = _without_idle_dots(path)
    position, steps = 1, []
    while position < len(path):
        found = STEP.match(path, position)
        if not found:
            return None
        name, index, single, double = found.groups()
        if index is not None:
            steps.append(int(index))
        else:
            # Only the quote itself and the backslash are escaped: \" within '…' are two characters (recorded on AWS).
            unquoted = (
                re.sub(r"\\(['\\])", r"\1", single) if single is not None else re.sub(r'\\(["\\])', r"\1", double or "")
            )
            steps.append(name if name is not None else unquoted)
        position = found.end()
    return tuple(steps)


@lru_cache(maxsize=512)
def _compiled(path: str) -> Any:
    from jsonpath_ng.ext import parse

    return parse(_without_idle_dots(path))


def _from_its_root(path: str) -> str:
    """A path of the context or of a variable, as it reads from there."""
    named = VARIABLE.match(path)
    return f"${path[named.end() :]}" if named else path.removeprefix("$") if path.startswith("$$") else path


def check_path(path: Any, reference: bool = False) -> None:
    """Raise ValueError unless `path` is a JSONPath, and with `reference` one that names a single node."""
    if not isinstance(path, str) or not path.startswith("$"):
        raise ValueError(f"Value is not a {'Reference Path' if reference else 'valid JSONPath'}: {path!r}")
    plain = path[1:] if reference and path.startswith("$$") else path if reference else _from_its_root(path)
    if reference_steps(plain) is not None:
        return
    if reference:
        raise ValueError(f"Value is not a Reference Path: {path!r}")
    try:
        _compiled(plain)
    except Exception as fault:
        raise ValueError(f"Value is not a valid JSONPath: {path!r} ({fault})") from fault


def resolve(path: str, data: Any, context: Any) -> Any:
    """The node or, for a path with wildcards, the list of nodes; PathMissing when there is none."""
    written, root = path, data
    if path.startswith("$$"):
        root, path = context, path[1:]
    elif named := VARIABLE.match(path):
        if named[1] not in context.variables:
            raise PathMissing(written, f"the variable {named[1]!r} is not there")
        root, path = context.variables[named[1]], f"${path[named.end() :]}"
    steps = reference_steps(path)
    if steps is None:
        return [match.value for match in _compiled(path).find(root)]
    node = root
    for number, step in enumerate(steps):
        try:
            node = node[step] if isinstance(step, int) == isinstance(node, list) else _missing()
        except (KeyError, IndexError, TypeError):
            raise PathMissing(written, _reason(steps, number)) from None
    # The context changes with every state; what was handed out must not.
    return copy.deepcopy(node) if root is context else node


def _reason(steps: tuple[str | int, ...], number: int) -> str:
    """AWS's two sentences: the last step is missing, or one before it."""
    shown = "$" + "".join(f"[{step}]" if isinstance(step, int) else f"['{step}']" for step in steps[: number + 1])
    return f"No results for path: {shown}" if number == len(steps) - 1 else f"Missing property in path {shown}"


def exists(path: str, data: Any, context: dict[str, Any]) -> bool:
    """Whether the path leads to a node."""
    try:
        found = resolve(path, data, context)
    except StateFailure:
        return False
    return reference_steps(_from_its_root(path)) is not None or bool(found)


def place(path: str, data: Any, value: Any) -> Any:
    """`data` with `value` at the reference path, missing objects made; ResultPath's rule."""
    if path == "$":
        return value
    steps = reference_steps(path)
    assert steps is not None, "ResultPath is a reference path: the definition was checked"
    root = copy.deepcopy(data)
    node = root
    try:
        for here, following in itertools.pairwise(steps):
            if isinstance(node, dict) and isinstance(here, str):
                node = node.setdefault(here, {}) if not isinstance(following, int) else node[here]
            else:
                node = node[here] if isinstance(here, int) else _missing()
        if isinstance(node, list) != isinstance(steps[-1], int) or not isinstance(node, dict | list):
            _missing()
        node[steps[-1]] = value
    except (KeyError, IndexError, TypeError):
        raise StateFailure(
            "States.ResultPathMatchFailure", f"Unable to apply ReferencePath {path} to input {str(data)[:200]}"
        ) from None
    return root


def _missing() -> Any:
    raise KeyError
