"""What a signature says of itself, read strictly and believed by nobody: whose key, which service, when, over what.

Nothing here is checked against a secret; what is malformed is refused in the words of the service it names.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from local_cloud.errors import AwsError, UnknownCaller
from local_cloud.numbers import whole_number
from local_cloud.refusals import refusal
from local_cloud.wire import Request

ALGORITHM = "AWS4-HMAC-SHA256"
HEADER = re.compile(rf"{ALGORITHM}\s+(.*)", re.DOTALL)
SIGNATURE = re.compile(r"[0-9a-f]{64}")
MOMENT = re.compile(r"[0-9]{8}T[0-9]{6}Z")
LONGEST_URL_SECONDS = 604_800
QUERY_PARTS = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)


@dataclass(frozen=True)
class Claim:
    """A version 4 signature's own words; `lifetime` is a pre-signed URL's in seconds, None for a signed header."""

    access_key_id: str
    day: str
    region: str
    service: str
    moment: str
    signed_headers: tuple[str, ...]
    signature: str
    token: str
    lifetime: int | None

    @property
    def scope(self) -> str:
        """The scope of the signing key."""
        return f"{self.day}/{self.region}/{self.service}/aws4_request"

    def signed_at(self) -> datetime:
        """When the client says that it signed."""
        return datetime.strptime(self.moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def claimed_service(request: Request) -> str:
    """The service that a version 4 signature names, "" when none is readable: errors come in that service's protocol."""
    header = re.search(r"Credential=([^,\s]+)", request.header("authorization"))
    parameters = {} if request.header("authorization") else dict(_parameters(request))
    parts = (header.group(1) if header else parameters.get("X-Amz-Credential", "")).rsplit("/", 4)
    if len(parts) == 5:
        return parts[3].lower()
    # Pre-signed addresses are S3's, unless they say otherwise.
    return "s3" if any(name in parameters for name in QUERY_PARTS) else ""


def claim_of(request: Request) -> Claim:
    """The claim of a request. Raises MissingAuthenticationToken without one, and what AWS says of a malformed one."""
    parameters = dict(_parameters(request))
    presigned = any(name in parameters for name in ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"))
    if request.header("authorization"):
        if presigned or "AWSAccessKeyId" in parameters:
            raise AwsError("InvalidArgument", "Only one auth mechanism allowed.")
        return _from_header(request)
    if presigned:
        return _from_query(request, parameters)
    raise UnknownCaller("MissingAuthenticationToken", "The request is not signed.", 403)


def _parameters(request: Request) -> list[tuple[str, str]]:
    try:
        return parse_qsl(request.query, keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise AwsError("InvalidArgument", "The query string has more than 1,000 parameters.") from None


def _from_header(request: Request) -> Claim:
    service = claimed_service(request)
    found = HEADER.fullmatch(request.header("authorization").strip())
    if not found:
        raise AwsError("IncompleteSignature", f"Only {ALGORITHM} signatures are understood; use a current SDK.", 400)
    parts = dict(part.strip().partition("=")[::2] for part in found.group(1).split(","))
    missing = [name for name in ("Credential", "SignedHeaders", "Signature") if not parts.get(name)]
    if missing:
        raise refusal("malformed", service, f"Authorization header requires {' and '.join(missing)}.")
    moment = request.header("x-amz-date")
    if not moment:
        raise refusal("malformed", service, "Authorization header requires an X-Amz-Date header.")
    return _claim(parts, service, "malformed", moment, request.header("x-amz-security-token"), None)


def _from_query(request: Request, parameters: dict[str, str]) -> Claim:
    service = claimed_service(request)
    missing = [name for name in QUERY_PARTS if not parameters.get(name)]
    if missing:
        raise refusal(
            "malformed query", service,
            f"Query-string authentication version 4 requires the parameters {', '.join(QUERY_PARTS)}; {missing[0]} is not "
            "there.",
        )  # fmt: skip
    if parameters["X-Amz-Algorithm"] != ALGORITHM:
        raise refusal("malformed query", service, f"X-Amz-Algorithm only supports {ALGORITHM}.")
    parts = {name.removeprefix("X-Amz-"): value for name, value in parameters.items()}
    token = parameters.get("X-Amz-Security-Token", "")
    return _claim(parts, service, "malformed query", parameters["X-Amz-Date"], token, _lifetime(parts, service))


def _lifetime(parts: dict[str, str], service: str) -> int:
    text = parts["Expires"]
    seconds = whole_number(text)
    if seconds is None and re.fullmatch(r"-[0-9]+", text):
        raise refusal("malformed query", service, "X-Amz-Expires must be non-negative.")
    if seconds is None and not text.isdecimal():
        raise refusal("malformed query", service, "X-Amz-Expires should be a number.")
    if seconds is None or seconds > LONGEST_URL_SECONDS:
        raise refusal(
            "malformed query", service,
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            f"{LONGEST_URL_SECONDS} seconds.",
        )  # fmt: skip
    return seconds


def _claim(parts: dict[str, str], service: str, fault: str, moment: str, token: str, lifetime: int | None) -> Claim:
    scope = parts["Credential"].rsplit("/", 4)
    if len(scope) != 5 or not all(scope):
        raise refusal(
            fault, service,
            f'The Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request", not '
            f"{parts['Credential'][:200]!r}.",
        )  # fmt: skip
    access_key_id, day, region, named, terminator = scope
    if terminator != "aws4_request":
        raise refusal(fault, service, f"The Credential must end in aws4_request, not {terminator[:50]!r}.")
    if not MOMENT.fullmatch(moment) or not _is_moment(moment):
        raise refusal(fault, service, f"The date {moment[:50]!r} is not of the form YYYYMMDD'T'HHMMSS'Z'.")
    if day != moment[:8]:
        raise refusal(fault, service, f"The credential's date {day[:50]!r} is not the date of X-Amz-Date {moment!r}.")
    if not SIGNATURE.fullmatch(parts["Signature"]):
        raise refusal("signature", service, "The signature is not 64 hexadecimal digits in lower case.")
    signed = tuple(parts["SignedHeaders"].split(";"))
    if "host" not in signed:
        raise refusal("signature", service, "'Host' must be a 'SignedHeader' in the AWS Authorization.")
    return Claim(access_key_id, day, region, named.lower(), moment, signed, parts["Signature"], token, lifetime)


def _is_moment(moment: str) -> bool:
    try:
        datetime.strptime(moment, "%Y%m%dT%H%M%SZ")
    except ValueError:
        return False
    return True
