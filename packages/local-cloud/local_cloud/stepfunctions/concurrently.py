"""Branches and iterations side by side: results in order, the first failure too many ends the rest."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from local_cloud.errors import words_for
from local_cloud.stepfunctions.failures import ExecutionCancelled, ExecutionSuspended, StateFailure
from local_cloud.stepfunctions.scope import Scope

# A scope that is cancelled wakes nobody who waits for room.
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Outcome:
    """How one work ended, and its last event, which the next work of the same worker follows.

    `after`: what the state itself goes on behind when this work was the last to succeed; `last_event` when left out.
    """

    result: Any
    last_event: int
    after: int | None = None
    failure: StateFailure | None = None


def _fault(fault: Exception) -> StateFailure:
    logging.getLogger("local_cloud.stepfunctions").exception("A branch met a fault of the local cloud")
    return StateFailure("States.Runtime", f"The local cloud could not go on: {words_for(fault)}")


class Limits:
    """How many works may run at a time, and how many may fail: what a map run can be told while it runs."""

    def __init__(self, concurrency: Callable[[], int], tolerated: Callable[[], float]):
        self.concurrency, self.tolerated = concurrency, tolerated
        self._changed, self._running = threading.Condition(), 0

    @contextmanager
    def room(self, scope: Scope) -> Iterator[None]:
        """Inside, one of those that may run; waits until there is room, or everything is over."""
        with self._changed:
            while self._running >= self.concurrency() and not scope.cancelled:
                self._changed.wait(LOOK_SECONDS)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify()

    @classmethod
    def fixed(cls, concurrency: int, tolerated: float) -> Limits:
        """Limits that stay."""
        return cls(lambda: concurrency, lambda: tolerated)


def run_all(
    works: list[Callable[[int], Outcome]], workers: int, scope: Scope, limits: Limits, start: int
) -> tuple[list[Any], int]:
    """The results of all works, by at most so many workers, and the last event of the one that ended last.

    Each work gets the event that its first one follows: `start`, or the last one of what the same worker did before.
    The first failure that is not tolerated cancels the rest and is raised, with its last event as `last_event`.
    """
    results: list[Any] = [None] * len(works)
    failures: list[Exception] = []
    ended = [start]
    lock, numbers = threading.Lock(), iter(range(len(works)))

    def work_on(number: int, previous: int) -> int | None:
        """Do this one; its last event, or None when there is nothing more to do."""
        try:
            outcome = works[number](previous)
        except (ExecutionCancelled, ExecutionSuspended):
            return None
        except Exception as fault:  # of the local cloud itself: the execution ends with it
            outcome = Outcome(None, previous, failure=_fault(fault))
        with lock:
            if scope.cancelled:
                return None
            ended[0] = outcome.last_event if outcome.after is None else outcome.after
            results[number] = outcome.result
            if outcome.failure:
                outcome.failure.last_event = outcome.last_event
                failures.append(outcome.failure)
                if len(failures) > limits.tolerated():
                    scope.cancel()
        return outcome.last_event

    def worker() -> None:
        previous: int | None = start
        while previous is not None:
            with limits.room(scope):
                with lock:
                    number = next(numbers, None)
                if number is None or scope.cancelled:
                    return
                previous = work_on(number, previous)

    threads = [threading.Thread(target=worker, name="branch", daemon=True) for _ in range(min(workers, len(works)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(failures) > limits.tolerated():
        raise failures[-1]
    if scope.cancelled:
        scope.check()
    return results, ended[0]
