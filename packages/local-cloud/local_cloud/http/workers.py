"""Threads that serve requests: made when they are needed, at most MAXIMUM of them, gone again when long idle."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("local_cloud")

# An endpoint's invocations and a stack's deployment each hold a thread while they wait.
MAXIMUM = 256
IDLE_SECONDS = 60


class Workers:
    """Calls `serve(connection)` for each connection put in, in a thread of its own while there are fewer than `maximum`."""

    def __init__(self, serve: Callable[[Any], None], maximum: int = MAXIMUM):
        self._serve = serve
        self._maximum = maximum
        self._queue: deque[Any] = deque()
        self._wake = threading.Condition()
        self._idle = 0
        self._count = 0
        self._stopped = False
        self.serving: set[Any] = set()

    def start(self) -> None:
        """Nothing: the first request makes the first thread."""

    def put(self, connection: Any) -> None:
        """Serve this connection as soon as a thread is free."""
        with self._wake:
            self._queue.append(connection)
            if len(self._queue) <= self._idle:
                self._wake.notify()
            elif self._count < self._maximum:
                self._count += 1
                threading.Thread(target=self._work, name="request", daemon=True).start()

    def short_of(self) -> int:
        """How many requests wait because every thread is taken."""
        with self._wake:
            return len(self._queue) if self._count >= self._maximum and not self._idle else 0

    def stop(self, seconds: float) -> None:
        """Take nothing new; wait up to `seconds` for what is being served."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()
            self._wake.wait_for(lambda: self._count == 0, seconds)

    def _work(self) -> None:
        while (connection := self._next()) is not None:
            self.serving.add(connection)
            try:
                self._serve(connection)
            except ConnectionError as lost:
                logger.info("A client went away: %s", lost)
            except Exception:
                logger.exception("A connection could not be served")
            finally:
                self.serving.discard(connection)

    def _next(self) -> Any | None:
        with self._wake:
            self._idle += 1
            self._wake.wait_for(lambda: self._queue or self._stopped, IDLE_SECONDS)
            self._idle -= 1
            if self._queue and not self._stopped:
                return self._queue.popleft()
            self._count -= 1
            self._wake.notify_all()
            return None
