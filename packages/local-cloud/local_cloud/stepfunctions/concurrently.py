"""Branches and iterations side by side: results in order, the first failure too many ends the rest."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_cloud.errors import words_for
from local_cloud.stepfunctions.failures import ExecutionCancelled, ExecutionSuspended, StateFailure
from local_cloud.stepfunctions.scope import Scope


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


def run_all(
    works: list[Callable[[int], Outcome]], concurrency: int, scope: Scope, tolerated: float, start: int
) -> tuple[list[Any], int]:
    """The results of all works, at most `concurrency` at a time, and the last event of the one that ended last.

    Each work gets the event that its first one follows: `start`, or the last one of what the same worker did before.
    The first failure that is not tolerated cancels the rest and is raised, with its last event as `last_event`.
    """
    results: list[Any] = [None] * len(works)
    failures: list[Exception] = []
    ended = [start]
    lock, numbers = threading.Lock(), iter(range(len(works)))

    def worker() -> None:
        previous = start
        while True:
            with lock:
                number = next(numbers, None)
            if number is None or scope.cancelled:
                return
            try:
                outcome = works[number](previous)
            except (ExecutionCancelled, ExecutionSuspended):
                return
            except Exception as fault:  # of the local cloud itself: the execution ends with it
                outcome = Outcome(None, previous, failure=_fault(fault))
            previous = outcome.last_event
            with lock:
                if scope.cancelled:
                    return
                ended[0] = previous if outcome.after is None else outcome.after
                results[number] = outcome.result
                if outcome.failure:
                    outcome.failure.last_event = previous
                    failures.append(outcome.failure)
                    if len(failures) > tolerated:
                        scope.cancel()

    threads = [threading.Thread(target=worker, name="branch", daemon=True) for _ in range(min(concurrency, len(works)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(failures) > tolerated:
        raise failures[-1]
    if scope.cancelled:
        scope.check()
    return results, ended[0]
