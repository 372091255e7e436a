"""Who is let in and which bytes are taken, rule by rule and without a cloud; botocore's signatures are the other side."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local_cloud.errors import AwsError, UnknownCaller
from local_cloud.guard import Guard, Key
from local_cloud.s3 import payload as module
from local_cloud.s3.payload import (
    EMPTY,
    MAXIMUM_OBJECT,
    SIGNED_CHUNKS,
    SIGNED_CHUNKS_TRAILER,
    UNSIGNED_TRAILER,
    Payload,
    checksum_of,
    md5_of,
)
from local_cloud.signature import UNSIGNED, Seal, _signing_key, sha256
from local_cloud.testing import ManualClock
from local_cloud.wire import HEADERS, Request

KEYS = Credentials("AKIAROOT", "secret")
HOST = "127.0.0.1:4566"


@contextmanager
def refused(code: str, said: str = "", status: int | None = None) -> Iterator[None]:
    with pytest.raises(AwsError) as caught:
        yield
    assert caught.value.code == code
    assert said in caught.value.message
    assert status is None or caught.value.status == status


def received(method: str, url: str, headers: dict[str, str], body: bytes = b"") -> Request:
    parts = urlsplit(url)
    raw = parts.path + (f"?{parts.query}" if parts.query else "")
    named = {name.lower(): value for name, value in headers.items()}
    environ = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": raw,
        "PATH_INFO": parts.path,
        HEADERS: named,
        "wsgi.input": io.BytesIO(body),
    }
    return Request({**environ, "CONTENT_LENGTH": str(len(body))} if body else environ)


def signed(
    service: str, path: str = "/", method: str = "GET", body: bytes = b"", region: str = "us-east-1", keys: Credentials = KEYS,
    headers: dict[str, str] | None = None,
) -> AWSRequest:  # fmt: skip
    request = AWSRequest(method, f"http://{HOST}{path}", data=body, headers={"host": HOST, **(headers or {})})
    (S3SigV4Auth if service == "s3" else SigV4Auth)(keys, service, region).add_auth(request)
    return request


def guard_of(request: AWSRequest, region: str = "us-east-1", **known: Key) -> Guard:
    """A guard at the moment of this request that knows these keys beside its own."""
    moment = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    guard = Guard(KEYS.access_key, KEYS.secret_key, "000000000000", region, ManualClock(moment))
    own = guard._known
    guard._known = lambda name: known.get(name) or (own(name) if name == KEYS.access_key else None)
    return guard


def admitted(
    request: AWSRequest, body: bytes = b"", change: dict[str, str | None] | None = None, **options: Any
) -> str:
    headers = {**dict(request.headers.items()), **(change or {})}
    kept = {name: value for name, value in headers.items() if value is not None}
    return guard_of(request, **options).admit(received(request.method, request.url, kept, body))


# --- the signature: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html


@pytest.mark.parametrize(
    "path",
    ["/", "/b/a%20b", "/b/%C3%A9", "/b/a%2Bb", "/b/a~b-c_d.e", "/b//y", "/b/k?b=2&a=1", "/b/k?a=", "/b/k?a", "/b/k?a=1&a=0",
     "/b/k?a%20b=c%2Bd", "/b/k?prefix=a%2Fb&delimiter=%2F", "/b/k?x=~-_.", "/b/k?a-b=1&a=2", "/b/k?a=%3D"],
)  # fmt: skip
def test_what_botocore_signs_is_admitted_however_the_address_is_written(path):
    assert admitted(signed("s3", path)) == "s3"


def test_the_guard_says_for_which_service_a_request_is_and_takes_bodies_of_all():
    for service in ("sts", "sagemaker", "states", "cloudformation"):
        assert admitted(signed(service, method="POST", body=b"x=1"), b"x=1") == service
    assert admitted(signed("s3", "/b/k", "PUT", b"data"), b"data") == "s3"


@pytest.mark.parametrize("service", ["sagemaker", "s3"])
def test_a_request_in_which_anything_signed_was_changed_is_refused(service):
    code = "SignatureDoesNotMatch" if service == "s3" else "InvalidSignatureException"
    request = signed(service, "/b/k?a=1", "POST", headers={"x-amz-meta-a": "b"})
    url, method = request.url, request.method
    for changed_url, changed_method, changed in (
        (url.replace("a=1", "a=2"), method, {}), (url.replace("/k", "/l"), method, {}), (url, "DELETE", {}),
        (url + "&b=1", method, {}), (url, method, {"x-amz-meta-a": "c"}), (url, method, {"host": "localhost:4566"}),
    ):  # fmt: skip
        with refused(code, "does not match the signature you provided"):
            guard_of(request).admit(received(changed_method, changed_url, dict(request.headers.items()) | changed))
    with refused(code, "does not match"):
        admitted(signed(service, keys=Credentials(KEYS.access_key, "other")))


def test_white_space_in_a_signed_header_counts_once():
    request = signed("s3", "/b/k", headers={"x-amz-meta-a": "b  c"})
    assert admitted(request, change={"x-amz-meta-a": " b c  "}) == "s3"


def test_a_body_that_was_changed_is_refused_where_it_is_an_api_call():
    request = signed("sagemaker", method="POST", body=b"right")
    assert admitted(request, b"right") == "sagemaker"
    with refused("InvalidSignatureException"):
        admitted(request, b"wrong")
    announced = signed("sagemaker", method="POST", body=b"right", headers={"x-amz-content-sha256": sha256(b"right")})
    assert admitted(announced, b"right") == "sagemaker"
    with refused("InvalidSignatureException"):
        admitted(announced, b"wrong")


def test_s3_wants_the_hash_of_the_body_and_every_amz_header_signed():
    request = signed("s3", "/b/k", "PUT", b"x")
    with refused("InvalidRequest", "x-amz-content-sha256"):
        admitted(request, change={"X-Amz-Content-SHA256": None})
    with refused("AccessDenied", "which were not signed: x-amz-acl, x-amz-copy-source", 403):
        admitted(request, change={"x-amz-copy-source": "/a/b", "x-amz-acl": "private", "other": "1"})


def test_a_chunk_seal_continues_from_the_signature():
    request = signed("s3", "/b/k", "PUT", b"x")
    taken = received(request.method, request.url, dict(request.headers.items()), b"x")
    guard_of(request).admit(taken)
    signature = request.headers["Authorization"].rpartition("Signature=")[2]
    moment = request.headers["X-Amz-Date"]
    assert taken.seal == Seal(
        signature,
        _signing_key("secret", moment[:8], "us-east-1", "s3"),
        moment,
        f"{moment[:8]}/us-east-1/s3/aws4_request",
    )
    assert taken.holder is None


def test_a_pre_signed_address_is_over_an_unsigned_body():
    request = AWSRequest("PUT", f"http://{HOST}/b/k", headers={"host": HOST})
    S3SigV4QueryAuth(KEYS, "s3", "us-east-1", expires=60).add_auth(request)
    stamp = next(part[11:] for part in urlsplit(request.url).query.split("&") if part.startswith("X-Amz-Date="))
    request.headers["X-Amz-Date"] = stamp
    guard = guard_of(request)
    assert guard.admit(received("PUT", request.url, {"host": HOST}, b"anything")) == "s3"
    with refused("SignatureDoesNotMatch"):
        guard.admit(received("PUT", request.url.replace("/k?", "/l?"), {"host": HOST}))


# --- keys, tokens, regions


def test_an_unknown_key_is_told_where_keys_are():
    with refused(
        "UnrecognizedClientException", "take its credentials, with their session token, from `local-cloud env`"
    ):
        admitted(signed("sagemaker", keys=Credentials("AKIAOTHER", "secret")))
    with pytest.raises(UnknownCaller):
        admitted(signed("s3", "/b", keys=Credentials("AKIAOTHER", "secret")))


def test_a_session_key_works_with_its_own_token_until_it_expires():
    session = Credentials("ASIAX", "s", "token")
    moment = datetime.now(UTC)
    good = Key("s", "token", moment.replace(year=moment.year + 1), holder="role")
    request = signed("sagemaker", keys=session)
    taken = received(request.method, request.url, dict(request.headers.items()))
    assert guard_of(request, ASIAX=good).admit(taken) == "sagemaker"
    assert taken.holder == "role"
    with refused("UnrecognizedClientException"):
        admitted(signed("sagemaker", keys=Credentials("ASIAX", "s")), ASIAX=good)
    with refused("UnrecognizedClientException"):
        admitted(signed("sagemaker", keys=Credentials("ASIAX", "s", "other")), ASIAX=good)
    with refused("ExpiredTokenException"):
        admitted(request, ASIAX=Key("s", "token", moment.replace(year=moment.year - 1)))
    long_lived = signed("sagemaker", keys=Credentials(KEYS.access_key, KEYS.secret_key, "token"))
    with refused("UnrecognizedClientException"):
        admitted(long_lived)


def test_a_request_is_for_the_region_of_the_cloud_and_global_services_for_theirs():
    assert admitted(signed("sagemaker", region="eu-west-1"), region="eu-west-1") == "sagemaker"
    for service in ("iam", "sts"):
        assert admitted(signed(service), region="eu-west-1") == service
    with refused("InvalidSignatureException", "valid region, not 'eu-west-1'; this cloud is us-east-1"):
        admitted(signed("sagemaker", region="eu-west-1"))
    with refused("SignatureDoesNotMatch", "'eu-west-1'"):
        admitted(signed("sts", region="eu-west-1"))
    with refused(
        "AuthorizationHeaderMalformed",
        "header is malformed; the region 'eu-west-1' is wrong; expecting 'us-east-1'",
    ):
        admitted(signed("s3", "/b", region="eu-west-1"))


@pytest.mark.parametrize("host", [HOST, "localhost", "LOCALHOST:80", "127.0.0.1"])
def test_this_machine_is_answered_under_its_own_names(host):
    guard_of(signed("s3")).check_origin(received("GET", "/", {"host": host, "sec-fetch-site": "none"}))


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "localhost:", "localhost:123456"]
)
def test_a_foreign_name_is_refused(host):
    with refused("AccessDenied", "answers to 127.0.0.1 and localhost only", 403):
        guard_of(signed("s3")).check_origin(received("GET", "/", {"host": host}))


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-origin"}]
)
def test_a_web_page_is_refused(headers):
    with refused("AccessDenied", "from web pages", 403):
        guard_of(signed("s3")).check_origin(received("GET", "/", {"host": HOST, **headers}))


def test_the_service_is_known_before_anything_is_checked():
    guard = guard_of(signed("s3"))
    assert (
        guard.service_name(received("GET", f"http://{HOST}/b/k?AWSAccessKeyId=x&Signature=y&Expires=1", {"host": HOST}))
        == "s3"
    )
    request = signed("states")
    assert guard.service_name(received("POST", request.url, dict(request.headers.items()))) == "states"


def presigned(region: str = "us-east-1", keys: Credentials = KEYS) -> tuple[Request, AWSRequest]:
    """A pre-signed address as botocore makes it, as it is received, and with its moment where `guard_of` looks."""
    request = AWSRequest("GET", f"http://{HOST}/b/k", headers={"host": HOST})
    S3SigV4QueryAuth(keys, "s3", region, expires=60).add_auth(request)
    stamp = next(part[11:] for part in urlsplit(request.url).query.split("&") if part.startswith("X-Amz-Date="))
    request.headers["X-Amz-Date"] = stamp
    return received("GET", request.url, {"host": HOST}), request


def test_an_address_for_another_region_says_which_parameter_is_wrong():
    taken, request = presigned("eu-west-1")
    with refused(
        "AuthorizationQueryParametersError", "X-Amz-Credential parameter is wrong; the region 'eu-west-1' is wrong"
    ):
        guard_of(request).admit(taken)
    with refused("InvalidSignatureException", f"not {'x' * 50!r}; this cloud"):
        admitted(signed("sagemaker", region="x" * 60))


def test_an_address_is_its_signers():
    session = Credentials("ASIAX", "s", "token")
    taken, request = presigned(keys=session)
    known = Key("s", "token", datetime.now(UTC).replace(year=2999), holder="role")
    assert guard_of(request, ASIAX=known).admit(taken) == "s3" and taken.holder == "role"


def test_keys_of_users_and_sessions_are_those_that_iam_and_sts_keep():
    """moto's own records are read: of this account alone, and only while a key is active."""
    from moto.iam.models import iam_backends
    from moto.sts.models import sts_backends

    account, clock = "111122223333", ManualClock()
    users, sessions = iam_backends[account]["aws"], sts_backends[account]["aws"]
    key = users.create_user("us-east-1", "rule").create_access_key("AKIA")
    role = sessions.assume_role("us-east-1", "session", f"arn:aws:iam::{account}:role/r", None, 900, None)
    own, other = (Guard("AKIAROOT", "secret", one, "us-east-1", clock) for one in (account, "444455556666"))
    known = own._known(key.access_key_id)
    assert known == Key(key.secret_access_key, holder=users.get_user("rule"))
    of_role = own._known(role.access_key_id)
    assert of_role == Key(role.secret_access_key, role.session_token, role.expiration.replace(tzinfo=UTC), role)
    assert own._known("AKIAROOT") == Key("secret") and own._known("AKIANOBODY") is None
    assert other._known(key.access_key_id) is None and other._known(role.access_key_id) is None
    key.status = "Inactive"
    assert own._known(key.access_key_id) is None


