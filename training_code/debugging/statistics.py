"""Statistics of gradients, weights and activations for the health rules: `tensors.jsonl`.

Looks at the first steps and then only as often as its cost stays below `BUDGET` of the training's time. Between two looks
nothing is registered on the model, so a step that is not looked at costs one comparison.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from training_code.observation import Guard, Mode, NoObserver, TensorKind

BUDGET = 0.01
FIRST_LOOKS = (0, 1, 2)
SPREAD = (
    0.02  # at least this part of the steps so far lies between two looks: days of training still leave a readable file
)
RELU = ("ReLU", "ReLU6", "LeakyReLU")
BOUNDED = {"Sigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Hardsigmoid": (0.0, 1.0), "Hardtanh": (-1.0, 1.0)}


class TensorStatistics(NoObserver):
    def __init__(self, directory: Path, every: int = 0) -> None:
        """NumPy arrays and torch tensors alike. `every`: look at each such step instead of by budget."""
        directory.mkdir(parents=True, exist_ok=True)
        self._lines = open(directory / "tensors.jsonl", "w", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._every = every
        self._mode: Mode = "TRAIN"
        self._step, self._last_look, self._spent = 0, 0, 0.0
        self._began = 0.0  # the first step
        self.wants_tensors = True  # this step is looked at
        self._next_look = 0  # not before this step
        self._record: dict[str, Any] = {}
        self._watch: _TorchWatch | None = None

    def model_ready(self, model: Any, loss_function: Any, optimizer: Any) -> None:
        if _is_module(model):
            self._watch = _TorchWatch(model, optimizer, self._record)
            if self.wants_tensors:
                self._watch.attach()

    def mode(self, mode: Mode) -> None:
        self._mode = mode
        if self._watch:
            self._watch.training = mode == "TRAIN"

    def tensors(self, kind: TensorKind, read: Callable[[], Mapping[str, Any]]) -> None:
        if not self.wants_tensors or self._mode != "TRAIN":
            return
        began = time.perf_counter()
        describe = {"gradient": gradient_statistics, "weight": weight_statistics, "activation": unit_statistics}[kind]
        found = self._record.setdefault(f"{kind}s", {})
        for name, values in read().items():
            found[name] = describe(values)
        self._spent += time.perf_counter() - began

    def step(self, loss: Any, batch_size: int) -> None:
        if self._mode != "TRAIN":
            return
        if self._watch:
            self._watch.guard.check()
        if self.wants_tensors:
            self._began = self._began or time.perf_counter()
            self._finish()
        self._step += 1
        self.wants_tensors = self._step >= self._next_look and self._due()
        if self.wants_tensors and self._watch:
            self._watch.attach()

    def close(self) -> None:
        if self._watch:
            self._watch.detach()
        self._lines.close()

    def _finish(self) -> None:
        if self._watch:
            self._watch.detach()
            self._watch.read_gradients()
            self._spent += self._watch.spent
            self._watch.spent = 0.0
        began = time.perf_counter()
        if self._record:
            self._lines.write(
                json.dumps({"mode": "TRAIN", "step": self._step, "time": time.time(), **self._record}) + "\n"
            )
            self._record.clear()
        self._last_look = self._step
        self._spent += time.perf_counter() - began

    def _due(self) -> bool:
        if self._every:
            return self._step % self._every == 0
        if self._step in FIRST_LOOKS:
            return True
        apart = 1 + int(SPREAD * self._step)
        self._next_look = self._last_look + apart
        if self._step >= self._next_look and self._spent >= BUDGET * (time.perf_counter() - self._began):
            self._next_look = self._step + apart  # the clock is not asked again in every step
        return self._step >= self._next_look


class _TorchWatch:
    """Hooks on a torch model that stand only while a step is looked at; fills `record`."""

    def __init__(self, model: Any, optimizer: Any, record: dict[str, Any]) -> None:
        self._model, self._optimizer, self._record = model, optimizer, record
        self._handles: list[Any] = []
        self.guard = Guard()
        self.training, self.spent, self._described = True, 0.0, False

    def attach(self) -> None:
        began = time.perf_counter()
        for name, module in self._model.named_modules():
            kind = type(module).__name__
            if kind in RELU or kind in BOUNDED:
                self._handles.append(module.register_forward_hook(self._activation(name or kind, kind)))
        if hasattr(self._optimizer, "register_step_pre_hook"):
            self._handles.append(
                self._optimizer.register_step_pre_hook(self.guard.guarded(lambda *_: self.read_gradients()))
            )
        if not self._described:
            self._described = True
            self._weights()
        self.spent += time.perf_counter() - began

    def detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def read_gradients(self) -> None:
        """Before the optimizer changes anything; a loop whose optimizer is not torch's is read after the step."""
        if "gradients" in self._record or not self.training:
            return
        began = time.perf_counter()
        found = {n: gradient_statistics(p.grad.detach()) for n, p in self._trained() if p.grad is not None}
        if found:
            self._record["gradients"] = found
        self.spent += time.perf_counter() - began

    def _weights(self) -> None:
        """Once, before training has changed them: later, gradients say as much for less."""
        self._record["weights"] = {n: weight_statistics(p.detach()) for n, p in self._trained()}

    def _trained(self) -> list[tuple[str, Any]]:
        return [(n, p) for n, p in self._model.named_parameters() if p.requires_grad]

    def _activation(self, name: str, kind: str) -> Callable[..., None]:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            if self.training:
                began = time.perf_counter()
                self._record.setdefault("activations", {})[name] = unit_statistics(output.detach(), kind)
                self.spent += time.perf_counter() - began

        return self.guard.guarded(hook)


