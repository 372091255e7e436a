"""Keep-alive HTTP connections to one container on 127.0.0.1.

The standard library's client, one connection per concurrent call, reused: a call costs a fraction of a millisecond more
than the container itself.
"""

import contextlib
import http.client
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass

_STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, http.client.CannotSendRequest)


@dataclass(frozen=True)
class Answer:
    """What a container answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "application/octet-stream")


class ContainerUnreachable(Exception):
    """No answer: the container is gone, or closed the connection in the middle."""


class ContainerTimeout(Exception):
    """No answer within the time allowed."""


class Connections:
    """The connections to one port."""

    def __init__(self, port: int):
        self.port = port
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []

    def call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float = 60.0
    ) -> Answer:
        """One request; a reused connection that the container has closed meanwhile is replaced once."""
        connection, reused = self._take(timeout)
        while True:
            try:
                answer, keep = _exchange(connection, method, path, body, headers or {})
            except TimeoutError as error:
                connection.close()
                raise ContainerTimeout(f"{method} {path}: no answer within {timeout:g} s") from error
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if reused and isinstance(error, _STALE):
                    connection, reused = self._new(timeout), False
                    continue
                raise ContainerUnreachable(f"{method} {path}: {type(error).__name__}: {error}") from error
            if keep:
                with self._lock:
                    self._idle.append(connection)
            else:
                connection.close()
            return answer

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self, timeout: float) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            return self._new(timeout), False
        connection.timeout = timeout
        with contextlib.suppress(OSError):
            connection.sock.settimeout(timeout)
        return connection, True

    def _new(self, timeout: float) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)


def _exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[Answer, bool]:
    connection.request(method, path, body or None, dict(headers))
    # A server that writes its header and its body apart would else wait 40 ms for our delayed acknowledgement.
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    response = connection.getresponse()
    data = response.read()
    names = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, names, data), not response.will_close


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
