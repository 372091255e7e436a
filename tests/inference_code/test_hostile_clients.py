"""Clients that send slowly, leave, send too much, or come from elsewhere: others are served, and nothing stays taken."""

import asyncio
import base64
import contextlib
import http.client
import json
import os
import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inference_code.answers import Refused
from inference_code.bodies import Bodies
from inference_code.places import Lane
from inference_code.server import Application
from inference_code.settings import Settings
from tests.inference_code.bombs import many_scans
from tests.inference_code.conftest import Server
from tests.inference_code.photos import encode, scene

JPEG = encode(scene(seed=3), quality=95)
HEAD = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)  # between two polls


def read_answer(connection: socket.socket) -> tuple[int, dict]:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, json.loads(answer.read())


def test_fifty_clients_that_send_their_bodies_slowly_stop_nobody(server):
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.sendall(f"{HEAD}Content-Length: 10000\r\n\r\n".encode() + JPEG[:3])
        for _ in range(3):
            assert server.invoke(JPEG)[0] == 200
        assert server.ask("GET", "/ping")[0] == 200


@pytest.mark.parametrize("length", ["Content-Length: 10000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd"])
def test_a_body_that_does_not_come_is_answered_with_408(impatient_server, length):
    with socket.create_connection(("127.0.0.1", impatient_server.port), timeout=60) as connection:
        connection.sendall((HEAD + length).encode() + b"\r\n")
        status, answer = read_answer(connection)
        assert status == 408 and "DARKROOM_BODY_SECONDS" in answer["error"]["message"]
        assert connection.recv(1) == b""


@pytest.mark.parametrize("beginning", [b"", b"POST /invoc", b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX-Slow: 1"])
def test_headers_that_do_not_come_close_their_connection(impatient_server, beginning):
    with socket.create_connection(("127.0.0.1", impatient_server.port), timeout=60) as connection:
        connection.sendall(beginning)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_the_second_request_of_a_connection_has_its_deadline_too(impatient_server):
    with socket.create_connection(("127.0.0.1", impatient_server.port), timeout=60) as connection:
        connection.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_answer(connection)[0] == 200
        connection.sendall(b"GET /ping HTTP/1.1\r\nHo")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_usual_photos_do_not_wait_for_costly_ones(impatient_server):
    costly = many_scans(100, 2500)
    with ThreadPoolExecutor(8) as clients:
        slow = [clients.submit(impatient_server.invoke, costly) for _ in range(8)]
        until(lambda: len(decoders(impatient_server)) >= 2, "no decoder was started")
        assert impatient_server.invoke(JPEG)[0] == 200
        assert not all(one.done() for one in slow)
        assert {one.result()[0] for one in slow} == {200}


def decoders(server: Server) -> list[int]:
    pid = server.process.pid
    children = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            children += map(int, (thread / "children").read_text().split())
    return children


def test_a_client_that_leaves_ends_the_work_on_its_photo(impatient_server):
    assert impatient_server.invoke(encode(scene(), "GIF"))[0] == 200
    idle = {pid: worked(pid) for pid in decoders(impatient_server)}

    def busy() -> list[int]:
        return [pid for pid in decoders(impatient_server) if worked(pid) > idle.get(pid, 0.0) + 1]

    costly = many_scans(100, 5000)
    with socket.create_connection(("127.0.0.1", impatient_server.port)) as connection:
        connection.sendall(f"{HEAD}Content-Length: {len(costly)}\r\n\r\n".encode() + costly)
        until(lambda: bool(busy()), "nobody works on the photo")
        (working,) = busy()
    until(lambda: not Path(f"/proc/{working}").exists(), "the decoder works on for a client that left")
    assert impatient_server.invoke(JPEG)[0] == 200


def worked(pid: int) -> float:
    """Seconds of processor time."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) / os.sysconf("SC_CLK_TCK")
    return 0.0


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_too_much_can_read_why_it_was_refused(server, chunked):
    """30 MB to a server that takes 1 MB, by a client that looks at the answer when all is sent."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    body = iter([bytes(1_000_000)] * 30) if chunked else bytes(30_000_000)
    connection.request("POST", "/invocations", body, {"Content-Type": "image/jpeg"}, encode_chunked=chunked)
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"]["code"] == "payload_too_large"
    connection.close()


@pytest.mark.parametrize("header", [b"X-Many: 1\r\n", b"a"])
def test_headers_without_an_end_close_their_connection(server, header):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX-First: ")
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(100_000):
                connection.sendall(header * 1000)
            pytest.fail("a hundred megabytes of headers were taken")


@pytest.mark.parametrize("value", [b"[]", b'{"a":1}', b"1", b'""'])
def test_json_of_very_many_values_is_refused_before_it_is_parsed(server, value):
    body = b'{"instances": [' + b",".join([value] * 100_000) + b"]}"
    status, answer = server.ask("POST", "/invocations", body, Content_Type="application/json")
    assert (status, answer["error"]["code"]) == (400, "bad_json") and "512" in answer["error"]["message"]


def test_json_as_deep_as_it_likes_is_bad_json(server, multi_model_server):
    deep = b"[" * 100_000
    for one, path in ((server, "/invocations"), (multi_model_server, "/models")):
        for body in (deep, b'{"instances": ' + deep, b'{"model_name": ' + deep, b'{"a":' * 100_000):
            status, answer = one.ask("POST", path, body, Content_Type="application/json")
            assert (status, answer["error"]["code"]) == (400, "bad_json")


@pytest.mark.parametrize(
    "body",
    [
        {"model_name": "m", "url": "/a\0b"},
        {"model_name": "m", "url": "/" + "x" * 5000},
        {"model_name": "m", "url": "\ud800"},
    ],
)
def test_a_model_folder_that_no_path_can_be_is_refused(multi_model_server, body):
    status, answer = multi_model_server.ask("POST", "/models", json.dumps(body).encode())
    assert (status, answer["error"]["code"]) == (400, "bad_url")


@pytest.mark.parametrize(
    "query", ["limit=%C2%B2", "limit=-1", "limit=1e3", "next_page_token=%FF", "limit=" + "9" * 5000]
)
def test_a_query_that_is_no_number_is_refused(multi_model_server, query):
    assert multi_model_server.ask("GET", f"/models?{query}")[0] == 400


def ask_raw(port: int, request: str) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request.encode("latin-1"))
        return read_answer(connection)[0]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Host: localhost\r\n", 200), ("Host: 127.0.0.1:8080\r\n", 200), ("Host: [::1]:80\r\n", 200), ("Host: LOCALHOST\r\n", 200),
        ("Host: localhost\r\nOrigin: http://localhost:3000\r\n", 200),
        ("Host: evil.com\r\n", 403), ("Host: localhost.evil.com\r\n", 403), ("Host: 127.0.0.1.evil.com\r\n", 403), ("", 403),
        ("Host: localhost\r\nHost: evil.com\r\n", 403), ("Host: evil@localhost\r\n", 403), ("Host: \r\n", 403),
        ("Host: localhost\r\nOrigin: http://evil.com\r\n", 403), ("Host: localhost\r\nOrigin: null\r\n", 403),
    ],
)  # fmt: skip
def test_outside_a_container_only_this_machines_own_programs_are_answered(server, headers, status):
    assert ask_raw(server.port, f"GET /ping HTTP/1.1\r\n{headers}\r\n") == status