def test_a_bucket_in_the_host_of_a_signed_request_is_one_in_its_path():
    host = "pets.s3.us-east-1.amazonaws.com"
    for service, path in (("s3", "/pets/k"), ("sagemaker", "/k")):
        request = AWSRequest("GET", f"http://{host}/k", headers={"host": host})
        (S3SigV4Auth if service == "s3" else SigV4Auth)(KEYS, service, "us-east-1").add_auth(request)
        taken = received("GET", request.url, dict(request.headers.items()))
        assert guard_of(request).admit(taken) == service and taken.raw_path == path


# --- bodies: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html


def upload(body: bytes, kind: str = UNSIGNED, method: str = "PUT", **headers: str) -> Payload:
    named = {name.replace("_", "-"): value for name, value in headers.items()} | {"x-amz-content-sha256": kind}
    if "transfer-encoding" not in named:
        named.setdefault("content-length", str(len(body)))
    request = received(method, f"http://{HOST}/b/k", named, body)
    request.environ["CONTENT_LENGTH"] = named.get("content-length", "0")
    request.seal = SEAL
    return Payload(request)


SEAL = Seal(
    "0" * 64,
    _signing_key("secret", "20260102", "us-east-1", "s3"),
    "20260102T030405Z",
    "20260102/us-east-1/s3/aws4_request",
)


