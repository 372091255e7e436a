"""One execution environment: a process with a function's code, asked one invocation at a time over two pipes.

Its code stands at /var/task and its runtime at /var/runtime where the kernel gives namespaces; /tmp is its own, and stays from one
invocation to the next. https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_cloud.functions.runtimes import Runtime
from local_cloud.sagemaker.containers import Container, Watchdog, plain_process
from local_cloud.sagemaker.namespaces import Launchers, Room, hidden_places

EVENT, END = "\0", "\0END "
INIT_SECONDS = 10.0  # of AWS: an initialization that takes longer goes on under the function's own time-out
LAST_LINES_SECONDS = 5.0
BLOCK = 1 << 16


@dataclass(frozen=True)
class Machine:
    """What starting a process takes: the launchers, who ends it with the cloud, and what it must not see."""

    launchers: Launchers
    watchdog: Watchdog
    confines: bool
    state: Path
    hidden: tuple[Path, ...]


@dataclass(frozen=True)
class Outcome:
    """What an invocation came to: its payload, the kind of failure, and figures for the report."""

    body: str
    well: bool
    peak_mb: int
    status: str = ""  # "", "timeout" or "error"
    error_type: str = ""


class Sandbox:
    """`on_line` gets each log event of the function as it appears."""

    def __init__(
        self, machine: Machine, folder: Path, code: Path, runtime: Runtime, environment: Mapping[str, str],
        on_line: Callable[[str], None],
    ):  # fmt: skip
        self._folder, self._on_line = folder, on_line
        self._ended_line = threading.Event()
        self._awaited = ""
        pipes = folder / "io"
        pipes.mkdir(parents=True)
        for name in ("orders", "answers"):
            os.mkfifo(pipes / name, 0o600)
        # Both ends are open here: opening never waits, and a process that ends is noticed by its end alone.
        self._orders = os.open(pipes / "orders", os.O_RDWR | os.O_NONBLOCK)
        self._answers = os.open(pipes / "answers", os.O_RDWR | os.O_NONBLOCK)
        self._pending = b""
        self.started = time.monotonic()
        self.ready_after: float | None = None
        self._container = Container(
            self._start(machine, pipes, code, runtime, environment), machine.watchdog, self._take, self._wake
        )

    def _start(
        self, machine: Machine, pipes: Path, code: Path, runtime: Runtime, environment: Mapping[str, str]
    ) -> Any:
        task, runtimes = Path("/var/task"), Path("/var/runtime")
        if not machine.confines:
            task, runtimes = code, self._folder / "runtime"
        script = "python.py" if runtime.language == "python" else "node.cjs"
        options = ["-S"] if runtime.language == "python" else []
        argv = [runtime.program, *options, str(runtimes / script), str(pipes / "orders"), str(pipes / "answers")]
        env = {name: _placed(value, task, runtimes) for name, value in environment.items()}
        if not machine.confines:
            runtimes.mkdir()
            for source, name in runtime.brought:
                (runtimes / name).symlink_to(source)
            return plain_process(argv, env, str(code))
        room = Room(
            base=pipes,
            hidden=hidden_places(machine.state, machine.hidden),
            kept=runtime.kept,
            links=runtime.links,
            placed=[(code, str(task)), *((source, str(runtimes / name)) for source, name in runtime.brought)],
        )
        return machine.launchers.start(argv, env, str(task), room)

    @property
    def running(self) -> bool:
        """Whether it can be asked."""
        return self._container.running

    def invoke(self, order: dict[str, Any], seconds: float, on_ready: Callable[[float], None]) -> Outcome | None:
        """The outcome; None when it does not come in time. `on_ready` gets the seconds that a first initialization took."""
        request_id = order["id"]
        if self.ready_after is None:
            ready = self._await(("ready", "died"), time.monotonic() + INIT_SECONDS)
            if ready is not None and ready["kind"] == "ready":
                self.ready_after = time.monotonic() - self.started
                on_ready(self.ready_after)
        self._ended_line.clear()
        self._awaited = request_id
        deadline = time.monotonic() + seconds
        order = {**order, "deadline": int((time.time() + seconds) * 1000)}
        if self.running and not self._write(json.dumps(order).encode() + b"\n", deadline):
            return None if self.running else self._exited(request_id)
        answer = self._await(("answer", "died"), deadline)
        if answer is None:
            return self._exited(request_id) if not self.running else None
        if answer["kind"] == "died":
            return Outcome(answer["body"], False, 0, "error", json.loads(answer["body"])["errorType"])
        self._ended_line.wait(LAST_LINES_SECONDS)
        if answer["broken"]:
            self.stop()  # AWS initializes such a function anew each time
        return Outcome(answer["body"], answer["well"], max(1, answer["peak"] // 1024))

    def stop(self) -> None:
        """End the process and remove its folders."""
        self._container.stop(0)
        for descriptor in (self._orders, self._answers):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._orders = self._answers = -1
        shutil.rmtree(self._folder, ignore_errors=True)

    def _exited(self, request_id: str) -> Outcome:
        self._container.wait(LAST_LINES_SECONDS)
        code = self._container.returncode or 0
        killed = code in (-9, 137)
        how = "Runtime exited without providing a reason"
        if code:
            how = f"Runtime exited with error: {'signal: killed' if killed else f'exit status {self._container.exit_code}'}"
        error = {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: {request_id} Error: {how}"}
        self._on_line(f"RequestId: {request_id} Error: {how}\nRuntime.ExitError")
        return Outcome(json.dumps(error), False, 0, "error", "Runtime.ExitError")

    def _await(self, kinds: tuple[str, ...], deadline: float) -> dict[str, Any] | None:
        """The next answer of these kinds, or None when time or the process ended."""
        while True:
            line, found, rest = self._pending.partition(b"\n")
            if found:
                self._pending = rest
                if line.strip():
                    answer: dict[str, Any] = json.loads(line)
                    if answer["kind"] == "ready" and self.ready_after is None and "ready" not in kinds:
                        self.ready_after = time.monotonic() - self.started
                    if answer["kind"] in kinds:
                        return answer
                continue
            left = deadline - time.monotonic()
            if left <= 0 or self._answers < 0:
                return None
            if _can(self._answers, select.POLLIN, left):
                with contextlib.suppress(BlockingIOError):
                    self._pending += os.read(self._answers, BLOCK)
            if not self.running and not _can(self._answers, select.POLLIN, 0) and not self._pending.strip():
                return None

    def _write(self, data: bytes, deadline: float) -> bool:
        view = memoryview(data)
        while view:
            left = deadline - time.monotonic()
            if left <= 0 or not self.running:
                return False
            if _can(self._orders, select.POLLOUT, min(left, 0.5)):
                with contextlib.suppress(BlockingIOError):
                    view = view[os.write(self._orders, view) :]
        return True

    def _wake(self) -> None:
        """The process ended: whoever waits for an answer shall look."""
        with contextlib.suppress(OSError):
            if self._answers >= 0:
                os.write(self._answers, b"\n")

    def _take(self, lines: list[str]) -> None:
        for raw in lines:
            text, marked, request_id = raw.partition(END)
            if text.removeprefix(EVENT):
                self._on_line(text.removeprefix(EVENT).replace("\r", "\n") if text.startswith(EVENT) else text)
            if marked and request_id == self._awaited:
                self._ended_line.set()


def _can(descriptor: int, what: int, seconds: float) -> bool:
    """Whether it can be read or written, after waiting at most so long; `select` knows no descriptor beyond 1,023."""
    poll = select.poll()
    poll.register(descriptor, what)
    return bool(poll.poll(max(0, seconds) * 1000))


def _placed(value: str, task: Path, runtimes: Path) -> str:
    return value.replace("/var/task", str(task)).replace("/var/runtime", str(runtimes))
