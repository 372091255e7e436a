"""Keep-alive HTTP connections to one container on 127.0.0.1.

The standard library's client, one connection per concurrent call, reused: a call costs a fraction of a millisecond more
than the container itself. The server of a container in network isolation listens in a network of its own; the container's
launcher hands out sockets that are connected to it (`Door`).
"""

import contextlib
import http.client
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass

_STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, http.client.CannotSendRequest)


TOKEN_HEADER = "X-Local-Cloud-Secret"  # noqa: S105 - a name


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


class Door:
    """The cloud's end of the pair through which a launcher gives connections to ports inside (confine.py, keep_door)."""

    def __init__(self) -> None:
        self._mine, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()

    def connect(self, port: int, timeout: float) -> socket.socket:
        """A socket connected to that port of the container's own network."""
        with self._lock:
            self._mine.settimeout(timeout)
            self._mine.send(port.to_bytes(2, "big"))
            said, descriptors, _, _ = socket.recv_fds(self._mine, 256, 1)
        if said != b"+" or not descriptors:
            raise ConnectionRefusedError(said.decode() or "the container has ended")
        connected = socket.socket(fileno=descriptors[0])
        connected.settimeout(timeout)
        return connected

    def close(self) -> None:
        self._mine.close()
        self.theirs.close()


class _ThroughDoor(http.client.HTTPConnection):
    def __init__(self, door: Door, port: int, timeout: float):
        super().__init__("127.0.0.1", port, timeout=timeout)
        self._door, self._seconds = door, timeout

    def connect(self) -> None:
        self.sock = self._door.connect(self.port, self._seconds)


class Connections:
    """The connections to one port."""

    def __init__(self, port: int, door: Door | None = None, secret: str = ""):
        """`secret` goes with every request: a server that knows it answers nobody else."""
        self.port, self._door = port, door
        self._own = {TOKEN_HEADER: secret} if secret else {}
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []

    def call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float = 60.0
    ) -> Answer:
        """One request; a reused connection that the container has closed meanwhile is replaced once."""
        connection, reused = self._take(timeout)
        while True:
            try:
                answer, keep = _exchange(connection, method, path, body, {**(headers or {}), **self._own})
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
        if self._door:
            self._door.close()

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
        if self._door:
            return _ThroughDoor(self._door, self.port, timeout)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)


def _exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[Answer, bool]:
    connection.request(method, path, body or None, dict(headers))
    # A server that writes its header and its body apart would else wait 40 ms for our delayed acknowledgement. Linux only.
    if hasattr(socket, "TCP_QUICKACK"):
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
