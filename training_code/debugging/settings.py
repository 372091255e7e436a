"""What a job asked its observers to do, read once.

Hyperparameters choose (open mode); the files that SageMaker writes for `DebugHookConfig` and `ProfilerConfig` win over
them (managed mode). A value that is not allowed is an error here; `observers_for` turns it into a warning, because a wrong
observer setting must not cost a training.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.health_rules import RULE_NAMES

HOOKS = ("off", "losses", "reductions")
SHORTEST_INTERVAL_MS, LONGEST_INTERVAL_MS = 100, 60_000

log = logging.getLogger("darkroom.observation")


@dataclass(frozen=True)
class ObservationSettings:
    directory: Path  # <base>/output/data/observations
    enabled: bool = True  # `observe`: off leaves the loop with NoObserver
    hook: str = "off"  # `debug_hook`
    hook_config: Path | None = None  # debughookconfig.json of SageMaker
    interval_ms: int = 1000  # `profiler_interval_ms`; 0 = no system sampling, no live rules
    window_steps: int = 0  # `profiler_steps`: torch.profiler over the first N training steps
    stop_rules: tuple[str, ...] = ()  # `stop_on`: comma-separated rules that may stop the training


def observation_settings(base_dir: Path, hyperparameters: Mapping[str, str]) -> ObservationSettings:
    """Tuning trials (`export=false`) are watched by steps and epochs only, unless they ask for more: they are too short to
    pay for a companion process."""
    directory = base_dir / "output" / "data" / "observations"
    enabled = _choice(hyperparameters, "observe", ("on", "off"), "on") == "on"
    hook_config = Path(
        os.environ.get("SMDEBUG_CONFIG_FILE_PATH", base_dir / "input" / "config" / "debughookconfig.json")
    )
    trial = hyperparameters.get("export") == "false"
    stop_rules = _stop_rules(hyperparameters)
    interval = _whole(hyperparameters, "profiler_interval_ms", 0 if trial and not stop_rules else 1000)
    interval = _managed_interval(base_dir, interval)
    if interval and not SHORTEST_INTERVAL_MS <= interval <= LONGEST_INTERVAL_MS:
        raise ValueError(
            f"profiler_interval_ms is {interval}; allowed: 0 (off) or {SHORTEST_INTERVAL_MS} to {LONGEST_INTERVAL_MS}"
        )
    if stop_rules and not (enabled and interval):
        log.warning(
            "stop_on=%s stops nothing: rules watch a training only with observe=on and a profiler_interval_ms above 0",
            ",".join(stop_rules),
        )
    return ObservationSettings(
        directory=directory,
        enabled=enabled,
        hook=_choice(hyperparameters, "debug_hook", HOOKS, "off"),
        hook_config=hook_config if hook_config.is_file() else None,
        interval_ms=interval,
        window_steps=_whole(hyperparameters, "profiler_steps", 0),
        stop_rules=stop_rules,
    )


def _managed_interval(base_dir: Path, interval: int) -> int:
    """SageMaker's profilerconfig.json; its path can be moved with smdebug's own variable."""
    path = Path(os.environ.get("SMPROFILER_CONFIG_PATH", base_dir / "input" / "config" / "profilerconfig.json"))
    if not path.is_file():
        return interval
    config = json.loads(path.read_text(encoding="utf-8"))
    if config.get("DisableProfiler") is True:
        return 0
    return int(config.get("ProfilingIntervalInMilliseconds") or interval)


def _stop_rules(hyperparameters: Mapping[str, str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in hyperparameters.get("stop_on", "").split(",") if name.strip())
    unknown = [name for name in names if name not in RULE_NAMES]
    if unknown:
        raise ValueError(f"stop_on names {', '.join(unknown)}; allowed: {', '.join(RULE_NAMES)}")
    return names


def _choice(hyperparameters: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = hyperparameters.get(name, default)
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")
    return value


def _whole(hyperparameters: Mapping[str, str], name: str, default: int) -> int:
    value = hyperparameters.get(name, str(default))
    if not value.isdigit():
        raise ValueError(f"{name} is {value!r}; allowed: a whole number, 0 or more")
    return int(value)
