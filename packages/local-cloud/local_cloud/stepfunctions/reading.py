"""Which field of which state is read, said at the function that reads it. A definition may have these fields and no others.

The tables of acceptance, the refusals and the coverage page are made from it (definition_fields.py), so that a field which
nobody reads is refused by name; `tests/test_stepfunctions_fields.py` holds each declaration to the function's own text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

KINDS = ("Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map")
BOTH = ("JSONPath", "JSONata")
PATH, JSONATA = ("JSONPath",), ("JSONata",)
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Reading:
    """Fields that one function reads; `Holder.Field` lies in an object of the state."""

    fields: tuple[str, ...]
    kinds: tuple[str, ...]
    languages: tuple[str, ...]


def reads(
    *fields: str, of: str | tuple[str, ...] = KINDS, by: tuple[str, ...] = BOTH
) -> Callable[[Function], Function]:
    """Declare what the function reads, of which states, in which query languages. Nothing is registered."""
    kinds = (of,) if isinstance(of, str) else of

    def declare(function: Function) -> Function:
        declared = getattr(function, "readings", ())
        function.readings = (*declared, Reading(fields, kinds, by))  # type: ignore[attr-defined]
        return function

    return declare


def readings_of(*owners: Any) -> Iterator[tuple[Callable[..., Any], Reading]]:
    """Every declaration of the functions of these classes and modules."""
    for owner in owners:
        for member in vars(owner).values():
            function = getattr(member, "__func__", member)
            for reading in getattr(function, "readings", ()):
                yield function, reading
