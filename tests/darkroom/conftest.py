"""The real command line as a process, with a home of its own, and the real local cloud behind it."""

import functools
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local_cloud.testing_start import Nursery

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


@functools.cache
def commands() -> Nursery | None:
    """What commands are forked from, where that can be."""
    return Nursery("tests.darkroom.command_start", ROOT) if sys.platform == "linux" else None


def _as_here(environment: dict[str, str]) -> bool:
    """Whether Python itself would begin as the process did that commands are forked from."""
    own = ("PYTHON", "LC_", "LANG")
    return all(
        environment.get(n) == os.environ.get(n)
        for n in {*environment, *os.environ}
        if n.startswith(own) and n != "PYTHONPATH"
    )


def runner(home: Path) -> Run:
    """Calls `darkroom` with a user's own, unusable AWS configuration in the environment: it must never matter."""

    def call(*words: str | bytes, cwd: Path = home.parent, **environment: str) -> subprocess.CompletedProcess:
        everything = {**call.environment, **environment}
        quick = commands() if _as_here(everything) else None
        if quick is None:
            return subprocess.run(
                [sys.executable, "-m", "darkroom.cli", *words],
                cwd=cwd, capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL, env=everything,
            )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            process = quick.start([os.fsdecode(word) for word in words], everything, cwd, out, err)
            try:
                code = process.wait(timeout=240)
            finally:
                process.kill()
            return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())

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
