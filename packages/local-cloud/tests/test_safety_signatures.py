"""What AWS refuses is refused with AWS's codes: bodies that nobody signed, borrowed tokens, other regions, odd numbers."""

from __future__ import annotations

import datetime
import hashlib
import http.client
import json
from contextlib import closing
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import pytest
import requests
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from local_cloud.s3.payload import EMPTY
from local_cloud.signature import Seal, sha256

SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def _keys(cloud) -> Credentials:
    return Credentials(cloud.description["access_key_id"], cloud.description["secret_access_key"])


class _Signer(S3SigV4Auth):
    """Signs whatever payload hash it is told, as a thief would keep the one that it saw."""

    def __init__(self, cloud, payload: str, region: str | None = None):
        super().__init__(_keys(cloud), "s3", region or cloud.region)
        self._said = payload

    def payload(self, request) -> str:
        return self._said


def _put(cloud, path: str, body: bytes, payload: str, method: str = "PUT", **headers: str) -> requests.Response:
    request = AWSRequest(method, cloud.endpoint + path, data=b"", headers={"Content-Length": str(len(body)), **headers})
    signer = _Signer(cloud, payload)
    signer.add_auth(request)
    prepared = {k: v for k, v in request.headers.items()}
    return requests.request(method, cloud.endpoint + path, data=body, headers=prepared, timeout=60)


def _code(answer: requests.Response) -> str:
    return answer.text.partition("<Code>")[2].partition("</Code>")[0]


@pytest.fixture(scope="module")
def s3(cloud):
    client = cloud.client("s3")
    client.create_bucket(Bucket="signatures")
    client.put_object(Bucket="signatures", Key="there", Body=b"content")
    return client


def _keys_of(s3) -> set[str]:
    return {entry["Key"] for entry in s3.list_objects_v2(Bucket="signatures").get("Contents", [])}


@pytest.mark.parametrize("headers", [{}, {"x-amz-tagging": "a=b"}], ids=["fast path", "moto"])
def test_a_body_that_is_not_the_signed_one_is_refused_and_nothing_is_stored(cloud, s3, headers):
    answer = _put(cloud, "/signatures/swapped", b"BBBB", hashlib.sha256(b"AAAA").hexdigest(), **headers)
    assert (answer.status_code, _code(answer)) == (400, "XAmzContentSHA256Mismatch")
    assert "swapped" not in _keys_of(s3)
    assert _put(cloud, "/signatures/right", b"BBBB", hashlib.sha256(b"BBBB").hexdigest(), **headers).status_code == 200
    assert s3.get_object(Bucket="signatures", Key="right")["Body"].read() == b"BBBB"


def test_a_swapped_body_of_a_configuration_changes_nothing(cloud, s3):
    enable = b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>'
    answer = _put(cloud, "/signatures?versioning", enable, hashlib.sha256(b"other").hexdigest())
    assert (answer.status_code, _code(answer)) == (400, "XAmzContentSHA256Mismatch")
    assert "Status" not in s3.get_bucket_versioning(Bucket="signatures")


@pytest.mark.parametrize("said", ["abc", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "A" * 64 + "0", "é"])
def test_a_payload_hash_that_is_none_is_refused(cloud, s3, said):
    answer = (
        _put(cloud, "/signatures/x", b"x", said) if said.isascii() else _put(cloud, "/signatures/x", b"x", "z" * 64)
    )
    assert (answer.status_code, _code(answer)) == (400, "InvalidArgument")


