"""The bytes of an upload, checked while they stream: nothing else than what was signed and announced becomes an object.

Understands whole bodies, and aws-chunked ones with and without signed chunks and trailers. Refuses a body that is not
the signed one, a chunk or trailer whose signature is wrong, and lengths and checksums that do not agree.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from local_cloud.errors import AwsError
from local_cloud.numbers import whole_number
from local_cloud.refusals import refusal
from local_cloud.signature import MISMATCH, UNSIGNED, Seal, sha256
from local_cloud.wire import Request

BLOCK = 1024 * 1024
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
KINDS = (UNSIGNED, UNSIGNED_TRAILER, SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER)
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;chunk-signature=([0-9a-f]{64}))?[ \t]*\r\n")
LINE_LIMIT = 8192
MAXIMUM_OBJECT = 5 * 1024**3
EMPTY = hashlib.sha256(b"").hexdigest()
# Bytes of each algorithm's checksum.
CHECKSUM_SIZES = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}


class Payload:
    """One request's body: iterate for the object's bytes; afterwards `trailers` holds what followed them."""

    def __init__(self, request: Request):
        self._request = request
        self._kind = request.header("x-amz-content-sha256") or UNSIGNED
        self.trailers: dict[str, str] = {}
        if self._kind not in KINDS and not SHA256.fullmatch(self._kind):
            raise AwsError(
                "InvalidArgument",
                f"x-amz-content-sha256 must be {', '.join(KINDS)}, or a valid sha256 value, not {self._kind[:100]!r}.",
            )
        self.size = self._announced_size()

    @property
    def chunked(self) -> bool:
        """Whether the body is in aws-chunked encoding."""
        return self._kind.startswith("STREAMING-")

    def __iter__(self) -> Iterator[bytes]:
        if self.chunked:
            return self._chunks(self._request.stream())
        return self._whole(self._request.stream())

    def _announced_size(self) -> int:
        if self.chunked:
            text = self._request.header("x-amz-decoded-content-length")
            if not text:
                raise AwsError(
                    "MissingContentLength", "You must provide the x-amz-decoded-content-length HTTP header.", 411
                )
            size = whole_number(text)
            if size is None:
                raise AwsError("InvalidArgument", f"x-amz-decoded-content-length is no length: {text[:50]!r}.")
        elif self._request.header("transfer-encoding"):
            raise AwsError(
                "NotImplemented",
                "A header you provided implies functionality that is not implemented: Transfer-Encoding.",
                501,
            )
        else:
            if self._request.method == "PUT" and not self._request.header("content-length"):
                # An empty object would be made of what was never sent.
                raise AwsError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
            size = self._request.length
        if size > MAXIMUM_OBJECT:
            raise AwsError(
                "EntityTooLarge",
                f"Your proposed upload of {size} bytes exceeds the maximum allowed size, {MAXIMUM_OBJECT}.",
            )
        return size

    def _whole(self, stream: BinaryIO) -> Iterator[bytes]:
        digest = None if self._kind == UNSIGNED else hashlib.sha256()
        for block in _blocks(stream, self.size):
            if digest:
                digest.update(block)
            yield block
        if digest and digest.hexdigest() != self._kind.lower():
            raise AwsError(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )

    def _chunks(self, stream: BinaryIO) -> Iterator[bytes]:
        seal = self._seal()
        left = self.size
        while True:
            size, given = _chunk_line(stream)
            if size > left:
                raise _incomplete(self.size, "more")
            digest = hashlib.sha256()
            for block in _blocks(stream, size):
                digest.update(block) if seal else None
                yield block
            if seal:
                seal = _checked(seal, "PAYLOAD", given, EMPTY, digest.hexdigest())
            left -= size
            if size == 0:
                break
            if stream.readline(LINE_LIMIT) != b"\r\n":
                raise AwsError("InvalidRequest", "A chunk of the body does not end with CRLF.")
        if left:
            raise _incomplete(self.size, f"{self.size - left}")
        self._read_trailers(stream, seal)

    def _seal(self) -> Seal | None:
        if self._kind == UNSIGNED_TRAILER:
            return None
        if self._request.seal is None:  # a version 2 URL, or no signature at all
            raise refusal("signature", "s3", "Signed chunks need a version 4 signature to continue from.")
        return self._request.seal

    def _read_trailers(self, stream: BinaryIO, seal: Seal | None) -> None:
        announced = [name.strip().lower() for name in self._request.header("x-amz-trailer").split(",") if name.strip()]
        found: dict[str, str] = {}
        while line := stream.readline(LINE_LIMIT).strip():
            name, colon, value = line.decode("latin-1").partition(":")
            name = name.strip().lower()
            if not colon or name in found or name not in (*announced, "x-amz-trailer-signature"):
                raise _bad_trailer()
            found[name] = value.strip()
        given = found.pop("x-amz-trailer-signature", None)
        if sorted(found) != sorted(announced):
            raise _bad_trailer()
        if seal and self._kind == SIGNED_CHUNKS_TRAILER:
            text = "".join(f"{name}:{value}\n" for name, value in found.items())
            _checked(seal, "TRAILER", given, sha256(text.encode("latin-1")))
        self.trailers = found


def checksum_of(headers: dict[str, str]) -> tuple[str, str] | None:
    """The algorithm, in capitals, and the value of the one checksum that came with an upload."""
    named = {name.removeprefix("x-amz-checksum-"): value for name, value in headers.items() if _is_checksum(name)}
    if not named:
        return None
    if len(named) > 1:
        raise AwsError(
            "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    ((algorithm, value),) = named.items()
    if _decoded(value, CHECKSUM_SIZES[algorithm]) is None:
        raise AwsError("InvalidRequest", f"Value for x-amz-checksum-{algorithm} header is invalid.")
    return algorithm.upper(), value


def md5_of(headers: dict[str, str]) -> str | None:
    """The announced MD5 in hexadecimal."""
    if "content-md5" not in headers:
        return None
    digest = _decoded(headers["content-md5"], 16)
    if digest is None:
        raise AwsError("InvalidDigest", "The Content-MD5 you specified was invalid.")
    return digest.hex()


def _is_checksum(name: str) -> bool:
    return name.startswith("x-amz-checksum-") and name.removeprefix("x-amz-checksum-") in CHECKSUM_SIZES


def _decoded(text: str, size: int) -> bytes | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == size else None


def _blocks(stream: BinaryIO, size: int) -> Iterator[bytes]:
    left = size
    while left:
        block = stream.read(min(BLOCK, left))
        if not block:
            raise _incomplete(size, f"{size - left}")
        left -= len(block)
        yield block


def _chunk_line(stream: BinaryIO) -> tuple[int, str | None]:
    line = stream.readline(LINE_LIMIT)
    found = CHUNK.fullmatch(line)
    if not line:
        raise AwsError("IncompleteBody", "The request body ended before its last chunk.")
    if not found:
        raise AwsError("InvalidRequest", f"A chunk begins with {line[:100]!r}; expected is its size in hexadecimal.")
    return int(found.group(1), 16), found.group(2).decode() if found.group(2) else None


def _checked(seal: Seal, kind: str, given: str | None, *hashes: str) -> Seal:
    expected = seal.next(kind, *hashes)
    if not hmac.compare_digest(expected.encode(), (given or "").encode()):
        raise refusal("signature", "s3", MISMATCH)
    return replace(seal, signature=expected)


def _incomplete(announced: int, came: str) -> AwsError:
    return AwsError("IncompleteBody", f"The request announced {announced} bytes and brought {came}.")


def _bad_trailer() -> AwsError:
    return AwsError(
        "MalformedTrailerError",
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    )
