"""The HTTP server: 127.0.0.1 only, keep-alive, one thread per request in work, bodies streamed.

cheroot, because it keeps connections open (moto's own server closes each one) and reads a body only when asked.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import Any

from cheroot import wsgi
from cheroot.server import HeaderReader

from local_cloud.wire import HEADERS, FilePart

LOOPBACK = "127.0.0.1"
# An endpoint's invocations and a stack's deployment each hold a thread while they wait.
THREADS = 48
KEEP_ALIVE_SECONDS = 120
MAXIMUM_HEADER_BYTES = 64 * 1024


class _Gateway(wsgi.Gateway_10):
    """Hands over the headers as they came: WSGI folds `x-amz-meta-my_key` and `x-amz-meta-my-key` into one name."""

    def get_environ(self) -> dict[str, Any]:
        environ = super().get_environ()
        headers = self.req.inheaders.items()
        environ[HEADERS] = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
        underscored = [name.decode("latin-1") for name in self.req.inheaders if b"_" in name]
        environ["moto.preserved_header_names"] = {
            f"HTTP_{name.upper().replace('-', '_')}": name
            for name in underscored
            if name.lower().startswith("x-amz-meta-")
        }
        for name in underscored:
            if not name.lower().startswith("x-amz-meta-"):
                environ.pop(f"HTTP_{name.upper().replace('-', '_')}", None)
        return environ

    def respond(self) -> None:
        response = self.req.server.wsgi_app(self.env, self.start_response)
        if not isinstance(response, FilePart):
            self._write_all(response)
            return
        with contextlib.closing(response):
            self.req.ensure_headers_sent()
            self.req.conn.socket.sendfile(response.stream, response.start, response.size)

    def _write_all(self, response: Iterable[bytes]) -> None:
        try:
            for block in response:
                if block:
                    self.write(block)
        finally:
            self.req.ensure_headers_sent()
            if hasattr(response, "close"):
                response.close()


def make_server(port: int, application: Callable) -> wsgi.Server:
    """A server that listens already; port 0 takes a free one."""
    server = wsgi.Server(
        (LOOPBACK, port), application, numthreads=THREADS, request_queue_size=128, timeout=KEEP_ALIVE_SECONDS,
        shutdown_timeout=5,
    )  # fmt: skip
    server.server_name = LOOPBACK
    server.max_request_header_size = MAXIMUM_HEADER_BYTES
    server.gateway = _Gateway
    server.ConnectionClass.RequestHandlerClass.header_reader = HeaderReader()
    server.prepare()
    return server


def bound_port(server: wsgi.Server) -> int:
    """The port that the server listens on."""
    return server.bind_addr[1]


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) != 0