def chunked(chunks: list[bytes], trailers: dict[str, str] | None = None, sign: bool = True) -> bytes:
    """As a client would send it; the signatures follow AWS's page, with nothing of the code but its key."""
    import hmac

    previous, parts = SEAL.signature, []

    def signature(kind: str, *hashes: str) -> str:
        text = "\n".join([f"AWS4-HMAC-SHA256-{kind}", SEAL.moment, SEAL.scope, previous, *hashes])
        return hmac.new(SEAL.key, text.encode(), hashlib.sha256).hexdigest()

    for data in [*chunks, b""]:
        head = f"{len(data):x}"
        if sign:
            previous = signature("PAYLOAD", hashlib.sha256(b"").hexdigest(), hashlib.sha256(data).hexdigest())
            head += f";chunk-signature={previous}"
        parts.append(head.encode() + b"\r\n" + data + (b"\r\n" if data else b""))
    for name, value in (trailers or {}).items():
        parts.append(f"{name}:{value}\r\n".encode())
    if trailers and sign:
        text = "".join(f"{name}:{value}\n" for name, value in trailers.items())
        parts.append(
            f"x-amz-trailer-signature:{signature('TRAILER', hashlib.sha256(text.encode()).hexdigest())}\r\n".encode()
        )
    return b"".join(parts) + b"\r\n"