# The example of AWS's own documentation: 65 KiB of "a" in chunks of 64 KiB, with every signature written down.
# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
EXAMPLE_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
EXAMPLE_CHUNKS = [
    (b"a" * 65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
    (b"a" * 1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
    (b"", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
]


def _signing_key(secret: str, scope: str) -> bytes:
    from local_cloud.signature import _signing_key

    return _signing_key(secret, *scope.split("/")[:3])


def test_chunk_signatures_are_those_of_aws_documentation():
    scope = "20130524/us-east-1/s3/aws4_request"
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    seal = Seal(seed, _signing_key(EXAMPLE_KEY, scope), "20130524T000000Z", scope)
    for data, expected in EXAMPLE_CHUNKS:
        made = seal.next("PAYLOAD", EMPTY, sha256(data))
        assert made == expected
        seal = Seal(made, seal.key, seal.moment, seal.scope)


def _streamed(
    cloud, key: str, chunks: list[bytes], spoil=lambda parts: parts, trailer: dict[str, str] | None = None, decoded=None
) -> requests.Response:
    """An upload in signed chunks; `spoil` may change the parts of its body after they were signed."""
    kind = SIGNED_CHUNKS + ("-TRAILER" if trailer else "")
    announced = {"x-amz-decoded-content-length": str(sum(map(len, chunks))) if decoded is None else decoded}
    if trailer:
        announced["x-amz-trailer"] = ",".join(trailer)
    request = AWSRequest(
        "PUT", f"{cloud.endpoint}/signatures/{key}", data=b"", headers={"content-encoding": "aws-chunked", **announced}
    )
    signer = _Signer(cloud, kind)
    signer.add_auth(request)
    moment = request.context["timestamp"]
    scope = signer.credential_scope(request)
    seed = request.headers["Authorization"].rpartition("Signature=")[2]
    seal = Seal(seed, _signing_key(cloud.description["secret_access_key"], scope), moment, scope)
    parts = []
    for data in [*chunks, b""]:
        made = seal.next("PAYLOAD", EMPTY, sha256(data))
        seal = Seal(made, seal.key, moment, scope)
        parts.append(f"{len(data):x};chunk-signature={made}\r\n".encode() + data + (b"\r\n" if data else b""))
    if trailer:
        text = "".join(f"{name}:{value}\n" for name, value in trailer.items())
        made = seal.next("TRAILER", sha256(text.encode()))
        parts.append(text.replace("\n", "\r\n").encode() + f"x-amz-trailer-signature:{made}\r\n".encode())
    body = b"".join(spoil([*parts, b"\r\n"]))
    return requests.put(request.url, data=body, headers=dict(request.headers.items()), timeout=60)


CHUNKS = [b"a" * 70_000, b"b" * 500]
CRC32 = {"x-amz-checksum-crc32": "rC2Iaw=="}


def test_signed_chunks_are_accepted_when_every_signature_is_right(cloud, s3):
    assert _streamed(cloud, "streamed", CHUNKS).status_code == 200
    assert s3.get_object(Bucket="signatures", Key="streamed")["Body"].read() == b"".join(CHUNKS)


def _swap(parts: list[bytes]) -> list[bytes]:
    return [parts[0].replace(b"aaaa", b"aaab", 1), *parts[1:]]


def _resign(parts: list[bytes]) -> list[bytes]:
    return [parts[0][:25] + (b"0" if parts[0][25:26] != b"0" else b"1") + parts[0][26:], *parts[1:]]


def _unsign(parts: list[bytes]) -> list[bytes]:
    return [b"11170\r\n" + parts[0].partition(b"\r\n")[2], *parts[1:]]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_swap, "SignatureDoesNotMatch"),
        (_resign, "SignatureDoesNotMatch"),
        (_unsign, "SignatureDoesNotMatch"),
        (lambda parts: [parts[1], parts[0], *parts[2:]], "SignatureDoesNotMatch"),
        (lambda parts: [parts[0], *parts[2:]], "SignatureDoesNotMatch"),
        (lambda parts: parts[:2], "IncompleteBody"),
        (lambda parts: [parts[0], parts[0], *parts[1:]], "IncompleteBody"),
        (lambda parts: [b"-5" + parts[0][5:], *parts[1:]], "InvalidRequest"),
        (lambda parts: [b"zz" + parts[0][5:], *parts[1:]], "InvalidRequest"),
        (lambda parts: [b"0x10" + parts[0][5:], *parts[1:]], "InvalidRequest"),
        (lambda parts: [b"f" * 15 + parts[0][5:], *parts[1:]], "IncompleteBody"),
        (lambda parts: [b"f" * 4000 + parts[0][5:], *parts[1:]], "InvalidRequest"),
    ],
    ids=[
        "data", "signature", "no signature", "order", "a chunk missing", "cut", "a chunk twice", "negative", "no number",
        "hex prefix", "huge", "longer than any number",
    ],
)  # fmt: skip
def test_a_chunk_that_was_changed_is_refused_and_nothing_is_stored(cloud, s3, spoil, code):
    answer = _streamed(cloud, "spoilt", CHUNKS, spoil)
    assert (answer.status_code, _code(answer)) == (403 if code == "SignatureDoesNotMatch" else 400, code)
    assert "spoilt" not in _keys_of(s3)


