"""A moving average of the weights while they learn: what is evaluated and kept when `ema_decay` is above 0."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class MovingAverage:
    """Average of all learning parameters; early steps count more, so that the start is forgotten quickly."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._decay, self.steps = decay, 0
        self.average = [p.detach().clone() for p in self._parameters] if decay else []

    @torch.no_grad()
    def update(self) -> None:
        if not self.average:
            return
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.average, [p.detach() for p in self._parameters], 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with the averaged weights; the learnt ones come back afterwards."""
        if not self.average:
            yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, average in zip(self._parameters, self.average, strict=True):
            held = parameter.clone()
            parameter.copy_(average)
            average.copy_(held)

    def state(self) -> dict[str, object]:
        return {"steps": self.steps, "average": self.average}

    @torch.no_grad()
    def load(self, state: dict) -> None:
        self.steps = state["steps"]
        for average, stored in zip(self.average, state["average"], strict=True):
            average.copy_(stored)
