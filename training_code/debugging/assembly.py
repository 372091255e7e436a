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
    wanted = _wanted(settings, hyperparameters)
    return [made for name, make in wanted if (made := _made(name, make))]


def _wanted(
    settings: ObservationSettings, hyperparameters: Mapping[str, str]
) -> list[tuple[str, Callable[[], NoObserver]]]:
    wanted: list[tuple[str, Callable[[], NoObserver]]] = []
    if settings.enabled:
        wanted.append(("step timeline", lambda: _timeline(settings, hyperparameters)))
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
