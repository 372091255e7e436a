"""Arithmetic of fine-tuning: float32, or autocast to 16 bits where a measurement on this machine says that it pays.

bfloat16 halves the time on a GPU and on some CPUs, and doubles it on others that only emulate it: asking the processor's flags is
not enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch

TRIES = 2


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))


def choose(asked: str, device: torch.device, step: Callable[[str], None]) -> tuple[str, dict[str, float]]:
    """The precision and, where it was measured, seconds of one step in each. `step` trains one throw-away step."""
    if asked != "auto":
        return asked, {}
    if device.type == "cuda":
        return ("bfloat16" if torch.cuda.is_bf16_supported() else "float16"), {}
    seconds = {name: min(_timed(step, name) for _ in range(TRIES)) for name in ("float32", "bfloat16")}
    # bfloat16 must win clearly: it costs accuracy, and the measurement has noise.
    return ("bfloat16" if seconds["bfloat16"] < 0.9 * seconds["float32"] else "float32"), seconds


def _timed(step: Callable[[str], None], precision: str) -> float:
    began = time.perf_counter()
    step(precision)
    return time.perf_counter() - began
