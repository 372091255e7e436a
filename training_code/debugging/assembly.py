"""Which observers a job gets. Each is imported only when it is wanted: not asked for means not paid for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from training_code.debugging.settings import ObservationSettings, observation_settings
from training_code.observation import NoObserver

log = logging.getLogger("darkroom.observation")


def observers(base_dir: Path, hyperparameters: Mapping[str, str]) -> list[NoObserver]:
    settings = observation_settings(base_dir, hyperparameters)
    # Of an earlier life of this job: it must not pass for the reason of the next stop.
    (settings.directory / "stop.json").unlink(missing_ok=True)
    wanted = _wanted(settings, hyperparameters)
    return [made for name, make in wanted if (made := _made(name, make))]


def _wanted(
    settings: ObservationSettings, hyperparameters: Mapping[str, str]
) -> list[tuple[str, Callable[[], NoObserver]]]:
    wanted: list[tuple[str, Callable[[], NoObserver]]] = []
    if settings.enabled:
        wanted.append(("step timeline", lambda: _timeline(settings, hyperparameters)))
        wanted.append(("tensor statistics", lambda: _statistics(settings)))
    if settings.enabled and settings.interval_ms:
        wanted.append(("companion", lambda: _companion(settings)))
    if settings.enabled and settings.window_steps:
        wanted.append(("profiler window", lambda: _window(settings)))
    if settings.hook_config or settings.hook != "off":
        wanted.append(("smdebug hook", lambda: _hook(settings)))
    return wanted


def _made(name: str, make: Callable[[], NoObserver]) -> NoObserver | None:
    try:
        return make()
    except Exception as error:
        log.warning("no %s in this training, which goes on: %s: %s", name, type(error).__name__, error)
        return None


def _timeline(settings: ObservationSettings, hyperparameters: Mapping[str, str]) -> NoObserver:
    from training_code.profiling.steps import StepTimeline

    return StepTimeline(settings.directory, {"hyperparameters": dict(hyperparameters)})


def _statistics(settings: ObservationSettings) -> NoObserver:
    from training_code.debugging.statistics import TensorStatistics

    return TensorStatistics(settings.directory)


def _companion(settings: ObservationSettings) -> NoObserver:
    from training_code.health.companion import Companion

    return Companion(settings.directory, settings.interval_ms, settings.stop_rules)


def _window(settings: ObservationSettings) -> NoObserver:
    from training_code.profiling.window import ProfilerWindow

    return ProfilerWindow(settings.directory, settings.window_steps)


def _hook(settings: ObservationSettings) -> NoObserver:
    from training_code.debugging.hook import SmdebugHook

    return SmdebugHook(settings.hook_config or settings.hook, settings.directory / "tensors")
