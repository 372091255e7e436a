"""Tests for classifiers judged on the same photos; intervals of one classifier are in `contract/measures.py`.

Sources: McNemar (1947), exact form, for two classifiers on the same photos; Holm (1979) for many pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import binomtest


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
