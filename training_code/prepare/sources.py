"""The files of a data set, wherever they lie: a folder tree, or one zip that is read in place and never extracted.

Reading in place leaves no way out of the folder for a hostile archive. Passed over and listed: symbolic links, hidden files and
what operating systems leave behind. Refused: encrypted archives, and archives that would unpack to far more than they are.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from contract.decode import MAX_BYTES
from contract.failure import JobFailure

PHOTO_EXTENSIONS = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic", "heif"}
)
MOST_FILES = 2_000_000
HIGHEST_RATIO = 100  # uncompressed : compressed of a whole archive; photos hardly compress
FREE_BYTES = 1 << 30  # below this, the ratio does not matter
_LEFT_BEHIND = frozenset({"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin"})


@dataclass(frozen=True)
class File:
    """One file: `parts` of its path for people (UTF-8, anything else escaped), `handle` for its source."""

    parts: tuple[str, ...]
    size: int
    handle: Any

    @property
    def name(self) -> str:
        return "/".join(self.parts)

    @property
    def is_photo(self) -> bool:
        return self.parts[-1].rpartition(".")[2].lower() in PHOTO_EXTENSIONS and "." in self.parts[-1]


class Source(Protocol):
    """`passed_over`: (name, why) of what was not looked at."""

    passed_over: list[tuple[str, str]]

    def files(self) -> list[File]: ...
    def read(self, file: File, limit: int = MAX_BYTES) -> bytes: ...


def open_source(folder: Path) -> Source:
    """The data set in the input folder: the one zip in it, or the tree itself."""
    if not folder.is_dir():
        raise JobFailure(f"dataset: the input folder {folder} is not there; does the S3 URI of `dataset` exist?")
    found = [entry for entry in sorted(os.scandir(folder), key=lambda e: e.name) if not entry.name.startswith(".")]
    if not found:
        raise JobFailure("dataset: the S3 URI holds no files; upload a folder per class, or a zip of it.")
    zips = [entry for entry in found if entry.name.lower().endswith(".zip") and entry.is_file(follow_symlinks=False)]
    if len(zips) == 1 and len(found) == 1:
        return ZipSource(Path(zips[0].path))
    if zips and len(zips) == len(found):
        names = ", ".join(entry.name for entry in zips[:5])
        raise JobFailure(f"dataset: received {len(zips)} zips ({names}); allowed: one zip, or a folder tree.")
    return TreeSource(folder)


def readable_name(raw: str) -> str:
    """UTF-8 text of a file name; bytes that are none, and control characters, as escapes."""
    text = os.fsencode(raw).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _is_left_behind(part: str) -> bool:
    return part.startswith(".") or part.lower() in _LEFT_BEHIND


class TreeSource:
    """A folder tree; `handle` is the path as the file system has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.passed_over: list[tuple[str, str]] = []

    def files(self) -> list[File]:
        found = sorted(self._walk(self.folder, ()), key=lambda file: file.parts)
        if len(found) > MOST_FILES:
            raise JobFailure(f"dataset: received {len(found):,} files; allowed: at most {MOST_FILES:,}.")
        return found

    def _walk(self, folder: Path, parents: tuple[str, ...]) -> Iterator[File]:
        for entry in os.scandir(folder):
            if _is_left_behind(entry.name):
                continue
            parts = (*parents, readable_name(entry.name))
            if entry.is_symlink():
                self.passed_over.append(("/".join(parts), "a symbolic link; put the file itself there"))
            elif entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path), parts)
            elif entry.is_file(follow_symlinks=False):
                yield File(parts, entry.stat(follow_symlinks=False).st_size, entry.path)
            else:
                self.passed_over.append(("/".join(parts), "neither a file nor a folder"))

    def read(self, file: File, limit: int = MAX_BYTES) -> bytes:
        """At most `limit` + 1 bytes, so that a file over the limit shows."""
        with open(file.handle, "rb") as stream:
            return stream.read(limit + 1)


class ZipSource:
    """A zip read in place; `handle` is its ZipInfo. Reads from several threads at once are safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.passed_over: list[tuple[str, str]] = []
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise JobFailure(
                f"dataset: {path.name} is not a zip that can be read ({error}); make and upload it again."
            ) from None

    def files(self) -> list[File]:
        entries = [info for info in self._zip.infolist() if not info.is_dir()]
        if len(entries) > MOST_FILES:
            raise JobFailure(
                f"dataset: {self.path.name} holds {len(entries):,} files; allowed: at most {MOST_FILES:,}."
            )
        unpacked, packed = sum(info.file_size for info in entries), self.path.stat().st_size
        if unpacked > FREE_BYTES and unpacked > HIGHEST_RATIO * packed:
            raise JobFailure(
                f"dataset: {self.path.name} would unpack from {packed:,} to {unpacked:,} bytes; allowed: {HIGHEST_RATIO} times "
                "its size. It looks like a decompression bomb: pack the photos themselves."
            )
        if any(info.flag_bits & 0x1 for info in entries):
            raise JobFailure(f"dataset: {self.path.name} is encrypted; pack it without a password.")
        found = [file for info in entries if (file := self._file(info))]
        return sorted(found, key=lambda file: file.parts)

    def _file(self, info: zipfile.ZipInfo) -> File | None:
        name = info.filename
        if (
            not info.flag_bits & 0x800
        ):  # not marked as UTF-8, so zipfile read it as cp437; many tools write UTF-8 all the same
            try:
                name = name.encode("cp437").decode("utf-8")
            except UnicodeError:
                name = info.filename
        parts = tuple(readable_name(part) for part in name.replace("\\", "/").split("/") if part not in ("", "."))
        if not parts or any(_is_left_behind(part) and part != ".." for part in parts):
            return None
        if ".." in parts or name.startswith(("/", "\\")):
            self.passed_over.append(("/".join(parts), "a path that leads out of the archive"))
            return None
        if stat.S_ISLNK(info.external_attr >> 16):
            self.passed_over.append(("/".join(parts), "a symbolic link; put the file itself there"))
            return None
        return File(parts, info.file_size, info)

    def read(self, file: File, limit: int = MAX_BYTES) -> bytes:
        """At most `limit` + 1 bytes; damaged members raise OSError like a damaged disk."""
        try:
            with self._zip.open(file.handle) as stream:
                return stream.read(limit + 1)
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            raise OSError(str(error)) from None
        except Exception as error:  # zlib.error, lzma.LZMAError, struct.error, …: whatever the codec of a member raises
            raise OSError(f"{type(error).__name__}: {error}") from None
