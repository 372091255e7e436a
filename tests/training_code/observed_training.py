"""Real, tiny trainings with a fault or without one, observed exactly as the training loop has them observed."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training_code.health.chosen import BY_NAME, chosen_rules
from training_code.health.observations import Observations
from training_code.observation import Observer
from training_code.observers import observers_for

chosen_rules({})


def photos(
    count: int = 256, features: int = 16, classes: int = 3, noise: float = 0.0, seed: int = 0
) -> tuple[Any, Any]:
    """Inputs and labels that a small model can learn; `noise` is the share of labels drawn at random."""
    random = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, features, generator=random)
    labels = (inputs @ torch.randn(features, classes, generator=torch.Generator().manual_seed(1))).argmax(1)
    wrong = torch.rand(count, generator=random) < noise
    return inputs, torch.where(wrong, torch.randint(0, classes, (count,), generator=random), labels)


def perceptron(
    activation: Callable[[], nn.Module] = nn.ReLU, depth: int = 2, width: int = 32, features: int = 16
) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for index in range(depth):
        layers += [nn.Linear(features if index == 0 else width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 3))


def train(
    base: Path,
    model: nn.Module,
    data: tuple[Any, Any],
    validation: tuple[Any, Any] | None = None,
    *,
    epochs: int = 5,
    samples: int = 0,
    batch: int = 32,
    learning_rate: float = 0.1,
    counts: Mapping[str, int] | None = None,
    settings: Mapping[str, str] | None = None,
    load: Callable[[int], Any] = lambda step: None,
    after: Callable[[int], Any] = lambda step: None,
    evaluations: int = 1,
    observer: Observer | None = None,
) -> Observations:
    """At least `epochs`, and until there are `samples` of the machine.

    `load` runs inside the data phase and `after` inside the optimizer phase of each step: that is where faults are put.
    """
    observer = observer or observers_for(base, {"profiler_interval_ms": "0", **(settings or {})})
    optimizer = torch.optim.SGD(model.parameters(), learning_rate)
    loss_function = nn.CrossEntropyLoss()
    validation = validation or photos(seed=7)
    observer.dataset(counts or {"ant": 100, "bee": 90, "wasp": 95})
    observer.model_ready(model, loss_function, optimizer)
    step, deadline = 0, time.monotonic() + 120
    system = base / "output" / "data" / "observations" / "system.jsonl"
    lines_before = _lines(system)
    with contextlib.closing(observer):
        for epoch in itertools.count():
            if epoch >= epochs and _lines(system) - lines_before >= samples:
                break
            assert time.monotonic() < deadline, "the training was not sampled often enough in a minute"
            observer.mode("TRAIN")
            model.train()
            total = []
            for start in range(0, len(data[0]), batch):
                with observer.phase("data"):
                    inputs, labels = data[0][start : start + batch], data[1][start : start + batch]
                    load(step)
                with observer.phase("forward"):
                    loss = loss_function(model(inputs), labels)
                with observer.phase("backward"):
                    optimizer.zero_grad()
                    loss.backward()
                with observer.phase("optimizer"):
                    optimizer.step()
                    after(step)
                observer.step(loss.detach(), len(inputs))
                total.append(float(loss.detach()))
                step += 1
            observer.mode("EVAL")
            model.eval()
            with torch.no_grad():
                for _ in range(evaluations):
                    answers = model(validation[0])
                    held_out = loss_function(answers, validation[1])
                    observer.step(held_out, len(validation[0]))
            right = float((answers.argmax(1) == validation[1]).float().mean())
            observer.epoch(epoch, {
                "train:loss": sum(total) / len(total), "validation:loss": float(held_out),
                "validation:accuracy": right, "validation:balanced_accuracy": right,
            })  # fmt: skip
    return Observations.read(base / "output" / "data" / "observations")


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def outcome(name: str, observed: Observations, **parameters: float) -> dict[str, Any]:
    return BY_NAME[name].evaluate(observed, parameters)


def slow_storage(_step: int) -> None:
    """A read that waits: the fault of a training whose photos lie far away."""
    time.sleep(0.01)


def decoding(_step: int) -> None:
    """Work of the processor, as decoding photos is: ten milliseconds of processor time."""
    end = time.thread_time() + 0.01
    while time.thread_time() < end:
        sum(range(2000))
