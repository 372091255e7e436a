"""Bodies of requests: read while no place is held, within limits of size, of time, and of memory for all of them together.

Refused: more than the platform's limit (413; the rest is read and thrown away for a while, since a client that is still
sending could not read the answer), a body that comes too slowly (408), and more at once than fits (503).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

from inference_code.answers import Refused
from inference_code.settings import MEGABYTE

LEAST_RATE: Final = 64 * 1024  # bytes a second, once the first seconds are over
_ROOM: Final = 256 * MEGABYTE
_ROOM_SECONDS: Final = 5
_DRAIN_BYTES: Final = 128 * MEGABYTE
_DRAIN_SECONDS: Final = 30


class Bodies:
    """All bodies that are in memory; used from one event loop."""

    def __init__(self, limit: int, seconds: float, room: int | None = None) -> None:
        self._limit, self._seconds = limit, seconds
        self._room = room or max(_ROOM, 4 * limit)
        self._used = 0
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def held(self, scope: dict[str, Any], receive: Any) -> AsyncIterator[bytes]:
        """The whole body; its memory counts until the block ends."""
        taken = [0]
        try:
            yield await self._read(scope, receive, taken)
        finally:
            self._used -= taken[0]
            self._freed.set()

    async def _read(self, scope: dict[str, Any], receive: Any, taken: list[int]) -> bytes:
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"0")
        if int(declared) > self._limit:
            raise _too_large(int(declared), self._limit)
        # A list of photos is in memory as text, as base64 and as bytes.
        weight = 3 if headers.get(b"content-type", b"").lower().startswith(b"application/json") else 1
        parts, size = [], 0
        begin = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(begin + self._seconds) as deadline:
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(
                            HTTPStatus.BAD_REQUEST, "disconnected", "the client left before its body was read"
                        )
                    part = message.get("body", b"")
                    size += len(part)
                    if size > self._limit:
                        raise _too_large(size, self._limit)
                    await self._take(weight * len(part), taken)
                    parts.append(part)
                    if not message.get("more_body"):
                        return parts[0] if len(parts) == 1 else b"".join(parts)
                    deadline.reschedule(begin + self._seconds + size / LEAST_RATE)
        except TimeoutError:
            raise Refused(
                HTTPStatus.REQUEST_TIMEOUT,
                "body_too_slow",
                f"{size:,} bytes of the body came; allowed: {self._seconds:g} s, and more for what comes faster than "
                f"{LEAST_RATE:,} bytes a second (DARKROOM_BODY_SECONDS)",
            ) from None

    async def _take(self, size: int, taken: list[int]) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + _ROOM_SECONDS
        while self._used and self._used + size > self._room:
            self._freed.clear()
            try:
                async with asyncio.timeout_at(end):
                    await self._freed.wait()
            except TimeoutError:
                allowed = f"at most {self._room:,} bytes of bodies are held at once; ask again later"
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too_busy", allowed) from None
        self._used += size
        taken[0] += size


def is_expected_to_send(scope: dict[str, Any]) -> bool:
    """Whether the client sends its body without waiting for leave."""
    return dict(scope["headers"]).get(b"expect", b"").lower() != b"100-continue"


async def drain(receive: Any) -> None:
    """Read and throw away what a refused client still sends, within limits."""
    size = 0
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while size < _DRAIN_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
    except TimeoutError:
        pass


def _too_large(size: int, limit: int) -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "payload_too_large",
        f"the body has {size:,} bytes; at most {limit:,} are allowed (SAGEMAKER_MAX_PAYLOAD_IN_MB)",
    )
