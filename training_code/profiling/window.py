"""The detailed window: torch.profiler over the first N training steps, as `trace.json`, which Chrome's tracing page and
Perfetto open.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contract.whole_file import whole_file
from training_code.observation import Mode, NoObserver


class ProfilerWindow(NoObserver):
    """Begins with the model and ends after `steps` TRAIN steps, so that the rest of the training is not slowed down."""

    def __init__(self, directory: Path, steps: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path, self._left = directory / "trace.json", steps
        self._profiler: Any = None
        self._mode: Mode = "TRAIN"

    def model_ready(self, model: Any, loss_function: Any, optimizer: Any) -> None:
        from torch.profiler import ProfilerActivity, profile, supported_activities

        wanted = {ProfilerActivity.CPU, ProfilerActivity.CUDA} & set(supported_activities())
        self._profiler = profile(activities=wanted)
        self._profiler.__enter__()

    def mode(self, mode: Mode) -> None:
        self._mode = mode

    def step(self, loss: Any, batch_size: int) -> None:
        if self._profiler is None or self._mode != "TRAIN":
            return
        self._left -= 1
        if self._left <= 0:
            self.close()

    def close(self) -> None:
        profiler, self._profiler = self._profiler, None
        if profiler is None:
            return
        profiler.__exit__(None, None, None)
        with whole_file(self._path) as temporary:
            profiler.export_chrome_trace(str(temporary))
