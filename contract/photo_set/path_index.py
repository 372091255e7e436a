"""Finds the photo that a table means: by the end of a path, in any case, with or without its ending, with / or \\."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from urllib.parse import unquote

from contract.photo_set.files import PHOTO_ENDINGS, File, ending
from contract.photo_set.words import split_of


class PathIndex:
    """`find` gives all photos that fit equally well: one, none, or several that only a longer path could tell apart."""

    def __init__(self, files: Iterable[File]) -> None:
        self._files = list(files)
        self._exact: dict[str, list[File]] = defaultdict(list)
        for file in self._files:
            self._exact[file.parts[-1]].append(file)

    @cached_property
    def _folded(self) -> dict[str, list[File]]:
        return _grouped(self._files, _folded)

    @cached_property
    def _stems(self) -> dict[str, list[File]]:
        return _grouped(self._files, lambda name: _folded(stem(name)))

    @cached_property
    def _numbers(self) -> dict[int, list[File]]:
        """Photos that are called by a number: 00007.png is also 7, and 7.0 where pandas read it as a number."""
        groups: dict[int, list[File]] = defaultdict(list)
        for file in self._files:
            name = stem(file.parts[-1])
            if name.isascii() and name.isdecimal():
                groups[int(name[:18])].append(file)
        return groups

    def _by_number(self, name: str) -> list[File]:
        name = name.removesuffix(".0")
        return self._numbers.get(int(name), []) if name.isascii() and name.isdecimal() and len(name) < 18 else []

    @cached_property
    def _folders(self) -> frozenset[str]:
        return frozenset(part.casefold() for file in self._files for part in file.parts[:-1])

    def find(self, path: str, near: tuple[str, ...] = (), part: str | None = None) -> list[File]:
        """`near`: the folder of the table; `part`: the split that its name says, which decides between equals."""
        wanted = path_parts(path)
        if not wanted:
            return []
        last = wanted[-1]
        candidates = (
            self._exact.get(last)
            or self._folded.get(_folded(last))
            or self._stems.get(_folded(stem(last)))
            or self._by_number(last)
        )
        if not candidates:
            plainer = unquote(path.partition("?")[0] if "://" in path else path)
            return self.find(plainer, near, part) if plainer != path else []
        if len(wanted) > 1 and wanted[-2].casefold() in self._folders:
            parent = wanted[-2].casefold()  # a folder of the set: the file of that name elsewhere is another one
            candidates = [file for file in candidates if len(file.parts) > 1 and file.parts[-2].casefold() == parent]
        if len(candidates) <= 1:
            return candidates
        beside = [file for file in candidates if _same(file.parts[:-1], (*near, *wanted[:-1]))]
        if beside:
            return beside
        scores = [(_shared_end(file.parts[:-1], wanted[:-1]), file) for file in candidates]
        best = max(score for score, _ in scores)
        found = [file for score, file in scores if score == best]
        below = [file for file in found if near and _same(file.parts[: len(near)], near)]
        found = below or found
        if len(found) > 1 and part:
            found = [file for file in found if part in map(split_of, file.parts[:-1])] or found
        return found

    def knows(self, path: str) -> bool:
        return bool(self.find(path))


def path_parts(path: str) -> list[str]:
    """Parts of a path, an S3 URI or a Windows path, in NFC."""
    text = unicodedata.normalize("NFC", path).strip().strip("\"'").replace("\\", "/")
    text = re.sub(r"^(?:[a-z][a-z0-9+.-]*://|[A-Za-z]:/+)", "", text)
    return [part for part in text.split("/") if part not in ("", ".", "..")]


def stem(name: str) -> str:
    return name.rpartition(".")[0] if ending(name) in PHOTO_ENDINGS else name


def _folded(name: str) -> str:
    """In any case and with any spaces: macOS writes U+202F into names of screenshots, and a spreadsheet shows a space."""
    return " ".join(name.casefold().split())


def _grouped(files: Iterable[File], key: Callable[[str], str]) -> dict[str, list[File]]:
    groups: dict[str, list[File]] = defaultdict(list)
    for file in files:
        groups[key(file.parts[-1])].append(file)
    return groups


def _same(one: Sequence[str], other: Sequence[str]) -> bool:
    return len(one) == len(other) and all(a.casefold() == b.casefold() for a, b in zip(one, other, strict=True))


def _shared_end(parts: Sequence[str], wanted: Sequence[str]) -> int:
    count = 0
    for one, other in zip(reversed(parts), reversed(wanted), strict=False):
        if one.casefold() != other.casefold():
            break
        count += 1
    return count
