"""Which photos judge which: folds of a cross-validation in which photos that show the same stay together."""

from __future__ import annotations

from collections import defaultdict

import numpy as np


def folds_of(labels: np.ndarray, groups: np.ndarray | None, count: int, seed: int) -> np.ndarray:
    """The fold (0 … count - 1) of each photo: every class spread over all folds, no group in two of them.

    Groups of several photos are dealt first, the largest first, each to the fold that has the fewest photos of its class.
    """
    random = np.random.default_rng([seed, 0xF01D])
    order = random.permutation(len(labels))
    members: dict[int, list[int]] = defaultdict(list)
    for index in order:
        members[int(groups[index]) if groups is not None else -1 - int(index)].append(int(index))
    found = np.empty(len(labels), np.int64)
    of_class = np.zeros((int(labels.max()) + 1, count), np.int64)
    total = np.zeros(count, np.int64)
    for group in sorted(members.values(), key=len, reverse=True):
        held = np.bincount(labels[group], minlength=len(of_class))
        fold = min(range(count), key=lambda one: (int(held @ of_class[:, one]), int(total[one]), one))
        found[group] = fold
        of_class[:, fold] += held
        total[fold] += len(group)
    return found
