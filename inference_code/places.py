"""Where photos wait and where they are decoded: usual ones and costly ones apart, so that none waits behind the other kind.

A lane has threads and a number of places; a request takes one when its body is there. A client that leaves gives its place
back, and work that is only waited for by it is ended.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final

from contract.abandon import Abandon

PLACES_PER_THREAD: Final = 4


class Lane:
    """`patience`: seconds without a place that became free, after which something must be stuck."""

    def __init__(self, name: str, threads: int, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._places = asyncio.Semaphore(PLACES_PER_THREAD * threads)
        self._patience, self._clock = patience, clock
        self._full_since: float | None = None

    @property
    def is_stuck(self) -> bool:
        return self._full_since is not None and self._clock() - self._full_since > self._patience

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        async with self._places:
            if self._places.locked():
                self._full_since = self._clock()
            try:
                yield
            finally:
                self._full_since = None

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """In a thread, with an Abandon as the last argument, which is given up where nobody waits any more."""
        abandon = Abandon()
        try:
            return await asyncio.wrap_future(self._threads.submit(function, *arguments, abandon))
        except asyncio.CancelledError:
            abandon.give_up()
            raise


async def while_client_waits(work: Any, receive: Any) -> Any:
    """The result of the coroutine; None where the client went away first, and then the work is cancelled."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
