"""Checks of single values, with messages that name field, value received and what is allowed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from contract.failure import JobFailure


class InvalidField(JobFailure):
    """A field that does not exist or whose value is not allowed."""

    def __init__(self, path: str, received: Any, allowed: str, hint: str = "") -> None:
        self.path = path
        text = repr(received)
        if len(text) > 120:
            text = text[:117] + "..."
        super().__init__(f"{path}: received {text}; allowed: {allowed}.{' ' + hint if hint else ''}")


def did_you_mean(name: str, known: Collection[str]) -> str:
    """`Did you mean 'epochs'?`, or nothing when no known name is close."""
    close = difflib.get_close_matches(str(name).lower(), list(known), n=1, cutoff=0.6)
    return f"Did you mean '{close[0]}'?" if close else ""


def unknown_field(path: str, name: str, known: Collection[str]) -> InvalidField:
    error = InvalidField(f"{path}.{name}" if path else name, name, ", ".join(known), did_you_mean(name, known))
    error.args = (f"{error.path}: no such field; allowed: {', '.join(known)}. {did_you_mean(name, known)}".rstrip(),)
    return error


def known_fields(section: type, value: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The fields of a section that were given and are not null; the unknown ones are an InvalidField, all of them at once."""
    known = tuple(item.name for item in fields(section))
    unknown = [name for name in value if name not in known]
    if unknown:
        error = unknown_field(path, unknown[0], known)
        more = [
            f"{'.'.join(filter(None, (path, name)))}: no such field. {did_you_mean(name, known)}".rstrip()
            for name in unknown[1:]
        ]
        error.args = (" ".join([str(error), *more]),)
        raise error
    return {name: item for name, item in value.items() if item is not None}


def a_choice(path: str, value: Any, choices: Collection[str]) -> str:
    if value not in choices:
        raise InvalidField(path, value, ", ".join(choices), did_you_mean(value, choices))
    return value


def some_names(path: str, value: Any, choices: Collection[str]) -> str:
    """None or several of `choices`, separated by commas; each once, without blanks."""
    names = [name.strip() for name in str(value).split(",") if name.strip()]
    for name in names:
        if name not in choices:
            allowed = f"none, or some of {', '.join(choices)}, separated by commas"
            raise InvalidField(path, name, allowed, did_you_mean(name, choices))
    return ",".join(dict.fromkeys(names))


def a_boolean(path: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0"):
        return value.lower() in ("true", "1")
    raise InvalidField(path, value, "true or false")


def an_integer(path: str, value: Any, minimum: int | None = None, maximum: int | None = None) -> int:
    allowed = "a whole number" + interval(minimum, maximum)
    if isinstance(value, str):
        try:
            value = int(value if _plain(value) else "")
        except ValueError:
            raise InvalidField(path, value, allowed) from None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidField(path, value, allowed)
    if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
        raise InvalidField(path, value, allowed)
    return value


def a_number(
    path: str, value: Any, minimum: float | None = None, maximum: float | None = None, *, above: bool = False
) -> float:
    """A finite number; with `above` the minimum itself is not allowed."""
    allowed = "a number" + interval(minimum, maximum, above=above)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidField(path, value, allowed)
    try:
        number = float(value) if not isinstance(value, str) or _plain(value) else math.nan
    except ValueError:
        raise InvalidField(path, value, allowed) from None
    too_small = minimum is not None and (number < minimum or (above and number == minimum))
    if not math.isfinite(number) or too_small or (maximum is not None and number > maximum):
        raise InvalidField(path, value, allowed)
    return number


def _plain(text: str) -> bool:
    """Python's numbers may be written `6_4` and in the digits of every script; nobody means that, and other programs refuse it."""
    return text.isascii() and "_" not in text


def a_text(path: str, value: Any, *, longest: int = 2500, empty: bool = True) -> str:
    if not isinstance(value, str) or len(value) > longest or not (value or empty):
        raise InvalidField(path, value, f"text of {0 if empty else 1} to {longest} characters")
    return value


def interval(minimum: float | None, maximum: float | None, *, above: bool = False) -> str:
    if minimum is not None and maximum is not None:
        return f" {'above' if above else 'from'} {minimum:.12g} {'up ' if above else ''}to {maximum:.12g}"
    if minimum is not None:
        return f" {'above' if above else 'of at least'} {minimum:.12g}"
    return f" of at most {maximum:.12g}" if maximum is not None else ""
