"""Invocations: an execution environment for each that runs at the same time, kept warm for the next ones, with a log like AWS's."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_cloud.access.actions import Needed
from local_cloud.access.authority import acting
from local_cloud.functions import environment
from local_cloud.functions.names import failure
from local_cloud.functions.package import Code, Packages
from local_cloud.functions.runtimes import Runtime, runtime
from local_cloud.functions.sandbox import Machine, Outcome, Sandbox

if TYPE_CHECKING:
    from local_cloud.context import CloudContext
    from local_cloud.logs import LogStream

logger = logging.getLogger("local_cloud.functions")
MAXIMUM_AT_ONCE = 64  # processes; AWS's own limit is 1,000 environments
WARM_SECONDS = 300.0
TAIL_BYTES = 4096
MAXIMUM_RESPONSE_BYTES = 6291556
LARGE = "Response payload size exceeded maximum allowed payload size (6291556 bytes)."


@dataclass
class Warm:
    """An execution environment, its log, and since when it has been idle."""

    sandbox: Sandbox
    key: tuple[str, str]
    runtime: Runtime
    log: Log
    idle_since: float = 0.0
    init_ms: float | None = None


@dataclass
class Log:
    """One log stream; the lines of the current invocation are kept for LogType Tail."""

    context: CloudContext
    group: str
    stream: str
    tail: list[str] = field(default_factory=list)
    _stream: LogStream | None = None

    def write(self, line: str) -> None:
        """One event."""
        text = line.rstrip("\n") + "\n"
        self.tail.append(text)
        if self._stream is None:
            self._stream = self.context.logs.stream(self.group, self.stream)
        self._stream.write([(int(self.context.clock.now() * 1000), text)])

    def needs(self) -> list[Needed]:
        """What the function's role needs for it; a log is left out on AWS where it lacks that, and the function runs."""
        stream = self.context.authority.place.arn("logs", f"log-group:{self.group}:log-stream:{self.stream}")
        return [Needed(f"logs:{action}", stream) for action in ("CreateLogStream", "PutLogEvents")]


@dataclass(frozen=True)
class Invocation:
    """What an invocation answers: the payload, how it failed, the version that ran, and the end of its log."""

    payload: str
    error: str
    version: str
    tail: str
    request_id: str


