"""The S3 requests that come by the thousand (put, part, get, head), answered without moto's HTTP layer.

Bytes stream between socket and content file in blocks, so a 500 MB object needs no memory. Whatever carries a header or
parameter that is not named here goes to moto unchanged: this path must never answer differently.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote

from local_cloud.errors import AwsError
from local_cloud.s3.checksums import ALGORITHMS, file_checksum, require_algorithm
from local_cloud.s3.content import ContentStore, StoredContent
from local_cloud.s3.payload import Payload, checksum_of, md5_of
from local_cloud.s3.rows import ObjectRows
from local_cloud.wire import Answer, FilePart, Request

KEPT_HEADERS = (
    "content-type", "content-encoding", "content-disposition", "content-language", "cache-control", "expires",
)  # fmt: skip
# x-amz headers of PUT that this path understands; any other sends the request to moto.
KNOWN_PUT_HEADERS = {
    "x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "x-amz-sdk-checksum-algorithm", "x-amz-trailer",
    "x-amz-decoded-content-length", "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-user-agent", "x-amz-storage-class", "x-amz-expected-bucket-owner",
    *(f"x-amz-checksum-{name.lower()}" for name in ALGORITHMS),
}  # fmt: skip
KNOWN_GET_HEADERS = {
    "x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "x-amz-checksum-mode", "x-amz-user-agent",
    "x-amz-expected-bucket-owner",
}  # fmt: skip
PRESIGNED = re.compile(
    r"x-amz-(algorithm|credential|date|expires|signedheaders|signature|security-token)|x-id|AWSAccessKeyId|Signature|Expires",
    re.I,
)
RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
# Up to here one read and one write are quicker than the kernel's own way.
SMALL = 64 * 1024


class FastPath:
    """Answers what it can; returns None for everything that is moto's."""

    def __init__(self, account_id: str, content: ContentStore, rows: ObjectRows):
        self._account_id = account_id
        self._content = content
        self._rows = rows

    def answer(self, request: Request) -> Answer | None:
        """The answer, or None when moto must answer."""
        bucket_name, _, raw_key = request.raw_path.lstrip("/").partition("/")
        if not raw_key or request.method not in ("PUT", "GET", "HEAD"):
            return None
        bucket = self.backend.buckets.get(bucket_name)
        query = {k: v for k, v in parse_qsl(request.query, keep_blank_values=True) if not PRESIGNED.fullmatch(k)}
        if bucket is None:
            if request.method == "PUT" and "x-amz-copy-source" not in request.headers():
                # Said before a large body is read.
                raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
            return None
        headers = request.headers()
        extra = {name for name in headers if name.startswith("x-amz-") and not name.startswith("x-amz-meta-")}
        key = unquote(raw_key)
        if request.method == "PUT":
            for name in extra:
                if name.startswith("x-amz-checksum-") and name != "x-amz-checksum-type":
                    require_algorithm(name.removeprefix("x-amz-checksum-").upper())
            if extra <= KNOWN_PUT_HEADERS and not any(h in headers for h in ("if-match", "if-none-match")):
                if not query and not bucket.object_lock_enabled:
                    return self._put(request, headers, bucket_name, key)
                if set(query) == {"partNumber", "uploadId"}:
                    return self._put_part(request, headers, bucket, query)
            return None
        if (
            query
            or "if-modified-since" in headers
            or "if-unmodified-since" in headers
            or not extra <= KNOWN_GET_HEADERS
        ):
            return None
        with self._content.reading():
            return self._get(request, headers, bucket, key)

    @property
    def backend(self) -> Any:
        from moto.s3.models import s3_backends

        return s3_backends[self._account_id]["aws"]

    def _put(self, request: Request, headers: dict[str, str], bucket: str, key: str) -> Answer:
        content = self._receive(request, headers)
        try:
            return self._keep(content, headers, bucket, key)
        except BaseException:
            content.path.unlink(missing_ok=True)
            raise

    def _keep(self, content: StoredContent, headers: dict[str, str], bucket: str, key: str) -> Answer:
        metadata = {name: headers[name] for name in KEPT_HEADERS if headers.get(name)}
        metadata = {name.title(): value for name, value in metadata.items()}
        metadata |= {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")}
        checksum = checksum_of(headers)
        with self._rows.change():
            new = self.backend.put_object(
                bucket,
                key,
                content,
                etag=content.md5,
                storage=headers.get("x-amz-storage-class"),
                encryption=headers.get("x-amz-server-side-encryption"),
                kms_key_id=headers.get("x-amz-server-side-encryption-aws-kms-key-id"),
            )
            new.set_metadata(metadata)
            if checksum:
                new.checksum_algorithm, new.checksum_value = checksum
        answer = {name: value for name, value in new.response_dict.items() if name.lower() not in ("content-length",)}
        answer.pop("last-modified", None)
        if checksum:
            answer[f"x-amz-checksum-{checksum[0].lower()}"] = checksum[1]
            answer["x-amz-checksum-type"] = "FULL_OBJECT"
        return Answer(200, answer)

    def _put_part(self, request: Request, headers: dict[str, str], bucket: Any, query: dict[str, str]) -> Answer:
        upload = bucket.multiparts.get(query["uploadId"])
        number = int(query["partNumber"])  # a number, says entry.py
        if upload is None:
            raise AwsError("NoSuchUpload", "The specified upload does not exist.", 404)
        content = self._receive(request, headers)
        try:
            with self._rows.change():
                if bucket.multiparts.get(query["uploadId"]) is not upload:  # completed or aborted while the bytes came
                    raise AwsError("NoSuchUpload", "The specified upload does not exist.", 404)
                part = upload.set_part(number, content)
        except BaseException:
            content.path.unlink(missing_ok=True)
            raise
        answer = {"ETag": part.etag}
        checksum = checksum_of(headers)
        if checksum:
            part.checksum_algorithm, part.checksum_value = checksum
            answer[f"x-amz-checksum-{checksum[0].lower()}"] = checksum[1]
        return Answer(200, answer)

    def _receive(self, request: Request, headers: dict[str, str]) -> StoredContent:
        payload = Payload(request)
        if payload.chunked:
            headers["content-encoding"] = headers.get("content-encoding", "").replace("aws-chunked", "").strip(", ")
        content = self._content.write_blocks(payload, payload.size)
        headers.update(payload.trailers)
        try:
            _check(headers, content)
        except BaseException:
            content.path.unlink(missing_ok=True)
            raise
        return content

    def _get(self, request: Request, headers: dict[str, str], bucket: Any, name: str) -> Answer | None:
        key = bucket.keys.get(name)
        content = getattr(key, "content", None)
        if content is None or key.storage_class not in ("STANDARD", None):
            return None
        if not _wanted(headers, key.etag):
            return None
        answer = {k: str(v) for k, v in {**key.response_dict, **key.metadata}.items()}
        answer["Accept-Ranges"] = "bytes"
        start, end, status = 0, content.size - 1, 200
        wanted = _range(headers.get("range", ""))
        if wanted:
            first, last = wanted
            start = int(first) if first else max(content.size - int(last), 0)
            end = min(int(last), content.size - 1) if first and last else content.size - 1
            if start >= content.size or start > end:
                return None
            status = 206
            answer["Content-Range"] = f"bytes {start}-{end}/{content.size}"
        elif headers.get("x-amz-checksum-mode", "").upper() == "ENABLED" and key.checksum_algorithm:
            kind = getattr(key, "checksum_type", "") or "FULL_OBJECT"
            parts = f"-{key.checksum_parts}" if kind == "COMPOSITE" else ""
            answer[f"x-amz-checksum-{key.checksum_algorithm.lower()}"] = f"{key.checksum_value}{parts}"
            answer["x-amz-checksum-type"] = kind
        size = end - start + 1
        for existing in [n for n in answer if n.lower() == "content-length"]:
            del answer[existing]
        answer["Content-Length"] = str(size)
        if request.method == "HEAD":
            return Answer(status, answer)
        key.require_whole()
        stream = content.path.open("rb", buffering=0)
        if size <= SMALL:
            with stream:
                stream.seek(start)
                return Answer(status, answer, stream.read(size) if size else b"")
        return Answer(status, answer, FilePart(stream, start, size))


def _range(text: str) -> tuple[str, str] | None:
    """First and last byte of a Range header; as S3, whatever is not one range is as if it were not there."""
    found = RANGE.fullmatch(text)
    if not found or found.group(1) == found.group(2) == "":
        return None
    first, last = found.groups()
    return None if first and last and int(first) > int(last) else (first, last)


def _wanted(headers: dict[str, str], etag: str) -> bool:
    """Whether the conditions of a GET hold; boto3 sends If-Match with every part of a download."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is not None and match.strip('"') not in ("*", etag.strip('"')):
        return False
    return none_match is None or none_match.strip('"') not in ("*", etag.strip('"'))


def _check(headers: dict[str, str], content: StoredContent) -> None:
    if (md5 := md5_of(headers)) and md5 != content.md5:
        raise AwsError("BadDigest", "The Content-MD5 you specified did not match what we received.")
    checksum = checksum_of(headers)
    if checksum and file_checksum(content.path, checksum[0]) != checksum[1]:
        raise AwsError(
            "BadDigest", f"The {checksum[0]} you specified did not match the calculated checksum of what we received."
        )
