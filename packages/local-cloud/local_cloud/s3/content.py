"""Object content as immutable files: moto keeps every object in memory and loses it with the process.

A content file is written once under a random name and never changed; a new version is a new file. So a job may hold a
hard link to it, and a reader never sees half an object. A file that no object names any more is deleted only after the
commit that says so, and after the last reader that may have found its name before.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

from local_cloud.persistence.disk import explained, require_size, write_all

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

    def fault(self) -> str:
        """What is wrong with the file; "" when it is there with its size."""
        try:
            found = self.path.stat().st_size
        except FileNotFoundError:
            return f"its file {self.path} is missing"
        except OSError as fault:
            return f"its file {self.path} cannot be read ({fault.strerror})"
        return "" if found == self.size else f"its file {self.path} has {found:,} of {self.size:,} bytes"


class ContentStore:
    """The folder of content files, in 256 subfolders."""

    def __init__(self, root: Path):
        self.root = root
        for number in range(256):
            (root / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        self._order = count()
        self._lock = threading.Lock()
        self._readers: dict[int, None] = {}  # in the order in which they began
        self._garbage: deque[tuple[int, Path]] = deque()

    def write(self, data: bytes) -> StoredContent:
        """A new content file holding `data`."""
        return self.write_blocks([data], len(data))

    def write_blocks(self, blocks: Iterable[bytes], announced: int = 0) -> StoredContent:
        """A new content file holding the blocks one after another; removed again when that fails.

        `announced` is the number of bytes that will come, for the sentence about a full disk.
        """
        path, digest, size = self._new_path(), hashlib.md5(usedforsecurity=False), 0
        try:
            with self._writing(announced):
                out = path.open("xb", buffering=0)
            with out:
                for block in blocks:  # comes from a client: its failures are not the disk's
                    size += len(block)
                    with self._writing(max(announced, size)):
                        write_all(out, block)
                    digest.update(block)
                with self._writing(size):
                    os.fchmod(out.fileno(), READ_ONLY)
                    require_size(path, size)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return StoredContent(path, size, digest.hexdigest())

    def copy(self, source: Path) -> StoredContent:
        """A new content file with the bytes of `source`."""
        with source.open("rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            return self.write_blocks(iter(lambda: stream.read(BLOCK), b""), size)

    def adopt(self, source: Path) -> StoredContent:
        """Move `source` into the store."""
        with source.open("rb", buffering=0) as stream:
            md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            size = os.fstat(stream.fileno()).st_size
        path = self._new_path()
        try:
            with self._writing(size):
                shutil.move(source, path)
                path.chmod(READ_ONLY)
                require_size(path, size)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return StoredContent(path, size, md5)

    def concatenate(self, parts: list[Path]) -> StoredContent:
        """A new content file made of the parts, in order, copied by the kernel."""
        path, size = self._new_path(), sum(part.stat().st_size for part in parts)
        try:
            with self._writing(size), path.open("xb", buffering=0) as out:
                for part in parts:
                    with part.open("rb", buffering=0) as stream:
                        _append(stream, out)
                os.fchmod(out.fileno(), READ_ONLY)
                require_size(path, size)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return StoredContent(path, size, None)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While this lasts, a file whose name was found in it stays, whoever replaces or deletes its object."""
        with self._lock:
            begun = next(self._order)
            self._readers[begun] = None
        try:
            yield
        finally:
            with self._lock:
                del self._readers[begun]
            self._collect()

    def discard(self, paths: Iterable[Path]) -> None:
        """Delete files that no object names any more, once nobody reads who may have found them."""
        with self._lock:
            self._garbage.extend((next(self._order), path) for path in paths)
        self._collect()

    def _collect(self) -> None:
        with self._lock:
            oldest = next(iter(self._readers), None)
            free = []
            while self._garbage and (oldest is None or self._garbage[0][0] < oldest):
                free.append(self._garbage.popleft()[1])
        for path in free:
            path.unlink(missing_ok=True)

    def _writing(self, size: int) -> AbstractContextManager[None]:
        return explained("An object", self.root, size)

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
        sent = os.sendfile(out.fileno(), stream.fileno(), offset, size - offset)
        if not sent:
            raise OSError(errno.EIO, "a part became shorter while it was read")
        offset += sent
