"""Times every step and its phases and writes them as they happen: `run.json`, `steps.jsonl`, `epochs.jsonl`.

Steps are written together until they make up `GROUP_SECONDS`, so that a step of a tenth of a millisecond is observed as
cheaply, in relation, as one of a second. A record keeps the slowest step of its group, which is what outliers need.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from training_code.observation import Mode, NoObserver, Phase

GROUP_SECONDS = 0.02
GROUPS = 5000  # groups grow with the training, so that days of tiny steps still make a readable file
DEVICE_GROUP_SECONDS = 1.0  # reading a loss from a GPU waits for it, so it is done once a second
PHASES: tuple[Phase, ...] = ("data", "forward", "backward", "optimizer")


class StepTimeline(NoObserver):
    """Writes `run.json` (what was run, when it began), one line per group of steps and one line per epoch."""

    reusable_phases = True

    def __init__(self, directory: Path, run: Mapping[str, Any]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._run: dict[str, Any] = {
            "process_started": _process_started(), "observed_from": time.time(), "pid": os.getpid(), **run,
        }  # fmt: skip
        self._steps = open(directory / "steps.jsonl", "w", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._epochs = open(directory / "epochs.jsonl", "w", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._clock = time.perf_counter
        self._wall_offset = time.time() - time.perf_counter()
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._timers: dict[Phase, _PhaseTimer] = {name: _PhaseTimer(self._seconds, name) for name in PHASES}
        self._timers["data"] = self._data_timer = _DataTimer(self._seconds, "data")
        self._mode: Mode = "TRAIN"
        self._next = {"TRAIN": 0, "EVAL": 0}
        self._first = self._last = self._clock()
        self._losses: list[Any] = []
        self._group_seconds = GROUP_SECONDS
        self._begin_group()
        self._write_run()

    def dataset(self, class_counts: Mapping[str, int]) -> None:
        self._run["class_counts"] = dict(class_counts)
        self._write_run()

    def model_ready(self, model: Any, loss_function: Any, optimizer: Any) -> None:
        self._run["model"] = type(model).__name__
        self._run["loss"] = getattr(loss_function, "__name__", None) or type(loss_function).__name__
        self._run["model_ready"] = time.time()
        self._write_run()
        self._restart()

    def mode(self, mode: Mode) -> None:
        self._flush()
        self._mode = mode
        self._restart()

    def phase(self, name: Phase) -> AbstractContextManager[None]:
        return self._timers[name]

    def step(self, loss: Any, batch_size: int) -> None:
        now = self._clock()
        seconds = now - self._last
        self._last = now
        self._losses.append(loss)
        self._samples += batch_size
        if seconds > self._longest:
            self._longest, self._longest_step = seconds, self._next[self._mode] + len(self._losses) - 1
        if now - self._began >= self._group_seconds:
            self._flush()
            if self._group_seconds < DEVICE_GROUP_SECONDS:
                self._group_seconds = max(GROUP_SECONDS, (now - self._first) / GROUPS)

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._flush()
        record = {"epoch": epoch, "time": self._wall(self._clock()), **{k: _finite(v) for k, v in metrics.items()}}
        record["train_steps"] = self._next["TRAIN"]
        self._epochs.write(json.dumps(record) + "\n")
        self._restart()

    def close(self) -> None:
        if self._steps.closed:
            return
        self._flush()
        self._steps.close()
        self._epochs.close()
        self._run["closed"] = time.time()
        self._write_run()

    def _begin_group(self) -> None:
        self._began, self._samples, self._longest, self._longest_step = self._last, 0, 0.0, 0
        self._losses.clear()
        self._data_timer.processor_seconds = 0.0
        for name in PHASES:
            self._seconds[name] = 0.0

    def _restart(self) -> None:
        """What lies between epochs and modes (validation metrics, checkpoints) belongs to no step."""
        self._last = self._clock()
        self._begin_group()

    def _flush(self) -> None:
        if not self._losses:
            return
        if _on_device(self._losses[0]):
            self._group_seconds = DEVICE_GROUP_SECONDS
        losses = _values(self._losses)
        finite = [v for v in losses if math.isfinite(v)]
        record: dict[str, Any] = {
            "time": round(self._wall(self._began), 6), "mode": self._mode, "step": self._next[self._mode],
            "steps": len(losses), "seconds": round(self._last - self._began, 7), "samples": self._samples,
            "longest": round(self._longest, 7), "longest_step": self._longest_step,
            "loss": sum(finite) / len(finite) if finite else None, "nonfinite": len(losses) - len(finite),
        }  # fmt: skip
        record |= {name: round(seconds, 7) for name, seconds in self._seconds.items() if seconds}
        if "data" in record:
            record["data_cpu"] = round(self._data_timer.processor_seconds, 7)
        if self._mode == "TRAIN" and self._next["TRAIN"] == 0:
            self._run.setdefault("first_step", self._wall(self._began))
            self._write_run()
        self._next[self._mode] += len(losses)
        self._steps.write(json.dumps(record) + "\n")
        self._begin_group()

    def _wall(self, clock: float) -> float:
        return clock + self._wall_offset

    def _write_run(self) -> None:
        replace_text(self._directory / "run.json", json.dumps(self._run, indent=1))


class _PhaseTimer(AbstractContextManager):
    __slots__ = ("_clock", "_name", "_seconds", "_start")

    def __init__(self, seconds: dict[Phase, float], name: Phase) -> None:
        self._seconds, self._name, self._clock, self._start = seconds, name, time.perf_counter, 0.0

    def __enter__(self) -> None:
        self._start = self._clock()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] += self._clock() - self._start


class _DataTimer(_PhaseTimer):
    """Also the processor time of all threads meanwhile: whether data is computed or waited for."""

    __slots__ = ("_processor", "processor_seconds")

    def __init__(self, seconds: dict[Phase, float], name: Phase) -> None:
        super().__init__(seconds, name)
        self._processor, self.processor_seconds = time.process_time, 0.0

    def __enter__(self) -> None:
        self.processor_seconds -= self._processor()
        super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.processor_seconds += self._processor()


def _on_device(loss: Any) -> bool:
    device = getattr(loss, "device", None)
    return getattr(device, "type", "cpu") != "cpu"


def _values(losses: list[Any]) -> list[float]:
    if _on_device(losses[0]):
        import torch

        return torch.stack([loss.reshape(()) for loss in losses]).float().cpu().tolist()
    return [float(loss) for loss in losses]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _process_started() -> float:
    """Epoch seconds, from proc(5): a short trial must not wait for psutil to be imported."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return time.time()
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")


def replace_text(path: Path, text: str) -> None:
    """Whoever reads `path` meanwhile sees the old text or the new one, never half of it."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
