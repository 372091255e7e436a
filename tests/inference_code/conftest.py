"""A server as SageMaker starts it: a process of its own, asked over HTTP."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.inference_code.tiny_model import write_artifact

ROOT = Path(__file__).parents[2]


@dataclass
class Server:
    """A running server."""

    port: int
    base: Path
    process: subprocess.Popen
    log: Path

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """Status and decoded answer; header names are written with underscores."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=180)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            assert answer.getheader("Content-Type") == "application/json"
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def invoke(self, body: bytes, kind: str = "image/jpeg", accept: str | None = None) -> tuple[int, Any]:
        """POST /invocations."""
        headers = {"Content_Type": kind} | ({"Accept": accept} if accept is not None else {})
        return self.ask("POST", "/invocations", body, **headers)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch(base: Path, port: int, log: Path, **environment: str) -> subprocess.Popen:
    settings = {"SAGEMAKER_BASE_DIR": str(base), "SAGEMAKER_BIND_TO_PORT": str(port), **environment}
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "inference_code", "serve"],
            env={**os.environ, **settings},
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


@contextmanager
def serving(base: Path, **environment: str) -> Iterator[Server]:
    """Start, wait until it answers, and end it."""
    port, log = free_port(), base / "server.log"
    process = launch(base, port, log, **environment)
    server = Server(port, base, process, log)
    deadline = time.monotonic() + 60
    try:
        while True:
            try:
                if server.ask("GET", "/ping")[0] == 200:
                    break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)  # between two polls
        yield server
    finally:
        process.terminate()
        process.wait(timeout=120)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A single-model server of the red-corner model that accepts at most 1 MB."""
    base = tmp_path_factory.mktemp("single")
    write_artifact(base / "model")
    with serving(base, SAGEMAKER_MAX_PAYLOAD_IN_MB="1") as running:
        yield running


@pytest.fixture(scope="session")
def multi_model_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A multi-model server with room for two of our tiny models."""
    base = tmp_path_factory.mktemp("multi")
    with serving(base, SAGEMAKER_MULTI_MODEL="true", DARKROOM_MODEL_MEMORY_MB="100") as running:
        yield running


@pytest.fixture
def server_with_little_memory(tmp_path: Path) -> Iterator[Server]:
    """A single-model server that has 400 MB for photos while they are decoded."""
    write_artifact(tmp_path / "model")
    with serving(tmp_path, DARKROOM_PHOTO_MEMORY_MB="400") as running:
        yield running


@pytest.fixture(scope="session")
def impatient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A single-model server on two cores that waits one second for headers and bodies."""
    base = tmp_path_factory.mktemp("impatient")
    write_artifact(base / "model")
    short = {"DARKROOM_HEADER_SECONDS": "1", "DARKROOM_BODY_SECONDS": "1", "SAGEMAKER_MODEL_SERVER_WORKERS": "2"}
    with serving(base, **short) as running:
        yield running
