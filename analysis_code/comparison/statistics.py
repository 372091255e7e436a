"""Intervals and tests for classifiers judged on the same photos.

Sources: Wilson (1927) for the interval of a proportion; McNemar (1947), exact form, for two classifiers on the same
photos; Holm (1979) for many pairs; Brodersen et al. (2010), "The balanced accuracy and its posterior distribution", with
Jeffreys' prior, so that a class without a single error is not taken for one that can have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import sqrt

import numpy as np
from scipy.stats import binomtest

Z95 = 1.959963984540054


def wilson_interval(correct: int, n: int, z: float = Z95) -> tuple[float, float]:
    """95 % interval of a proportion; for n = 0 nothing is known: (0, 1)."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = correct / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z * sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean recall over the classes that occur in `labels` (int arrays of shape (n,))."""
    return float(np.mean([np.mean(predicted[labels == c] == c) for c in np.unique(labels)]))


def balanced_accuracy_interval(
    labels: np.ndarray, predicted: np.ndarray, draws: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean recall: each class's recall is a Beta(hits + 1/2, misses + 1/2)."""
    random = np.random.default_rng(seed)
    recalls = []
    for c in np.unique(labels):
        mine = labels == c
        hits = int(np.sum(predicted[mine] == c))
        recalls.append(random.beta(hits + 0.5, int(mine.sum()) - hits + 0.5, size=draws))
    low, high = np.percentile(np.mean(recalls, axis=0), [2.5, 97.5])
    # The prior draws each class towards a half: where many recalls are 0 or 1, past the value that was measured.
    measured = balanced_accuracy(labels, predicted)
    return min(float(low), measured), max(float(high), measured)


@dataclass(frozen=True)
class Pair:
    """Two candidates on the same photos: `only_a` right where b was wrong, and the other way round."""

    a: str
    b: str
    only_a: int
    only_b: int
    p: float
    p_holm: float

    @property
    def distinguishable(self) -> bool:
        return self.p_holm < 0.05


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Two-sided exact McNemar test: with no disagreement nothing speaks against equality."""
    n = only_a + only_b
    return 1.0 if n == 0 else float(binomtest(only_a, n, 0.5).pvalue)


def compare_pairs(correct: dict[str, np.ndarray]) -> list[Pair]:
    """McNemar for every pair of candidates, corrected by Holm. `correct[name]`: bool array over the same photos."""
    raw = []
    for a, b in combinations(correct, 2):
        only_a = int(np.sum(correct[a] & ~correct[b]))
        only_b = int(np.sum(correct[b] & ~correct[a]))
        raw.append((a, b, only_a, only_b, mcnemar_p(only_a, only_b)))
    order = sorted(range(len(raw)), key=lambda i: raw[i][4])
    adjusted, highest = {}, 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(raw) - rank) * raw[i][4]))
        adjusted[i] = highest
    return [Pair(*values, adjusted[i]) for i, values in enumerate(raw)]
