"""Says in a job's log how far a long step is, how fast, and how long it still takes: the command line shows the last such line."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TypeVar

SECONDS_BETWEEN = 5.0
Made = TypeVar("Made")


class Progress:
    """Lines such as `features: 512 of 4,556 (11 %), 310 a second, 13 s left`, at most one in some seconds; from any thread."""

    def __init__(
        self, what: str, total: int, clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = lambda text: print(text, flush=True),
    ) -> None:  # fmt: skip
        self._what, self._total, self._clock, self._say = what, total, clock, say
        self._begun = self._told = clock()
        self._done, self._lock = 0, Lock()

    def add(self, count: int = 1) -> None:
        with self._lock:
            self.reached(self._done + count)

    def reached(self, done: int) -> None:
        """So many are done; a line where the last one is old enough."""
        self._done = done
        now = self._clock()
        if now - self._told < SECONDS_BETWEEN or done >= self._total:
            return
        self._told = now
        rate = done / (now - self._begun)
        left = duration((self._total - done) / rate) + " left" if rate else "no end in sight"
        fast = f"{rate:.0f} a second" if rate >= 1 else f"{rate * 60:.0f} a minute"
        self._say(f"{self._what}: {done:,} of {self._total:,} ({done / self._total:.0%}), {fast}, {left}")

    def counted(self, make: Callable[[int], Made], indices: Sequence[int]) -> Callable[[int], Made]:
        """`make`, each call counted as all the times that its index is wanted."""
        wanted = Counter(indices)

        def counting(index: int) -> Made:
            made = make(index)
            self.add(wanted[index])
            return made

        return counting


def duration(seconds: float) -> str:
    """8 s, 3 min, 2 h 10 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
