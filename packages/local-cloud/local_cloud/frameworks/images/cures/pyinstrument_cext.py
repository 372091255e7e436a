"""smdebug imports pyinstrument, whose C function is published for Python <= 3.10 only. Nothing calls it but its optional profiler."""

import sys
import time


def setstatprofile(target, interval=0.001):
    """Call `target(frame, event, arg)` from Python's profile hook, at most once every `interval` seconds; None: stop."""
    if target is None:
        sys.setprofile(None)
        return
    due = time.perf_counter() + interval

    def sample(frame, event, arg):
        nonlocal due
        if time.perf_counter() >= due:
            due = time.perf_counter() + interval
            target(frame, event, arg)

    sys.setprofile(sample)
