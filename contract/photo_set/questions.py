"""What can be read in two ways: the run stops, names both readings and the field of the execution input that settles it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.failure import JobFailure
from contract.photo_set.files import File

LEVELS = ("split", "class", "name", "-")  # what a folder of `layout` may be


class TwoReadings(JobFailure):
    """`answers`: what the field may be set to, with what it would mean; a terminal asks, a job stops."""

    def __init__(self, field_name: str, question: str, answers: Mapping[str, str]) -> None:
        self.field, self.question, self.answers = field_name, question, dict(answers)
        told = "; ".join(f'"{field_name}": {_quoted(value)} if {meaning}' for value, meaning in answers.items())
        super().__init__(f"dataset: {question} Say which: {told}.")

    def settled(self, answer: str) -> Any:
        """The value that the field takes for one of `answers`."""
        return json.loads(answer) if answer.startswith("{") else answer


def _quoted(value: str) -> str:
    return value if value.startswith("{") else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Asked:
    """The fields of the execution input that settle how a set is read."""

    layout: str = "auto"
    labels: str = "auto"
    splits: str | Mapping[str, str] = "auto"
    alike_names: str = "keep"


@dataclass
class Placed:
    """A photo file with what its place, or a table, says about it; `split` None: to be drawn."""

    file: File
    label: str
    split: str | None
    facets: dict[str, str] = field(default_factory=dict)
    # The class number that a list or table gives: the position in the array answer.
    number: int | None = None


@dataclass
class Layout:
    """What was read. `doubts`: what a person should say yes to before an upload; `order`: classes as the array answer has them."""

    photos: list[Placed]
    notices: list[str] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    alike: list[list[str]] = field(default_factory=list)

    def doubt(self, text: str) -> None:
        if text not in self.doubts:
            self.doubts.append(text)


def some(names: Iterable[str], most: int = 5) -> str:
    """A few of many names, and that there are more."""
    listed: Sequence[str] = list(names)
    return ", ".join(listed[:most]) + (f", … ({len(listed):,} in all)" if len(listed) > most else "")
