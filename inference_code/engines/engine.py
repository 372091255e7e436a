"""What an engine is, and what it refuses: the seam between the server and whatever runs a model."""

from typing import Protocol

import numpy as np


class EngineUnavailable(RuntimeError):
    """The engine asked for is not in this image."""


class UnusableModel(ValueError):
    """A model file that the engine cannot run, or whose input or output is not the artifact's."""


class Engine(Protocol):
    """Runs a model; safe to call from many threads at once."""

    name: str
    preferred_batch: int

    def warm_up(self, batch: np.ndarray) -> np.ndarray:
        """Pay every first call's cost now; the answer to this batch."""

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, 3, H, W) to float32 probabilities (N, classes)."""
