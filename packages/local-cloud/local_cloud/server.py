"""The HTTP server: 127.0.0.1 only, keep-alive, bodies streamed; a thread serves a request, never a wait for one.

cheroot parses requests and speaks WSGI; who may wait how long, and what a well-formed request is, is in `http/`.
"""

from __future__ import annotations

import contextlib
import logging
import re
import resource
import socket
from collections.abc import Callable, Iterable
from typing import Any

from cheroot import wsgi
from cheroot.makefile import MakeFile
from cheroot.server import HTTPConnection, HTTPRequest

from local_cloud.http.framing import ChunkedBody, SizedBody, read_headers
from local_cloud.http.inbound import GRACE_SECONDS, Inbound
from local_cloud.http.lobby import IDLE_SECONDS, Lobby
from local_cloud.http.workers import Workers
from local_cloud.wire import HEADERS, FilePart

LOOPBACK = "127.0.0.1"
MAXIMUM_HEADER_BYTES = 64 * 1024
VISIBLE = re.compile(rb"[\x21-\x7e]+")
SEND_BLOCK = 1024 * 1024
STOP_SECONDS = 5
logger = logging.getLogger("local_cloud")


class _Request(HTTPRequest):
    """One request, framed by our own stricter rules."""

    def read_request_line(self) -> bool:
        try:
            read = super().read_request_line()
        except ValueError:  # urlsplit on what only looks like an address
            read = False
            self.simple_response("400 Bad Request", "The address in the request line cannot be understood.")
        if read and not VISIBLE.fullmatch(self.uri):
            self.simple_response("400 Bad Request", "The address in the request line holds a control character.")
            return False
        return read

    def header_reader(self, stream: Any, headers: dict[bytes, bytes]) -> dict[bytes, bytes]:
        read_headers(stream, headers)
        if b"Host" not in headers and self.response_protocol == "HTTP/1.1":
            raise ValueError("A request needs a Host header.")
        if b"Transfer-Encoding" in headers and self.response_protocol != "HTTP/1.1":
            raise ValueError("HTTP/1.0 has no Transfer-Encoding.")
        # Answered when the body is wanted, which a refused request's never is.
        headers.pop(b"Expect", None)
        return headers

    def respond(self) -> None:
        inbound = self.conn.rfile
        length = int(self.inheaders.get(b"Content-Length", b"0"))
        self.rfile = ChunkedBody(inbound) if self.chunked_read else SizedBody(inbound, length)
        self.server.gateway(self).respond()
        self.ensure_headers_sent()
        if self.chunked_write:
            self.conn.wfile.write(b"0\r\n\r\n")

    def send_headers(self) -> None:
        # What an answer leaves unread of the body would be taken for the next request.
        if not self.rfile.finished():
            self.close_connection = True
        super().send_headers()


class _Connection(HTTPConnection):
    """One client; `answered` once it has got an answer to a whole request."""

    RequestHandlerClass = _Request
    answered = False

    def __init__(self, server: Any, sock: socket.socket, makefile: Any = MakeFile):
        super().__init__(server, sock, lambda s, mode, size: Inbound(s) if mode == "rb" else makefile(s, mode, size))


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
        inbound, sock = self.req.conn.rfile, self.req.conn.socket
        with contextlib.closing(response):
            self.req.ensure_headers_sent()
            position, end = response.start, response.start + response.size
            while position < end:
                with inbound.waiting():
                    sent = sock.sendfile(response.stream, position, min(SEND_BLOCK, end - position))
                if not sent:
                    raise ConnectionAbortedError("A file became shorter while it was sent.")
                position += sent

    def _write_all(self, response: Iterable[bytes]) -> None:
        try:
            for block in response:
                if block:
                    with self.req.conn.rfile.waiting():
                        self.write(block)
        finally:
            self.req.ensure_headers_sent()
            if hasattr(response, "close"):
                response.close()


class _Server(wsgi.Server):
    """cheroot's server with a lobby before its threads."""

    ConnectionClass = _Connection
    # The lobby has a limit of its own.
    keep_alive_conn_limit = None

    def prepare(self) -> None:
        self.requests = Workers(self._serve)
        # Half of what the process may open is left for files, jobs and databases.
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        connections = 2048 if allowed == resource.RLIM_INFINITY else max(64, min(2048, allowed // 2))
        self.lobby = Lobby(self._hand_over, self.requests, MAXIMUM_HEADER_BYTES, connections)
        super().prepare()
        self.lobby.start()

    @classmethod
    def prepare_socket(cls, *words: Any, **options: Any) -> socket.socket:
        """cheroot leaves this out for a port of the kernel's choice; the next cloud could then not have the same one for a minute."""
        made = super().prepare_socket(*words, **options)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return made

    def process_conn(self, conn: _Connection) -> None:
        self.lobby.enter(conn)

    def put_conn(self, conn: _Connection) -> None:
        self.lobby.enter(conn)

    def stop(self) -> None:
        if self.ready:
            super().stop()
            self.lobby.stop()

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        logger.log(level, "%s", msg, exc_info=traceback)

    def _hand_over(self, conn: _Connection) -> None:
        conn.socket.settimeout(GRACE_SECONDS)
        self.requests.put(conn)

    def _serve(self, conn: _Connection) -> None:
        keep = False
        try:
            keep = conn.communicate()
        finally:
            if keep:
                conn.answered = True
                self.lobby.enter(conn)
            else:
                self.lobby.say_goodbye(conn)


def make_server(port: int, application: Callable[..., Any]) -> wsgi.Server:
    """A server that listens already; port 0 takes a free one."""
    server = _Server(
        (LOOPBACK, port), application, server_name=LOOPBACK, request_queue_size=512, timeout=IDLE_SECONDS,
        shutdown_timeout=STOP_SECONDS,
    )  # fmt: skip
    server.max_request_header_size = MAXIMUM_HEADER_BYTES
    server.gateway = _Gateway
    server.prepare()
    return server


def bound_port(server: wsgi.Server) -> int:
    """The port that the server listens on."""
    return server.bind_addr[1]
