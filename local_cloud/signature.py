"""Checks AWS Signature Version 4, so that knowing a key's id is not enough.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qsl, quote, unquote

from local_cloud.errors import AwsError
from local_cloud.wire import Request

SIGNED_HEADERS = re.compile(r"SignedHeaders=([^,\s]+)")
SIGNATURE = re.compile(r"Signature=([0-9a-f]{64})")
MAXIMUM_AGE = timedelta(minutes=15)
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


def verify(request: Request, secret: str, scope: str) -> None:
    """Raise SignatureDoesNotMatch unless the request was signed with `secret` for the credential `scope`."""
    parameters = dict(parse_qsl(request.query, keep_blank_values=True))
    presigned = "X-Amz-Signature" in parameters
    if presigned:
        signed_headers, given = parameters.get("X-Amz-SignedHeaders", ""), parameters["X-Amz-Signature"]
        moment = parameters.get("X-Amz-Date", "")
        _check_age(moment, timedelta(seconds=int(parameters.get("X-Amz-Expires", "0"))))
        payload = "UNSIGNED-PAYLOAD"
    else:
        authorization = request.header("authorization")
        headers, signature = SIGNED_HEADERS.search(authorization), SIGNATURE.search(authorization)
        if not headers or not signature:
            raise AwsError("IncompleteSignature", "Authorization header lacks SignedHeaders or Signature.", 403)
        signed_headers, given = headers.group(1), signature.group(1)
        moment = request.header("x-amz-date")
        _check_age(moment, MAXIMUM_AGE)
        payload = _payload_hash(request, scope)
    _access_key, day, region, service, _end = scope.rsplit("/", 4)
    canonical = "\n".join(
        [
            request.method,
            _canonical_path(request.raw_path, service),
            _canonical_query(request.query),
            *(f"{name}:{' '.join(request.header(name).split())}" for name in signed_headers.split(";")),
            "",
            signed_headers,
            payload,
        ]
    )
    to_sign = "\n".join(
        ["AWS4-HMAC-SHA256", moment, f"{day}/{region}/{service}/aws4_request", _sha256(canonical.encode())]
    )
    expected = hmac.new(_signing_key(secret, day, region, service), to_sign.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, given):
        raise AwsError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method.",
            403,
        )


def _payload_hash(request: Request, scope: str) -> str:
    announced = request.header("x-amz-content-sha256")
    if announced:  # S3 streams: the body is checked while it is read, or not signed at all
        if scope.rsplit("/", 2)[-2] != "s3" and announced != "UNSIGNED-PAYLOAD" and announced != _body_hash(request):
            raise AwsError("XAmzContentSHA256Mismatch", "The body does not match x-amz-content-sha256.")
        return announced
    return _body_hash(request)


def _body_hash(request: Request) -> str:
    body = request.body()
    return _sha256(body) if body else EMPTY_SHA256


def _canonical_path(raw_path: str, service: str) -> str:
    if service == "s3":  # S3 is signed over the path as sent, encoded once
        return quote(unquote(raw_path), safe="/-_.~") or "/"
    return quote(raw_path, safe="/-_.~") or "/"


def _canonical_query(query: str) -> str:
    pairs = []
    for part in query.split("&"):
        if not part or part.startswith("X-Amz-Signature="):
            continue
        name, _, value = part.partition("=")
        pairs.append((quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~")))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _check_age(moment: str, allowed: timedelta) -> None:
    try:
        signed = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise AwsError(
            "IncompleteSignature", f"The date {moment!r} is not of the form YYYYMMDDTHHMMSSZ.", 403
        ) from None
    now = datetime.now(UTC)
    if signed + allowed < now or signed - MAXIMUM_AGE > now:
        raise AwsError("RequestExpired", f"The request was signed at {moment} and is no longer or not yet valid.", 403)


@lru_cache(maxsize=512)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
