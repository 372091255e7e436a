"""Signature Version 2 of pre-signed S3 URLs: boto3 still makes them unless it is told to sign with s3v4.

A parameter that is not part of the signed string must not change what the URL does: only those that page a listing are
let through. Everything else that nobody signed is refused.
https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html#RESTAuthenticationQueryStringAuth
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import parse_qsl, unquote

from botocore.auth import HmacV1Auth

from local_cloud.errors import AwsError
from local_cloud.numbers import whole_number
from local_cloud.refusals import refusal
from local_cloud.signature import MISMATCH
from local_cloud.wire import Request

SIGNED = frozenset(HmacV1Auth.QSAOfInterest)
AUTHENTICATION = frozenset({"AWSAccessKeyId", "Signature", "Expires", "content-md5", "content-type"})
# S3 does not sign these, and they choose no other operation.
PAGING = frozenset({
    "list-type", "prefix", "delimiter", "marker", "max-keys", "encoding-type", "continuation-token", "start-after",
    "fetch-owner", "key-marker", "version-id-marker", "upload-id-marker", "max-uploads", "max-parts", "part-number-marker",
    "x-id",
})  # fmt: skip


def access_key_of(request: Request) -> str | None:
    """The access key of a URL pre-signed with version 2, or None when it is none."""
    return None if "AWSAccessKeyId=" not in request.query else _named(request).get("AWSAccessKeyId")


def token_of(request: Request) -> str:
    """The session token that comes with the URL, "" without."""
    return _named(request).get("x-amz-security-token") or request.header("x-amz-security-token")


def verify_presigned(request: Request, secret: str, now: float) -> None:
    """Raise unless the URL was signed with `secret` and has not expired; `now` in seconds since the epoch."""
    named = _named(request)
    if not named.get("Signature") or not named.get("Expires"):
        raise AwsError(
            "AccessDenied",
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters.",
            403,
        )
    expires = whole_number(named["Expires"])
    if expires is None:
        raise AwsError("AccessDenied", f"Invalid date (should be seconds since epoch): {named['Expires'][:50]}", 403)
    if expires < now:
        raise refusal("expired url", "s3")
    made = base64.b64encode(hmac.new(secret.encode(), _to_sign(request, named), hashlib.sha1).digest()).decode()
    if not hmac.compare_digest(made.encode(), named["Signature"].encode()):
        raise refusal("signature", "s3", MISMATCH)
    unsigned = {n for n in named if not n.startswith("x-amz-")} - SIGNED - AUTHENTICATION - PAGING
    if unsigned:
        raise refusal(
            "signature", "s3", f"The URL carries parameters that nobody signed: {', '.join(sorted(unsigned))}."
        )


def _to_sign(request: Request, named: dict[str, str]) -> bytes:
    headers = sorted((n, v) for n, v in {**request.headers(), **named}.items() if n.startswith("x-amz-"))
    # Split as botocore does: "acl" and "acl=" are two things.
    parts = [part.split("=", 1) for part in request.query.split("&")]
    signed = sorted(([p[0], *map(unquote, p[1:])] for p in parts if p[0] in SIGNED), key=lambda part: part[0])
    resource = "&".join("=".join(part) for part in signed)
    return "\n".join(
        [
            request.method,
            request.header("content-md5"),
            request.header("content-type"),
            named["Expires"],
            *(f"{name}:{value}" for name, value in headers),
            request.raw_path + (f"?{resource}" if resource else ""),
        ]
    ).encode()


def _named(request: Request) -> dict[str, str]:
    try:
        return dict(parse_qsl(request.query, keep_blank_values=True, max_num_fields=1000))
    except ValueError:
        raise AwsError("InvalidArgument", "The query string has more than 1,000 parameters.") from None
