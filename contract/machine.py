"""What differs between the systems that an image runs on: Linux in the cloud, and Linux or macOS on a desk."""

from __future__ import annotations

import os
from pathlib import Path

_PIECE = 1 << 24


def usable_cores() -> int:
    """Cores that this process may use: its affinity where the system has one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reserve(path: Path, start: int) -> None:
    """Take the disk of a file from `start` on now: writing to a mapped file on a full disk would kill the process instead of
    raising an error. macOS has no call for it, so zeros are written."""
    size = path.stat().st_size
    try:
        with path.open("r+b") as stream:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, size)
                return
            stream.seek(start)
            for at in range(start, size, _PIECE):
                stream.write(bytes(min(_PIECE, size - at)))
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
