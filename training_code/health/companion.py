"""The observer that starts and ends the process beside a training (`watch.py`), which samples the machine and evaluates rules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Lock, Timer

from training_code.observation import NoObserver

START_AFTER_SECONDS = 2.0
EVALUATE_EVERY_SECONDS = 5.0


class Companion(NoObserver):
    """Starts at once when samples are wanted more often than every second; otherwise after `START_AFTER_SECONDS`, because a
    training that is over by then would give too few samples to judge and would still pay for a process."""

    def __init__(
        self,
        directory: Path,
        interval_ms: int,
        stop_on: tuple[str, ...],
        evaluate_every: float = EVALUATE_EVERY_SECONDS,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._asked = {
            "observations": str(directory), "pid": os.getpid(), "interval": interval_ms / 1000,
            "evaluate_every": evaluate_every, "stop_on": list(stop_on),
        }  # fmt: skip
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._start_later = Timer(START_AFTER_SECONDS, self._start)
        self._start_later.daemon = True
        if interval_ms < 1000:
            self._start()
        else:
            self._start_later.start()

    def _start(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        with self._lock:
            if self._closed:
                return
            self._process = subprocess.Popen(
                [sys.executable, "-m", "training_code.health.watch", json.dumps(self._asked)],
                env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip

    def close(self) -> None:
        self._start_later.cancel()
        with self._lock:
            self._closed = True
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
