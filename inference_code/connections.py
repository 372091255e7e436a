"""Connections whose headers do not come, or do not end, are closed: uvicorn limits neither for a request that was begun."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES: Final = 65_536


def protocol_with_deadline(seconds: float) -> type[HttpToolsProtocol]:
    """uvicorn's protocol, with a limit of time from a connection's or request's first byte to the end of its headers."""

    class Timely(HttpToolsProtocol):
        _deadline: asyncio.TimerHandle | None = None
        _header_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait_for_headers()

        def data_received(self, data: bytes) -> None:
            self._header_bytes += len(data)
            super().data_received(data)
            if self._deadline and self._header_bytes > MOST_HEADER_BYTES:
                self.transport.abort()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._deadline is None:
                self._wait_for_headers()

        def on_headers_complete(self) -> None:
            self._stop_waiting()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def _wait_for_headers(self) -> None:
            self._header_bytes = 0
            self._deadline = self.loop.call_later(seconds, self._too_late)

        def _stop_waiting(self) -> None:
            if self._deadline:
                self._deadline.cancel()
            self._deadline = None

        def _too_late(self) -> None:
            # An answer that is still being made for an earlier request of this connection is not cut off.
            if self.cycle is None or self.cycle.response_complete:
                self.transport.abort()

    return Timely
