"""Hostile requests for the local cloud, thousands of them, each made from a seed, and the rule that their answers keep.

The rule: an answer comes, it is no 500, and no word of Python is in it. `make fuzz-cloud` runs many; the tests run some.
Signed requests come with a right signature: what is behind the guard must hold as well.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import json
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import botocore.session
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from local_cloud.services import SERVICES  # noqa: E402 - found by path when this file is run as a script

PYTHON = re.compile(
    rb'Traceback|File "|\b(Key|Type|Attribute|Value|Index|Name|Unicode\w+|Recursion|Overflow|Assertion|OS|Runtime)Error\b'
    rb"|NoneType|has no attribute|object is not|<class |local_cloud/(?!coverage\.md)|moto/"
)
NASTY = [
    "", " ", "0", "-1", "1.5", "1e999", "NaN", "abc", "²", "٣", "9" * 20, "9" * 5000, "a" * 1200, "\u0000", "\u202e", "é", "😀",
    "..", "../../etc/passwd", "/", "//", "%", "%zz", "%00", "%ff", "<a>", "]]>", "&x;", '"', "'", "{}", "[]", "null", "true",
    "arn:aws:iam::000000000000:role/x", "arn:aws:::", "s3://", "s3://b/k", "2026-13-40T99:99:99Z", "bytes=5-2", "bytes=-", "=", ";",
]  # fmt: skip
HEADERS = [
    "range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "content-md5", "content-type",
    "content-encoding", "expires", "x-amz-acl", "x-amz-tagging", "x-amz-copy-source", "x-amz-copy-source-range",
    "x-amz-metadata-directive", "x-amz-storage-class", "x-amz-server-side-encryption", "x-amz-checksum-crc32",
    "x-amz-checksum-sha256", "x-amz-checksum-mode", "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date",
    "x-amz-meta-a", "x-amz-meta-a_b", "x-amz-decoded-content-length", "x-amz-trailer", "x-amz-grant-read", "x-amz-mfa",
    "x-amz-expected-bucket-owner", "x-amz-bucket-object-lock-enabled", "x-amz-website-redirect-location", "x-amz-target",
    "x-amz-object-attributes", "x-amz-bypass-governance-retention", "x-amz-request-payer", "content-disposition",
]  # fmt: skip
SUBRESOURCES = [
    "acl", "cors", "delete", "lifecycle", "location", "logging", "notification", "partNumber", "policy", "tagging", "torrent",
    "uploadId", "uploads", "versionId", "versioning", "versions", "website", "attributes", "legal-hold", "retention", "restore",
    "object-lock", "encryption", "replication", "ownershipControls", "publicAccessBlock", "accelerate", "analytics", "metrics",
    "inventory", "intelligent-tiering", "select", "select-type", "list-type", "max-keys", "prefix", "delimiter", "marker",
    "continuation-token", "start-after", "encoding-type", "max-parts", "part-number-marker", "response-expires", "x-id",
]  # fmt: skip
PAYLOADS = ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "abc", ""]
# Stops the cloud, or waits on purpose.
LEFT_OUT = {("sqs", "ReceiveMessage")}


@dataclass
class Sent:
    """One request as its bytes, and what is known of it."""

    what: str
    raw: bytes


class Fuzzer:
    """Makes requests for one cloud; the same seed makes the same choices."""

    def __init__(self, endpoint: str, access_key_id: str, secret_access_key: str, region: str, seed: int):
        self.host = endpoint.removeprefix("http://")
        self._endpoint = endpoint
        self._keys = Credentials(access_key_id, secret_access_key)
        self._region = region
        self._random = random.Random(seed)
        self._session = botocore.session.get_session()
        self._models: dict[str, Any] = {}

    def request(self) -> Sent:
        """One more request."""
        maker = self._random.choices(
            [self._operation, self._s3, self._address, self._streamed, self._bytes], [6, 5, 2, 2, 3]
        )[0]
        sent = maker()
        if self._random.random() < 0.05:
            sent = Sent(sent.what + " cut or spoilt", self._spoilt(sent.raw))
        return sent

    def _operation(self) -> Sent:
        service = self._random.choice([s for s in SERVICES.values() if s.signing_name != "s3"])
        model = self._models.setdefault(service.model, self._session.get_service_model(service.model))
        operation = self._random.choice([n for n in model.operation_names if (service.model, n) not in LEFT_OUT])
        shape = model.operation_model(operation).input_shape
        given = self._value(shape, 0) if shape else {}
        target = model.metadata.get("targetPrefix")
        if service.protocol == "query":
            headers = {"content-type": "application/x-www-form-urlencoded"}
            body = urlencode(
                {"Action": operation, "Version": model.api_version, **_flat(given)}, errors="replace"
            ).encode()
        else:
            headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"{target}.{operation}"}
            body = json.dumps(given, default=str).encode()
        if self._random.random() < 0.15:
            body = self._garbage()
        return Sent(f"{service.model}:{operation}", self._signed("POST", "/", service.signing_name, body, headers))

    def _value(self, shape: Any, depth: int) -> Any:
        """A value of the model's shape, more or less."""
        chance = self._random.random()
        if chance < 0.08 or depth > 6:
            return self._random.choice([None, [], {}, "", 0, -1, 1.5, True, 10**30, "x", ["x"], {"x": 1}, "a" * 3000])
        kind = shape.type_name
        if kind == "structure":
            required = set(shape.required_members)
            return {
                name: self._value(member, depth + 1)
                for name, member in shape.members.items()
                if (name in required and chance > 0.12) or self._random.random() < 0.25
            }
        if kind == "list":
            return [self._value(shape.member, depth + 1) for _ in range(self._random.randrange(3))]
        if kind == "map":
            return {str(self._value(shape.key, depth + 1)): self._value(shape.value, depth + 1) for _ in range(2)}
        if kind in ("integer", "long"):
            return self._random.choice([0, 1, -1, 7, 2**31, 10**18])
        if kind in ("float", "double"):
            return self._random.choice([0, 0.5, -1, 1e300])
        if kind == "boolean":
            return self._random.random() < 0.5
        if kind == "timestamp":
            return self._random.choice([0, -1, 1e20, "2026-01-01T00:00:00Z", "x"])
        if getattr(shape, "enum", None) and chance < 0.9:
            return self._random.choice(shape.enum)
        return self._random.choice(["name", "name-1", "/a/b", "{}", *NASTY])

    def _s3(self) -> Sent:
        method = self._random.choice(["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS"])
        path = self._random.choice(
            ["/fuzz/key", "/fuzz/key", "/fuzz", "/fuzz/", "/", "/no-such-bucket/x", self._path()]
        )
        names = self._random.sample(SUBRESOURCES, self._random.choice([0, 0, 1, 1, 2, 3]))
        query = "&".join(name if self._random.random() < 0.4 else f"{name}={self._quoted()}" for name in names)
        headers = {name: self._header() for name in self._random.sample(HEADERS, self._random.choice([0, 0, 1, 2]))}
        body = self._random.choice([b"", b"", b"x" * 100, self._garbage()])
        raw = self._signed(method, path + (f"?{query}" if query else ""), "s3", body, headers)
        return Sent(f"s3 {method} {path[:60]}?{query[:80]} {sorted(headers)}", raw)

    def _address(self) -> Sent:
        request = AWSRequest("GET", f"{self._endpoint}/fuzz/key")
        S3SigV4QueryAuth(self._keys, "s3", self._region, expires=self._random.choice([60, *NASTY])).add_auth(request)
        head, _, query = request.url.removeprefix(self._endpoint).partition("?")
        parts = query.split("&")
        for _ in range(self._random.randrange(3)):
            where = self._random.randrange(len(parts))
            name = parts[where].partition("=")[0]
            parts[where] = self._random.choice(
                [f"{name}={self._quoted()}", name, f"{parts[where]}&{parts[where]}", "x=%ff"]
            )
        if self._random.random() < 0.3:
            parts = [
                f"AWSAccessKeyId={self._keys.access_key}",
                f"Expires={self._quoted()}",
                f"Signature={self._quoted()}",
            ]
        target = "?".join([head, "&".join(parts)])
        return Sent("address", f"GET {target} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode("latin-1"))

    def _streamed(self) -> Sent:
        lines = [
            self._random.choice([b"3", b"0", b"-3", b"zz", b"f" * 20, b"3;chunk-signature=" + b"0" * 64, b"", b"3 ", b"0x3"])
            + self._random.choice([b"\r\n", b"\n", b""]) + self._random.choice([b"abc\r\n", b"abc", b"", b"\r\n"])
            for _ in range(self._random.randrange(1, 4))
        ]  # fmt: skip
        body = b"".join([*lines, self._random.choice([b"0\r\n\r\n", b"0\r\nx-amz-checksum-crc32:x\r\n\r\n", b""])])
        headers = {
            "content-encoding": "aws-chunked",
            "x-amz-decoded-content-length": self._random.choice(["3", "6", *NASTY[:12]]),
        }
        payload = self._random.choice(PAYLOADS)
        return Sent("streamed", self._signed("PUT", "/fuzz/streamed", "s3", body, headers, payload))

    def _bytes(self) -> Sent:
        start = self._random.choice([
            b"GET / HTTP/1.1", b"GET /fuzz HTTP/1.1", b"PUT /fuzz/k HTTP/1.0", b"POST / HTTP/1.1", b"get / HTTP/1.1", b"GET",
            b"GET * HTTP/1.1", b"GET http://x/ HTTP/1.1", b"CONNECT x:1 HTTP/1.1", b"GET / HTTP/9.9", b"GET //[ HTTP/1.1",
            b"\x16\x03\x01\x02", b"PRI * HTTP/2.0", b"GET /%zz?%=%&=&& HTTP/1.1", b"GET /\xff HTTP/1.1",
        ])  # fmt: skip
        fields = [
            b"Host: " + self.host.encode(), b"Host: evil", b"Content-Length: 3", b"Content-Length: -3", b"Content-Length: 1_0",
            b"Transfer-Encoding: chunked", b"Transfer-Encoding: x", b"Expect: 100-continue", b"Connection: close", b"A : b",
            b" folded", b": x", b"A\x00: b", b"Authorization: AWS4-HMAC-SHA256 Credential=a/b/c/s3/aws4_request",
            b"Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/ssm/aws4_request, SignedHeaders=host, Signature=0",
            b"Authorization: AWS4-HMAC-SHA256 ,,==,", b"Authorization: \xff", b"Origin: x", b"X-Amz-Date: \xb2",
            b"A: " + b"x" * self._random.choice([10, 70_000]),
        ]  # fmt: skip
        chosen = self._random.sample(fields, self._random.randrange(5))
        return Sent(
            "bytes", b"\r\n".join([start, *chosen, b"", self._random.choice([b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n"])])
        )

    def _signed(
        self, method: str, path: str, service: str, body: bytes, headers: dict[str, str], payload: str | None = None
    ) -> bytes:
        signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(self._keys, service, self._region)
        if payload is not None:
            signer.payload = lambda _: payload
        headers = {name: value for name, value in headers.items() if value}
        request = AWSRequest(method, self._endpoint + path, data=body, headers={**headers, "Host": self.host})
        signer.add_auth(request)
        lines = [f"{name}: {value}" for name, value in request.headers.items()]
        head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, f"Content-Length: {len(body)}", "", ""])
        return head.encode("utf-8", "replace") + body

    def _garbage(self) -> bytes:
        return self._random.choice([
            b"{", b"[]", b"null", b'{"a":', b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b'{"Name":"\\ud800"}', b"1e999",
            b"NaN", b'{"Name": ' + b"9" * 5000 + b"}", b"<", b"<a/>", b"<Tagging><TagSet><Tag/></TagSet></Tagging>",
            b"<Delete><Object/></Delete>", b"<CompleteMultipartUpload><Part/></CompleteMultipartUpload>",
            b"<!DOCTYPE x [<!ENTITY y 'z'>]><x>&y;</x>", b"<LifecycleConfiguration><Rule/></LifecycleConfiguration>",
            b"Action=%ff", b"Action=", b"Action=ListStacks&Action=x", b"&" * 20_000, self._random.randbytes(200),
            b"<CORSConfiguration><CORSRule/></CORSConfiguration>", b"<VersioningConfiguration><Status>x</Status></VersioningConfiguration>",
        ])  # fmt: skip

    def _path(self) -> str:
        return "/fuzz/" + self._quoted()

    def _quoted(self) -> str:
        text = self._random.choice(NASTY)
        return (
            text
            if re.fullmatch(r"[!-~]*", text) and "#" not in text and self._random.random() < 0.3
            else quote(text, safe="")
        )

    def _header(self) -> str:
        return self._random.choice([text for text in NASTY if re.fullmatch(r"[ -~]*", text) and text.strip()])

    def _spoilt(self, raw: bytes) -> bytes:
        where = self._random.randrange(len(raw) + 1)
        return raw[:where] + self._random.choice([b"", b"\x00", b"\r\n", b"\xff" * 3 + raw[where + 3 :]])


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        pairs = [_flat(item, f"{prefix}.{name}" if prefix else name) for name, item in value.items()]
    elif isinstance(value, list):
        pairs = [_flat(item, f"{prefix}.member.{index}") for index, item in enumerate(value, 1)]
    else:
        return {prefix: str(value)}
    return {name: text for pair in pairs for name, text in pair.items()}


def answer_to(host: str, sent: Sent, seconds: float = 60) -> bytes:
    """All bytes that come back; b"" when the cloud closed without a word, as it may when nothing whole was asked."""
    name, port = host.split(":")
    with socket.create_connection((name, int(port)), timeout=seconds) as client:
        try:
            client.sendall(sent.raw)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b""))
        except ConnectionError:
            return b""


def broken_rule(answer: bytes) -> str | None:
    """What is wrong with an answer, or None."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head[9:12]
    if answer and not re.fullmatch(rb"[1-5]\d\d", status):
        return f"no HTTP: {answer[:100]!r}"
    if status.startswith(b"5") and status not in (b"501", b"503", b"505"):
        return f"status {status.decode()}: {body[:300]!r}"
    found = PYTHON.search(body) if not status.startswith(b"2") else None
    return f"a word of Python, {found.group(0)!r}: {body[:300]!r}" if found else None


def attack(fuzzer: Fuzzer, count: int) -> Iterator[tuple[Sent, str]]:
    """Send `count` requests; yields those whose answers break the rule."""
    for _ in range(count):
        sent = fuzzer.request()
        try:
            broken = broken_rule(answer_to(fuzzer.host, sent))
        except TimeoutError:
            broken = "no answer"
        if broken:
            yield sent, broken


def main() -> int:
    """Start a cloud, attack it, say what broke; 0 when nothing did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=int(datetime.datetime.now(datetime.UTC).timestamp()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "cloud.log"
        with log.open("wb") as output:
            cloud = subprocess.Popen(
                [sys.executable, "-m", "local_cloud", "--state", folder], cwd=ROOT, stdout=output, stderr=output
            )
        try:
            while not (Path(folder) / "cloud.json").exists():
                if cloud.poll() is not None:
                    raise SystemExit(log.read_text())
                time.sleep(0.05)
            said = json.loads((Path(folder) / "cloud.json").read_text())
            fuzzer = Fuzzer(
                said["endpoint"], said["access_key_id"], said["secret_access_key"], said["region"], options.seed
            )
            answer_to(fuzzer.host, Sent("bucket", fuzzer._signed("PUT", "/fuzz", "s3", b"", {})))
            answer_to(fuzzer.host, Sent("object", fuzzer._signed("PUT", "/fuzz/key", "s3", b"content", {})))
            broken = collections.Counter()
            for sent, why in attack(fuzzer, options.requests):
                broken[sent.what] += 1
                if broken[sent.what] == 1:
                    print(f"{sent.what}\n  {why}\n  {sent.raw[:600]!r}")
            alive = cloud.poll() is None
            print(
                f"seed {options.seed}: {options.requests} requests, {sum(broken.values())} broke the rule; alive: {alive}"
            )
            if broken:
                print(log.read_text(errors="replace")[-200_000:], file=sys.stderr)
            return 0 if alive and not broken else 1
        finally:
            cloud.terminate()
            cloud.wait(timeout=60)


if __name__ == "__main__":
    sys.exit(main())
