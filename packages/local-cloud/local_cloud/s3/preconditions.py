"""Conditions of S3's writes: what another one wrote meanwhile must not be lost, and what is copied must be what was meant.

moto knows them of PutObject and of some of CompleteMultipartUpload; CopyObject and UploadPartCopy went ahead without a look.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, unquote

from local_cloud.errors import AwsError
from local_cloud.wire import Request

WRITES = {"PutObject", "CopyObject", "CompleteMultipartUpload"}
COPIES = {"CopyObject", "UploadPartCopy"}
SOURCE = "x-amz-copy-source-if-"


def require(request: Request, operation: str, backend: Any, bucket: str, key: str) -> None:
    """Raise where a condition of this request does not hold; while nobody else changes objects."""
    if operation in WRITES:
        _require_target(request, operation, _found(backend, bucket, key))
    if operation in COPIES:
        _require_source(request, backend)


def _found(backend: Any, bucket: str, key: str, version: str | None = None) -> Any:
    """The object as a reader finds it; None when there is none."""
    if bucket not in backend.buckets:
        return None  # moto says so
    found = backend.get_object(bucket, key, version_id=version)
    return found if getattr(found, "etag", None) else None


def _require_target(request: Request, operation: str, existing: Any) -> None:
    match, none_match = request.header("if-match"), request.header("if-none-match")
    if match and none_match:
        raise _unknown("If-Match,If-None-Match", "Multiple conditional request headers present in the request")
    if none_match:
        if none_match != "*":
            raise _unknown("If-None-Match", "We don't accept the provided value of If-None-Match header for this API")
        if existing is not None and not _is_repeated(request, operation, existing):
            raise _failed("If-None-Match")
    if match:
        if match == "*":
            raise _unknown("If-Match", "We don't accept the provided value of If-Match header for this API")
        if existing is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        if _bare(match) != _bare(existing.etag):
            raise _failed("If-Match")


def _is_repeated(request: Request, operation: str, existing: Any) -> bool:
    """Whether this upload made the object: a client repeats a completion whose answer it did not get."""
    upload = getattr(existing, "multipart", None)
    asked = parse_qs(request.query).get("uploadId")
    return operation == "CompleteMultipartUpload" and upload is not None and asked == [upload.id]


def _require_source(request: Request, backend: Any) -> None:
    conditions = {
        name: request.header(SOURCE + name) for name in ("match", "none-match", "modified-since", "unmodified-since")
    }
    if not any(conditions.values()):
        return
    path, _, query = request.header("x-amz-copy-source").partition("?")
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    source = _found(backend, bucket, key, next(iter(parse_qs(query).get("versionId", ())), None))
    if source is None:
        return  # moto says so
    changed = source.last_modified.replace(tzinfo=UTC, microsecond=0)
    if conditions["match"]:  # decides alone: "If-Unmodified-Since" beside it is not looked at
        if _bare(conditions["match"]) != _bare(source.etag):
            raise _failed("x-amz-copy-source-If-Match")
    elif (moment := _moment(conditions["unmodified-since"])) and changed > moment:
        raise _failed("x-amz-copy-source-If-Unmodified-Since")
    if conditions["none-match"]:
        if _bare(conditions["none-match"]) == _bare(source.etag):
            raise _failed("x-amz-copy-source-If-None-Match")
    elif (moment := _moment(conditions["modified-since"])) and changed <= moment <= datetime.now(UTC):
        raise _failed("x-amz-copy-source-If-Modified-Since")


def _bare(etag: str) -> str:
    return etag.strip().strip('"')


def _moment(text: str) -> datetime | None:
    """A date of HTTP, or as SDKs of Python write it; None for none that can be read, which S3 does not look at either."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
        except ValueError:
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _failed(condition: str) -> AwsError:
    error = AwsError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)
    error.details = {"Condition": condition}
    return error


def _unknown(header: str, more: str) -> AwsError:
    error = AwsError("NotImplemented", "A header you provided implies functionality that is not implemented", 501)
    error.details = {"Header": header, "additionalMessage": more}
    return error