def test_a_whole_body_is_read_in_blocks_and_compared_with_its_hash(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 4)
    body = b"0123456789"
    assert list(upload(body)) == [b"0123", b"4567", b"89"]
    assert b"".join(upload(body, hashlib.sha256(body).hexdigest().upper())) == body
    with refused("XAmzContentSHA256Mismatch"):
        list(upload(body, sha256(b"other")))
    assert list(upload(b"", EMPTY)) == []
    with refused("IncompleteBody", "announced 12 bytes and brought 10"):
        list(upload(body, content_length="12"))


@pytest.mark.parametrize("kind", ["x", "a" * 63, "g" * 64, "STREAMING-OTHER", "a" * 65])
def test_a_hash_that_is_none_is_refused(kind):
    with refused("InvalidArgument", "or a valid sha256 value"):
        upload(b"", kind)


def test_a_put_needs_a_length_and_an_object_has_a_largest_one():
    with refused("MissingContentLength", "Content-Length", 411):
        upload(b"", content_length="")
    upload(b"", method="POST", content_length="")
    with refused("NotImplemented", "Transfer-Encoding", 501):
        upload(b"", transfer_encoding="chunked")
    assert upload(b"", content_length=str(MAXIMUM_OBJECT)).size == 5 * 1024**3
    with refused("EntityTooLarge", "5368709121 bytes exceeds the maximum allowed size, 5368709120"):
        upload(b"", content_length=str(MAXIMUM_OBJECT + 1))
    for kind in (SIGNED_CHUNKS, UNSIGNED_TRAILER):
        with refused("MissingContentLength", "x-amz-decoded-content-length", 411):
            upload(b"", kind)
        with refused("InvalidArgument", "is no length: '-1'"):
            upload(b"", kind, x_amz_decoded_content_length="-1")


