"""A container as a process group of its own: started, read line by line, stopped as SageMaker does it, cleaned up.

Stopping is SIGTERM, a grace period (120 s on AWS), then SIGKILL to the whole group. When the first process ends, the
rest of the group is killed, as the end of a container ends everything in it.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic

LOGGER = logging.getLogger(__name__)
LINE_LIMIT = 256 * 1024
CHUNK = 64 * 1024


class Watchdog:
    """The one small process that outlives a killed cloud just long enough to kill its jobs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("watchdog.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={},
            cwd="/",
        )
        assert self._process.stdin is not None
        self._line = self._process.stdin

    def guard(self, group: int) -> None:
        self._say(f"+{group}\n")

    def release(self, group: int) -> None:
        self._say(f"-{group}\n")

    def close(self) -> None:
        """Ends the watchdog; groups still guarded are killed."""
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._line.close()
        self._process.wait(10)

    def _say(self, line: str) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError, ValueError):
            self._line.write(line.encode())
            self._line.flush()


class Container:
    """One running container: `process` leads its group.

    `on_lines` gets its output as it appears, `on_exit` is called once when it has ended.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        watchdog: Watchdog,
        on_lines: Callable[[list[str]], None],
        on_exit: Callable[[], None] = lambda: None,
    ):
        self._watchdog, self._on_lines, self._on_exit = watchdog, on_lines, on_exit
        self._oom_kills = _oom_kills()
        self._exited = threading.Event()
        self.returncode: int | None = None
        self.killed_by_us = False
        self.last_lines: list[str] = []
        self._process = process
        assert process.stdout is not None
        self._output = process.stdout
        self.pid = self._process.pid
        watchdog.guard(self.pid)
        self._reader = threading.Thread(target=self._read, name=f"output of {self.pid}", daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, name=f"end of {self.pid}", daemon=True).start()

    @property
    def running(self) -> bool:
        return not self._exited.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """True when it has ended."""
        return self._exited.wait(timeout)

    def send(self, number: signal.Signals) -> None:
        """A signal to the whole group; nothing if it has ended."""
        if self.running:
            if number == signal.SIGKILL:
                self.killed_by_us = True
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM, then SIGKILL when the grace period is over; returns when it has ended."""
        self.send(signal.SIGTERM)
        if not self.wait(grace_seconds):
            self.send(signal.SIGKILL)
            self.wait()

    @property
    def exit_code(self) -> int:
        """The exit code as Docker reports it: 128 + the signal's number when killed."""
        code = self.returncode or 0
        return 128 - code if code < 0 else code

    def describe_exit(self) -> str:
        """What ended it, for a person, when a signal did; else an empty text."""
        code = self.returncode or 0
        number = -code if code < 0 else code - 128 if code > 128 else 0
        if number == signal.SIGKILL and not self.killed_by_us:
            if _oom_kills() > self._oom_kills:
                return "OutOfMemoryError: the process was killed by the kernel because memory ran out"
            return "the process was killed from outside (SIGKILL)"
        with contextlib.suppress(ValueError):
            if number:
                return f"the process was ended by {signal.Signals(number).name}"
        return ""

    def _read(self) -> None:
        descriptor = self._output.fileno()
        pending = b""
        while chunk := os.read(descriptor, CHUNK):
            *lines, pending = (pending + chunk).split(b"\n")
            if len(pending) > LINE_LIMIT:
                lines, pending = [*lines, pending], b""
            if lines:
                self._deliver(lines)
        if pending:
            self._deliver([pending])

    def _deliver(self, raw: list[bytes]) -> None:
        lines = [line.decode("utf-8", "replace").rstrip("\r") for line in raw]
        self.last_lines = [*self.last_lines, *(line for line in lines[-20:] if line.strip())][-20:]
        try:
            self._on_lines(lines)
        except Exception:  # a job must not block on a full pipe because its log cannot be kept
            LOGGER.exception("the output of process %d could not be logged", self.pid)

    def _wait(self) -> None:
        self.returncode = self._process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._watchdog.release(self.pid)
        self._reader.join(10)
        self._output.close()
        self._exited.set()
        self._on_exit()


def plain_process(argv: Sequence[str], env: Mapping[str, str], cwd: str) -> subprocess.Popen[bytes]:
    """A container without namespaces: a process of this user in a session of its own."""
    return subprocess.Popen(
        list(argv), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip


def stop_all(containers: Sequence[Container], grace_seconds: float) -> None:
    """Stops several at once within one grace period."""
    for container in containers:
        container.send(signal.SIGTERM)
    deadline = monotonic() + grace_seconds
    for container in containers:
        if not container.wait(max(0.0, deadline - monotonic())):
            container.send(signal.SIGKILL)
    for container in containers:
        container.wait()


def _oom_kills() -> int:
    """How often this kernel has killed for memory so far; 0 where it does not say."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
