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
from typing import Any, NamedTuple

from contract.whole_file import write_text
from training_code.observation import NOTHING, Mode, NoObserver, Phase

GROUP_SECONDS = 0.02
FIRST_GROUP_SECONDS = 0.002  # soon known: whether steps are tiny
TIMED_EACH_SECONDS, MOST_UNTIMED = 0.002, 32  # of steps shorter than that, one in at most 32 is split into phases
TIMED_OF_A_GROUP = 4  # at least so many of each group, whose first step may not be like the others
WRITE_EVERY_SECONDS = 0.25  # at most so much is lost when the training is killed
GROUPS = 5000  # groups grow with the training, so that days of tiny steps still make a readable file
DEVICE_GROUP_SECONDS = 1.0  # reading a loss from a GPU waits for it, so it is done once a second
PHASES: tuple[Phase, ...] = ("data", "forward", "backward", "optimizer")


class StepTimeline(NoObserver):
    """Writes `run.json` (what was run, when it began), one line per group of steps and one line per epoch."""

    def __init__(self, directory: Path, run: Mapping[str, Any]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._run: dict[str, Any] = {
            "process_started": _process_started(), "observed_from": time.time(), "pid": os.getpid(), **run,
        }  # fmt: skip
        self._steps = open(directory / "steps.jsonl", "w", encoding="utf-8")  # noqa: SIM115
        self._epochs = open(directory / "epochs.jsonl", "w", encoding="utf-8")  # noqa: SIM115
        self._pending: list[_Group] = []
        self._pending_epochs: list[dict[str, Any]] = []
        self._clock = time.perf_counter
        self._wall_offset = time.time() - time.perf_counter()
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._timers: dict[Phase, _PhaseTimer] = {name: _PhaseTimer(self._seconds, name) for name in PHASES}
        self._timers["data"] = self._data_timer = _DataTimer(self._seconds, "data")
        # Of tiny steps only some are split into phases.
        self._untimed: dict[Phase, AbstractContextManager[Any]] = dict.fromkeys(PHASES, NOTHING)
        self.phases = dict(self._timers)
        self._timing, self._every, self._untimed_left, self._turn = True, 1, 0, 0
        self._mode: Mode = "TRAIN"
        self._next = {"TRAIN": 0, "EVAL": 0}
        self._first = self._last = self._written = self._clock()
        self._losses: list[Any] = []
        self._group_seconds = FIRST_GROUP_SECONDS
        self._begin_group()
        self._write_run()

    def dataset(self, class_counts: Mapping[str, int]) -> None:
        self._run["class_counts"] = dict(class_counts)
        self._run_is_written = False

    def model_ready(self, model: Any, loss_function: Any, optimizer: Any) -> None:
        self._run["model"] = type(model).__name__
        self._run["loss"] = getattr(loss_function, "__name__", None) or type(loss_function).__name__
        self._run["model_ready"] = time.time()
        self._run_is_written = False
        self._restart()

    def mode(self, mode: Mode) -> None:
        self._flush()
        self._mode = mode
        self._restart()

    def phase(self, name: Phase) -> AbstractContextManager[None]:
        return self.phases[name]

    def step(self, loss: Any, batch_size: int) -> None:
        now = self._clock()
        seconds = now - self._last
        self._last = now
        self._losses.append(loss)
        self._samples += batch_size
        if seconds > self._longest:
            self._longest, self._longest_step = seconds, self._next[self._mode] + len(self._losses) - 1
        if self._timing:
            self._timed += seconds
            if self._every > 1:
                self._pause_timing()
        else:
            self._untimed_left -= 1
            if not self._untimed_left:
                self._timing = True
                self.phases.update(self._timers)
        if now - self._began >= self._group_seconds:
            self._flush()
            if self._group_seconds < DEVICE_GROUP_SECONDS:
                self._group_seconds = max(GROUP_SECONDS, (now - self._first) / GROUPS)

    def _pause_timing(self) -> None:
        """Gaps differ by one, so that no rhythm of the training is hit or missed each time."""
        self._turn = (self._turn + 1) % 3
        self._timing, self._untimed_left = False, self._every + self._turn - 1
        self.phases.update(self._untimed)

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._flush()
        record = {"epoch": epoch, "time": self._wall(self._clock()), **{k: _finite(v) for k, v in metrics.items()}}
        record["train_steps"] = self._next["TRAIN"]
        self._pending_epochs.append(record)
        if self._last - self._written >= WRITE_EVERY_SECONDS:
            self._write_pending()
        self._restart()

    def close(self) -> None:
        if self._steps.closed:
            return
        self._flush()
        self._write_pending()
        self._steps.close()
        self._epochs.close()
        self._run["closed"] = time.time()
        self._write_run()

    def _begin_group(self) -> None:
        self._began, self._samples, self._longest, self._longest_step = self._last, 0, 0.0, 0
        self._timed = 0.0
        self._data_timer.processor_seconds = 0.0
        for name in PHASES:
            self._seconds[name] = 0.0

    def _restart(self) -> None:
        """What lies between epochs and modes (validation metrics, checkpoints) belongs to no step."""
        self._last = self._clock()
        self._begin_group()

    def _flush(self) -> None:
        """Ends a group; what it was is written later, together with others, because code that runs rarely runs slowly."""
        losses = self._losses
        if not losses:
            return
        if _on_device(losses[0]):
            self._group_seconds = DEVICE_GROUP_SECONDS
        if self._mode == "TRAIN" and self._next["TRAIN"] == 0:
            self._run.setdefault("first_step", self._wall(self._began))
            self._run_is_written = False
        seconds = self._last - self._began
        self._pending.append(_Group(
            self._wall(self._began), self._mode, self._next[self._mode], losses, seconds, self._samples, self._longest,
            self._longest_step, self._timed, tuple(self._seconds.values()), self._data_timer.processor_seconds,
        ))  # fmt: skip
        self._next[self._mode] += len(losses)
        if self._mode == "TRAIN":
            wanted = round(TIMED_EACH_SECONDS * len(losses) / max(seconds, 1e-9))
            self._every = max(1, min(MOST_UNTIMED, wanted, len(losses) // TIMED_OF_A_GROUP))
        self._losses = []
        self._begin_group()
        if self._last - self._written >= WRITE_EVERY_SECONDS:
            self._write_pending()

    def _write_pending(self) -> None:
        self._written = self._clock()
        if not self._run_is_written:
            self._write_run()
        self._steps.write("".join(f"{json.dumps(group.record())}\n" for group in self._pending))
        self._epochs.write("".join(f"{json.dumps(record)}\n" for record in self._pending_epochs))
        self._steps.flush()
        self._epochs.flush()
        self._pending.clear()
        self._pending_epochs.clear()

    def _wall(self, clock: float) -> float:
        return clock + self._wall_offset

    def _write_run(self) -> None:
        self._run_is_written = True
        write_text(self._directory / "run.json", json.dumps(self._run, indent=1))


class _Group(NamedTuple):
    """Some steps of one mode, as they were counted. `timed`: seconds of those that were split into phases."""

    time: float
    mode: Mode
    step: int
    losses: list[Any]
    seconds: float
    samples: int
    longest: float
    longest_step: int
    timed: float
    phases: tuple[float, ...]
    data_cpu: float

    def record(self) -> dict[str, Any]:
        losses = _values(self.losses)
        finite = [v for v in losses if math.isfinite(v)]
        record: dict[str, Any] = {
            "time": round(self.time, 6), "mode": self.mode, "step": self.step, "steps": len(losses),
            "seconds": round(self.seconds, 7), "samples": self.samples, "longest": round(self.longest, 7),
            "longest_step": self.longest_step, "loss": sum(finite) / len(finite) if finite else None,
            "nonfinite": len(losses) - len(finite),
        }  # fmt: skip
        # What was measured of some steps stands for all of the group.
        scale = self.seconds / self.timed if self.timed else 0.0
        record |= {n: round(v * scale, 7) for n, v in zip(PHASES, self.phases, strict=True) if v and scale}
        if "data" in record:
            record["data_cpu"] = round(self.data_cpu * scale, 7)
        return record


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
