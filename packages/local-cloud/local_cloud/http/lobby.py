"""Where connections wait without a thread: between requests, until a request is complete, and until a goodbye is read.

One thread watches all of them. A request is handed on once its header is there, and its body too when that is small;
large bodies are streamed by the thread that serves them. Whoever takes too long is told 408 and closed; when connections
or threads run short, whoever has kept the cloud waiting longest goes first.
https://nginx.org/en/docs/http/ngx_http_core_module.html#lingering_close says why a goodbye takes time.
"""

from __future__ import annotations

import contextlib
import logging
import re
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from local_cloud.http.inbound import CONTINUE, GRACE_SECONDS, MINIMUM_RATE

logger = logging.getLogger("local_cloud")

IDLE_SECONDS = 120.0
# A connection that has not asked for anything yet, and a header that has begun.
FRESH_SECONDS = 30.0
HEADER_SECONDS = 10.0
GOODBYE_SECONDS = 5.0
GOODBYE_BYTES = 64 * 1024 * 1024
GATHERED_BODY = 256 * 1024
TICK_SECONDS = 0.25
# A thread that has waited less for its client is never taken away from it.
PATIENCE_SECONDS = 1.0
END_OF_HEADER = b"\r\n\r\n"
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
TIMEOUT_ANSWER = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain\r\nContent-Length: 35\r\nConnection: close\r\n\r\n"
    b"The request did not come in time.\r\n"
)


class Waiting:
    """One connection in the lobby: what it waits for, since when, and until when."""

    def __init__(self, connection: Any, now: float):
        self.connection = connection
        self.since = now
        self.fresh = not connection.answered
        self.deadline = now + (FRESH_SECONDS if self.fresh else IDLE_SECONDS)
        # Bytes of the whole request, once its header says so; None before.
        self.complete_at: int | None = None
        self.begun = False
        self.leaving = False
        self.discarded = 0

    def rank(self) -> tuple[int, float]:
        """Who is closed first when connections run short: half requests, then silence, then those known to be honest."""
        return (0 if self.begun or self.leaving else 1 if self.fresh else 2, self.since)


