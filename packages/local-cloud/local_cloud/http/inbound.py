"""The receiving side of one connection: a buffer that fills without blocking, and reads that wait only so long.

A client may be slow, but not for ever: it is given GRACE_SECONDS of waiting and one more second for each
MINIMUM_RATE bytes that it has sent. Refuses bodies that stop early or come slower (RequestTimeout, IncompleteBody, as S3).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from local_cloud.errors import AwsError

GRACE_SECONDS = 20.0
MINIMUM_RATE = 4096
BLOCK = 64 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Inbound:
    """Buffered reads from a socket; also says since when a thread has been waiting for the client."""

    def __init__(self, sock: socket.socket, clock: Callable[[], float] = time.monotonic):
        self._socket = sock
        self._clock = clock
        self.buffer = bytearray()
        self.ended = False
        self.closed = False
        self.evicted = False
        # Whether the client waits for 100 Continue before it sends its body.
        self.continue_pending = False
        self.waiting_since: float | None = None
        self._waited = 0.0
        self._received = 0

    def begin(self) -> None:
        """A new request: its patience is its own."""
        self._waited, self._received, self.continue_pending = 0.0, 0, False

    def fill(self) -> bool:
        """Take what has arrived, without waiting; False when the client has closed."""
        try:
            block = self._socket.recv(BLOCK)
        except (BlockingIOError, InterruptedError):
            return True
        self.ended = not block
        self.buffer += block
        return bool(block)

    def has_data(self) -> bool:
        """Whether something is buffered."""
        return bool(self.buffer)

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes; less only when the client has closed."""
        blocks, missing = [], size
        while missing > 0:
            block = self._take(missing) or self._receive(missing)
            if not block:
                break
            missing -= len(block)
            blocks.append(block)
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def readline(self, limit: int) -> bytes:
        """A line with its end, cut after `limit` bytes."""
        while True:
            end = self.buffer.find(b"\n", 0, limit)
            if end >= 0 or len(self.buffer) >= limit:
                return self._take(end + 1 if end >= 0 else limit)
            block = self._receive(BLOCK)
            if not block:
                return self._take(limit)
            self.buffer += block

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around whatever waits for the client: whoever waits may be sent away when places are short."""
        self.waiting_since = self._clock()
        try:
            yield
        finally:
            self._waited += self._clock() - self.waiting_since
            self.waiting_since = None

    def evict(self) -> None:
        """End the wait of the thread that serves this client."""
        self.evicted = True
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Forget what is buffered; the connection closes the socket."""
        self.closed = True
        self.buffer.clear()

    def _take(self, size: int) -> bytes:
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    def _receive(self, size: int) -> bytes:
        if self.ended:
            return b""
        if self.continue_pending:
            self.continue_pending = False
            self._socket.sendall(CONTINUE)
        try:
            with self.waiting():
                block = self._socket.recv(min(size, 16 * BLOCK))
        except TimeoutError:
            raise self._too_slow() from None
        self._received += len(block)
        if self.evicted or self._waited > GRACE_SECONDS + self._received / MINIMUM_RATE:
            raise self._too_slow()
        self.ended = not block
        return block

    def _too_slow(self) -> AwsError:
        self.ended = True
        return AwsError(
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the timeout period. Idle "
            f"connections will be closed. (After {GRACE_SECONDS:.0f} s, a body must come with {MINIMUM_RATE} bytes a "
            "second.)",
        )