def test_a_trailer_is_signed_and_its_checksum_is_checked(cloud, s3):
    import base64
    import zlib

    right = {"x-amz-checksum-crc32": base64.b64encode(zlib.crc32(b"".join(CHUNKS)).to_bytes(4, "big")).decode()}
    assert _streamed(cloud, "trailed", CHUNKS, trailer=right).status_code == 200
    wrong = _streamed(cloud, "untrailed", CHUNKS, trailer=CRC32)
    assert (wrong.status_code, _code(wrong)) == (400, "BadDigest")

    def change(parts):
        return [*parts[:-2], parts[-2].replace(b"trailer-signature:", b"trailer-signature:0")[:-3] + b"\r\n", parts[-1]]

    spoilt = _streamed(cloud, "untrailed", CHUNKS, change, trailer=right)
    assert (spoilt.status_code, _code(spoilt)) == (403, "SignatureDoesNotMatch")
    absent = _streamed(cloud, "untrailed", CHUNKS, lambda parts: [*parts[:-2], parts[-1]], trailer=right)
    assert (absent.status_code, _code(absent)) == (400, "MalformedTrailerError")
    assert "untrailed" not in _keys_of(s3)


@pytest.mark.parametrize(
    ("decoded", "status", "code"),
    [
        ("", 411, "MissingContentLength"), ("x", 400, "InvalidArgument"), ("-1", 400, "InvalidArgument"),
        ("9" * 5000, 400, "InvalidArgument"), ("1", 400, "IncompleteBody"), ("70501", 400, "IncompleteBody"),
        ("9" * 18, 400, "EntityTooLarge"),
    ],
)  # fmt: skip
def test_the_decoded_length_is_what_comes(cloud, s3, decoded, status, code):
    answer = _streamed(cloud, "unequal", CHUNKS, decoded=decoded)
    assert (answer.status_code, _code(answer)) == (status, code)
    assert "unequal" not in _keys_of(s3)


