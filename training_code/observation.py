"""What the training loop tells about itself, and to whom.

The loop calls one `Observer` and knows nothing of hooks, profilers and health rules. An observer never breaks a
training: a failure inside one is a warning, and it is left out from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Protocol

Mode = Literal["TRAIN", "EVAL"]
Phase = Literal["data", "forward", "backward", "optimizer"]


class Observer(Protocol):
    """Called by the training loop; every method must be cheap enough to be called each step."""

    def model_ready(self, model: Any, loss_function: Any, optimizer: Any) -> None:
        """Once, after the model is built and weights are loaded, before the first step."""

    def mode(self, mode: Mode) -> None:
        """The steps that follow are of this mode."""

    def phase(self, name: Phase) -> AbstractContextManager[None]:
        """Wraps one phase of the current step."""

    def step(self, loss: Any, batch_size: int) -> None:
        """After each step; `loss` is a detached scalar tensor or a float."""

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """After each epoch, with the metrics printed for it."""

    def close(self) -> None:
        """Once, also when training fails or is stopped."""


class NoObserver:
    """The observer of a training that nobody asked to watch: costs nothing."""

    _nothing = nullcontext()

    def model_ready(self, model: Any, loss_function: Any, optimizer: Any) -> None: ...
    def mode(self, mode: Mode) -> None: ...
    def phase(self, name: Phase) -> AbstractContextManager[None]:
        return self._nothing

    def step(self, loss: Any, batch_size: int) -> None: ...
    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...
