"""Writing to a disk that may be full: everything, or one sentence that says what, where and how much is needed.

`write(2)` may take less than it was given (full disk, quota, size limit, signal) and says so only in its result, which an
unbuffered Python file hands on. So every raw write of the cloud goes through `write_all`.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from local_cloud.errors import AwsError

# What an operating system says when there is no room: the disk, the quota, the largest size of a file.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# No client repeats a request for this status by itself, as it would for 500 and 503: it would be as full again.
INSUFFICIENT_STORAGE = 507


class StorageFailed(AwsError):
    """What a request changed could not be written and was undone; the message says what to do."""

    def __init__(self, message: str):
        super().__init__("InsufficientStorage", message, INSUFFICIENT_STORAGE)


def write_all(out: IO[bytes], data: bytes | bytearray | memoryview) -> None:
    """Write every byte of `data`, however little one call of the kernel takes."""
    rest = memoryview(data).cast("B")
    while rest:
        written = out.write(rest)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[written:]


def require_size(path: Path, size: int) -> None:
    """Raise OSError unless the file has the size that was written to it."""
    found = path.stat().st_size
    if found != size:
        raise OSError(errno.EIO, f"{found} of {size} bytes were written")


@contextmanager
def explained(what: str, where: Path, needed: int) -> Iterator[None]:
    """Turn the operating system's refusal to write `what` below the folder `where` into StorageFailed."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise  # not the disk's fault
    except OSError as fault:
        raise failed(what, where, needed, fault) from fault


def failed(what: str, where: Path, needed: int, fault: OSError) -> StorageFailed:
    """The sentence for an OSError of the disk."""
    if fault.errno not in FULL:
        return StorageFailed(f"{what} could not be written in {where}: {fault.strerror or fault}. Nothing was changed.")
    return full(what, where, needed, "its size limit" if fault.errno == errno.EFBIG else "")


def full(what: str, where: Path, needed: int, limit: str = "") -> StorageFailed:
    """The sentence for a full disk; `limit` names another limit that was met."""
    try:
        free = f"{shutil.disk_usage(where).free:,} bytes are free"
    except OSError:
        free = "how much is free is not known"
    reason = f"a file there met {limit}" if limit else "the disk is full"
    return StorageFailed(
        f"{what} could not be written in {where}: {reason}. It needs {needed:,} bytes, {free}. Nothing was changed; "
        "free some space there and try again."
    )
