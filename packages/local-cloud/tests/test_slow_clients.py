"""Clients that are slow, or stop in the middle, cost a socket each and never a thread that others need."""

from __future__ import annotations

import contextlib
import http.client
import resource
import socket
import time
from collections.abc import Iterator

import pytest
import requests

from local_cloud.errors import AwsError
from local_cloud.http.inbound import GRACE_SECONDS, MINIMUM_RATE, Inbound
from local_cloud.http.lobby import FRESH_SECONDS, HEADER_SECONDS, Lobby
from local_cloud.http.workers import MAXIMUM, Workers
from local_cloud.testing import RunningCloud, wait_until
from tests.test_server_http import signed

HALF_HEADER = b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "
WRONG_SIGNATURE = (
    b"PUT /slow/key HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10000000\r\nAuthorization: AWS4-HMAC-SHA256 "
    b"Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature="
    + b"0" * 64
    + b"\r\n\r\nhalf"
)
SMALL_BODY = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nhalf"


def _raw(cloud, method: str, path: str, service: str, length: int, **headers: str) -> bytes:
    head = {**signed(cloud, method, path, service, **headers), "Content-Length": str(length)}
    return "\r\n".join([f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in head.items()), "", "half"]).encode()


@contextlib.contextmanager
def _held(cloud, request: bytes, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as open_sockets:
        held = []
        for _ in range(count):
            held.append(open_sockets.enter_context(socket.create_connection(("127.0.0.1", cloud.description["port"]))))
            held[-1].sendall(request)
        yield held


def _still_answers(cloud) -> None:
    assert requests.get(f"{cloud.endpoint}/_local/health", timeout=10).json()["status"] == "ready"
    s3 = cloud.client("s3")
    s3.put_object(Bucket="slow", Key="other", Body=b"x" * 500_000)
    assert len(s3.get_object(Bucket="slow", Key="other")["Body"].read()) == 500_000


@pytest.fixture(scope="module")
def bucket(cloud):
    cloud.client("s3").create_bucket(Bucket="slow")
    return cloud


@pytest.mark.parametrize(
    "request_bytes",
    [b"", HALF_HEADER, WRONG_SIGNATURE, SMALL_BODY],
    ids=["silence", "header", "unsigned", "small body"],
)
def test_two_hundred_half_requests_of_strangers_stop_nobody(bucket, request_bytes):
    with _held(bucket, request_bytes, 200):
        _still_answers(bucket)


def test_more_signed_half_uploads_than_there_are_threads_stop_nobody(bucket):
    upload = _raw(bucket, "PUT", "/slow/half", "s3", 10_000_000, **{"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    with _held(bucket, upload, MAXIMUM + 20):
        _still_answers(bucket)
    listed = bucket.client("s3").list_objects_v2(Bucket="slow").get("Contents", [])
    assert "half" not in {entry["Key"] for entry in listed}


def test_more_connections_than_the_process_may_have_close_the_oldest_half_request(tmp_path):
    own_cloud = RunningCloud(tmp_path / "cloud", region="eu-west-1")  # a child of this process has its limit
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
    try:
        own_cloud.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        own_cloud.client("s3").create_bucket(
            Bucket="slow", CreateBucketConfiguration={"LocationConstraint": own_cloud.region}
        )
        with _held(own_cloud, HALF_HEADER, 500) as held:
            _still_answers(own_cloud)
            held[0].settimeout(60)
            assert held[0].recv(100) == b""
    finally:
        own_cloud.stop()


def test_an_open_connection_that_is_idle_holds_no_thread(bucket):
    with contextlib.ExitStack() as idle:
        for _ in range(MAXIMUM + 20):
            connection = idle.enter_context(contextlib.closing(http.client.HTTPConnection(
                "127.0.0.1", bucket.description["port"], timeout=10)))  # fmt: skip
            connection.request("GET", "/_local/health")
            connection.getresponse().read()
        _still_answers(bucket)


def test_a_refused_upload_reads_its_refusal_instead_of_a_broken_pipe(bucket):
    body = b"x" * 8_000_000
    refused = requests.put(f"{bucket.endpoint}/slow/key", data=body, timeout=20)
    assert refused.status_code == 403 and b"MissingAuthenticationToken" in refused.content


def test_an_upload_that_ends_early_is_refused_and_leaves_nothing(bucket):
    upload = _raw(bucket, "PUT", "/slow/short", "s3", 500_000, **{"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    with _held(bucket, upload, 1) as (client,):
        client.shutdown(socket.SHUT_WR)
        client.settimeout(20)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400") and b"<Code>IncompleteBody</Code>" in answer
    assert "short" not in {e["Key"] for e in bucket.client("s3").list_objects_v2(Bucket="slow").get("Contents", [])}


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class _Connection:
    """A connection's server side, as the lobby sees it."""

    def __init__(self, sock: socket.socket, answered: bool = False):
        self.socket, self.rfile, self.answered = sock, Inbound(sock), answered

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def lobby():
    clock, handed_on = _Clock(), []
    made = Lobby(handed_on.append, Workers(lambda _: None), 65536, 100, clock)
    made.clock, made.handed_on = clock, handed_on
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("sent", "seconds", "told"),
    [
        (HALF_HEADER, HEADER_SECONDS, b"HTTP/1.1 408"),
        (SMALL_BODY, GRACE_SECONDS + 1000 / MINIMUM_RATE, b"HTTP/1.1 408"),
        (b"", FRESH_SECONDS, b""),
    ],
    ids=["header", "body", "silence"],
)
def test_headers_and_small_bodies_have_a_deadline(lobby, sent, seconds, told):
    client, server = socket.socketpair()
    with client:
        client.sendall(sent)
        lobby.enter(_Connection(server))
        wait_until(lambda: any(w.begun or not sent for w in list(lobby._waiting.values())), 10)
        lobby.clock.now += seconds - 1
        client.settimeout(0.6)
        with pytest.raises(TimeoutError):
            client.recv(1)
        lobby.clock.now += 2
        client.settimeout(10)
        assert b"".join(iter(lambda: client.recv(4096), b"")).startswith(told)
    assert lobby.handed_on == []


def test_a_large_body_may_be_slow_but_not_slower_than_the_least_rate(monkeypatch):
    client, server = socket.socketpair()
    clock = _Clock()
    received = Inbound(server, clock)
    arrivals = iter([b"x" * MINIMUM_RATE] * 1000)

    class _Slow:
        def recv(self, size: int) -> bytes:
            clock.now += seconds
            return next(arrivals)[:size]

    monkeypatch.setattr(received, "_socket", _Slow())
    seconds = 0.9
    assert len(received.read(MINIMUM_RATE * 200)) == MINIMUM_RATE * 200
    seconds = 1.5
    with pytest.raises(AwsError, match="RequestTimeout"):
        received.read(MINIMUM_RATE * 200)
    client.close()
    server.close()


def test_a_thread_that_works_is_never_taken_away_however_many_wait():
    taken, done = [], []

    def work(connection):
        taken.append(connection)
        wait_until(lambda: done, 20)

    workers = Workers(work, maximum=1)
    first, second = _Connection(socket.socket()), _Connection(socket.socket())
    workers.put(first)
    wait_until(lambda: taken == [first], 10)
    workers.put(second)
    assert workers.short_of() == 1
    lobby = Lobby(lambda _: None, workers, 65536, 100)
    lobby._free_threads(time.monotonic() + 3600)
    lobby.start()
    lobby.stop()
    assert not first.rfile.evicted
    done.append(True)
    wait_until(lambda: taken == [first, second], 10)
    workers.stop(5)
    first.close()
    second.close()
