"""The process beside a training: samples the machine, evaluates the rules while it runs, and stops it when asked to.

It ends by itself when the training is gone. Stopping is SIGTERM, which the training honours as SageMaker's own stop: it exports the
best model so far. `stop.json`, written first, says which rule did it and why. Imports little: the start of this process is most of
what a short training pays for being watched.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from threading import Event

from training_code.profiling.system import SystemSampler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

EVALUATION_SHARE = 0.02  # of one processor; an evaluation that took long is followed by a longer pause
CONFIRMATIONS = 2  # evaluations in a row that must find an issue before a training is stopped


def watch(
    directory: str, pid: int, interval: float, evaluate_every: float, stop_on: list[str], ended: Event,
    sampler: SystemSampler | None = None, live: LiveRules | None = None, clock: Callable[[], float] = time.monotonic,
    parent: Callable[[], int] = os.getppid,
) -> None:  # fmt: skip
    """Until `ended` is set or the training is gone."""
    sampler = sampler or SystemSampler(pid)
    live = live or LiveRules(directory, pid, evaluate_every, stop_on)
    with open(f"{directory}/system.jsonl", "w", encoding="utf-8", buffering=1) as lines:
        due = clock() + interval
        while not ended.wait(max(0.0, due - clock())) and parent() == pid:
            lines.write(json.dumps(sampler.sample()) + "\n")
            live.evaluate_when_due()
            due = max(due + interval, clock())
        if parent() == pid:
            lines.write(json.dumps(sampler.sample()) + "\n")


def evaluated(directory: str) -> list[dict[str, Any]]:
    """What all rules say of the training so far."""
    # Imported when the first evaluation is due: a training that is over by then does not pay for it.
    from pathlib import Path

    from training_code.health.chosen import chosen_rules
    from training_code.health.observations import Observations

    observed = Observations.read(Path(directory))
    return [rule.evaluate(observed, parameters) for rule, parameters in chosen_rules({})]


def stopped(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)


class LiveRules:
    """Rules beside a training that runs. `clock`, `worked` (the processor time of this process), `evaluate` and `stop` are arguments,
    so that no test waits for any of them."""

    def __init__(
        self, directory: str, pid: int, every: float, stop_on: list[str], clock: Callable[[], float] = time.monotonic,
        evaluate: Callable[[str], list[dict[str, Any]]] = evaluated, stop: Callable[[int], None] = stopped,
        worked: Callable[[], float] = time.process_time,
    ) -> None:  # fmt: skip
        self._directory, self._pid, self._every, self._stop_on = directory, pid, every, stop_on
        self._clock, self._evaluate, self._stop, self._worked = clock, evaluate, stop, worked
        self._due = clock() + every
        self._in_a_row: dict[str, int] = {}
        self._stopped = False

    def evaluate_when_due(self) -> None:
        if self._clock() < self._due:
            return
        before = self._worked()
        found = self._evaluate(self._directory)
        self._write("live.json", {"time": time.time(), "rules": found})
        self._stop_if_asked(found)
        # Not the time that passed: on a crowded machine an evaluation waits for its turn, and the next one would come too late.
        self._due = self._clock() + max(self._every, (self._worked() - before) / EVALUATION_SHARE)

    def _write(self, name: str, content: Any) -> None:
        from pathlib import Path

        from contract.whole_file import write_text

        # A loss that is not a number is among the findings.
        write_text(Path(self._directory, name), json.dumps(content, indent=1))

    def _stop_if_asked(self, found: list[dict[str, Any]]) -> None:
        for outcome in found:
            name = outcome["name"]
            self._in_a_row[name] = self._in_a_row.get(name, 0) + 1 if outcome["status"] == "IssuesFound" else 0
            if name in self._stop_on and self._in_a_row[name] >= CONFIRMATIONS and not self._stopped:
                self._stopped = True
                keep = {k: outcome[k] for k in ("name", "seen", "why", "change", "steps")}
                self._write("stop.json", {"time": time.time(), **keep})
                print(f"health_rule_stop={name}; {outcome['seen']}", file=sys.stderr, flush=True)
                self._stop(self._pid)


def main() -> None:
    asked = json.loads(sys.argv[1])
    ended = Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)
    watch(
        asked["observations"], asked["pid"], asked["interval"], asked["evaluate_every"], asked["stop_on"], ended
    )  # fmt: skip


if __name__ == "__main__":
    main()
