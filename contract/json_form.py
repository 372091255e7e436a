"""One JSON form for the typed classes of the contract: written by `to_json`, read by `from_json`, nothing spelt twice.

A field that is None is left out. Reading refuses a missing field and a value of another kind by its path; a field that this code
does not know is passed over, so that what a newer image wrote can still be read by an older page.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

from contract.validation import InvalidField

T = TypeVar("T")


def to_json(value: Any, without: str = "") -> Any:
    """Objects, lists, texts and numbers; fields whose metadata has `without` are left out."""
    if is_dataclass(value):
        own = {item.name: getattr(value, item.name) for item in fields(value) if without not in item.metadata}
        return {name: to_json(part, without) for name, part in own.items() if part is not None}
    if isinstance(value, Mapping):
        return {name: to_json(part, without) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(part, without) for part in value]
    return value


def from_json(kind: type[T], value: Any, path: str = "") -> T:
    """The instance that `to_json` wrote."""
    if not isinstance(value, Mapping):
        raise InvalidField(path or kind.__name__, value, f"an object with {', '.join(_names(kind))}")
    hints = typing.get_type_hints(kind)
    read = {}
    for item in fields(kind):  # type: ignore[arg-type]
        place = f"{path}.{item.name}" if path else item.name
        if value.get(item.name) is not None:
            read[item.name] = _read(hints[item.name], value[item.name], place)
        elif item.default is MISSING and item.default_factory is MISSING:
            if types.NoneType not in typing.get_args(hints[item.name]):
                raise InvalidField(place, None, "a value; the field is missing")
            read[item.name] = None
    return kind(**read)


def _names(kind: type) -> list[str]:
    return [item.name for item in fields(kind)]


def _read(hint: Any, value: Any, path: str) -> Any:
    """`value` as the type that the field declares."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        (hint,) = (part for part in parts if part is not types.NoneType)
        return _read(hint, value, path)
    if is_dataclass(hint):
        return from_json(typing.cast(type, hint), value, path)
    if origin is tuple:
        if not isinstance(value, list):
            raise InvalidField(path, value, "a list")
        return tuple(_read(parts[0], part, f"{path}[{number}]") for number, part in enumerate(value))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise InvalidField(path, value, "an object")
        return {name: _read(parts[1], part, f"{path}.{name}") for name, part in value.items()}
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise InvalidField(
            path,
            value,
            {"str": "a text", "int": "a whole number", "bool": "true or false"}.get(hint.__name__, "a number"),
        )
    return value
