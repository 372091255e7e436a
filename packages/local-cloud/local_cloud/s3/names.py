"""The names of a bucket in order, so that a page of a listing costs what it shows and not what the bucket holds.

Python orders strings by code point, which is the order of their UTF-8 bytes: the order in which S3 lists.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice

from sortedcontainers import SortedSet

# As many names are taken at once, so that writers wait for no listing.
FIRST_STRIDE, STRIDE = 32, 1000
LARGEST = 0x10FFFF


def behind(prefix: str) -> str | None:
    """The least text that sorts behind every text with this prefix; None when there is none."""
    while prefix:
        if ord(prefix[-1]) < LARGEST:
            return prefix[:-1] + chr(ord(prefix[-1]) + 1)
        prefix = prefix[:-1]
    return None


class NameIndex:
    """A sorted set of names that may be read while others change it."""

    def __init__(self) -> None:
        self._names = SortedSet()
        self._lock = threading.Lock()

    def add(self, name: str) -> None:
        """Take a name in; nothing happens when it is there."""
        with self._lock:
            self._names.add(name)

    def discard(self, name: str) -> None:
        """Take a name out; nothing happens when it is not there."""
        with self._lock:
            self._names.discard(name)

    def starting_with(self, prefix: str, after: str | None = None, from_: str | None = None) -> Iterator[str]:
        """The names with this prefix in order: all, those behind `after`, or those from `from_` on."""
        low, inclusive = (after, False) if after is not None and after >= prefix else (max(from_ or "", prefix), True)
        stride = FIRST_STRIDE
        while True:
            with self._lock:
                some = list(islice(self._names.irange(minimum=low, inclusive=(inclusive, True)), stride))
            for name in some:
                if not name.startswith(prefix):
                    return
                yield name
            if len(some) < stride:
                return
            low, inclusive, stride = some[-1], False, STRIDE
