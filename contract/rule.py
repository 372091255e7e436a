"""What one field may be: its kind, bounds, default and meaning, said once beside the field.

Checks, the reference pages and the JSON schemas for editors are made from it (`docs/reference/generate.py`). A field that needs
more than a rule (`other`) is checked by its class, and says here in words what it takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from contract.checked import Check
from contract.validation import (
    InvalidField,
    a_boolean,
    a_choice,
    a_number,
    a_text,
    an_integer,
    interval,
    some_names,
)


@dataclass(frozen=True)
class Rule:
    """`kind`: number, integer, choice, names (of `choices`, by commas), boolean, text, texts (a list), form (a text in the
    form of a regular expression, called `noun`) or other (`noun` says what, `schema` is its JSON schema)."""

    kind: str
    meaning: str
    minimum: float | None = None
    maximum: float | None = None
    above: bool = False
    or_zero: bool = False  # 0 is allowed below the minimum, too: it leaves the choice to somebody else
    choices: tuple[Any, ...] = ()
    form: str = ""
    noun: str = ""
    schema: Mapping[str, Any] | None = None
    by: Check | None = None  # of a field of kind other

    def check(self, path: str, value: Any) -> Any:
        """The value in its own type; InvalidField otherwise."""
        checks: dict[str, Callable[[], Any]] = {
            "number": lambda: a_number(path, value, self.minimum, self.maximum, above=self.above),
            "integer": lambda: self._integer(path, value),
            "choice": lambda: a_choice(path, value, self.choices),
            "names": lambda: some_names(path, value, self.choices),
            "boolean": lambda: a_boolean(path, value),
            "text": lambda: a_text(path, value),
            "texts": lambda: _texts(path, value),
            "form": lambda: self._in_form(path, value),
            "other": lambda: self.by(path, value) if self.by else value,
        }
        return checks[self.kind]()

    @property
    def allowed(self) -> str:
        if self.noun:
            return self.noun
        if self.kind == "choice":
            return ", ".join(map(str, self.choices))
        if self.kind == "names":
            return "any of these, separated by commas: " + ", ".join(self.choices)
        if self.kind in ("number", "integer"):
            kind = "a whole number" if self.kind == "integer" else "a number"
            return ("0, or " if self.or_zero else "") + kind + interval(self.minimum, self.maximum, above=self.above)
        return {"boolean": "true or false", "text": "text", "texts": A_LIST_OF_TEXTS}[self.kind]

    @property
    def json_schema(self) -> dict[str, Any]:
        """What an editor lets pass. Text for a number (`"8"`), which a check accepts, is not offered."""
        if self.schema is not None:
            return dict(self.schema)
        if self.kind in ("number", "integer"):
            least = {} if self.minimum is None else {"exclusiveMinimum" if self.above else "minimum": self.minimum}
            schema = {"type": self.kind, **least, **({} if self.maximum is None else {"maximum": self.maximum})}
            return {"anyOf": [{"const": 0}, schema]} if self.or_zero else schema
        one = f"(?:{'|'.join(map(str, self.choices))})"
        schemas: dict[str, dict[str, Any]] = {
            "choice": {"enum": list(self.choices)},
            "names": {"type": "string", "pattern": f"^(?:{one}(?:,{one})*)?$"},
            "boolean": {"type": "boolean"},
            "texts": {"type": "array", "items": {"type": "string", "minLength": 1}},
            "form": {"type": "string", "pattern": f"^(?:{self.form})$"},
        }
        return schemas.get(self.kind, {"type": "string"})

    def _integer(self, path: str, value: Any) -> int:
        if self.or_zero and value in (0, "0") and not isinstance(value, bool):
            return 0
        try:
            return an_integer(path, value, int(self.minimum or 0), int(self.maximum or 0))
        except InvalidField:
            if not self.or_zero:
                raise
            raise InvalidField(path, value, self.allowed) from None

    def _in_form(self, path: str, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(self.form, value):
            raise InvalidField(path, value, self.noun)
        return value


A_LIST_OF_TEXTS = "a list of texts"


def _texts(path: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise InvalidField(path, value, A_LIST_OF_TEXTS)
    return value


def ruled(default: Any, rule: Rule) -> Any:
    """A field of a dataclass with this default and rule; a list is made anew for each instance."""
    metadata = {"rule": rule, "check": rule.check}  # `contract.checked` reads the check
    if isinstance(default, list | dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def number(default: float | None, minimum: float, maximum: float, meaning: str, above: bool = False) -> Any:
    return ruled(default, Rule("number", meaning, minimum, maximum, above))


def integer(default: int, minimum: int, maximum: int, meaning: str, or_zero: bool = False) -> Any:
    return ruled(default, Rule("integer", meaning, minimum, maximum, or_zero=or_zero))


def choice(choices: tuple[str, ...], meaning: str, default: str | None = None) -> Any:
    return ruled(default or choices[0], Rule("choice", meaning, choices=choices))


def boolean(default: bool, meaning: str) -> Any:
    return ruled(default, Rule("boolean", meaning))


def text(default: str, meaning: str) -> Any:
    return ruled(default, Rule("text", meaning))


def texts(meaning: str) -> Any:
    return ruled([], Rule("texts", meaning))


def names(choices: tuple[str, ...], meaning: str) -> Any:
    return ruled("", Rule("names", meaning, choices=choices))


def form(default: Any, expression: str, noun: str, meaning: str) -> Any:
    return ruled(default, Rule("form", meaning, form=expression, noun=noun))


def other(default: Any, noun: str, meaning: str, schema: Mapping[str, Any], by: Check | None = None) -> Any:
    """Checked by `by`, or by the class as a whole."""
    return ruled(default, Rule("other", meaning, noun=noun, schema=schema, by=by))


def rules_of(kind: type) -> dict[str, Rule]:
    """By name, of the fields of a dataclass that have one; sections have none."""
    return {item.name: item.metadata["rule"] for item in fields(kind) if "rule" in item.metadata}


def check_fields(checked: Any, path: str) -> None:
    """Every field of a dataclass by its rule, in their order; for one whose values have their own types before."""
    for name, rule in rules_of(type(checked)).items():
        rule.check(f"{path}.{name}" if path else name, getattr(checked, name))
