"""Requests and answers as they travel: what WSGI hands over, and AWS's errors in each service's protocol."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from local_cloud.errors import AwsError
from local_cloud.proxy.addresses import bucket_of

if TYPE_CHECKING:
    from local_cloud.signature import Seal

# Where the server puts the headers under their own names.
HEADERS = "local_cloud.headers"
FILE_BLOCK = 1024 * 1024
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
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
        # What was read of the body, by who read it: permissions and the service ask for the same.
        self._read: dict[Any, Any] = {}
        self._headers: dict[str, str] = environ.get(HEADERS) or _from_environ(environ)
        # What the guard found the signature to be; None for requests of this process itself.
        self.seal: Seal | None = None
        # Whose key signed it: a role's session or a user as IAM keeps them; None is the root of the account.
        self.holder: Any = None

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

    def stream(self) -> Any:
        """The body to be read piece by piece."""
        return self.environ["wsgi.input"] if self._body is None else io.BytesIO(self._body)

    def body(self) -> bytes:
        """The whole body. Refuses more than an API call may carry; objects are streamed elsewhere."""
        if self._body is None:
            if self.length > MAXIMUM_API_BODY:
                raise AwsError(
                    "RequestEntityTooLarge", f"The body has {self.length} bytes; at most {MAXIMUM_API_BODY}.", 413
                )
            self._body = self.environ["wsgi.input"].read(self.length) if self.length else self._chunked()
        return self._body

    def replace_body(self, body: bytes) -> None:
        """From now on this is the body, whatever came."""
        self._body, self._read = body, {}
        self.environ["CONTENT_LENGTH"] = self._headers["content-length"] = str(len(body))

    def once(self, what: Any, read: Callable[[], Any]) -> Any:
        """What `read` finds in this request, found once as long as the body is the same. Nobody may change it."""
        if what not in self._read:
            self._read[what] = read()
        return self._read[what]

    def replace_headers(self, changed: dict[str, str | None]) -> None:
        """From now on these headers have these values, or are not there."""
        for name, value in changed.items():
            key = f"HTTP_{name.upper().replace('-', '_')}"
            if value is None:
                self._headers.pop(name, None)
                self.environ.pop(key, None)
            else:
                self._headers[name] = self.environ[key] = value

    def take_bucket_from_host(self) -> None:
        """An address with the bucket in its host becomes one with the bucket in its path, as this cloud has it."""
        bucket = bucket_of(self.header("host"))
        if bucket is None:
            return
        self.raw_path = f"/{bucket}{self.raw_path}"
        self.environ["PATH_INFO"] = f"/{bucket}{self.environ['PATH_INFO']}"
        uri = f"{self.raw_path}?{self.query}" if self.query else self.raw_path
        self.environ["REQUEST_URI"] = self.environ["RAW_URI"] = uri
        self.replace_headers({"host": "127.0.0.1"})

    def decompress(self) -> None:
        """Unpack a body that the client packed, as botocore does with large PutMetricData requests."""
        if self.header("content-encoding").lower() != "gzip":
            return
        unpacker, packed = zlib.decompressobj(wbits=31), self.body()
        try:
            body = unpacker.decompress(packed, MAXIMUM_API_BODY)
        except zlib.error:
            body = b""
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise AwsError("SerializationException", "The gzip body is damaged or too large.")
        self._body, self._read = body, {}
        self._headers.pop("content-encoding")
        self.environ.pop("HTTP_CONTENT_ENCODING", None)

    def _chunked(self) -> bytes:
        if self.header("transfer-encoding").lower() != "chunked":
            return b""
        body = self.environ["wsgi.input"].read(MAXIMUM_API_BODY + 1)
        if len(body) > MAXIMUM_API_BODY:
            raise AwsError("RequestEntityTooLarge", f"The body has more than {MAXIMUM_API_BODY} bytes.", 413)
        return body


def _from_environ(environ: dict[str, Any]) -> dict[str, str]:
    named = {k[5:].replace("_", "-").lower(): v for k, v in environ.items() if k.startswith("HTTP_")}
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            named[key.replace("_", "-").lower()] = environ[key]
    return named


def plain_json(value: Any) -> Any:
    """JSON for what json does not know: AWS writes times as seconds since the epoch."""
    if hasattr(value, "timestamp"):
        return round(value.timestamp(), 3)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is not part of any AWS answer")


def json_answer(response: dict[str, Any], version: str = "1.1") -> Answer:
    """An answer of the JSON protocol."""
    headers = {"Content-Type": f"application/x-amz-json-{version}", "x-amzn-RequestId": str(uuid.uuid4())}
    return Answer(200, headers, json.dumps(response, default=plain_json, separators=(",", ":")).encode())


def spoken(request: Request, usual: str) -> str:
    """The protocol of this very request: some services speak several, and `usual` is what they speak without a sign."""
    if request.header("smithy-protocol") == "rpc-v2-cbor":
        return "smithy-rpc-v2-cbor"
    if request.header("x-amz-target"):
        return "json"
    if usual == "json" and request.header("content-type").startswith("application/x-www-form-urlencoded"):
        return "query"
    return usual


def host_id() -> str:
    """S3's second name of a request, its extended request id."""
    return base64.b64encode(os.urandom(56)).decode()


def error_answer(protocol: str, error: AwsError) -> Answer:
    """AWS's error as the client of that protocol expects it."""
    request_id = error.request_id or str(uuid.uuid4())
    message = _xml(error.message)
    if protocol == "ec2":
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>{_xml(error.code)}</Code>'
            f"<Message>{message}</Message></Error></Errors><RequestID>{request_id}</RequestID></Response>"
        )
        return Answer(error.status, {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}, body.encode())
    if protocol == "smithy-rpc-v2-cbor":
        # As Amazon CloudWatch: https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html#operation-error-serialization
        headers = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor", "x-amzn-RequestId": request_id}
        return Answer(error.status, headers, _cbor_map({"__type": error.code, "message": error.message}))
    if protocol == "rest-xml":
        details = "".join(f"<{name}>{_xml(value)}</{name}>" for name, value in error.details.items())
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{_xml(error.code)}</Code>'
            f"<Message>{message}</Message>{details}"
            f"<RequestId>{request_id}</RequestId><HostId>{host_id()}</HostId></Error>"
        )
        return Answer(error.status, {"Content-Type": "application/xml", "x-amz-request-id": request_id}, body.encode())
    if protocol == "query":
        kind = "Sender" if error.status < 500 else "Receiver"
        body = (
            f"<ErrorResponse><Error><Type>{kind}</Type><Code>{_xml(error.code)}</Code>"
            f"<Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return Answer(error.status, {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}, body.encode())
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "x-amzn-RequestId": request_id,
        "x-amzn-ErrorType": error.code,
    }
    said = {"__type": error.code, "message": error.message, **error.details}
    return Answer(error.status, headers, json.dumps(said).encode())


def _cbor_map(texts: dict[str, str]) -> bytes:
    """A map of texts in CBOR (RFC 8949, section 3.1)."""
    parts = [_cbor_head(5, len(texts))]
    for text in (text.encode() for pair in texts.items() for text in pair):
        parts += [_cbor_head(3, len(text)), text]
    return b"".join(parts)


def _cbor_head(major: int, size: int) -> bytes:
    if size < 24:
        return bytes([major << 5 | size])
    width = 1 if size < 1 << 8 else 2 if size < 1 << 16 else 4
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26}[width]]) + size.to_bytes(width, "big")


def _xml(text: str) -> str:
    """Text as XML 1.0 can hold it."""
    return escape(NOT_IN_XML.sub("\ufffd", text))
