"""The real command line as a process, with a home of its own, and the real local cloud behind it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(autouse=True, scope="session")
def ctrl_c() -> None:
    """A shell's background job ignores Ctrl-C, and so would every process that the tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def started(command: Sequence[str], **given: Any) -> Iterator[subprocess.Popen[str]]:
    """A process whose output can be read; killed when the test fails while it still runs, which would else wait for it."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **given) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def runner(home: Path) -> Run:
    """Calls `darkroom` with a user's own, unusable AWS configuration in the environment: it must never matter."""

    def call(*words: str | bytes, cwd: Path = home.parent, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "darkroom.cli", *words],
            cwd=cwd, capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL,
            env={**call.environment, **environment},
        )  # fmt: skip

    hostile = {"AWS_PROFILE": "someone-elses", "AWS_ENDPOINT_URL": "https://example.invalid", "AWS_REGION": "mars-1"}
    own = {"PYTHONPATH": str(ROOT), "DARKROOM_HOME": str(home), "COLUMNS": "200"}
    call.home, call.environment = home, {**os.environ, **own, **hostile}
    return call


@pytest.fixture
def darkroom(tmp_path: Path) -> Run:
    """The command line with a new home, no cloud running."""
    return runner(tmp_path / "home")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The command line with a cloud that runs; shared by a module."""
    call = runner(tmp_path_factory.mktemp("darkroom") / "home")
    started = call("up")
    assert started.returncode == 0, started.stderr
    yield call
    call("down")
