"""How old and how young a signature may be: AWS's fifteen minutes, to the second, with botocore's own signatures."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local_cloud.errors import AwsError
from local_cloud.guard import Guard, Key
from local_cloud.testing import ManualClock
from local_cloud.wire import HEADERS, Request

KEYS = Credentials("AKIAROOT", "secret")
MINUTES = 60


def guard(clock: ManualClock) -> Guard:
    return Guard(KEYS.access_key, KEYS.secret_key, "000000000000", "us-east-1", clock)


def received(request: AWSRequest) -> Request:
    parts = urlsplit(request.url)
    raw = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = {name.lower(): value for name, value in request.headers.items()} | {"host": parts.netloc}
    return Request({"REQUEST_METHOD": request.method, "REQUEST_URI": raw, "PATH_INFO": parts.path, HEADERS: headers})


def signed(service: str) -> tuple[Request, float]:
    """A request as botocore signs it now, and the moment that it carries."""
    request = AWSRequest("GET", "http://127.0.0.1:4566/" + ("bucket/key" if service == "s3" else ""))
    (S3SigV4Auth if service == "s3" else SigV4Auth)(KEYS, service, "us-east-1").add_auth(request)
    moment = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return received(request), moment.timestamp()


# "RequestTimeTooSkewed: The difference between the request time and the current time is too large", 403, in
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; the others say so in their signature's error.
CODES = {"s3": "RequestTimeTooSkewed", "sts": "SignatureDoesNotMatch", "sagemaker": "InvalidSignatureException"}


@pytest.mark.parametrize("service", CODES)
@pytest.mark.parametrize("seconds", [-15 * MINUTES, -1, 0, 15 * MINUTES])
def test_a_request_is_good_for_a_quarter_of_an_hour_before_and_after_its_moment(service, seconds):
    request, moment = signed(service)
    assert guard(ManualClock(moment + seconds)).admit(request) == service


@pytest.mark.parametrize("service", CODES)
@pytest.mark.parametrize("seconds", [15 * MINUTES + 1, 86400], ids=["just too old", "a day old"])
def test_an_older_request_is_refused(service, seconds):
    request, moment = signed(service)
    with pytest.raises(AwsError, match=f"^{CODES[service]}:"):
        guard(ManualClock(moment + seconds)).admit(request)


@pytest.mark.parametrize("service", CODES)
@pytest.mark.parametrize("seconds", [15 * MINUTES + 1, 86400], ids=["just too young", "a day ahead"])
def test_a_request_from_the_future_is_refused(service, seconds):
    request, moment = signed(service)
    with pytest.raises(AwsError, match=f"^{CODES[service]}:"):
        guard(ManualClock(moment - seconds)).admit(request)


def presigned(lifetime: int) -> tuple[Request, float]:
    request = AWSRequest("GET", "http://127.0.0.1:4566/bucket/key")
    S3SigV4QueryAuth(KEYS, "s3", "us-east-1", expires=lifetime).add_auth(request)
    made = received(request)
    stamp = next(part.partition("=")[2] for part in made.query.split("&") if part.startswith("X-Amz-Date="))
    return made, datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("seconds", [0, 59, 60])
def test_a_pre_signed_address_is_good_for_its_lifetime(seconds):
    request, moment = presigned(60)
    assert guard(ManualClock(moment + seconds)).admit(request) == "s3"


@pytest.mark.parametrize("seconds", [61, 3600, -15 * MINUTES - 1], ids=["just over", "long over", "not yet begun"])
def test_a_pre_signed_address_outside_its_lifetime_is_refused(seconds):
    request, moment = presigned(60)
    with pytest.raises(AwsError, match=r"^AccessDenied:"):
        guard(ManualClock(moment + seconds)).admit(request)


@pytest.mark.parametrize(("seconds", "good"), [(0, True), (59, True), (61, False)])
def test_an_address_of_signature_version_2_expires_at_its_moment(seconds, good):
    request = AWSRequest("GET", "http://127.0.0.1:4566/bucket/key")
    now = int(time.time())
    HmacV1QueryAuth(KEYS, expires=60).add_auth(request)
    made = received(request)
    expires = int(next(part.partition("=")[2] for part in made.query.split("&") if part.startswith("Expires=")))
    assert expires - 60 - now in (0, 1)
    clock = ManualClock(expires - 60 + seconds)
    if good:
        assert guard(clock).admit(made) == "s3"
    else:
        with pytest.raises(AwsError, match=r"^AccessDenied:"):
            guard(clock).admit(made)


@pytest.mark.parametrize(("seconds", "good"), [(-1, True), (0, True), (1, False)])
def test_a_token_of_sts_is_good_until_it_expires_and_no_second_longer(seconds, good):
    expires = datetime(2026, 1, 1, tzinfo=UTC)
    checked = guard(ManualClock(expires.timestamp() + seconds))
    key = Key("secret", "token", expires)
    checked._known = lambda _: key
    if good:
        assert checked._key("ASIA", "s3", "token") == key
    else:
        with pytest.raises(AwsError, match=r"^ExpiredToken:"):
            checked._key("ASIA", "s3", "token")
