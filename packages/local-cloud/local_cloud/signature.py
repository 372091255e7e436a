"""Checks AWS Signature Version 4, so that knowing a key's id is not enough.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from local_cloud.claim import ALGORITHM, Claim
from local_cloud.errors import AwsError
from local_cloud.refusals import refusal
from local_cloud.wire import Request

MAXIMUM_AGE = timedelta(minutes=15)
UNSIGNED = "UNSIGNED-PAYLOAD"
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and "
    "signing method."
)


@dataclass(frozen=True)
class Seal:
    """A checked signature: what the signatures of a streamed body's chunks continue from."""

    signature: str
    key: bytes
    moment: str
    scope: str

    def next(self, kind: str, *hashes: str) -> str:
        """The signature of what follows; `kind` is PAYLOAD or TRAILER."""
        to_sign = "\n".join([f"{ALGORITHM}-{kind}", self.moment, self.scope, self.signature, *hashes])
        return hmac.new(self.key, to_sign.encode(), hashlib.sha256).hexdigest()


def verify(request: Request, claim: Claim, secret: str, now: datetime) -> Seal:
    """Raise unless the request was signed with `secret`, not long before or after `now`, over all that matters; not S3's body."""
    _check_age(claim, now)
    payload = _payload(request, claim)
    key = _signing_key(secret, claim.day, claim.region, claim.service)
    canonical = "\n".join(
        [
            request.method,
            _canonical_path(request.raw_path, claim.service),
            _canonical_query(request.query),
            *(f"{name}:{' '.join(request.header(name).split())}" for name in claim.signed_headers),
            "",
            ";".join(claim.signed_headers),
            payload,
        ]
    )
    to_sign = "\n".join([ALGORITHM, claim.moment, claim.scope, sha256(canonical.encode("latin-1"))])
    expected = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, claim.signature):
        raise refusal("signature", claim.service, MISMATCH)
    if claim.service == "s3":
        _require_signed_headers(request, claim)
    elif payload != sha256(request.body()):  # it was announced in a header, so that a thief's body need not be read
        raise refusal("signature", claim.service, MISMATCH)
    return Seal(claim.signature, key, claim.moment, claim.scope)


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _payload(request: Request, claim: Claim) -> str:
    announced = request.header("x-amz-content-sha256")
    if claim.service != "s3":
        return announced or sha256(request.body())
    if claim.lifetime is not None:
        return UNSIGNED
    if not announced:
        raise AwsError("InvalidRequest", "Missing required header for this request: x-amz-content-sha256.")
    return announced


def _require_signed_headers(request: Request, claim: Claim) -> None:
    """Whoever holds a pre-signed URL must not add `x-amz-copy-source` to it."""
    unsigned = sorted(
        name for name in request.headers() if name.startswith("x-amz-") and name not in claim.signed_headers
    )
    if unsigned:
        raise AwsError(
            "AccessDenied",
            f"There were headers present in the request which were not signed: {', '.join(unsigned)}",
            403,
        )


def _check_age(claim: Claim, now: datetime) -> None:
    signed = claim.signed_at()
    if claim.lifetime is not None:
        if signed + timedelta(seconds=claim.lifetime) < now:
            raise refusal("expired url", claim.service)
        if signed - MAXIMUM_AGE > now:
            raise refusal("expired url", claim.service, f"It is valid from {claim.moment} only.")
    elif abs(signed - now) > MAXIMUM_AGE:
        raise refusal("clock", claim.service, f"Signed at {claim.moment}; here it is {now:%Y%m%dT%H%M%SZ}.")


def _canonical_path(raw_path: str, service: str) -> str:
    if service == "s3":  # S3 is signed over the path as sent, encoded once
        return quote(unquote_to_bytes(raw_path), safe="/-_.~") or "/"
    return quote(raw_path, safe="/-_.~") or "/"


def _canonical_query(query: str) -> str:
    pairs = []
    for part in query.split("&"):
        if not part or part.startswith("X-Amz-Signature="):
            continue
        name, _, value = part.partition("=")
        pairs.append((quote(unquote_to_bytes(name), safe="-_.~"), quote(unquote_to_bytes(value), safe="-_.~")))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


@lru_cache(maxsize=512)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