def test_boto3_streams_with_trailers_and_signed_bodies_as_before(cloud, s3):
    import io

    body = b"x" * 300_000
    s3.put_object(
        Bucket="signatures", Key="boto", Body=body, ContentMD5="", ChecksumAlgorithm="SHA256"
    ) if False else None
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        s3.put_object(Bucket="signatures", Key="boto", Body=io.BytesIO(body), ChecksumAlgorithm=algorithm)
        assert s3.get_object(Bucket="signatures", Key="boto")["Body"].read() == body
    s3.put_object(Bucket="signatures", Key="boto", Body=io.BytesIO(body), Tagging="a=b", ChecksumAlgorithm="SHA256")
    assert s3.get_object(Bucket="signatures", Key="boto")["Body"].read() == body


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-MD5": "x"}, "InvalidDigest"),
        ({"Content-MD5": "eHh4"}, "InvalidDigest"),
        ({"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
        ({"x-amz-checksum-crc32": "x"}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
        ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": "AAAA"}, "InvalidRequest"),
    ],
)
def test_digests_are_read_and_compared(cloud, s3, headers, code):
    answer = _put(cloud, "/signatures/digest", b"abc", hashlib.sha256(b"abc").hexdigest(), **headers)
    assert (answer.status_code, _code(answer)) == (400, code)


def test_a_chunked_upload_without_a_length_is_refused_instead_of_stored_empty(cloud, s3):
    request = AWSRequest("PUT", f"{cloud.endpoint}/signatures/lengthless", data=b"")
    _Signer(cloud, "UNSIGNED-PAYLOAD").add_auth(request)
    answer = requests.put(request.url, data=iter([b"abc"]), headers=dict(request.headers.items()), timeout=60)
    assert (answer.status_code, _code(answer)) == (501, "NotImplemented")
    assert "lengthless" not in _keys_of(s3)


@pytest.mark.parametrize("kind", ["object", "object by moto", "part"])
def test_an_upload_without_content_length_is_refused_instead_of_stored_empty(cloud, s3, kind):
    """As a client that forgets the header sends it; the body stays unread."""
    query = "?tagging" if kind == "object by moto" else ""
    if kind == "part":
        upload = s3.create_multipart_upload(Bucket="signatures", Key="lengthless")["UploadId"]
        query = f"?partNumber=1&uploadId={upload}"
    request = AWSRequest("PUT", f"{cloud.endpoint}/signatures/lengthless{query}", data=b"")
    _Signer(cloud, "UNSIGNED-PAYLOAD").add_auth(request)
    with closing(http.client.HTTPConnection(cloud.endpoint.removeprefix("http://"), timeout=60)) as connection:
        connection.putrequest("PUT", f"/signatures/lengthless{query}", skip_host="Host" in request.headers)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        with connection.getresponse() as answer:
            said = answer.read()
    assert (answer.status, b"<Code>MissingContentLength</Code>" in said) == (411, True), said
    assert "lengthless" not in _keys_of(s3)


# ── tokens


@pytest.fixture(scope="module")
def minted(cloud):
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}]}
    role = cloud.client("iam").create_role(RoleName="tokens", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    return cloud.client("sts").assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]


CALLS = {
    "sts": "get_caller_identity", "s3": "list_buckets", "ssm": "describe_parameters", "sagemaker": "list_training_jobs",
    "cloudformation": "list_stacks", "stepfunctions": "list_state_machines", "sqs": "list_queues", "logs": "describe_log_groups",
}  # fmt: skip
QUERY, JSON = "InvalidClientTokenId", "UnrecognizedClientException"
FAMILIES = {"sts": QUERY, "cloudformation": QUERY, "sqs": QUERY, "s3": "InvalidToken"}


@pytest.mark.parametrize("service", CALLS)
@pytest.mark.parametrize("given", ["none", "garbage", "right"])
def test_a_session_key_works_with_its_own_token_only(cloud, minted, service, given):
    token = {"none": None, "garbage": "garbage", "right": minted["SessionToken"]}[given]
    client = cloud.client(
        service, aws_access_key_id=minted["AccessKeyId"], aws_secret_access_key=minted["SecretAccessKey"],
        aws_session_token=token,
    )  # fmt: skip
    call = getattr(client, CALLS[service])
    if given == "right":
        call()
        return
    with pytest.raises(ClientError) as refused:
        call()
    expected = FAMILIES.get(service, JSON)
    if service == "s3" and given == "none":
        expected = "InvalidAccessKeyId"
    assert refused.value.response["Error"]["Code"] == expected


@pytest.mark.parametrize("service", CALLS)
def test_a_long_lived_key_with_a_token_is_refused(cloud, service):
    with pytest.raises(ClientError) as refused:
        getattr(cloud.client(service, aws_session_token="garbage"), CALLS[service])()
    assert refused.value.response["Error"]["Code"] == FAMILIES.get(service, JSON)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_urls_carry_their_token(cloud, s3, minted, version):
    def address(token: str | None) -> str:
        client = cloud.client(
            "s3", aws_access_key_id=minted["AccessKeyId"], aws_secret_access_key=minted["SecretAccessKey"],
            aws_session_token=token, config=Config(signature_version=version, s3={"addressing_style": "path"}),
        )  # fmt: skip
        return client.generate_presigned_url("get_object", Params={"Bucket": "signatures", "Key": "there"})

    assert requests.get(address(minted["SessionToken"]), timeout=60).content == b"content"
    assert _code(requests.get(address(None), timeout=60)) == "InvalidAccessKeyId"
    assert _code(requests.get(address("garbage"), timeout=60)) == "InvalidToken"


