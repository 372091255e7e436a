"""URLs that somebody may use without a key, for one thing and for a while: an answer to CloudFormation, a function's package.

AWS gives pre-signed URLs of buckets of its own for these. Here a random word is the proof; who does not know it gets what any
stranger gets.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

from local_cloud.clock import Clock
from local_cloud.errors import AwsError
from local_cloud.wire import Answer, Request

PREFIX = "/_local/with/"
MAXIMUM_BODY = 1024 * 1024


@dataclass(frozen=True)
class _Offer:
    method: str
    use: Callable[[bytes], bytes]
    until: float


class Capabilities:
    """The URLs that are open now."""

    def __init__(self, endpoint: str, clock: Clock):
        self._endpoint, self._clock = endpoint, clock
        self._offers: dict[str, _Offer] = {}
        self._lock = threading.Lock()

    def offer(self, method: str, name: str, use: Callable[[bytes], bytes], seconds: float) -> str:
        """A URL; `use` gets the body of each request and gives that of the answer. Forgets what is over."""
        token, now = secrets.token_urlsafe(32), self._clock.now()
        with self._lock:
            self._offers = {key: offer for key, offer in self._offers.items() if offer.until > now}
            self._offers[token] = _Offer(method, use, now + seconds)
        return f"{self._endpoint}{PREFIX}{token}/{name}"

    def withdraw(self, url: str) -> None:
        """Close a URL."""
        with self._lock:
            self._offers.pop(_token(url.removeprefix(self._endpoint)), None)

    def answer(self, request: Request) -> Answer:
        """The answer to a request whose path begins with PREFIX. Raises AccessDenied."""
        with self._lock:
            offer = self._offers.get(_token(request.raw_path))
        if offer is None or offer.until <= self._clock.now() or offer.method != request.method:
            raise AwsError("AccessDenied", "This URL is not known here, is over, or is for another method.", 403)
        body = request.body()
        if len(body) > MAXIMUM_BODY:
            raise AwsError("EntityTooLarge", f"The body has more than {MAXIMUM_BODY} bytes.", 400)
        return Answer(200, {"Content-Type": "application/octet-stream"}, offer.use(body))


def _token(path: str) -> str:
    return path.removeprefix(PREFIX).partition("/")[0]
