"""What was observed of one training, read from its `observations/` folder, also while it is still being written.

Standard library only: the companion process reads this beside the training and must start at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

Record = dict[str, Any]
PHASES = ("data", "forward", "backward", "optimizer")


@dataclass(frozen=True)
class Observations:
    run: Record = field(default_factory=dict)
    steps: list[Record] = field(default_factory=list)
    epochs: list[Record] = field(default_factory=list)
    system: list[Record] = field(default_factory=list)
    tensors: list[Record] = field(default_factory=list)

    @classmethod
    def read(cls, directory: Path) -> Observations:
        run = directory / "run.json"
        return cls(
            run=json.loads(run.read_text(encoding="utf-8")) if run.is_file() else {},
            steps=list(_lines(directory / "steps.jsonl")),
            epochs=list(_lines(directory / "epochs.jsonl")),
            system=list(_lines(directory / "system.jsonl")),
            tensors=list(_lines(directory / "tensors.jsonl")),
        )

    def of_mode(self, mode: str) -> list[Record]:
        return [record for record in self.steps if record["mode"] == mode]

    @cached_property
    def train(self) -> list[Record]:
        return self.of_mode("TRAIN")

    @cached_property
    def evaluation(self) -> list[Record]:
        return self.of_mode("EVAL")

    @cached_property
    def train_steps(self) -> int:
        return sum(record["steps"] for record in self.train)

    @cached_property
    def train_seconds(self) -> float:
        return sum(record["seconds"] for record in self.train)

    @cached_property
    def evaluation_seconds(self) -> float:
        return sum(record["seconds"] for record in self.evaluation)

    def phase_seconds(self, name: str, mode: str = "TRAIN") -> float:
        return sum(record.get(name, 0.0) for record in self.of_mode(mode))

    @cached_property
    def has_phases(self) -> bool:
        return any(name in record for record in self.train for name in PHASES)

    @cached_property
    def data_share(self) -> float:
        """Part of the training steps' time that waited for data."""
        return self.phase_seconds("data") / self.train_seconds if self.train_seconds else 0.0

    @cached_property
    def started(self) -> float | None:
        return self.run.get("process_started") or (self.steps[0]["time"] if self.steps else None)

    @cached_property
    def ended(self) -> float | None:
        """When it was closed; of a training that still runs or was killed, the last thing seen of it."""
        times = [r["time"] + r.get("seconds", 0.0) for r in self.steps[-1:]] + [r["time"] for r in self.system[-1:]]
        times += [r["time"] for r in self.epochs[-1:]]
        return self.run.get("closed") or (max(times) if times else None)

    @cached_property
    def seconds(self) -> float:
        return max(0.0, self.ended - self.started) if self.started and self.ended else 0.0

    @cached_property
    def stepping(self) -> tuple[float, float] | None:
        """From the first step's start to the last step's end."""
        if not self.steps:
            return None
        return self.steps[0]["time"], max(r["time"] + r["seconds"] for r in self.steps)

    @cached_property
    def system_while_training(self) -> list[Record]:
        """The samples that lie inside TRAIN steps (a sample tells of the interval before it)."""
        spans = [(r["time"], r["time"] + r["seconds"]) for r in self.train]
        return _inside(self.system, _merged(spans))

    def epoch_series(self, name: str) -> list[tuple[int, float]]:
        """A metric by epoch, whether it was reported as `validation:loss` or `validation_loss`."""
        plain = name.replace(":", "_")
        series = []
        for record in self.epochs:
            value = next((v for k, v in record.items() if k.replace(":", "_") == plain), None)
            if isinstance(value, int | float):
                series.append((int(record["epoch"]), float(value)))
        return series


def mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0


def percentile(values: Iterable[float], percent: float) -> float:
    """Nearest-rank percentile of a non-empty collection."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


def median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _lines(path: Path) -> Iterable[Record]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):  # the last line may still be in the writing
                yield json.loads(line)


def _merged(spans: list[tuple[float, float]], gap: float = 0.05) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in spans:
        if merged and start - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _inside(samples: list[Record], spans: list[tuple[float, float]]) -> list[Record]:
    """Samples of whose interval more than half lies in one of the ordered `spans`."""
    found, at = [], 0
    for sample in samples:
        end, interval = sample["time"], sample.get("interval", 0.0)
        start = end - interval
        while at < len(spans) and spans[at][1] < start:
            at += 1
        covered = 0.0
        for begin, finish in spans[at:]:
            if begin > end:
                break
            covered += max(0.0, min(end, finish) - max(start, begin))
        if interval and covered > interval / 2:
            found.append(sample)
    return found