def test_an_expired_token_is_said_to_be_expired():
    from local_cloud.guard import Guard, Key

    guard = Guard("AKIAROOT", "secret", "000000000000", "us-east-1")
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    guard._known = lambda _: Key("secret", "token", past)
    for service, code in (("s3", "ExpiredToken"), ("sts", "ExpiredToken"), ("sagemaker", "ExpiredTokenException")):
        with pytest.raises(Exception, match=f"^{code}:"):
            guard._key("ASIA", service, "token")


# ── regions


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("sts", "SignatureDoesNotMatch"), ("cloudformation", "SignatureDoesNotMatch"),
        ("sagemaker", "InvalidSignatureException"), ("s3", "AuthorizationHeaderMalformed"),
    ],
)  # fmt: skip
def test_a_request_for_another_region_is_refused(cloud, service, code):
    elsewhere = cloud.client(service, region_name="eu-west-1")
    with pytest.raises(ClientError, match=r"eu-west-1.*us-east-1") as refused:
        getattr(elsewhere, CALLS[service])()
    assert refused.value.response["Error"]["Code"] == code


def test_global_services_take_the_global_region_wherever_the_cloud_is(own_cloud):
    own_cloud.region = "eu-central-1"
    own_cloud.start()
    for region in ("eu-central-1", "us-east-1"):
        own_cloud.client("iam", region_name=region).list_roles()
        own_cloud.client("sts", region_name=region).get_caller_identity()
    with pytest.raises(ClientError, match="us-east-1"):
        own_cloud.client("ssm", region_name="us-east-1").describe_parameters()


# ── pre-signed addresses


def _presigned(cloud, method: str = "get_object", version: str = "s3v4", **params: str) -> str:
    client = cloud.client("s3", config=Config(signature_version=version, s3={"addressing_style": "path"}))
    return client.generate_presigned_url(method, Params={"Bucket": "signatures", "Key": "there", **params})


def _changed(address: str, **parameters: str | None) -> str:
    parts = urlsplit(address)
    named = {
        **dict(parse_qsl(parts.query, keep_blank_values=True)),
        **{k.replace("_", "-"): v for k, v in parameters.items()},
    }
    query = urlencode({k: v for k, v in named.items() if v is not None}, quote_via=quote)
    return urlunsplit(parts._replace(query=query))


def _resigned(cloud, expires: str) -> str:
    """A URL whose signature is right for a lifetime that botocore would not give it."""
    from botocore.auth import S3SigV4QueryAuth

    request = AWSRequest("GET", f"{cloud.endpoint}/signatures/there")
    S3SigV4QueryAuth(_keys(cloud), "s3", cloud.region, expires=expires).add_auth(request)
    return request.url


@pytest.mark.parametrize(
    "expires", ["abc", "-1", "604801", "2592000", "9" * 30, "9" * 5000, "1.5", "1_000", "%C2%B2", " 7"]
)
def test_a_lifetime_that_aws_does_not_know_is_refused(cloud, s3, expires):
    answer = requests.get(_resigned(cloud, expires), timeout=60)
    assert (answer.status_code, _code(answer)) == (400, "AuthorizationQueryParametersError")


def test_a_lifetime_of_seven_days_is_the_longest(cloud, s3):
    assert requests.get(_resigned(cloud, "604800"), timeout=60).content == b"content"