class Lobby:
    """`enter` brings a connection in, `say_goodbye` lets one out; `serve` is called with those whose request is there."""

    def __init__(
        self, serve: Callable[[Any], None], workers: Any, header_limit: int, maximum: int,
        clock: Callable[[], float] = time.monotonic,
    ):  # fmt: skip
        self._serve = serve
        self._workers = workers
        self._header_limit = header_limit
        self._maximum = maximum
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._arrivals: deque[tuple[Any, bool]] = deque()
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._waiting: dict[int, Waiting] = {}
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="lobby", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Close every connection that waits."""
        self._stopped = True
        self._ring()
        self._thread.join()

    def enter(self, connection: Any) -> None:
        """A connection that is new, or has got its answer, waits for a request. May be called from any thread."""
        self._arrivals.append((connection, False))
        self._ring()

    def say_goodbye(self, connection: Any) -> None:
        """Close once the client has read its answer; closing at once would destroy it when something is still unread."""
        self._arrivals.append((connection, True))
        self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # full: it rings already; closed: nobody listens any more
            self._rope.send(b".")

    def _run(self) -> None:
        swept = self._clock()
        while not self._stopped:
            for key, _ in self._selector.select(TICK_SECONDS):
                if key.data is None:
                    self._bell.recv(4096)
                else:
                    self._guarded(self._readable, key.data)
            while self._arrivals:
                self._guarded(self._admit, self._arrivals.popleft())
            now = self._clock()
            if now - swept >= TICK_SECONDS:
                swept = now
                self._guarded(self._sweep, now)
        for waiting in list(self._waiting.values()):
            self._close(waiting)
        self._selector.close()
        self._bell.close()
        self._rope.close()

    def _guarded(self, step: Callable[[Any], None], subject: Any) -> None:
        try:
            step(subject)
        except Exception:  # one connection's fault must not stop the others
            logger.exception("The lobby failed on a connection")
            if isinstance(subject, Waiting):
                self._close(subject)

    def _admit(self, arrival: tuple[Any, bool]) -> None:
        connection, leaving = arrival
        waiting = Waiting(connection, self._clock())
        sock = connection.socket
        try:
            sock.settimeout(0)
            if leaving:
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            connection.close()
            return
        if leaving:
            waiting.leaving, waiting.deadline = True, waiting.since + GOODBYE_SECONDS
            connection.rfile.buffer.clear()
        if len(self._waiting) >= self._maximum - len(self._workers.serving):
            self._make_room()
        self._waiting[sock.fileno()] = waiting
        self._selector.register(sock, selectors.EVENT_READ, waiting)
        if not leaving:
            connection.rfile.begin()
            if connection.rfile.buffer:
                self._progress(waiting)
            else:
                self._readable(waiting)

    def _readable(self, waiting: Waiting) -> None:
        inbound = waiting.connection.rfile
        try:
            open_still = inbound.fill()
        except OSError:
            open_still = False
        if not open_still and waiting.complete_at is not None and not waiting.leaving:
            self._hand_on(waiting)  # its body has ended early, and whoever reads it says so
        elif not open_still:
            self._close(waiting)
        elif waiting.leaving:
            waiting.discarded += len(inbound.buffer)
            inbound.buffer.clear()
            if waiting.discarded > GOODBYE_BYTES:
                self._close(waiting)
        elif inbound.buffer:
            self._progress(waiting)

    def _progress(self, waiting: Waiting) -> None:
        """Hand on what is complete; else say until when the rest must be there."""
        buffer = waiting.connection.rfile.buffer
        if not waiting.begun:
            waiting.begun, waiting.since = True, self._clock()
            waiting.deadline = waiting.since + HEADER_SECONDS
        if waiting.complete_at is None:
            end = buffer.find(END_OF_HEADER)
            if end < 0:
                if len(buffer) > self._header_limit:
                    self._hand_on(waiting)  # its parser says that this is too long
                return
            self._header_is_there(waiting, bytes(buffer[: end + 4]))
        if len(buffer) >= waiting.complete_at:
            self._hand_on(waiting)

    def _header_is_there(self, waiting: Waiting, header: bytes) -> None:
        inbound = waiting.connection.rfile
        found, expects = CONTENT_LENGTH.search(header), EXPECT.search(header)
        length = int(found.group(1)) if found else 0
        inbound.continue_pending = bool(expects)
        waiting.complete_at = len(header)
        if 0 < length <= GATHERED_BODY:
            waiting.complete_at += length
            waiting.deadline = self._clock() + GRACE_SECONDS + length / MINIMUM_RATE
            if expects and len(inbound.buffer) < waiting.complete_at:
                waiting.connection.socket.send(CONTINUE)
                inbound.continue_pending = False

    def _hand_on(self, waiting: Waiting) -> None:
        self._forget(waiting)
        self._serve(waiting.connection)

    def _sweep(self, now: float) -> None:
        for waiting in [w for w in self._waiting.values() if w.deadline < now]:
            if waiting.begun and not waiting.leaving:
                with contextlib.suppress(OSError):
                    waiting.connection.socket.send(TIMEOUT_ANSWER)
            self._close(waiting)
        self._free_threads(now)

    def _free_threads(self, now: float) -> None:
        short = self._workers.short_of()
        if not short:
            return
        since = [(c.rfile.waiting_since, c) for c in list(self._workers.serving)]
        slow = sorted(
            ((at, c) for at, c in since if at is not None and now - at >= PATIENCE_SECONDS), key=lambda pair: pair[0]
        )
        for _, connection in slow[:short]:
            with contextlib.suppress(OSError):
                connection.rfile.evict()

    def _make_room(self) -> None:
        if self._waiting:
            self._close(min(self._waiting.values(), key=Waiting.rank))

    def _forget(self, waiting: Waiting) -> None:
        self._selector.unregister(waiting.connection.socket)
        self._waiting.pop(waiting.connection.socket.fileno(), None)

    def _close(self, waiting: Waiting) -> None:
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._forget(waiting)
        with contextlib.suppress(OSError):
            waiting.connection.close()
