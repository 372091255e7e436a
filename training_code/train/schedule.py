"""Learning rate over the steps of a training: warm-up, then a cosine to zero, or constant."""

from __future__ import annotations

import math


def factor(step: int, total: int, warmup: float, shape: str) -> float:
    """Share of the peak learning rate at a step (from 0); the first step already learns."""
    rising = int(total * warmup)
    if step < rising:
        return (step + 1) / (rising + 1)
    if shape == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))