class Executions:
    """All execution environments of this cloud."""

    def __init__(
        self, context: CloudContext, machine: Machine, packages: Packages, folder: Path, node_modules: Path | None,
        credentials: Callable[[str, str], dict[str, str]],
    ):  # fmt: skip
        self._context, self._machine, self._packages, self._folder = context, machine, packages, folder
        self._node_modules, self._credentials = node_modules, credentials
        self._condition = threading.Condition()
        self._idle: list[Warm] = []
        self._busy: list[Warm] = []
        self._starting = 0
        self._stopping = False
        self._reaper: threading.Thread | None = None

    def clear(self) -> None:
        """Remove folders that a killed process left."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def stop(self) -> None:
        """End all processes."""
        with self._condition:
            self._stopping = True
            found, self._idle = [*self._idle, *self._busy], []
            self._condition.notify_all()
        for warm in found:
            warm.sandbox.stop()

    def forget(self, arn: str) -> None:
        """End the idle environments of a function that was changed or deleted."""
        with self._condition:
            gone = [warm for warm in self._idle if (warm.key[0] + ":").startswith(arn + ":")]
            self._idle = [warm for warm in self._idle if warm not in gone]
        for warm in gone:
            warm.sandbox.stop()

    def invoke(
        self, config: dict[str, Any], arn: str, payload: str, client: Any = None, request_id: str | None = None
    ) -> Invocation:
        """Run a version of a function once, and wait for what comes of it. `arn` is the ARN that was asked for."""
        request_id = request_id or str(uuid.uuid4())
        warm = self._take(config)
        try:
            outcome = self._run(warm, config, arn, payload, client, request_id)
        finally:
            self._give_back(warm)
        tail = "".join(warm.log.tail).encode()[-TAIL_BYTES:].decode("utf-8", "ignore")
        error = "" if outcome.well else "Unhandled"
        if len(outcome.body.encode()) > MAXIMUM_RESPONSE_BYTES:
            outcome = Outcome(
                json.dumps({"errorType": "Function.ResponseSizeTooLarge", "errorMessage": LARGE}), False, 0
            )
            error = "Unhandled"
        return Invocation(outcome.body, error, config["Version"], tail, request_id)

    def _run(self, warm: Warm, config: dict[str, Any], arn: str, payload: str, client: Any, request_id: str) -> Outcome:
        log, seconds = warm.log, float(config["Timeout"])
        log.tail = []
        first = warm.init_ms is None

        def on_ready(took: float) -> None:
            warm.init_ms = took * 1000

        log.write(f"START RequestId: {request_id} Version: {config['Version']}")
        order = {"id": request_id, "event": payload, "arn": arn, "trace": _trace(), "client": client}
        began = time.monotonic()
        outcome = warm.sandbox.invoke(order, seconds, on_ready)
        took = (time.monotonic() - began) * 1000
        if first and warm.init_ms is not None:
            took = max(took - warm.init_ms, 0.01)
        if outcome is None:
            warm.sandbox.stop()
            said = f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds"
            body = json.dumps({"errorType": "Sandbox.Timedout", "errorMessage": said})
            outcome, took = Outcome(body, False, 0, "timeout"), seconds * 1000
            moment = datetime.fromtimestamp(self._context.clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
            log.write(f"{moment}Z {request_id} Task timed out after {seconds:.2f} seconds\n")
        log.write(f"END RequestId: {request_id}")
        log.write(_report(request_id, took, config["MemorySize"], outcome, warm.init_ms if first else None))
        return outcome

    def _take(self, config: dict[str, Any]) -> Warm:
        key = (config["FunctionArn"], config["_environment"])
        with self._condition:
            while True:
                if self._stopping:
                    raise failure("ServiceException", "The local cloud is stopping.", 500)
                for warm in [warm for warm in self._idle if warm.key == key]:
                    self._idle.remove(warm)
                    if warm.sandbox.running:
                        self._busy.append(warm)
                        return warm
                    warm.sandbox.stop()
                if len(self._idle) + len(self._busy) + self._starting < MAXIMUM_AT_ONCE:
                    break
                if self._idle:
                    self._idle.pop(0).sandbox.stop()
                    continue
                if not self._condition.wait(60):
                    raise failure("TooManyRequestsException", "Rate Exceeded.", 429)
            self._starting += 1
        try:
            warm = self._make(config, key)
        finally:
            with self._condition:
                self._starting -= 1
        with self._condition:
            self._busy.append(warm)
        return warm

    def _make(self, config: dict[str, Any], key: tuple[str, str]) -> Warm:
        identity = uuid.uuid4().hex
        day = datetime.fromtimestamp(self._context.clock.now(), UTC).strftime("%Y/%m/%d")
        stream = f"{day}/[{config['Version']}]{identity}"
        log = Log(self._context, config["LoggingConfig"]["LogGroup"], stream)
        program = runtime(config["Runtime"], self._machine.hidden, self._node_modules)
        credentials = self._credentials(config["Role"], config["FunctionName"])
        with acting(config["Role"], config["FunctionName"]):
            self._context.authority.note_here(log.needs())
        if self._machine.confines:  # there is no home with profiles to keep it from
            credentials = {name: value for name, value in credentials.items() if value != os.devnull}
        made = environment.variables(config, stream, self._context.region, credentials, program.language)
        log.write(
            f"INIT_START Runtime Version: {program.language}:{program.version}\tRuntime Version ARN: {program.arn(self._context.region)}"
        )
        if program.differs:
            log.write(
                f"The runtime {program.name} is not installed on this machine: {program.language} {program.version} runs this function."
            )
        code = self._packages.folder(Code(config["CodeSha256"], config["CodeSize"]))
        sandbox = Sandbox(self._machine, self._folder / identity, code, program, made, log.write)
        return Warm(sandbox, key, program, log)

    def _give_back(self, warm: Warm) -> None:
        with self._condition:
            self._busy.remove(warm)
            if warm.sandbox.running and not self._stopping:
                warm.idle_since = time.monotonic()
                self._idle.append(warm)
                if self._reaper is None:
                    self._reaper = threading.Thread(target=self._reap, name="idle functions", daemon=True)
                    self._reaper.start()
            else:
                warm.sandbox.stop()
            self._condition.notify()

    def _reap(self) -> None:
        """End environments that nobody has asked for long; ends itself when none is left."""
        while True:
            with self._condition:
                now = time.monotonic()
                old = [warm for warm in self._idle if now - warm.idle_since >= WARM_SECONDS or not warm.sandbox.running]
                self._idle = [warm for warm in self._idle if warm not in old]
                if self._stopping or not self._idle:
                    self._reaper = None
                    break
                due = min(warm.idle_since for warm in self._idle) + WARM_SECONDS
                self._condition.wait(max(0.1, due - now)) if not old else None
            for warm in old:
                warm.sandbox.stop()
        for warm in old:
            warm.sandbox.stop()


def _trace() -> str:
    return f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Parent={uuid.uuid4().hex[:16]};Sampled=0"


def _report(request_id: str, took: float, memory: int, outcome: Outcome, init: float | None) -> str:
    billed = math.ceil(took + (init or 0.0))
    parts = [
        f"REPORT RequestId: {request_id}", f"Duration: {took:.2f} ms", f"Billed Duration: {billed} ms",
        f"Memory Size: {memory} MB", f"Max Memory Used: {outcome.peak_mb} MB",
    ]  # fmt: skip
    if init is not None:
        parts.append(f"Init Duration: {init:.2f} ms")
    if outcome.status:
        parts.append(f"Status: {outcome.status}")
    if outcome.error_type:
        parts.append(f"Error Type: {outcome.error_type}")
    return "\t".join(parts) + "\t"
