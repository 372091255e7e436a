"""The files of a data set, wherever they lie: a folder tree, or one zip that is read in place and never extracted.

Reading in place leaves no way out of the folder for a hostile archive. Passed over and listed: symbolic links, hidden files and
what operating systems leave behind. Refused: encrypted archives, and archives that would unpack to far more than they are.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from contract.failure import JobFailure
from contract.photo_kind import BEGINNING, kind_of
from contract.photo_set.files import (
    MAX_BYTES,
    PHOTO_ENDINGS,
    RAW_ENDINGS,
    File,
    ending,
    is_left_behind,
    needs_a_look,
    readable_name,
)

MOST_FILES = 2_000_000
HIGHEST_RATIO = 100  # uncompressed : compressed of a whole archive; photos hardly compress
FREE_BYTES = 1 << 30  # below this, the ratio does not matter
_DRIVE = re.compile(r"[A-Za-z]:[\\/]+")
LINK, OUTSIDE, LEFT_BEHIND, ODD = (
    "a symbolic link; put the file itself there",
    "a path that leads out of the archive",
    "left behind by a system or a tool, or hidden",
    "neither a file nor a folder",
)


class Source(Protocol):
    """`passed_over`: (name, why) of what was not looked at; `folders`: all folders, also empty ones."""

    passed_over: list[tuple[str, str]]
    folders: set[tuple[str, ...]]

    def files(self) -> list[File]: ...
    def read(self, file: File, limit: int = MAX_BYTES) -> bytes: ...


def open_source(folder: Path) -> Source:
    """The data set in the input folder: the one zip in it, or the tree itself."""
    if not folder.is_dir():
        raise JobFailure(f"dataset: the input folder {folder} is not there; does the S3 URI of `dataset` exist?")
    found = [entry for entry in sorted(os.scandir(folder), key=lambda e: e.name) if not is_left_behind(entry.name)]
    if not found:
        raise JobFailure("dataset: the S3 URI holds no files; upload a folder per class, or a zip of it.")
    zips = [entry for entry in found if entry.name.lower().endswith(".zip") and entry.is_file(follow_symlinks=False)]
    if len(zips) == 1 and len(found) == 1:
        return ZipSource(Path(zips[0].path))
    if zips and len(zips) == len(found):
        names = ", ".join(entry.name for entry in zips[:5])
        raise JobFailure(f"dataset: received {len(zips)} zips ({names}); allowed: one zip, or a folder tree.")
    return TreeSource(folder)


class TreeSource:
    """A folder tree; `handle` is the path as the file system has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.passed_over: list[tuple[str, str]] = []
        self.folders: set[tuple[str, ...]] = set()

    def files(self) -> list[File]:
        self.passed_over, self.folders = [], set()
        found = sorted(self._walk(self.folder, ()), key=lambda file: file.parts)
        if len(found) > MOST_FILES:
            raise JobFailure(f"dataset: received {len(found):,} files; allowed: at most {MOST_FILES:,}.")
        return found

    def _walk(self, folder: Path | str, parents: tuple[str, ...]) -> Iterator[File]:
        with os.scandir(folder) as entries:
            for entry in entries:
                parts = (*parents, readable_name(entry.name))
                if is_left_behind(entry.name):
                    self.passed_over.append(("/".join(parts), LEFT_BEHIND))
                elif entry.is_symlink():
                    self.passed_over.append(("/".join(parts), LINK))
                elif entry.is_dir(follow_symlinks=False):
                    self.folders.add(parts)
                    yield from self._walk(entry.path, parts)
                elif entry.is_file(follow_symlinks=False):
                    yield self._file(parts, entry)
                else:
                    self.passed_over.append(("/".join(parts), ODD))

    def _file(self, parts: tuple[str, ...], entry: os.DirEntry[str]) -> File:
        return File(parts, entry.stat(follow_symlinks=False).st_size, entry.path, _is_photo(parts[-1], entry.path))

    def read(self, file: File, limit: int = MAX_BYTES) -> bytes:
        """At most `limit` + 1 bytes, so that a file over the limit shows."""
        with open(file.handle, "rb") as stream:
            return stream.read(limit + 1)