@pytest.mark.parametrize("chunks", [[b"a" * 70_000, b"b" * 500], [b"x"], []])
def test_signed_chunks_give_their_bytes(chunks):
    taken = upload(chunked(chunks), SIGNED_CHUNKS, x_amz_decoded_content_length=str(sum(map(len, chunks))))
    assert taken.chunked and b"".join(taken) == b"".join(chunks) and taken.trailers == {}
    assert not upload(b"").chunked


def test_a_trailer_comes_out_and_must_be_the_announced_one():
    sums = {"x-amz-checksum-crc32": "rC2Iaw=="}
    announced = {"x_amz_decoded_content_length": "3", "x_amz_trailer": "X-Amz-Checksum-Crc32"}
    for kind, sign in ((SIGNED_CHUNKS_TRAILER, True), (UNSIGNED_TRAILER, False)):
        taken = upload(chunked([b"abc"], sums, sign), kind, **announced)
        assert b"".join(taken) == b"abc" and taken.trailers == sums
    for trailers, asked in (
        (sums, ""),
        ({}, "x-amz-checksum-crc32"),
        ({**sums, "x-other": "1"}, "x-amz-checksum-crc32"),
    ):
        with refused("MalformedTrailerError"):
            list(upload(chunked([b"abc"], trailers, False), UNSIGNED_TRAILER, **{**announced, "x_amz_trailer": asked}))
    twice = chunked([b"abc"], sums, False).replace(b"==\r\n", b"==\r\nx-amz-checksum-crc32:rC2Iaw==\r\n")
    with refused("MalformedTrailerError"):
        list(upload(twice, UNSIGNED_TRAILER, **announced))
    with refused("MalformedTrailerError"):
        list(upload(chunked([b"abc"], sums, False).replace(b":rC2", b" rC2"), UNSIGNED_TRAILER, **announced))
    with refused("SignatureDoesNotMatch"):
        list(upload(chunked([b"abc"], sums).replace(b"rC2Iaw", b"rC2Iax"), SIGNED_CHUNKS_TRAILER, **announced))


