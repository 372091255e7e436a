"""Multinomial logistic regression, solved to the end: several problems at once over the same photos, in NumPy alone.

What is minimised is scikit-learn's: the sum of weight × surprise, plus |W|² / (2 C), the biases free. A problem is a column of
`weights` (photos × problems): the folds of a cross-validation differ in nothing but which photos count, so that one pass over
the features serves all of them. L-BFGS (Liu & Nocedal 1989, https://doi.org/10.1007/BF01589116) with a step length of its own for
each problem. Much arithmetic (features) is float32, what decides (losses, directions) is float64.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

PAIRS = 10  # steps and changes of the gradient that are remembered
CLOSE, CLOSEST = 1e-3, 1e-5  # largest entry of the gradient, a photo: for a comparison, and for a model that is kept
SUFFICIENT = 1e-4  # share of the promised decrease that a step must bring (Armijo)
NOISE = 1e-7  # of a loss: what float32 cannot tell apart
MOST_STEPS = 500
COLUMNS = 1024  # of the features that are turned into float64 at a time


@dataclass(frozen=True)
class Space:
    """Features as the solver sees them: as they are, or turned so that there are no more of them than photos.

    The penalty does not change when features are rotated. Of n photos only n directions matter, and the lower triangle of the
    Cholesky factor of XXᵀ is X, rotated into them.
    """

    features: np.ndarray
    turned: np.ndarray | None = None  # the features before

    @classmethod
    def of(cls, features: np.ndarray) -> Space:
        photos, width = features.shape
        if width <= photos:
            return cls(features)
        # In float64: the largest of these numbers may be a thousand times the mean, and float32's rounding of it more than the rest.
        products = np.zeros((photos, photos))
        for begin in range(0, width, COLUMNS):
            part = features[:, begin : begin + COLUMNS].astype(np.float64)
            products += part @ part.T
        # Photos that are alike, and features with their mean taken off, leave directions without length.
        products[np.diag_indices(photos)] += 1e-6 * np.trace(products) / photos
        return cls(np.linalg.cholesky(products).astype(np.float32), features)

    def weight(self, found: np.ndarray) -> np.ndarray:
        """Weights (features × classes) for the features as they were."""
        if self.turned is None:
            return found.astype(np.float32)
        shares = np.linalg.solve(self.features.T.astype(np.float64), found)
        return (self.turned.T @ shares.astype(np.float32)).astype(np.float32)


class Objective:
    """Loss and gradient of all problems at once; parameters are (features + 1) × problems × answers, biases last.

    There is an answer for each class; of two classes the weights of one are those of the other with the other sign (the least
    penalty has it so), and one answer is enough: half the arithmetic.
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray, classes: int, weights: np.ndarray) -> None:
        self.features, self.labels = np.ascontiguousarray(features, np.float32), labels
        self.weights = np.ascontiguousarray(weights, np.float32)
        self.mirrored = classes == 2
        self.shape = (features.shape[1] + 1, weights.shape[1], 1 if self.mirrored else classes)
        # How far a gradient's entry of an answer is that of a class.
        self.counted = self.weights.sum(axis=0, dtype=np.float64) * (2 if self.mirrored else 1)
        self._rows, self._signs = np.arange(len(labels)), np.where(labels == 1, 1, -1).astype(np.float32)

    def by_class(self, parameters: np.ndarray) -> np.ndarray:
        """(features + 1) × problems × classes."""
        return np.concatenate([-parameters, parameters], axis=2) if self.mirrored else parameters

    def logits(self, parameters: np.ndarray) -> np.ndarray:
        """photos × problems × classes."""
        return self.by_class(self._answers(parameters))

    def _answers(self, parameters: np.ndarray) -> np.ndarray:
        flat = parameters[:-1].reshape(self.shape[0] - 1, -1).astype(np.float32)
        found = (self.features @ flat).reshape(-1, *self.shape[1:])
        found += parameters[-1].astype(np.float32)
        return found

    def __call__(self, parameters: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
        return self._of_two(parameters, strength) if self.mirrored else self._of_many(parameters, strength)

    def _of_two(self, parameters: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
        # Of answers -u and u the truth's logit is ahead by `margin`; a wrong one costs log(1 + e^-margin).
        margin = 2 * self._signs[:, None] * self._answers(parameters)[:, :, 0]
        rest = np.exp(-np.abs(margin))
        surprise = np.log1p(rest, dtype=np.float64) + np.maximum(-margin, 0)
        loss = (self.weights * surprise).sum(axis=0)
        wrong = np.where(margin > 0, rest, 1) / (1 + rest)
        pull = -2 * self._signs[:, None] * self.weights * wrong
        gradient = self._gradient(pull[:, :, None], 2 * parameters[:-1] / strength)
        return loss + np.square(parameters[:-1]).sum(axis=(0, 2)) / strength, gradient

    def _gradient(self, pull: np.ndarray, penalty: np.ndarray) -> np.ndarray:
        gradient = np.empty(self.shape)
        gradient[:-1] = (self.features.T @ pull.reshape(len(pull), -1)).reshape(-1, *self.shape[1:])
        gradient[-1] = pull.sum(axis=0, dtype=np.float64)
        gradient[:-1] += penalty
        return gradient

    def _of_many(self, parameters: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
        scores = self._answers(parameters)
        scores -= scores.max(axis=2, keepdims=True)
        truth = scores[self._rows, :, self.labels].astype(np.float64)
        np.exp(scores, out=scores)
        total = scores.sum(axis=2, keepdims=True)
        loss = (self.weights * (np.log(total[:, :, 0], dtype=np.float64) - truth)).sum(axis=0)
        scores /= total
        scores[self._rows, :, self.labels] -= 1
        scores *= self.weights[:, :, None]
        gradient = self._gradient(scores, parameters[:-1] / strength)
        loss += np.square(parameters[:-1]).sum(axis=(0, 2)) / (2 * strength)
        return loss, gradient


Told = Callable[[float], None]


def minimised(
    objective: Objective,
    strength: float,
    start: np.ndarray | None = None,
    enough: float = CLOSEST,
    told: Told | None = None,
) -> np.ndarray:
    """The parameters with the least loss at `strength` (scikit-learn's C); `told` hears the first problem's loss a photo."""
    here = np.zeros(objective.shape) if start is None else start.copy()
    loss, gradient = objective(here, strength)
    pairs: deque[Pair] = deque(maxlen=PAIRS)
    done = np.zeros(objective.shape[1], bool)
    for _ in range(MOST_STEPS):
        done |= np.abs(gradient).max(axis=(0, 2)) <= enough * objective.counted
        if done.all():
            break
        direction = -_turned(gradient, pairs)
        slope = _products(direction, gradient)
        uphill = slope >= 0
        direction[:, uphill], slope[uphill] = -gradient[:, uphill], -_products(gradient, gradient)[uphill]
        # The first step has no length of its own yet: one that moves no logit far.
        length = np.full(len(done), 1.0) if pairs else 1 / np.maximum(np.abs(gradient).sum(axis=(0, 2)), 1.0)
        length[done] = 0
        there, new_loss, new_gradient, stuck = _step(objective, strength, here, loss, direction, slope, length)
        done |= stuck
        pairs.append(Pair.of(there - here, new_gradient - gradient))
        here, loss, gradient = there, new_loss, new_gradient
        if told:
            told(float(loss[0] / objective.weights[:, 0].sum(dtype=np.float64)))
    return here


def _step(
    objective: Objective, strength: float, here: np.ndarray, loss: np.ndarray, direction: np.ndarray, slope: np.ndarray,
    length: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Where each problem goes, shortened until it goes down; which problems can go no further in this arithmetic."""
    allowed = NOISE * np.abs(loss)
    for _ in range(30):
        there = here + length[:, None] * direction
        new_loss, gradient = objective(there, strength)
        bad = new_loss > loss + SUFFICIENT * length * slope + allowed
        if not bad.any():
            break
        length = np.where(bad, length * 0.3, length)
    return there, new_loss, gradient, bad | (loss - new_loss <= allowed)


@dataclass(frozen=True)
class Pair:
    """A step, what it did to the gradient, and one over their product; 0 where a problem did not move."""

    step: np.ndarray
    change: np.ndarray
    inverse: np.ndarray

    @classmethod
    def of(cls, step: np.ndarray, change: np.ndarray) -> Pair:
        product = _products(step, change)
        moved = product > 1e-10 * np.sqrt(_products(step, step) * _products(change, change))
        return cls(step, change, np.where(moved, 1 / np.where(moved, product, 1), 0.0))


def _products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.einsum("dpk,dpk->p", one, other)


def _turned(gradient: np.ndarray, pairs: deque[Pair]) -> np.ndarray:
    """The gradient times the inverse curvature, as far as the pairs know it: the two loops of L-BFGS."""
    found, shares = gradient.copy(), []
    for pair in reversed(pairs):
        share = pair.inverse * _products(pair.step, found)
        found -= share[:, None] * pair.change
        shares.append(share)
    if pairs:
        last = pairs[-1]
        squares = last.inverse * _products(last.change, last.change)
        found *= np.where(squares > 0, 1 / np.where(squares > 0, squares, 1), 1.0)[:, None]
    for pair, share in zip(pairs, reversed(shares), strict=True):
        found += (share - pair.inverse * _products(pair.change, found))[:, None] * pair.step
    return found
