"""Starts the clouds of tests out of one process that has imported everything, which is most of a start: a test run starts a hundred.

Each cloud is forked from it, does what `python -m local_cloud` does from its first line on, and shares nothing with another. Only for Linux
(elsewhere a fork of a process that has loaded the system's libraries is not safe) and for the region that the imports were made for.

The protocol is a line of JSON each way: `{"start": arguments, "environment": {…}, "log": path}` → `{"pid": 1}`;
`{"ended": pid}` → `{"status": null, or what waitpid says}`.
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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REGION = "us-east-1"


class Forked:
    """A cloud's process, as `subprocess.Popen` shows one."""

    def __init__(self, nursery: Nursery, pid: int):
        self.pid, self.returncode = pid, None
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
                raise subprocess.TimeoutExpired("a cloud", timeout or 0)
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
    """The process that clouds are forked from, as the tests see it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local_cloud.testing_start"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.close)

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Forked:
        asked = {"start": list(arguments), "environment": dict(environment), "log": str(log), "folder": os.getcwd()}
        return Forked(self, self.ask(asked)["pid"])

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            assert self._process.stdin and self._process.stdout
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"The process that starts clouds has ended with {self._process.wait()}.")
        return json.loads(answer)

    def close(self) -> None:
        """Clouds that still run go on, as those of a test process that ends do."""
        with self._lock:
            if self._process.stdin and not self._process.stdin.closed:
                self._process.stdin.close()
            self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()


_nursery: Nursery | None = None


def nursery() -> Nursery | None:
    """The one of this process; none where a cloud must be a process from its first line on."""
    global _nursery
    if sys.platform != "linux":
        return None
    if _nursery is None:
        _nursery = Nursery()
    return _nursery


def main() -> None:
    """Import all that a cloud imports, then fork one for each question."""
    from local_cloud.environment import isolate

    isolate(REGION)
    import local_cloud.cloud
    import local_cloud.documents
    import local_cloud.persistence.database
    import local_cloud.server  # noqa: F401
    from local_cloud.moto_services import implemented_operations
    from local_cloud.services import SERVICES, service_model

    for service in SERVICES.values():
        service_model(service.model)
        if service.owner == "moto":
            implemented_operations(service.moto)
    assert threading.active_count() == 1, "a fork would lose the other threads"
    gc.freeze()  # what is imported stays shared
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            pid = os.fork()
            if pid == 0:
                _become(question)
            answer: dict[str, Any] = {"pid": pid}
        else:
            pid, status = os.waitpid(question["ended"], os.WNOHANG)
            answer = {"status": status if pid else None}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _become(question: dict[str, Any]) -> None:
    """A cloud, from the first line of its program on."""
    from local_cloud.__main__ import main as run

    os.chdir(question["folder"])
    os.environ.clear()
    os.environ.update(question["environment"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(question["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(log)
    sys.exit(run(question["start"]))


if __name__ == "__main__":
    main()
