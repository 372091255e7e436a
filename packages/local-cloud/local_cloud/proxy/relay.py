"""HTTP's CONNECT and absolute addresses: AWS's hosts end at the cloud, all others go where they would have gone."""

from __future__ import annotations

import base64
import logging
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from local_cloud.proxy.addresses import is_aws
from local_cloud.proxy.certificates import CertificateAuthority

HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0
CONNECT_SECONDS = 20.0
BLOCK = 256 * 1024
CONNECTIONS = 512
PAUSE_SECONDS = 0.1
logger = logging.getLogger("local_cloud")


@dataclass(frozen=True)
class Outer:
    """The proxies that were set before this one, by scheme: `host:port` and the line that says who asks."""

    addresses: dict[str, tuple[str, int, str]]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Outer:
        """HTTPS_PROXY and HTTP_PROXY, in either case."""
        found = {}
        for scheme in ("https", "http"):
            text = environment.get(f"{scheme}_proxy") or environment.get(f"{scheme.upper()}_PROXY") or ""
            parts = urlsplit(text if "//" in text else f"//{text}")
            if parts.hostname:
                found[scheme] = (parts.hostname, parts.port or 80, _authorization(parts.username, parts.password))
        return cls(found)


def _authorization(user: str | None, password: str | None) -> str:
    if not user:
        return ""
    both = base64.b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()
    return f"Proxy-Authorization: Basic {both}\r\n"


class Refused(Exception):
    """What the client is answered instead of a connection."""


class Relay:
    """Serves each connection by a thread of its own."""

    def __init__(self, cloud: tuple[str, int], folder: Path, outer: Outer):
        self._cloud, self._outer = cloud, outer
        self._authority = CertificateAuthority(folder)
        self._places = threading.BoundedSemaphore(CONNECTIONS)

    def serve(self, listening: socket.socket) -> None:
        while True:
            self._places.acquire()
            try:
                connection, _ = listening.accept()
            except OSError as error:  # no descriptor is free for a moment, or the client has gone again
                self._places.release()
                logger.warning("The proxy could not take a connection: %s", error)
                time.sleep(PAUSE_SECONDS)
                continue
            threading.Thread(target=self._served, args=(connection,), daemon=True).start()

    def _served(self, client: socket.socket) -> None:
        try:
            with client:
                client.settimeout(HEAD_SECONDS)
                self._serve_one(client)
        except (OSError, ssl.SSLError) as error:
            logger.debug("A connection through the proxy ended: %s", error)
        finally:
            self._places.release()

    def _serve_one(self, client: socket.socket) -> None:
        head, rest = _head(client)
        method, _, target_and_version = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        target = target_and_version.rpartition(" ")[0]
        try:
            if method == "CONNECT":
                self._tunnel(client, target, rest)
            else:
                self._plain(client, head, target, rest)
        except Refused as refused:
            said = f"{refused}\n".encode()
            client.sendall(
                b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                + f"Content-Length: {len(said)}\r\n\r\n".encode()
                + said
            )

    def _tunnel(self, client: socket.socket, target: str, rest: bytes) -> None:
        host, _, port = target.rpartition(":")
        host = host.strip("[]")
        if not host or not port.isdigit():
            raise Refused(f"CONNECT {target!r} names no host and port.")
        if not is_aws(host):
            with self._outside(host, int(port)) as other:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                other.sendall(rest)
                _splice(client, other)
            return
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        secured = self._authority.context(host.lower()).wrap_socket(client, server_side=True)
        with secured as inside, socket.create_connection(self._cloud, CONNECT_SECONDS) as cloud:
            _splice(inside, cloud)

    def _plain(self, client: socket.socket, head: bytes, target: str, rest: bytes) -> None:
        parts = urlsplit(target)
        if parts.scheme != "http" or not parts.hostname:
            raise Refused(f"{target[:200]!r} is no address for a proxy.")
        own = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        line, _, headers = head.partition(b"\r\n")
        aws = is_aws(parts.hostname)
        proxy = None if aws else self._outer.addresses.get("http")
        asked = line if proxy else line.replace(target.encode("latin-1"), own.encode("latin-1"), 1)
        # One request on one connection: the next may be for another host.
        kept = [each for each in headers.split(b"\r\n") if not each.lower().startswith((b"proxy-", b"connection:"))]
        who = proxy[2].encode() if proxy else b""
        sent = asked + b"\r\nConnection: close\r\n" + who + b"\r\n".join(kept) + b"\r\n\r\n" + rest
        with self._connected(self._cloud if aws else (proxy or (parts.hostname, parts.port or 80))[:2]) as other:
            other.sendall(sent)
            _splice(client, other)

    def _outside(self, host: str, port: int) -> socket.socket:
        proxy = self._outer.addresses.get("https")
        if proxy is None:
            return self._connected((host, port))
        other = self._connected(proxy[:2])
        other.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{proxy[2]}\r\n".encode())
        answer, _ = _head(other)
        if b" 200 " not in answer.partition(b"\r\n")[0] + b" ":
            other.close()
            raise Refused(
                f"The proxy {proxy[0]}:{proxy[1]} answered {answer.splitlines()[0].decode('latin-1')!r} for {host}:{port}."
            )
        return other

    def _connected(self, address: tuple[str, int]) -> socket.socket:
        try:
            return socket.create_connection(address, CONNECT_SECONDS)
        except OSError as error:
            raise Refused(f"{address[0]}:{address[1]} cannot be reached: {error}.") from None


def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    """A request's or answer's head without its empty line, and what came after it."""
    received = b""
    while b"\r\n\r\n" not in received:
        block = connection.recv(8192)
        if not block or len(received) > HEAD_BYTES:
            raise ConnectionError("no whole head came")
        received += block
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def _splice(one: socket.socket, other: socket.socket) -> None:
    """Bytes in both directions until one side has ended. By one thread: OpenSSL lets no two use a connection at once."""
    for each in (one, other):
        each.settimeout(None)
    with selectors.DefaultSelector() as ready:
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in ready.select():
                source: Any = key.fileobj
                target = key.data
                while True:
                    block = source.recv(BLOCK)
                    if not block:
                        return
                    target.sendall(block)
                    if not (isinstance(source, ssl.SSLSocket) and source.pending()):
                        break
