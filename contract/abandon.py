"""Work that nobody waits for any more is ended: the client left, or the server stops."""

import threading
from collections.abc import Callable


class Abandoned(Exception):
    """Raised in the thread whose work was given up."""


class Abandon:
    """Given to work that takes long; `give_up` may come from any thread, before, during or after it."""

    def __init__(self) -> None:
        self._given_up = False
        self._end: Callable[[], None] | None = None
        self._lock = threading.Lock()

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True
            if self._end:
                self._end()

    def check(self) -> None:
        if self._given_up:
            raise Abandoned

    def ends_with(self, end: Callable[[], None] | None) -> None:
        """What to call when the work is given up; None: nothing any more. Raises Abandoned where that has happened."""
        with self._lock:
            self._end = end
            if self._given_up and end:
                end()
