"""The process beside a training: samples the machine, evaluates the rules while it runs, and stops it when asked to.

`Companion` is the observer that starts and ends it; `python -m training_code.health.companion` is the process. It ends by itself
when the training is gone. Stopping is SIGTERM, which the training honours as SageMaker's own stop: it keeps the best model so
far. `stop.json`, written first, says which rule did it and why.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Lock, Timer
from typing import Any

from training_code.health.observations import Observations
from training_code.health.rule import chosen_rules
from training_code.observation import NoObserver

START_AFTER_SECONDS = 2.0
EVALUATE_EVERY_SECONDS = 5.0
EVALUATION_SHARE = 0.02  # of one processor; an evaluation that took long is followed by a longer pause
CONFIRMATIONS = 2  # evaluations in a row that must find an issue before a training is stopped


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
        self._arguments = [
            "--observations", str(directory), "--pid", str(os.getpid()), "--interval-ms", str(interval_ms),
            "--evaluate-every", str(evaluate_every), "--stop-on", ",".join(stop_on),
        ]  # fmt: skip
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
                [sys.executable, "-m", "training_code.health.companion", *self._arguments],
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


def watch(
    directory: Path, pid: int, interval: float, evaluate_every: float, stop_on: tuple[str, ...], ended: Event
) -> None:
    """Until `ended` is set or the training is gone."""
    from training_code.profiling.system import SystemSampler

    sampler = SystemSampler(pid)
    live = _LiveRules(directory, pid, evaluate_every, stop_on)
    with open(directory / "system.jsonl", "w", encoding="utf-8", buffering=1) as lines:
        due = time.monotonic() + interval
        while not ended.wait(max(0.0, due - time.monotonic())) and os.getppid() == pid:
            lines.write(json.dumps(sampler.sample()) + "\n")
            live.evaluate_when_due()
            due = max(due + interval, time.monotonic())
        if os.getppid() == pid:
            lines.write(json.dumps(sampler.sample()) + "\n")


class _LiveRules:
    def __init__(self, directory: Path, pid: int, every: float, stop_on: tuple[str, ...]) -> None:
        self._directory, self._pid, self._every, self._stop_on = directory, pid, every, stop_on
        self._due = time.monotonic() + every
        self._in_a_row: dict[str, int] = {}
        self._stopped = False

    def evaluate_when_due(self) -> None:
        began = time.monotonic()
        if began < self._due:
            return
        observed = Observations.read(self._directory)
        found = [rule.evaluate(observed, parameters) for rule, parameters in chosen_rules({})]
        write_json(self._directory / "live.json", {"time": time.time(), "rules": found})
        self._stop_if_asked(found)
        ended = time.monotonic()
        self._due = ended + max(self._every, (ended - began) / EVALUATION_SHARE)

    def _stop_if_asked(self, found: list[dict[str, Any]]) -> None:
        for outcome in found:
            name = outcome["name"]
            self._in_a_row[name] = self._in_a_row.get(name, 0) + 1 if outcome["status"] == "IssuesFound" else 0
            if name in self._stop_on and self._in_a_row[name] >= CONFIRMATIONS and not self._stopped:
                self._stopped = True
                keep = {k: outcome[k] for k in ("name", "seen", "why", "change", "steps")}
                write_json(self._directory / "stop.json", {"time": time.time(), **keep})
                print(f"health_rule_stop={name}; {outcome['seen']}", file=sys.stderr, flush=True)
                os.kill(self._pid, signal.SIGTERM)


def write_json(path: Path, content: Any) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--observations", type=Path, required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--interval-ms", type=int, required=True)
    parser.add_argument("--evaluate-every", type=float, required=True)
    parser.add_argument("--stop-on", default="")
    given = parser.parse_args()
    ended = Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)
    stop_on = tuple(name for name in given.stop_on.split(",") if name)
    watch(given.observations, given.pid, given.interval_ms / 1000, given.evaluate_every, stop_on, ended)


if __name__ == "__main__":
    main()
