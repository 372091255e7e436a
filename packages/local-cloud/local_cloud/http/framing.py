"""Where one request ends and the next begins, by RFC 9112: what could be read in two ways is refused, not guessed.

Refused with 400: a second Host, Content-Length or other field that may come once, Content-Length beside
Transfer-Encoding, lengths that are not digits, folded lines, blanks before a colon, control characters, chunk sizes that
are not hexadecimal. https://www.rfc-editor.org/rfc/rfc9112#section-3.2 and #section-6
"""

from __future__ import annotations

import re
from typing import Any

from local_cloud.errors import AwsError
from local_cloud.http.inbound import Inbound

NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
LENGTH = re.compile(rb"\d{1,18}")
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
# Fields that a request has once; a second one would let two readers see two requests.
ONCE = {
    b"Host", b"Content-Length", b"Content-Type", b"Content-Md5", b"Content-Range", b"Authorization", b"Date", b"Origin",
    b"Range", b"Transfer-Encoding", b"X-Amz-Date", b"X-Amz-Security-Token", b"X-Amz-Content-Sha256", b"X-Amz-Target",
    b"X-Amz-Decoded-Content-Length", b"X-Amz-Copy-Source", b"Sec-Fetch-Site",
}  # fmt: skip
LINE_LIMIT = 8192
MAXIMUM_TRAILER_LINES = 64


def read_headers(stream: Any, headers: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The fields of one request by their names in Title-Case. Raises ValueError with a sentence for the client."""
    while (line := stream.readline()) != b"\r\n":
        if not line.endswith(b"\r\n"):
            raise ValueError("Each header line must end with CRLF.")
        name, colon, value = line.partition(b":")
        if not colon or not NAME.fullmatch(name):
            raise ValueError("A header line is not of the form 'Name: value'.")
        name, value = name.title(), value.strip(b" \t\r\n")
        if FORBIDDEN.search(value):
            raise ValueError(f"The header {name.decode()} holds a control character.")
        if name in headers and name in ONCE:
            raise ValueError(f"The header {name.decode()} may come once only.")
        headers[name] = headers[name] + b"," + value if name in headers else value
    _check_framing(headers)
    return headers


def _check_framing(headers: dict[bytes, bytes]) -> None:
    length, encoding = headers.get(b"Content-Length"), headers.get(b"Transfer-Encoding")
    if length is not None and not LENGTH.fullmatch(length):
        raise ValueError("Content-Length must be a number of at most 18 digits.")
    if length is not None and encoding is not None:
        raise ValueError("Content-Length and Transfer-Encoding exclude each other.")
    if encoding is not None and encoding.lower() != b"chunked":
        raise ValueError("The only Transfer-Encoding that is understood is chunked.")


class SizedBody:
    """A body of a known length; ending before it is an error, so that a part is never taken for the whole."""

    def __init__(self, inbound: Inbound, length: int):
        self._inbound = inbound
        self._left = length

    def read(self, size: int | None = None) -> bytes:
        """Up to `size` bytes, all of them unless the body ends."""
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        return self._counted(self._inbound.read(wanted), wanted)

    def readline(self, limit: int = LINE_LIMIT) -> bytes:
        """One line, cut after `limit` bytes."""
        wanted = min(limit, self._left)
        if not wanted:
            return b""
        line = self._inbound.readline(wanted)
        return self._counted(line, len(line) or 1)

    def finished(self) -> bool:
        """Whether nothing is left on the wire; a rest that has arrived already is thrown away."""
        if self._left and len(self._inbound.buffer) >= self._left:
            self._left -= len(self._inbound.read(self._left))
        return self._left == 0

    def _counted(self, block: bytes, wanted: int) -> bytes:
        self._left -= len(block)
        if len(block) < wanted:
            raise AwsError("IncompleteBody", "You did not provide the number of bytes that Content-Length announced.")
        return block


class ChunkedBody:
    """A body with `Transfer-Encoding: chunked`; its trailers are read and ignored."""

    def __init__(self, inbound: Inbound):
        self._inbound = inbound
        self._chunk = 0
        self._started = self._ended = False

    def read(self, size: int | None = None) -> bytes:
        """Up to `size` bytes, all of them unless the body ends."""
        blocks: list[bytes] = []
        missing = size if size is not None and size >= 0 else 1 << 62
        while missing and self._open_chunk():
            wanted = min(missing, self._chunk)
            block = self._inbound.read(wanted)
            if len(block) < wanted:
                raise AwsError("IncompleteBody", "The chunked body ended in the middle.")
            blocks.append(block)
            missing -= wanted
            self._chunk -= wanted
        return b"".join(blocks)

    def readline(self, limit: int = LINE_LIMIT) -> bytes:
        """One line, cut after `limit` bytes."""
        line = bytearray()
        while len(line) < limit and not line.endswith(b"\n") and self._open_chunk():
            part = self._inbound.readline(min(limit - len(line), self._chunk))
            if not part:
                raise AwsError("IncompleteBody", "The chunked body ended in the middle.")
            self._chunk -= len(part)
            line += part
        return bytes(line)

    def finished(self) -> bool:
        """Whether the last chunk has been read."""
        return self._ended

    def _open_chunk(self) -> bool:
        if self._chunk or self._ended:
            return not self._ended
        if self._started and self._inbound.read(2) != b"\r\n":
            raise AwsError("InvalidRequest", "A chunk of the body does not end with CRLF.")
        self._started = True
        line = self._inbound.readline(LINE_LIMIT)
        size = line.partition(b";")[0].strip()
        if not line.endswith(b"\n") or not CHUNK_SIZE.fullmatch(size):
            raise AwsError("InvalidRequest", "The size of a chunk of the body is not a hexadecimal number.")
        self._chunk = int(size, 16)
        if not self._chunk:
            self._read_trailers()
        return not self._ended

    def _read_trailers(self) -> None:
        for _ in range(MAXIMUM_TRAILER_LINES):
            line = self._inbound.readline(LINE_LIMIT)
            if not line.strip():
                self._ended = True
                return
        raise AwsError("InvalidRequest", f"More than {MAXIMUM_TRAILER_LINES} lines follow the body.")
