"""Dataclasses whose fields say how they are checked: each value of an input is declared once, with its default and its rule.

`from_values` reads what JSON, a form or a command line gave (`"false"`, `"8"`) and hands the constructor values in their own types.
The constructor takes no others, so nothing behind it meets a text where a number should be, and nothing is written to afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Self

from contract.validation import InvalidField, known_fields

Check = Callable[[str, Any], Any]


def checked(check: Check, default: Any = MISSING, *, make: Callable[[], Any] | None = None) -> Any:
    """A field of a `Checked`: `check(path, value)` returns the value in its own type or raises InvalidField."""
    if make is not None:
        return field(default_factory=make, metadata={"check": check})
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True)
class Checked:
    """A section of an input; `PATH` begins the names of its fields in a refusal."""

    PATH = ""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is item.default:
                continue
            own = self._own(item, value)
            if own != value or (isinstance(value, float) and not isinstance(own, float)):
                raise InvalidField(self._path(item.name), value, f"{own!r} in its own type")

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """From parsed JSON, whose numbers and booleans may be texts; a null is a field not given."""
        return cls(**cls.read(values))

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """The constructor's arguments: the fields that were given, each in its own type."""
        known = known_fields(cls, values, cls.PATH)
        return {item.name: cls._own(item, known[item.name]) for item in fields(cls) if item.name in known}

    @classmethod
    def _own(cls, item: Field[Any], value: Any) -> Any:
        check = item.metadata.get("check")
        return check(cls._path(item.name), value) if check else value

    @classmethod
    def _path(cls, name: str) -> str:
        return f"{cls.PATH}.{name}" if cls.PATH else name


def input_fields(kind: type[Checked], sections: Mapping[str, type[Checked]], value: Any, what: str) -> dict[str, Any]:
    """The arguments of an input's class from parsed JSON, its sections constructed; a null is a field not given."""
    if not isinstance(value, Mapping):
        raise InvalidField(what, value, 'an object such as {"dataset": "s3://…"}')
    known = known_fields(kind, value, "")
    if "dataset" not in known:
        raise InvalidField("dataset", None, "an S3 URI", "It is the one field that must be given.")
    made = {}
    for name, section in sections.items():
        if name in known:
            part = known.pop(name)
            if not isinstance(part, Mapping):
                raise InvalidField(name, part, f"an object with {', '.join(item.name for item in fields(section))}")
            made[name] = section.from_values(part)
    return kind.read(known) | made
