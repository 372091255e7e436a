"""Names of classes: one name in different Unicode forms is one name; order by number; running numbers are cut off, others stay."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

_NUMBERED = re.compile(r"^(\d+)([._\- ]+)(?=\D)(.+)$", re.DOTALL)


def natural(name: str) -> tuple[Any, ...]:
    """Sorts class 2 before class 10, and 0, 1, …, 11 as numbers; names without digits as Python does."""
    parts = re.split(r"(\d+)", name)
    key = tuple(
        (part if at % 2 == 0 else "", int(part) if at % 2 and len(part) < 20 else 0) for at, part in enumerate(parts)
    )
    return key, name


def in_order(labels: Iterable[str]) -> list[str]:
    return sorted(labels, key=natural)


def alike(labels: Iterable[str]) -> list[list[str]]:
    """Groups of different names that a person reads as one: they differ by case, spaces, hyphens or underscores."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label in in_order(set(labels)):
        folded = unicodedata.normalize("NFKC", label).casefold()
        groups[re.sub("[\\s_\\-\\u200b\\ufeff]+", "", folded) or label].append(label)
    return [group for group in groups.values() if len(group) > 1]


def without_running_numbers(labels: Iterable[str]) -> dict[str, str] | None:
    """`001.Affenpinscher`, `002.Afghan` without their numbers; None where numbers carry meaning (`10 euro`, `2.door`).

    Running means: every class has one, from 0 or 1 without a gap, and the rest tells the classes apart. A number without leading
    zeros before a space is a quantity, not a place in a list.
    """
    found = {label: _NUMBERED.match(label) for label in labels}
    if len(found) < 2 or not all(found.values()):
        return None
    numbers = sorted(int(match[1]) for match in found.values() if match)
    padded = len({len(match[1]) for match in found.values() if match}) == 1 and (
        len(numbers) > 9 or any(match[1].startswith("0") and len(match[1]) > 1 for match in found.values() if match)
    )
    running = numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))
    rests = {label: match[3].strip() for label, match in found.items() if match}
    stems = {rest.casefold().rstrip("s") for rest in rests.values()}
    separators = {match[2] for match in found.values() if match}
    if not running or len(stems) < len(rests) or (" " in separators and not padded) or (len(rests) < 3 and not padded):
        return None
    return rests
