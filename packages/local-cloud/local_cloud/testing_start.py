"""Starts the clouds of tests out of one process that has imported everything, which is most of a start: a test run starts a hundred.

Each is forked from it, does what `python -m local_cloud` does from its first line on, and shares nothing with another. Only for Linux
(elsewhere a fork of a process that has loaded the system's libraries is not safe) and for the region that the imports were made for.
A host's tests can start programs of their own so: `serve` in a module, `Nursery` with its name.

The protocol is a line of JSON each way: `{"start": words, "environment": {…}, "folder": path, "out": path, "err": path}` →
`{"pid": 1}`; `{"ended": pid}` → `{"status": null, or what waitpid says}`.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

REGION = "us-east-1"


class Forked:
    """A process, as `subprocess.Popen` shows one."""

    def __init__(self, nursery: Nursery, pid: int):
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery

    def poll(self) -> int | None:
        if self.returncode is None:
            status = self._nursery.ask({"ended": self.pid})["status"]
            self.returncode = None if status is None else os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            time.sleep(0.005)  # between two polls
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that others are forked from, as the tests see it."""

    def __init__(self, module: str = __name__, folder: Path | None = None) -> None:
        self._lock = threading.Lock()
        command = [sys.executable, "-m", module]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)
        atexit.register(self.close)

    def start(
        self, words: Sequence[str], environment: Mapping[str, str], folder: Path | str, out: Path, err: Path
    ) -> Forked:
        """The program with these words; what it prints is added to the files `out` and `err`."""
        question = {"environment": dict(environment), "folder": str(folder), "out": str(out), "err": str(err)}
        return Forked(self, self.ask({"start": list(words), **question})["pid"])

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            assert self._process.stdin and self._process.stdout
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"The process that tests start others from has ended with {self._process.wait()}.")
        return json.loads(answer)

    def close(self) -> None:
        """What still runs goes on, as it would behind a test process that ends."""
        with self._lock:
            if self._process.stdin and not self._process.stdin.closed:
                self._process.stdin.close()
            self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()


_nursery: Nursery | None = None


def nursery() -> Nursery | None:
    """That of this process's clouds; none where a cloud must be a process from its first line on."""
    global _nursery
    if sys.platform != "linux":
        return None
    if _nursery is None:
        _nursery = Nursery()
    return _nursery


def serve(run: Callable[[list[str]], Any]) -> None:
    """Fork a process for each question; it ends as a program that calls `sys.exit(run(words))` does."""
    assert threading.active_count() == 1, "a fork would lose the other threads"
    gc.freeze()  # what is imported stays shared
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            pid = os.fork()
            if pid == 0:
                _become(question)
                sys.exit(run(question["start"]))
            answer: dict[str, Any] = {"pid": pid}
        else:
            pid, status = os.waitpid(question["ended"], os.WNOHANG)
            answer = {"status": status if pid else None}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _become(question: dict[str, Any]) -> None:
    """Take on the folder, the variables and the files of a program that begins."""
    os.chdir(question["folder"])
    os.environ.clear()
    os.environ.update(question["environment"])
    appending = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    for target, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, question["out"], appending),
        (2, question["err"], appending),
    ):
        source = os.open(path, flags, 0o666)
        os.dup2(source, target)
        os.close(source)


def main() -> None:
    """Import all that a cloud imports, with the variables that it has then, and serve clouds."""
    from local_cloud.environment import isolate

    isolate(REGION)
    import local_cloud.cloud
    import local_cloud.documents
    import local_cloud.persistence.database
    import local_cloud.server  # noqa: F401
    from local_cloud.__main__ import main as run
    from local_cloud.moto_services import implemented_operations
    from local_cloud.services import SERVICES, service_model

    for service in SERVICES.values():
        service_model(service.model)
        if service.owner == "moto":
            implemented_operations(service.moto)
    serve(run)


if __name__ == "__main__":
    main()
