"""Which photos a step sees: a function of seed, epoch and step alone.

Nothing carries over from one step to the next, so a training that resumes at any step draws exactly what an uninterrupted
one draws, and N machines draw disjoint shares of the very batches that one machine would.
"""

from __future__ import annotations

import numpy as np

from training_code.train.measures import sampling_weights


def generator(seed: int, epoch: int, step: int = -1) -> np.random.Generator:
    """The random numbers of one epoch (step -1) or of one step of it."""
    return np.random.default_rng([seed, epoch, step + 1])


class Sampler:
    """Order of the training photos in each epoch. `weighted`: draw classes equally often (with replacement)."""

    def __init__(self, labels: np.ndarray, classes: int, batch_size: int, seed: int, *, weighted: bool) -> None:
        self._n = len(labels)
        self._seed = seed
        self.batch_size = min(batch_size, self._n)
        self._weights = sampling_weights(labels, classes) if weighted else None

    @property
    def steps(self) -> int:
        """Steps of one epoch. A last batch of less than half the size joins the one before: its gradient would be noise."""
        return max(1, round(self._n / self.batch_size))

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """Indices of each step's photos over all machines."""
        random = generator(self._seed, epoch)
        weights = self._weights
        order = random.permutation(self._n) if weights is None else random.choice(self._n, self._n, p=weights)
        cuts = [index * self.batch_size for index in range(1, self.steps)]
        return np.split(order, cuts)