@pytest.mark.parametrize(
    "parameters",
    [
        {"X_Amz_Date": "x"}, {"X_Amz_Date": "20261399T000000Z"}, {"X_Amz_Date": None}, {"X_Amz_Algorithm": "AWS4"},
        {"X_Amz_Credential": "a/b"}, {"X_Amz_Credential": None}, {"X_Amz_SignedHeaders": ""}, {"X_Amz_Signature": None},
        {"X_Amz_Expires": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_malformed_address_is_refused_as_such(cloud, s3, parameters):
    answer = requests.get(_changed(_presigned(cloud), **parameters), timeout=60)
    assert (answer.status_code, _code(answer)) == (400, "AuthorizationQueryParametersError")


@pytest.mark.parametrize("added", [
    "legal-hold", "attributes", "restore", "select", "object-lock", "retention", "acl", "tagging", "torrent", "versionId",
    "publicAccessBlock", "encryption", "something-new",
])  # fmt: skip
@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_nothing_can_be_added_to_an_address(cloud, s3, added, version):
    answer = requests.get(_presigned(cloud, version=version) + f"&{added}", timeout=60)
    assert (answer.status_code, _code(answer)) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_header_that_was_not_signed_makes_nothing_of_an_address(cloud, s3, version):
    s3.put_object(Bucket="signatures", Key="secret", Body=b"secret")
    address = _presigned(cloud, "put_object", version=version)
    answer = requests.put(address, headers={"x-amz-copy-source": "/signatures/secret"}, timeout=60)
    assert answer.status_code == 403 and _code(answer) in ("AccessDenied", "SignatureDoesNotMatch")
    assert s3.get_object(Bucket="signatures", Key="there")["Body"].read() == b"content"


@pytest.mark.parametrize(
    ("method", "parameters"),
    [("get_object", {"VersionId": "null"}), ("get_object_tagging", {}), ("get_object_acl", {}), ("upload_part", {})],
)
def test_the_subresources_that_botocore_signs_with_version_2_are_signed(cloud, s3, method, parameters):
    if method == "upload_part":
        upload = s3.create_multipart_upload(Bucket="signatures", Key="there")["UploadId"]
        address = _presigned(cloud, method, "s3", UploadId=upload, PartNumber=1)
        assert requests.put(address, data=b"x", timeout=60).status_code == 200
        return
    assert requests.get(_presigned(cloud, method, "s3", **parameters), timeout=60).status_code == 200


@pytest.mark.parametrize("expires", ["abc", "-1", "1", "9" * 5000, "%C2%B2"])
def test_a_version_2_address_with_an_odd_expiry_is_refused(cloud, s3, expires):
    parts = urlsplit(_presigned(cloud, version="s3"))
    named = dict(parse_qsl(parts.query))
    query = f"AWSAccessKeyId={named['AWSAccessKeyId']}&Signature={quote(named['Signature'])}&Expires={expires}"
    answer = requests.get(urlunsplit(parts._replace(query=query)), timeout=60)
    assert (answer.status_code, _code(answer)) == (403, "AccessDenied")


# ── names and numbers


@pytest.mark.parametrize(
    "call", ["put_object", "get_object", "delete_object", "head_object", "create_multipart_upload"]
)
def test_a_key_of_more_than_1024_bytes_is_too_long(cloud, s3, call):
    arguments = {"Bucket": "signatures", "Key": "ü" * 513}
    with pytest.raises(ClientError) as refused:
        getattr(s3, call)(**arguments)
    assert refused.value.response["Error"]["Code"] in ("KeyTooLongError", "400")
    s3.put_object(Bucket="signatures", Key="ü" * 512, Body=b"")
    s3.delete_object(Bucket="signatures", Key="ü" * 512)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("max-keys=abc", "InvalidArgument"), ("max-keys=-1", "InvalidArgument"), ("max-keys=99999999999", "InvalidArgument"),
        ("max-keys=%C2%B2", "InvalidArgument"), ("encoding-type=x", "InvalidArgument"), ("prefix=%FF", "InvalidURI"),
        ("uploads=&max-uploads=x", "InvalidArgument"),
    ],
)  # fmt: skip
def test_numbers_in_a_query_are_numbers(cloud, s3, query, code):
    answer = _put(cloud, f"/signatures?{query}", b"", EMPTY, "GET")
    assert (answer.status_code, _code(answer)) == (400, code)


@pytest.mark.parametrize("number", ["0", "10001", "x", "-1", "%C2%B2", "9" * 5000])
def test_a_part_number_is_one_to_ten_thousand(cloud, s3, number):
    answer = _put(cloud, f"/signatures/there?partNumber={number}&uploadId=x", b"", EMPTY)
    assert (answer.status_code, _code(answer)) == (400, "InvalidArgument")


@pytest.mark.parametrize(
    "body", [b"<", b"<a/>", b"\xff", b"<!DOCTYPE a [<!ENTITY b 'c'>]><Tagging>&b;</Tagging>", b"{}"]
)
def test_xml_that_is_none_of_it_is_malformed(cloud, s3, body):
    answer = _put(cloud, "/signatures?tagging", body, hashlib.sha256(body).hexdigest())
    assert (answer.status_code, _code(answer)) == (400, "MalformedXML")


# ── framing


def _framed(cloud, *lines: str) -> bytes:
    import socket

    with socket.create_connection(("127.0.0.1", cloud.description["port"]), timeout=60) as raw:
        raw.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        raw.settimeout(10)
        return raw.recv(4096)


@pytest.mark.parametrize(
    "lines",
    [
        ("GET /_local/health HTTP/1.1", "Host: 127.0.0.1", "Host: 127.0.0.1"),
        ("GET /_local/health HTTP/1.1", "Host: 127.0.0.1", "host: evil.example"),
        ("GET /_local/health HTTP/1.1",),
        ("POST / HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 0", "Content-Length: 5"),
        ("POST / HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 0", "Transfer-Encoding: chunked"),
        ("POST / HTTP/1.1", "Host: 127.0.0.1", "Content-Length: +0"),
        ("POST / HTTP/1.1", "Host: 127.0.0.1", "Content-Length: -1"),
        ("POST / HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 1_0"),
        ("POST / HTTP/1.1", "Host: 127.0.0.1", "Content-Length: " + "9" * 5000),
        ("POST / HTTP/1.1", "Host: 127.0.0.1", "Transfer-Encoding: gzip, chunked"),
        ("GET /_local/health HTTP/1.1", "Host: 127.0.0.1", "A : b"),
        ("GET /_local/health HTTP/1.1", "Host: 127.0.0.1", "A: b", " folded"),
        ("GET /_local/health HTTP/1.1", "Host: 127.0.0.1", "A: b\x00c"),
        ("GET //[ HTTP/1.1", "Host: 127.0.0.1"),
        ("GET /\x01 HTTP/1.1", "Host: 127.0.0.1"),
        ("GET /_local/health", "Host: 127.0.0.1"),
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(cloud, lines):
    assert _framed(cloud, *lines).startswith(b"HTTP/1.1 400 ")


def test_an_answer_to_a_fault_of_the_cloud_holds_no_word_of_python():
    from local_cloud.application import _internal
    from local_cloud.wire import Request, error_answer

    try:
        raise KeyError("a secret of the code")
    except KeyError:
        error = _internal(Request({"REQUEST_METHOD": "GET", "PATH_INFO": "/x"}))
    for protocol in ("json", "query", "rest-xml"):
        said = error_answer(protocol, error)
        assert b"secret" not in said.body and b"KeyError" not in said.body and b"Traceback" not in said.body
        assert error.request_id in (*said.headers.values(), "")


def test_other_services_bodies_are_signed_too(cloud):
    request = AWSRequest(
        "POST", cloud.endpoint + "/", data=b'{"Name": "/a"}',
        headers={"X-Amz-Target": "AmazonSSM.GetParameter", "Content-Type": "application/x-amz-json-1.1"},
    )  # fmt: skip
    SigV4Auth(_keys(cloud), "ssm", cloud.region).add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", cloud.description["port"], timeout=60)
    connection.request("POST", "/", b'{"Name": "/b"}', dict(request.headers.items()))
    answer = connection.getresponse()
    assert answer.status == 400 and json.loads(answer.read())["__type"] == "InvalidSignatureException"
    connection.close()
