"""What it costs to be observed: training time with hook, health rules and profiler, relative to the same training without.

    OMP_NUM_THREADS=1 .venv-training_code/bin/python benchmarks/observation.py [--rounds 9] [--seconds 6] [--json FILE]

Each round trains the same model for the same number of steps once in every configuration, in an order that changes from
round to round; a round's ratio is to that round's own unobserved training. Reported: median ratio, and the middle half of the
rounds, of wall time and of processor time (`cpu`, companion process included: steadier on a shared machine). Two trainings: a
convolutional network through torch (fine-tuning), and a head in NumPy whose steps take a tenth of a millisecond (the worst case for
anything paid per step).

Start and end of the observers lie inside the timed part. What they cost is told apart: each round also trains `SHORT` steps in every
configuration. `fixed` is what being observed adds to that short training, once per job; `per step` is what it adds to each
step of the difference between long and short, in microseconds and in percent of an unobserved step. By `per step` a training of
hours is judged, by the ratio one of a few seconds. The process beside the training has hardly started when the short one ends: most of
its start is in `per step`, where a longer `--seconds` makes it small.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from training_code.observation import NoObserver, Observer
from training_code.observers import observers_for

Times = tuple[float, float]  # wall, processor
COLUMNS = (
    ("wall", "x", 3), ("cpu", "x", 3), ("fixed_cpu_ms", "ms once", 1), ("step_cpu_us", "us each", 1),
    ("step_cpu_percent", "% of a step", 2),
)  # fmt: skip
LEAN = {"observe": "off"}
SHORT = 5
CONFIGURATIONS: dict[str, dict[str, str]] = {
    "unobserved": LEAN,
    "default (timeline, statistics, companion at 1 s)": {},
    "profiler at 100 ms": {"profiler_interval_ms": "100"},
    "smdebug as SageMaker's default (losses, every 500)": {**LEAN, "_hook": "500"},
    "smdebug losses (debug_hook=losses)": {**LEAN, "debug_hook": "losses"},
    "smdebug reductions (debug_hook=reductions)": {**LEAN, "debug_hook": "reductions"},
}


def convolutional(steps: int) -> Callable[[Observer], None]:
    """Eight convolutions with batch norm on 32 photos of 64 pixels: a small model, so that fixed costs weigh more than usual."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    width = 3
    for index in range(8):
        wider = 16 * 2 ** (index // 3)
        convolution = nn.Conv2d(width, wider, 3, stride=2 if index in (2, 5) else 1, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(wider), nn.ReLU()]
        width = wider
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
    optimizer, loss_function = torch.optim.AdamW(model.parameters()), nn.CrossEntropyLoss()
    photos, labels = torch.randn(32, 3, 64, 64), torch.randint(0, 10, (32,))

    def run(observer: Observer) -> None:
        observer.model_ready(model, loss_function, optimizer)
        observer.mode("TRAIN")
        for _ in range(steps):
            with observer.phase("data"):
                inputs = photos
            with observer.phase("forward"):
                loss = loss_function(model(inputs), labels)
            with observer.phase("backward"):
                optimizer.zero_grad()
                loss.backward()
            with observer.phase("optimizer"):
                optimizer.step()
            observer.step(loss.detach(), len(inputs))

    return run


def head(steps: int) -> Callable[[Observer], None]:
    """Softmax regression on 1,280 features in NumPy, batch 64."""
    random = np.random.default_rng(0)
    features, labels = random.standard_normal((64, 1280), np.float32), random.integers(0, 10, 64)
    weight = np.zeros((1280, 10), np.float32)

    def run(observer: Observer) -> None:
        observer.mode("TRAIN")
        for _ in range(steps):
            with observer.phase("data"):
                inputs = features[random.permutation(64)]
            with observer.phase("forward"):
                logits = inputs @ weight
                logits -= logits.max(1, keepdims=True)
                odds = np.exp(logits)
                odds /= odds.sum(1, keepdims=True)
                loss = float(-np.log(odds[np.arange(64), labels] + 1e-9).mean())
            with observer.phase("backward"):
                odds[np.arange(64), labels] -= 1
                gradient = inputs.T @ odds / 64
            with observer.phase("optimizer"):
                weight[...] -= 0.01 * gradient
            observer.tensors("gradient", lambda: {"head.weight": gradient})  # noqa: B023  (read before the next step, if at all)
            observer.tensors("weight", lambda: {"head.weight": weight})
            observer.step(loss, 64)

    return run


def observed_run(run: Callable[[Observer], None], settings: dict[str, str]) -> tuple[float, float]:
    """(wall seconds, processor seconds of this process and its children)."""
    with tempfile.TemporaryDirectory() as folder:
        base, chosen = Path(folder), dict(settings)
        interval = chosen.pop("_hook", None)
        if interval:
            config = base / "input" / "config" / "debughookconfig.json"
            config.parent.mkdir(parents=True)
            config.write_text(json.dumps({
                "LocalPath": str(base / "tensors"), "HookParameters": {"save_interval": interval},
                "CollectionConfigurations": [{"CollectionName": "losses"}],
            }))  # fmt: skip
        wall, processor = time.perf_counter(), _processor_seconds()
        observer = observers_for(base, chosen)
        if settings is LEAN:
            assert isinstance(observer, NoObserver)
        with contextlib.closing(observer):
            run(observer)
        return time.perf_counter() - wall, _processor_seconds() - processor


def _processor_seconds() -> float:
    """Of this process and its children that have ended; os.times() counts in hundredths of a second, this in microseconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure(
    make: Callable[[int], Callable[[Observer], None]], rounds: int, seconds: float
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Steps of a training, and the ratios of each configuration."""
    probe = make(10)
    probe(NoObserver())
    began = time.perf_counter()
    probe(NoObserver())
    steps = max(5 * SHORT, int(seconds / ((time.perf_counter() - began) / 10)))
    run = make(steps)
    for settings in CONFIGURATIONS.values():  # imports (smdebug) are paid once per job, not per step: warm
        observed_run(make(10), settings)
    short = make(SHORT)
    times: dict[str, list[Times]] = {name: [] for name in CONFIGURATIONS}
    short_times: dict[str, list[Times]] = {name: [] for name in CONFIGURATIONS}
    names = list(CONFIGURATIONS)
    for index in range(rounds):
        for name in names[index % len(names) :] + names[: index % len(names)]:
            times[name].append(observed_run(run, CONFIGURATIONS[name]))
            short_times[name].append(observed_run(short, CONFIGURATIONS[name]))
    base, short_base = times["unobserved"], short_times["unobserved"]
    return steps, {
        name: _ratios(times[name], base) | _apart(times[name], short_times[name], base, short_base, steps)
        for name in CONFIGURATIONS
    }


def _ratios(values: list[Times], base: list[Times]) -> dict[str, Any]:
    found = {"n": len(values), "seconds": statistics.median(v[0] for v in values)}
    for index, name in enumerate(("wall", "cpu")):
        found[name] = _spread([v[index] / b[index] for v, b in zip(values, base, strict=True)])
    return found


def _apart(
    long: list[Times], short: list[Times], base: list[Times], short_base: list[Times], steps: int
) -> dict[str, Any]:
    """Processor time once per job and per step, from what a round's long and short training cost more than unobserved ones."""
    rounds = list(zip(long, short, base, short_base, strict=True))
    more = steps - SHORT
    step = statistics.median((b[1] - sb[1]) / more for _, _, b, sb in rounds)
    per_step = [((v[1] - s[1]) - (b[1] - sb[1])) / more for v, s, b, sb in rounds]
    return {
        "fixed_cpu_ms": _spread([1000 * (s[1] - sb[1]) for _, s, _, sb in rounds]),
        "step_cpu_us": _spread([1e6 * value for value in per_step]),
        "step_cpu_percent": _spread([100 * value / step for value in per_step]),
    }


def _spread(values: list[float]) -> dict[str, Any]:
    quarters = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": quarters[1], "middle_half": [quarters[0], quarters[2]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of one unobserved training")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    machine = platform.processor() or platform.machine()
    result: dict[str, Any] = {"machine": machine, "cpus": os.cpu_count(), "torch": torch.__version__}
    for title, make in (("convolutional network, torch", convolutional), ("head, NumPy", head)):
        steps, found = measure(make, given.rounds, given.seconds)
        result[title] = {"steps": steps, "configurations": found}
        print(
            f"\n{title}: {steps} steps, {1000 * found['unobserved']['seconds'] / steps:.3g} ms each, {given.rounds} rounds"
        )
        for name, measured in found.items():
            print(f"  {name}", flush=True)
            for field, unit, digits in COLUMNS:
                low, high = measured[field]["middle_half"]
                value = measured[field]["median"]
                print(
                    f"      {field:<17} {value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f}) {unit}", flush=True
                )
    if given.json:
        given.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