async def ask(application: Application, path: str, *, method: str = "GET", headers: tuple = ()) -> int:
    sent = []

    async def receive() -> dict:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": headers or [(b"host", b"anything.example")]}
    await application(scope, receive, send)
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ([b"right"], 200),
        ([], 403),
        ([b"wrong"], 403),
        ([b""], 403),
        ([b"right", b"right"], 403),
        (["r\u00efght".encode()], 403),
    ],
)
@pytest.mark.parametrize("base", ["/opt/ml", "/somewhere/else"])
def test_a_server_that_the_local_cloud_started_answers_nobody_else(given, status, base):
    settings = Settings.from_environment({"LOCAL_CLOUD_SERVER_SECRET": "right", "SAGEMAKER_BASE_DIR": base})
    headers = [(b"host", b"localhost"), *((b"x-local-cloud-secret", value) for value in given)]
    assert asyncio.run(ask(Application(settings, None), "/ping", headers=tuple(headers))) == status
    assert settings.host == "127.0.0.1"


def test_in_a_container_the_platform_decides_who_asks():
    assert asyncio.run(ask(Application(Settings(), None), "/ping")) == 200


def test_ping_fails_when_no_place_became_free_for_long():
    async def story() -> list[int]:
        now, answers = [0.0], []
        application = Application(Settings(), None)
        lane = application._usual = Lane("photo", 1, 60, clock=lambda: now[0])
        holders = [lane.place() for _ in range(4)]
        for holder in holders:
            await holder.__aenter__()
        for now[0] in (1.0, 59.0, 61.0):
            answers.append(await ask(application, "/ping"))
        await holders.pop().__aexit__(None, None, None)
        answers.append(await ask(application, "/ping"))
        for holder in holders:
            await holder.__aexit__(None, None, None)
        return answers

    assert asyncio.run(story()) == [200, 200, 503, 200]


def test_bodies_share_one_limit_of_memory(monkeypatch):
    monkeypatch.setattr("inference_code.bodies._ROOM_SECONDS", 0.05)

    async def story() -> list[object]:
        bodies, found = Bodies(limit=100, seconds=60, room=150), []

        async def receive() -> dict:
            return {"type": "http.request", "body": bytes(90), "more_body": False}

        async with bodies.held({"headers": []}, receive) as first:
            found.append(len(first))
            try:
                async with bodies.held({"headers": []}, receive):
                    found.append("held")
            except Refused as refused:
                found.append(refused.status)
        async with bodies.held({"headers": []}, receive) as again:
            found.append(len(again))
        return found

    assert asyncio.run(story()) == [90, 503, 90]


def test_many_costly_photos_in_one_request_stay_within_the_budget(impatient_server):
    photos = [{"b64": base64.b64encode(many_scans(100, 400)).decode()} for _ in range(40)]
    status, answer = impatient_server.ask(
        "POST", "/invocations", json.dumps({"instances": photos}).encode(), Content_Type="application/json"
    )
    assert status == 200 and len(answer["predictions"]) == 40
    assert len(decoders(impatient_server)) <= 4


def test_no_request_of_these_tests_ended_with_an_internal_error(server, multi_model_server, impatient_server):
    for one in (server, multi_model_server, impatient_server):
        assert not re.search(r"Traceback|-> 500", one.log.read_text())
