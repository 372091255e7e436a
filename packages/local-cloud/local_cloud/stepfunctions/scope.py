"""Who may stop whom: an execution, its branches and their tasks form a tree of scopes.

Cancelling a scope wakes everything that waits below it, at once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from local_cloud.clock import MACHINE, Clock
from local_cloud.stepfunctions.failures import ExecutionCancelled, ExecutionSuspended, StateFailure, TaskAnswered

# The longest that a lock may be waited for differs between machines; a Wait state may take a year.
LONGEST_WAIT_SECONDS = 3600


class Context(dict[str, Any]):
    """The context object of one branch (`$$`), with the variables that its states see."""

    def __init__(self, values: dict[str, Any], variables: dict[str, Any] | None = None):
        super().__init__(values)
        self.variables = dict(variables or {})


class Scope:
    """One level of the tree, with the moment by which it must be done."""

    def __init__(
        self, parent: Scope | None = None, seconds: float | None = None, timeout_error: str = "", clock: Clock = MACHINE
    ):
        self.clock: Clock = parent.clock if parent else clock
        self._parent = parent
        self._children: list[Scope] = []
        self._event = threading.Event()
        self._woken: list[threading.Event] = []
        self._deadline = None if seconds is None else self.clock.ticks() + seconds
        self._timeout_error = timeout_error
        self._answered = False
        self._root: Scope = parent._root if parent else self
        self.suspended = False
        if parent is not None:
            parent._children.append(self)
            if parent.cancelled:
                self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether this scope or one above it was cancelled."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Cancel this scope and everything below it."""
        for event in (self._event, *list(self._woken)):
            event.set()
        for child in list(self._children):
            child.cancel()

    def suspend(self) -> None:
        """End all waiting below this root, without anything being done or written because of it."""
        self.suspended = True
        self.cancel()

    def answer(self) -> None:
        """End this scope's waiting with TaskAnswered."""
        self._answered = True
        self.cancel()

    def close(self) -> None:
        """Take a finished scope out of the tree."""
        if self._parent is not None and self in self._parent._children:
            self._parent._children.remove(self)

    def check(self) -> None:
        """Raise ExecutionCancelled or ExecutionSuspended, or the timeout of the nearest scope whose time is over."""
        if self._root.suspended:
            raise ExecutionSuspended
        if self._answered:
            raise TaskAnswered
        if self._event.is_set():
            raise ExecutionCancelled
        scope: Scope | None = self
        while scope is not None:
            if scope._deadline is not None and self.clock.ticks() >= scope._deadline:
                raise StateFailure(scope._timeout_error)
            scope = scope._parent

    def remaining(self, at_most: float) -> float:
        """Seconds that a wait may take before a deadline of this scope or one above it."""
        now, left = self.clock.ticks(), at_most
        scope: Scope | None = self
        while scope is not None:
            if scope._deadline is not None:
                left = min(left, scope._deadline - now)
            scope = scope._parent
        return max(left, 0)

    def wait(self, seconds: float) -> None:
        """Sleep; raises as `check` does, as soon as there is reason to."""
        self.wait_for(self._event, seconds)

    def wait_for(self, event: threading.Event, seconds: float) -> bool:
        """Wait for an event that `cancel` sets as well (`waking`); whether it came. Raises as `check` does."""
        end = self.clock.ticks() + seconds
        self.check()
        while not event.is_set() and (left := end - self.clock.ticks()) > 0:
            self.clock.wait(event, self.remaining(min(left, LONGEST_WAIT_SECONDS)))
            self.check()
        return event.is_set()

    @contextmanager
    def waking(self, event: threading.Event) -> Iterator[None]:
        """Within it, whoever cancels this scope also sets the event."""
        self._woken.append(event)
        try:
            if self.cancelled:
                event.set()
            yield
        finally:
            self._woken.remove(event)
