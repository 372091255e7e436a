"""For tests, of this package and of whoever uses it: a real cloud process on a folder of its own, and a clock to move by hand.

There is nothing here that a program could not do with `python -m local_cloud` and boto3; it is written once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from local_cloud.clock import Clock
from local_cloud.testing_start import REGION, Forked, nursery

READY_SECONDS = 180


def wait_until(condition: Any, seconds: float = 120, what: str = "the condition") -> Any:
    """The first true value of `condition()`; fails when the deadline passes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what} was not reached in {seconds} s")


class ManualClock(Clock):
    """A clock that stands until it is moved. A wait moves it, by as long as it takes, and takes no time itself.

    `at` says what others do meanwhile; what wakes the wait ends it then. `waits` is how long each one took.
    """

    def __init__(self, now: float = 1_700_000_000.0):
        self._now = now
        self._planned: list[tuple[float, Callable[[], Any]]] = []
        self.waits: list[float] = []

    def now(self) -> float:
        return self._now

    def ticks(self) -> float:
        return self._now

    def at(self, seconds: float, action: Callable[[], Any]) -> None:
        """Do something so many seconds from now, as soon as a wait or `advance` gets there."""
        self._planned.append((self._now + seconds, action))

    def advance(self, seconds: float, event: threading.Event | None = None) -> None:
        """Let so much time pass; no more when the event comes."""
        end = self._now + seconds
        for moment, action in sorted((plan for plan in self._planned if plan[0] <= end), key=lambda plan: plan[0]):
            if event and event.is_set():
                return
            self._planned.remove((moment, action))
            self._now = moment
            action()
        if not (event and event.is_set()):
            self._now = end

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        if event.is_set():
            return True
        if seconds is None:
            raise AssertionError("This wait would never end: nobody else moves a manual clock.")
        began = self._now
        self.advance(seconds, event)
        self.waits.append(self._now - began)
        return event.is_set()


@dataclass
class RunningCloud:
    """One cloud process; `client(service)` gives a boto3 client with its credentials."""

    state: Path
    region: str = "us-east-1"
    process: subprocess.Popen[bytes] | Forked | None = None
    description: dict[str, Any] = field(default_factory=dict)

    def start(self, **environment: str) -> None:
        """Start the process and wait until it is ready."""
        (self.state / "cloud.json").unlink(missing_ok=True)
        self.state.mkdir(parents=True, exist_ok=True)
        self.process = self._start_process(["--state", str(self.state), "--region", self.region], environment)
        wait_until(self._ready, READY_SECONDS, f"a ready cloud (see {self.state}/cloud.log)")
        self.description = json.loads((self.state / "cloud.json").read_text())

    def _start_process(self, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes] | Forked:
        path, variables = self.state / "cloud.log", {**os.environ, **environment}
        quick = nursery() if self.region == REGION else None
        if quick:
            return quick.start(arguments, variables, os.getcwd(), path, path)
        with path.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "local_cloud", *arguments], stdout=log, stderr=log, env=variables
            )

    def _ready(self) -> bool:
        if self._running.poll() is not None:
            raise AssertionError(f"the cloud ended with {self._running.returncode}:\n{self.log()[-3000:]}")
        return (self.state / "cloud.json").exists()

    def log(self) -> str:
        """What the process has printed."""
        return (self.state / "cloud.log").read_text()

    def kill(self) -> None:
        """`kill -9`."""
        self._running.send_signal(signal.SIGKILL)
        self._running.wait()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self._running.poll() is None:
            self._running.terminate()
        return self._running.wait(timeout=30)

    @property
    def _running(self) -> subprocess.Popen[bytes] | Forked:
        assert self.process is not None, "this cloud was not started"
        return self.process

    @property
    def endpoint(self) -> str:
        """The base URL of all its APIs."""
        return self.description["endpoint"]

    def environment(self) -> dict[str, str]:
        """The variables that lead AWS's tools to this cloud, for tools run as processes."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        return inherited | {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.description["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": self.description["secret_access_key"],
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        }

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client of this cloud."""
        config = Config(retries={"total_max_attempts": 1}).merge(options.pop("config", Config()))
        settings = {
            "endpoint_url": self.endpoint,
            "region_name": self.region,
            "aws_access_key_id": self.description["access_key_id"],
            "aws_secret_access_key": self.description["secret_access_key"],
        }
        return boto3.client(service, config=config, **(settings | options))