def _is_photo(name: str, path: str) -> bool:
    if ending(name) in PHOTO_ENDINGS:
        return True
    if not needs_a_look(name):
        return False
    try:
        with open(path, "rb") as stream:
            return _begins_like_one(name, stream.read(BEGINNING))
    except OSError:
        return False


def _begins_like_one(name: str, beginning: bytes) -> bool:
    """Cameras' raw files begin like a TIFF, whose first page is only a preview."""
    kind = kind_of(beginning)
    return kind is not None and not (kind == "TIFF" and ending(name) in RAW_ENDINGS)


class ZipSource:
    """A zip read in place; `handle` is its ZipInfo. Reads from several threads at once are safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.passed_over: list[tuple[str, str]] = []
        self.folders: set[tuple[str, ...]] = set()
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
            raise JobFailure(
                f"dataset: {path.name} is not a zip that can be read ({error}); make and upload it again."
            ) from None

    def files(self) -> list[File]:
        self.passed_over, self.folders = [], set()
        entries = self._zip.infolist()
        if len(entries) > MOST_FILES:
            raise JobFailure(
                f"dataset: {self.path.name} holds {len(entries):,} files; allowed: at most {MOST_FILES:,}."
            )
        unpacked, packed = sum(info.file_size for info in entries), self.path.stat().st_size
        if unpacked > FREE_BYTES and unpacked > HIGHEST_RATIO * packed:
            raise JobFailure(
                f"dataset: {self.path.name} would unpack from {packed:,} to {unpacked:,} bytes; allowed: "
                f"{HIGHEST_RATIO} times "
                "its size. It looks like a decompression bomb: pack the photos themselves."
            )
        if any(info.flag_bits & 0x1 for info in entries):
            raise JobFailure(f"dataset: {self.path.name} is encrypted; pack it without a password.")
        found: dict[str, File] = {}
        for info in entries:
            if (file := self._file(info)) is None:
                continue
            name = _zip_name(info).replace("\\", "/")
            if name in found:  # as any unpacking tool does: the last one of a name counts
                self.passed_over.append((file.name, "twice in the archive under one name; the last one counts"))
            found[name] = file
        return sorted(found.values(), key=lambda file: file.parts)

    def _file(self, info: zipfile.ZipInfo) -> File | None:
        name = _zip_name(info)
        drive = _DRIVE.match(name)
        is_folder = name.endswith(("/", "\\"))
        inside = name[drive.end() :] if drive else name
        parts = tuple(readable_name(part) for part in inside.replace("\\", "/").split("/") if part not in ("", "."))
        if not parts:
            return None
        if any(is_left_behind(part) and part != ".." for part in parts):
            self.passed_over.append(("/".join(parts), LEFT_BEHIND))
        elif ".." in parts or inside.startswith(("/", "\\")):
            self.passed_over.append(("/".join(parts), OUTSIDE))
        elif stat.S_ISLNK(info.external_attr >> 16):
            self.passed_over.append(("/".join(parts), LINK))
        else:
            self.folders |= {parts[:end] for end in range(1, len(parts) + is_folder)}
            return None if is_folder else File(parts, info.file_size, info, self._is_photo(parts[-1], info))
        return None

    def _is_photo(self, name: str, info: zipfile.ZipInfo) -> bool:
        if ending(name) in PHOTO_ENDINGS:
            return True
        if not needs_a_look(name):
            return False
        try:
            return _begins_like_one(name, self.read(File((name,), info.file_size, info), BEGINNING))
        except OSError:
            return False

    def read(self, file: File, limit: int = MAX_BYTES) -> bytes:
        """At most `limit` + 1 bytes; damaged members raise OSError like a damaged disk."""
        try:
            with self._zip.open(file.handle) as stream:
                return stream.read(limit + 1)
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            raise OSError(str(error)) from None
        except Exception as error:  # zlib.error, lzma.LZMAError, struct.error, …: whatever the codec of a member raises
            raise OSError(f"{type(error).__name__}: {error}") from None


def _zip_name(info: zipfile.ZipInfo) -> str:
    """A name not marked as UTF-8 was read as cp437; many tools write UTF-8 all the same, and Info-ZIP says so in a field (0x7075)."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.orig_filename
