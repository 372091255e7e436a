"""Requests and answers as they travel: what WSGI hands over, and AWS's errors in each service's protocol."""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any
from xml.sax.saxutils import escape

from local_cloud.errors import AwsError

# Where the server puts the headers under their own names.
HEADERS = "local_cloud.headers"
FILE_BLOCK = 1024 * 1024
MAXIMUM_API_BODY = 64 * 1024 * 1024


@dataclass(frozen=True)
class FilePart:
    """A body that lies in a file: the kernel sends it, or a reader takes it block by block."""

    stream: IO[bytes]
    start: int
    size: int

    def __iter__(self) -> Iterator[bytes]:
        with self.stream:
            self.stream.seek(self.start)
            remaining = self.size
            while remaining > 0 and (block := self.stream.read(min(FILE_BLOCK, remaining))):
                remaining -= len(block)
                yield block

    def close(self) -> None:
        """Close the file."""
        self.stream.close()


@dataclass
class Answer:
    """One HTTP answer; `body` may be bytes, part of a file, or an iterable of blocks."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""


class Request:
    """One HTTP request, reading its body once and only when asked."""

    def __init__(self, environ: dict[str, Any]):
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        raw = environ.get("REQUEST_URI") or environ.get("RAW_URI") or environ["PATH_INFO"]
        self.raw_path, _, self.query = raw.partition("?")
        self._body: bytes | None = None
        self._headers: dict[str, str] = environ.get(HEADERS) or _from_environ(environ)

    def header(self, name: str, default: str = "") -> str:
        """A header's value by its name in lower case, or `default`."""
        return self._headers.get(name, default)

    def headers(self) -> dict[str, str]:
        """All headers, in lower case."""
        return dict(self._headers)

    @property
    def length(self) -> int:
        """Bytes of body that the client announced; 0 when it did not."""
        return int(self.environ.get("CONTENT_LENGTH") or 0)

    def body(self) -> bytes:
        """The whole body. Refuses more than an API call may carry; objects are streamed elsewhere."""
        if self._body is None:
            if self.length > MAXIMUM_API_BODY:
                raise AwsError(
                    "RequestEntityTooLarge", f"The body has {self.length} bytes; at most {MAXIMUM_API_BODY}.", 413
                )
            self._body = self.environ["wsgi.input"].read(self.length) if self.length else self._chunked()
        return self._body

    def decompress(self) -> None:
        """Unpack a body that the client packed, as botocore does with large PutMetricData requests."""
        if self.header("content-encoding").lower() != "gzip":
            return
        unpacker = zlib.decompressobj(wbits=31)
        body = unpacker.decompress(self.body(), MAXIMUM_API_BODY)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise AwsError("SerializationException", "The gzip body is damaged or too large.")
        self._body = body
        self._headers.pop("content-encoding")
        self.environ.pop("HTTP_CONTENT_ENCODING", None)

    def _chunked(self) -> bytes:
        if self.header("transfer-encoding").lower() != "chunked":
            return b""
        return self.environ["wsgi.input"].read()


def _from_environ(environ: dict[str, Any]) -> dict[str, str]:
    named = {k[5:].replace("_", "-").lower(): v for k, v in environ.items() if k.startswith("HTTP_")}
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            named[key.replace("_", "-").lower()] = environ[key]
    return named


def _plain(value: Any) -> Any:
    """JSON for what json does not know: AWS writes times as seconds since the epoch."""
    if hasattr(value, "timestamp"):
        return round(value.timestamp(), 3)
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is not part of any AWS answer")


def json_answer(response: dict[str, Any], version: str = "1.1") -> Answer:
    """An answer of the JSON protocol."""
    headers = {"Content-Type": f"application/x-amz-json-{version}", "x-amzn-RequestId": str(uuid.uuid4())}
    return Answer(200, headers, json.dumps(response, default=_plain, separators=(",", ":")).encode())


def error_answer(protocol: str, error: AwsError, resource: str = "") -> Answer:
    """AWS's error as the client of that protocol expects it."""
    request_id = str(uuid.uuid4())
    if protocol == "rest-xml":
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{error.code}</Code>'
            f"<Message>{escape(error.message)}</Message><Resource>{escape(resource)}</Resource>"
            f"<RequestId>{request_id}</RequestId></Error>"
        )
        return Answer(error.status, {"Content-Type": "application/xml", "x-amz-request-id": request_id}, body.encode())
    if protocol == "query":
        kind = "Sender" if error.status < 500 else "Receiver"
        body = (
            f"<ErrorResponse><Error><Type>{kind}</Type><Code>{error.code}</Code>"
            f"<Message>{escape(error.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return Answer(error.status, {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}, body.encode())
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "x-amzn-RequestId": request_id,
        "x-amzn-ErrorType": error.code,
    }
    details = {"__type": error.code, "message": error.message, **getattr(error, "details", {})}
    return Answer(error.status, headers, json.dumps(details).encode())
