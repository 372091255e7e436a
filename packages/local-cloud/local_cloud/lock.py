"""Whose a state directory is: the lock decides, and nothing else. A cloud that is busy, starting or stopping has it.

The owner writes its process id and port into the locked file. The lock ends with its process, however that ends; what
the file says then is only where the cloud was. Used by the cloud itself and by whoever wants to know whether it lives.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

# Whoever looks takes the lock for an instant; a start must not mistake that for another cloud.
TRY_SECONDS = 1.0
RECORD_SECONDS = 5.0
PAUSE = 0.01
Bound = TypeVar("Bound")


class AlreadyOwned(Exception):
    """Another living process has this state directory."""


@dataclass
class StateLock:
    """The lock, held; `port` is where the last owner listened, 0 when there was none."""

    descriptor: int
    port: int

    def announce(self, port: int) -> None:
        """Write who has it, for `owner`."""
        record = json.dumps({"pid": os.getpid(), "port": port}).encode()
        os.pwrite(self.descriptor, record, 0)
        os.ftruncate(self.descriptor, len(record))


def again(bind: Callable[[], Bound]) -> Bound:
    """What `bind` gives, tried for a second: the kernel frees the port of a killed process a moment after its lock."""
    deadline = time.monotonic() + TRY_SECONDS
    while True:
        try:
            return bind()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)


@contextmanager
def owning(state: Path) -> Iterator[StateLock]:
    """The state directory is this process's own inside the block. Raises AlreadyOwned."""
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + TRY_SECONDS
        while not _take(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise AlreadyOwned(str(state))
            time.sleep(PAUSE)
        lock = StateLock(descriptor, _record(descriptor).get("port", 0))
        lock.announce(lock.port)
        yield lock
    finally:
        os.close(descriptor)


def owner(state: Path) -> int | None:
    """The process that has this state directory, or None when nobody has."""
    try:
        descriptor = os.open(state / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        deadline = time.monotonic() + RECORD_SECONDS
        while not _take(descriptor, fcntl.LOCK_SH):
            pid = _record(descriptor).get("pid", 0)
            # What a dead owner wrote stays until the next one has written.
            if _has_open(pid, state / "lock"):
                return pid
            if time.monotonic() > deadline:
                raise TimeoutError(f"{state / 'lock'} is taken by a process that does not say who it is.")
            time.sleep(PAUSE)
        return None
    finally:
        os.close(descriptor)


def _take(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _record(descriptor: int) -> dict[str, Any]:
    try:
        said = json.loads(os.pread(descriptor, 1024, 0))
    except ValueError:
        return {}
    usable = isinstance(said, dict) and all(type(said.get(name)) is int for name in ("pid", "port"))
    return said if usable and 0 <= said["port"] <= 65535 else {}


def _has_open(pid: int, path: Path) -> bool:
    import psutil

    if pid <= 0:
        return False
    try:
        return str(path.resolve()) in {opened.path for opened in psutil.Process(pid).open_files()}
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # gone, or somebody else's, and so not the owner of our folder
        return False
