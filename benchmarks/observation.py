"""What it costs to be observed: training time with hook, health rules and profiler, relative to the same training without.

    .venv-training_code/bin/python benchmarks/observation.py [--rounds 9] [--seconds 4] [--json FILE]

Each round trains the same model for the same number of steps once in every configuration, in an order that changes from
round to round; a round's ratio is to that round's own unobserved training. Reported: median ratio, and the middle half of the
rounds. Two trainings: a convolutional network through torch (fine-tuning), and a head in NumPy whose steps take a fraction of
a millisecond (the worst case for anything paid per step). `cpu` is the ratio of processor time, companion process included:
steadier than wall time on a shared machine. Start and end of the observers lie inside the timed part.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
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
from training_code.observation import NoObserver, Observer, observers_for

LEAN = {"observe": "off"}
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
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure(
    make: Callable[[int], Callable[[Observer], None]], rounds: int, seconds: float
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Steps of a training, and the ratios of each configuration."""
    probe = make(10)
    probe(NoObserver())
    began = time.perf_counter()
    probe(NoObserver())
    steps = max(20, int(seconds / ((time.perf_counter() - began) / 10)))
    run = make(steps)
    for settings in CONFIGURATIONS.values():  # imports (smdebug) are paid once per job, not per step: warm
        observed_run(make(10), settings)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in CONFIGURATIONS}
    names = list(CONFIGURATIONS)
    for index in range(rounds):
        for name in names[index % len(names) :] + names[: index % len(names)]:
            times[name].append(observed_run(run, CONFIGURATIONS[name]))
    base = times["unobserved"]
    return steps, {name: _ratios(values, base) for name, values in times.items()}


def _ratios(values: list[tuple[float, float]], base: list[tuple[float, float]]) -> dict[str, Any]:
    found = {"n": len(values), "seconds": statistics.median(v[0] for v in values)}
    for index, name in enumerate(("wall", "cpu")):
        ratios = sorted(v[index] / b[index] for v, b in zip(values, base, strict=True))
        quarters = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else [ratios[0]] * 3
        found[name] = {"median": quarters[1], "middle_half": [quarters[0], quarters[2]]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one unobserved training")
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
        for name, ratio in found.items():
            wall, cpu = ratio["wall"], ratio["cpu"]
            print(
                f"  {name:<52} wall {wall['median']:.3f} ({wall['middle_half'][0]:.3f} to {wall['middle_half'][1]:.3f})"
                f"   cpu {cpu['median']:.3f} ({cpu['middle_half'][0]:.3f} to {cpu['middle_half'][1]:.3f})",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
