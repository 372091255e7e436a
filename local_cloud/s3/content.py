"""Object content as immutable files: moto keeps every object in memory and loses it with the process.

A content file is written once under a random name and never changed; a new version is a new file. So a job may hold a
hard link to it, and a reader never sees half an object.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

BLOCK = 1024 * 1024
# A job may hold a hard link to the file: what is written by accident must fail, not change the object.
READ_ONLY = 0o444


@dataclass(frozen=True)
class StoredContent:
    """A finished content file; `md5` in hexadecimal, or None where the object's ETag is not its MD5 (multipart)."""

    path: Path
    size: int
    md5: str | None

    def __len__(self) -> int:
        return self.size


class ContentStore:
    """The folder of content files, in 256 subfolders."""

    def __init__(self, root: Path):
        self.root = root
        for number in range(256):
            (root / f"{number:02x}").mkdir(parents=True, exist_ok=True)

    def write(self, data: bytes) -> StoredContent:
        """A new content file holding `data`."""
        path = self._new_path()
        with path.open("xb", buffering=0) as out:
            out.write(data)
            os.fchmod(out.fileno(), READ_ONLY)
        return StoredContent(path, len(data), hashlib.md5(data, usedforsecurity=False).hexdigest())

    def write_blocks(self, blocks: Iterable[bytes]) -> StoredContent:
        """A new content file holding the blocks one after another; removed again when reading them fails."""
        path, digest, size = self._new_path(), hashlib.md5(usedforsecurity=False), 0
        try:
            with path.open("xb", buffering=0) as out:
                for block in blocks:
                    out.write(block)
                    digest.update(block)
                    size += len(block)
                os.fchmod(out.fileno(), READ_ONLY)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return StoredContent(path, size, digest.hexdigest())

    def copy(self, source: Path) -> StoredContent:
        """A new content file with the bytes of `source`."""
        with source.open("rb", buffering=0) as stream:
            return self.write_blocks(iter(lambda: stream.read(BLOCK), b""))

    def adopt(self, source: Path) -> StoredContent:
        """Move `source` into the store."""
        with source.open("rb", buffering=0) as stream:
            md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        path = self._new_path()
        shutil.move(source, path)
        path.chmod(READ_ONLY)
        return StoredContent(path, path.stat().st_size, md5)

    def concatenate(self, parts: Iterable[Path]) -> StoredContent:
        """A new content file made of the parts, in order, copied by the kernel."""
        path = self._new_path()
        with path.open("xb", buffering=0) as out:
            for part in parts:
                with part.open("rb", buffering=0) as stream:
                    _append(stream, out)
            os.fchmod(out.fileno(), READ_ONLY)
        return StoredContent(path, path.stat().st_size, None)

    def relative(self, path: Path) -> str:
        """The name under which a content file is recorded, independent of where the state directory lies."""
        return path.relative_to(self.root).as_posix()

    def absolute(self, name: str) -> Path:
        """The content file recorded under `name`."""
        return self.root / name

    def remove_unreferenced(self, referenced: set[str]) -> int:
        """Delete content files that no object refers to: what a killed process was still writing."""
        removed = 0
        for folder in self.root.iterdir():
            for path in folder.iterdir():
                if self.relative(path) not in referenced:
                    path.unlink()
                    removed += 1
        return removed

    def _new_path(self) -> Path:
        name = uuid.uuid4().hex
        return self.root / name[:2] / name


def _append(stream: IO[bytes], out: IO[bytes]) -> None:
    """Copy a whole file to the end of another without bringing it into this process."""
    size, offset = os.fstat(stream.fileno()).st_size, 0
    while offset < size:
        offset += os.sendfile(out.fileno(), stream.fileno(), offset, size - offset)
