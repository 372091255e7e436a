"""What every S3 request passes before it is answered: its key, its numbers and the body that was signed.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html and API/ErrorResponses.html
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from urllib.parse import parse_qsl, unquote_to_bytes

from local_cloud.errors import AwsError
from local_cloud.numbers import whole_number
from local_cloud.s3.checksums import ALGORITHMS, bytes_checksum
from local_cloud.s3.payload import EMPTY, SHA256, Payload, checksum_of, md5_of
from local_cloud.signature import UNSIGNED
from local_cloud.wire import MAXIMUM_API_BODY, Answer, Request

LONGEST_KEY = 1024
LARGEST_NUMBER = 2**31 - 1
NUMBERS = ("max-keys", "max-uploads", "max-parts", "max-buckets", "part-number-marker")
MAXIMUM_FIELDS = 1000


def check_names(request: Request) -> None:
    """Raise unless key, query string and an empty body are what S3 accepts."""
    key = unquote_to_bytes(request.raw_path.lstrip("/").partition("/")[2])
    if len(key) > LONGEST_KEY:
        raise AwsError("KeyTooLongError", f"Your key is too long: {len(key)} bytes; at most {LONGEST_KEY}.")
    try:
        key.decode()
        pairs = parse_qsl(request.query, keep_blank_values=True, max_num_fields=MAXIMUM_FIELDS, errors="strict")
    except UnicodeDecodeError:
        raise AwsError("InvalidURI", "Couldn't parse the specified URI.") from None
    except ValueError:
        raise AwsError("InvalidArgument", f"The query string has more than {MAXIMUM_FIELDS} parameters.") from None
    for name, value in pairs:
        _check_parameter(name, value)
    hashed = request.header("x-amz-content-sha256")
    if request.method in ("GET", "HEAD") and not request.length and SHA256.fullmatch(hashed) and hashed != EMPTY:
        raise AwsError(
            "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."
        )


def named(request: Request, answer: Answer) -> Answer:
    """With the two ids by which every answer of S3 can be asked for, and without a type that is not S3's.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/get-request-ids.html
    """
    id = next((answer.headers.pop(name) for name in list(answer.headers) if name.lower() == "x-amzn-requestid"), None)
    answer.headers.setdefault("x-amz-request-id", id or secrets.token_hex(8).upper())
    answer.headers.setdefault("x-amz-id-2", base64.b64encode(secrets.token_bytes(56)).decode())
    if request.method == "HEAD" and answer.status >= 300:
        for name in [name for name in answer.headers if name.lower() == "content-type"]:
            answer.headers[name] = "application/xml"
    return answer


def take_body(request: Request, operation: str) -> None:
    """Read the whole body, check it against what was signed and announced, and put the plain bytes in its place."""
    payload = Payload(request)
    if payload.size > MAXIMUM_API_BODY:
        raise AwsError("EntityTooLarge", f"This request has {payload.size} bytes; here it may have {MAXIMUM_API_BODY}.")
    body = b"".join(payload)
    headers = {**request.headers(), **payload.trailers}
    if (md5 := md5_of(headers)) and md5 != hashlib.md5(body, usedforsecurity=False).hexdigest():
        raise AwsError("BadDigest", "The Content-MD5 you specified did not match what we received.")
    # The checksum that completes an upload is the object's, not this body's.
    checksum = checksum_of(headers) if operation != "CompleteMultipartUpload" else None
    if checksum and checksum[0] in ALGORITHMS and bytes_checksum(body, checksum[0]) != checksum[1]:
        raise AwsError("BadDigest", f"The {checksum[0]} you specified did not match what we received.")
    request.replace_body(body)
    if payload.chunked:
        encoding = headers.get("content-encoding", "").replace("aws-chunked", "").strip(", ")
        request.replace_headers({
            "x-amz-content-sha256": UNSIGNED, "x-amz-decoded-content-length": None, "x-amz-trailer": None,
            "content-encoding": encoding or None, **payload.trailers,
        })  # fmt: skip


def _check_parameter(name: str, value: str) -> None:
    number = whole_number(value)
    if name in NUMBERS and (number is None or number > LARGEST_NUMBER):
        raise AwsError("InvalidArgument", f"Provided {name} not an integer or within integer range: {value[:50]!r}.")
    if name == "partNumber" and (number is None or not 1 <= number <= 10_000):
        raise AwsError("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive.")
    if name == "encoding-type" and value != "url":
        raise AwsError("InvalidArgument", f"Invalid Encoding Method specified in Request: {value[:50]!r}.")
