"""One budget of memory for all photos that are being decoded in this process, however many threads and requests bring them.

A few kilobytes can unpack to gigabytes, and a limit for each photo says nothing about the sum. Who decodes takes the
estimate of the header out of the budget first and waits where it does not fit. Refused: what would never fit.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from contract.abandon import Abandon
from contract.unreadable import UnreadablePhoto

MEGABYTE: Final = 1024 * 1024
LEAST: Final = 256 * MEGABYTE
SHARE: Final = 0.5  # of what the machine has left: the rest is for pixels on their way, models and other processes
_SMALL: Final = 64  # a part of the budget: what needs less does not queue behind what waits for much
_LOOK_SECONDS: Final = 0.2  # how often a waiting thread looks whether its client is still there


class MemoryBudget:
    """Bytes that are handed out and given back; safe for many threads."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.most = 0  # ever in use at once
        self._used = 0
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    @property
    def free(self) -> int:
        return self.total - self._used

    @contextmanager
    def hold(self, needed: int, abandon: Abandon | None = None) -> Iterator[None]:
        """Wait until `needed` bytes are free, in the order of asking; raise UnreadablePhoto where they never will be."""
        if needed > self.total:
            raise UnreadablePhoto(
                "too_costly",
                f"decoding the photo takes about {needed / MEGABYTE:,.0f} MB; this machine allows "
                f"{self.total / MEGABYTE:,.0f} MB for photos; scale the photo down",
            )
        self._take(needed, abandon)
        try:
            yield
        finally:
            with self._changed:
                self._used -= needed
                self._changed.notify_all()

    def _take(self, needed: int, abandon: Abandon | None) -> None:
        small = needed * _SMALL <= self.total
        turn = object()
        with self._changed:
            if not small:
                self._queue.append(turn)
            try:
                while self._used + needed > self.total or not (small or self._queue[0] is turn):
                    self._changed.wait(_LOOK_SECONDS)
                    if abandon:
                        abandon.check()
                self._used += needed
                self.most = max(self.most, self._used)
            finally:
                if not small:
                    self._queue.remove(turn)
                    self._changed.notify_all()


def available_memory() -> int:
    """Bytes this process could still take: the machine's, or the container's limit where that is less."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = int(dict(line.split(":", 1) for line in lines)["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):  # no Linux: half of what the machine was built with
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        available = min(available, limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):  # no cgroup v2, or no limit
        pass
    return max(0, available)


_photos: MemoryBudget | None = None
_photos_lock = threading.Lock()


def photo_budget() -> MemoryBudget:
    """The budget of this process: half of what the machine had left when it was first asked for."""
    global _photos
    with _photos_lock:
        if _photos is None:
            _photos = MemoryBudget(max(LEAST, int(SHARE * available_memory())))
        return _photos


def set_photo_budget(total: int) -> MemoryBudget:
    """Decide it instead, before the first photo."""
    global _photos
    with _photos_lock:
        _photos = MemoryBudget(total)
        return _photos