def gradient_statistics(gradient: Any) -> dict[str, Any]:
    """One pass for each norm and no copy, where torch has one."""
    if hasattr(gradient, "norm"):
        size, length = float(gradient.norm(1)), float(gradient.norm(2))
    else:
        size, length = float(abs(gradient).sum()), float((gradient * gradient).sum()) ** 0.5
    size /= max(1, math.prod(gradient.shape))
    finite = math.isfinite(size)
    return {
        "abs_mean": size if finite else None, "l2": length if finite else None,
        "nonfinite": not finite, "dimensions": gradient.ndim,
    }  # fmt: skip


def weight_statistics(weight: Any) -> dict[str, Any]:
    """`fan_in`: inputs of one unit; `row_spread`: largest difference between the units' weights, 0 when all units are equal."""
    centre = float(weight.mean())
    deviation = (
        max(0.0, float((weight * weight).mean()) - centre * centre) ** 0.5 if math.isfinite(centre) else math.nan
    )
    finite = math.isfinite(deviation)
    found = {
        "std": deviation if finite else None, "mean": centre if finite else None, "nonfinite": not finite,
        "dimensions": weight.ndim,
    }  # fmt: skip
    if weight.ndim >= 2:
        found["fan_in"] = math.prod(weight.shape[1:])
        if weight.shape[0] > 1:
            found["row_spread"] = float(abs(weight - weight[:1]).max()) if finite else None
    return found


def unit_statistics(output: Any, kind: str = "ReLU") -> dict[str, Any]:
    """Of an N×C… output: `dead`, the share of channels that are ≤ 0 for all photos; `saturated`, the share of outputs at the
    range's ends."""
    axes = tuple(k for k in range(output.ndim) if k != 1 or output.ndim < 2)
    highest = output.amax(axes) if hasattr(output, "amax") else output.max(axes)
    found: dict[str, Any] = {"kind": kind, "nonfinite": not math.isfinite(float(highest.max()))}
    if found["nonfinite"]:
        return found
    if kind in RELU and output.ndim >= 2:
        found["dead"] = float((highest <= 0).sum()) / highest.shape[0]
    if kind in BOUNDED:
        low, high = BOUNDED[kind]
        ends = abs(output - (low + high) / 2) > 0.48 * (high - low)
        found["saturated"] = float(ends.sum()) / math.prod(ends.shape)
    return found


def _is_module(model: Any) -> bool:
    """Without importing torch: where no torch has been imported, no model is one of its modules."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)
