"""Signature Version 2 of pre-signed S3 URLs: boto3 still makes them unless it is told to sign with s3v4.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html#RESTAuthenticationQueryStringAuth
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from urllib.parse import parse_qsl

from local_cloud.errors import AwsError
from local_cloud.wire import Request

SUBRESOURCES = {
    "acl", "cors", "delete", "lifecycle", "location", "logging", "notification", "partNumber", "policy", "tagging",
    "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website", "response-content-type",
    "response-content-language", "response-expires", "response-cache-control", "response-content-disposition",
    "response-content-encoding",
}  # fmt: skip


def access_key_of(request: Request) -> str | None:
    """The access key of a URL pre-signed with version 2, or None when it is none."""
    return dict(parse_qsl(request.query)).get("AWSAccessKeyId") if "Signature=" in request.query else None


def verify_presigned(request: Request, secret: str) -> None:
    """Raise unless the URL was signed with `secret` and has not expired."""
    parameters = parse_qsl(request.query, keep_blank_values=True)
    named = dict(parameters)
    expires = named.get("Expires", "0")
    if not expires.isdigit() or int(expires) < time.time():
        raise AwsError("AccessDenied", "Request has expired", 403)
    headers = sorted((n, v) for n, v in {**request.headers(), **named}.items() if n.startswith("x-amz-"))
    resource = "&".join(n if v == "" else f"{n}={v}" for n, v in sorted(parameters) if n in SUBRESOURCES)
    to_sign = "\n".join(
        [
            request.method,
            request.header("content-md5"),
            request.header("content-type"),
            expires,
            *(f"{name}:{value}" for name, value in headers),
            request.raw_path + (f"?{resource}" if resource else ""),
        ]
    )
    made = base64.b64encode(hmac.new(secret.encode(), to_sign.encode(), hashlib.sha1).digest()).decode()
    if not hmac.compare_digest(made, named.get("Signature", "")):
        raise AwsError("SignatureDoesNotMatch", "The signature of the URL does not match.", 403)