@pytest.mark.parametrize(
    ("spoil", "code"),
    [(lambda body: body.replace(b"abc", b"abd"), "SignatureDoesNotMatch"),
     (lambda body: body.replace(b"signature=", b"signature=0", 1), "InvalidRequest"),
     (lambda body: body.replace(b"abc\r\n", b"abc--"), "InvalidRequest"), (lambda body: b"", "IncompleteBody"),
     (lambda body: b"zz\r\n", "InvalidRequest"), (lambda body: body[: body.index(b"abc") + 2], "IncompleteBody"),
     (lambda body: body[: body.index(b"abc") + 5], "IncompleteBody"),
     (lambda body: b"3\r\nabc\r\n0\r\n\r\n", "SignatureDoesNotMatch")],
    ids=["another byte", "a long signature", "no end", "nothing", "no size", "cut in a chunk", "cut after a chunk", "unsigned"],
)  # fmt: skip
def test_a_chunk_that_was_changed_or_is_cut_off_is_refused(spoil, code):
    with refused(code, "does not match the signature" if code == "SignatureDoesNotMatch" else ""):
        list(upload(spoil(chunked([b"abc"])), SIGNED_CHUNKS, x_amz_decoded_content_length="3"))


def test_the_announced_length_is_the_one_that_comes():
    with refused("IncompleteBody", "announced 2 bytes and brought more"):
        list(upload(chunked([b"abc"]), SIGNED_CHUNKS, x_amz_decoded_content_length="2"))
    with refused("IncompleteBody", "announced 4 bytes and brought 3"):
        list(upload(chunked([b"abc"]), SIGNED_CHUNKS, x_amz_decoded_content_length="4"))


def test_signed_chunks_need_a_signature_to_continue_from():
    taken = upload(chunked([b"abc"]), SIGNED_CHUNKS, x_amz_decoded_content_length="3")
    taken._request.seal = None
    with refused("SignatureDoesNotMatch", "version 4"):
        list(taken)


def test_one_checksum_of_the_right_length_is_taken():
    assert checksum_of({"x-amz-checksum-crc32": "rC2Iaw==", "other": "1"}) == ("CRC32", "rC2Iaw==")
    for name, size in (("crc32c", 4), ("crc64nvme", 8), ("sha1", 20), ("sha256", 32)):
        assert checksum_of({f"x-amz-checksum-{name}": base64.b64encode(b"x" * size).decode()})[0] == name.upper()
        for wrong in (size - 1, size + 1):
            with refused("InvalidRequest", f"Value for x-amz-checksum-{name} header is invalid"):
                checksum_of({f"x-amz-checksum-{name}": base64.b64encode(b"x" * wrong).decode()})
    assert checksum_of({"x-amz-checksum-other": "x", "x-amz-checksum-mode": "ENABLED"}) is None
    for text in ("rC2Iaw", "rC2 Iaw==", "é"):
        with refused("InvalidRequest"):
            checksum_of({"x-amz-checksum-crc32": text})
    with refused("InvalidRequest", "Expecting a single"):
        checksum_of({"x-amz-checksum-crc32": "rC2Iaw==", "x-amz-checksum-sha1": "x"})


def test_a_digest_is_read_as_its_bytes():
    digest = hashlib.md5(b"x", usedforsecurity=False)
    assert md5_of({"content-md5": base64.b64encode(digest.digest()).decode()}) == digest.hexdigest()
    assert md5_of({}) is None
    for text in ("", "eA==", digest.hexdigest(), base64.b64encode(b"x" * 17).decode()):
        with refused("InvalidDigest"):
            md5_of({"content-md5": text})
