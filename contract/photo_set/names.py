"""Names of classes: one name in different Unicode forms is one name; order by number; running numbers are cut off, others stay."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

_COPY = re.compile(r"(?:\s*-)?\s*(?:copy|kopie|copie|copia|cópia)?\s*(?:\(\d+\))?$")  # `cat - Copy (2)`, `cat (1)`
_DOUBTFUL = re.compile(
    r"(?:un-?label(?:l?ed)?|unsorted|unannotated|to-?do|new folder|untitled folder|neuer ordner|nouveau dossier|nueva carpeta|"
    r"_?thumb(?:nail)?s?|"
    r"previews?|cache|backups?|te?mp)(?:[\s_-]*\(?\d+\)?)?$", re.IGNORECASE,
)  # fmt: skip
_SEPARATORS = re.compile(r"[\u200b\ufeff]|(?:(?<!^)(?<!\d)[\s_\-]+)|(?:[\s_\-]+(?!\d))")
_NUMBERED = re.compile(r"^(\d+)([._\- ]+)(?=[^\W\d_])(.+)$", re.DOTALL)  # `1 - 2 rooms` is a range


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
    """Groups of different names that a person reads as one: they differ by case, spaces, hyphens or underscores, or by what a
    file manager adds to a copy. A hyphen before a digit is a sign, and separators between digits keep numbers apart."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label in in_order(set(labels)):
        folded = _COPY.sub("", unicodedata.normalize("NFKC", label).casefold())
        groups[_SEPARATORS.sub("", folded) or label].append(label)
    return [group for group in groups.values() if len(group) > 1]


def copied(group: Iterable[str]) -> str:
    return ", the name of a copy" if any(_COPY.sub("", name.casefold()) != name.casefold() for name in group) else ""


def doubtful(labels: Iterable[str]) -> list[str]:
    """Names that a person hardly means as a class: photos without labels, a folder that nobody named, previews."""
    return [label for label in in_order(set(labels)) if _DOUBTFUL.match(label.strip())]


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
