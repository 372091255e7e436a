"""Time is handed in: whatever waits, expires or is stamped asks a clock, so that a test can move it by hand.

A retry's back-off, a signature's age and a job's bill are rules about time. They are tested with a clock that a test moves
(`local_cloud.testing.ManualClock`), in microseconds and to the second.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


class Clock:
    """The machine's own clock."""

    def now(self) -> float:
        """The time of day, in seconds since the epoch. It may be set back."""
        return time.time()

    def ticks(self) -> float:
        """Seconds since some moment in the past: for how long something took. They never go back."""
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Wait for an event, at most so long; whether it came."""
        return event.wait(seconds)

    def moment(self) -> datetime:
        """The time of day as a date with a zone."""
        return datetime.fromtimestamp(self.now(), UTC)


MACHINE = Clock()
