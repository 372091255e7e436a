"""Losses and scores of a set of photos from its logits, and the class weights that make rare classes count."""

from __future__ import annotations

import numpy as np

from contract.measures import balanced_accuracy, calibration_error
from training_code.models.export import softmax


def class_weights(labels: np.ndarray, classes: int, balance: str) -> np.ndarray:
    """Weight of each class in the loss: n / (classes · n_c) for a balanced loss, else ones; mean over photos 1."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    if balance != "loss":
        return np.ones(classes, np.float32)
    return (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)


def sampling_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Probability of drawing each photo so that every class is drawn equally often."""
    counts = np.maximum(np.bincount(labels, minlength=classes), 1).astype(np.float64)
    weights = 1.0 / counts[labels]
    return weights / weights.sum()


def surprises(logits: np.ndarray) -> np.ndarray:
    """Minus the log-probability of every class: photos × classes."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1, keepdims=True)) - shifted


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(surprises(logits)[np.arange(len(labels)), labels].mean())


def score(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """`validation:loss`, `validation:accuracy` and `validation:balanced_accuracy` (mean recall of the classes present)."""
    right = logits.argmax(axis=1) == labels
    return {
        "validation:loss": cross_entropy(logits.astype(np.float64), labels),
        "validation:accuracy": float(right.mean()),
        "validation:balanced_accuracy": balanced_accuracy(labels, logits.argmax(axis=1)),
    }


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature under which the validation photos are least surprising (Guo et al. 2017, arXiv:1706.04599).

    Golden-section search over its logarithm. Where every one of 49 photos is right, the sharpest temperature would win, and one
    wrong answer later would be called certain: as Platt (1999) does, one photo in n + 2 is taken for another class.
    """
    if len(labels) < 10:
        return 1.0
    low, high = np.log(0.05), np.log(20.0)
    ratio = (5**0.5 - 1) / 2

    def surprise(log_temperature: float) -> float:
        return float((surprises(logits.astype(np.float64) / np.exp(log_temperature)) * target).sum(axis=1).mean())

    doubt, classes = 1 / (len(labels) + 2), logits.shape[1]
    target = np.full(logits.shape, doubt / max(classes - 1, 1))
    target[np.arange(len(labels)), labels] = 1 - doubt
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = surprise(left), surprise(right)
    while high - low > 1e-4:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = surprise(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = surprise(right)
    return float(np.exp((low + high) / 2))


def expected_calibration_error(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean gap between confidence and accuracy, as evaluation measures it."""
    return calibration_error(labels, softmax(logits.astype(np.float64)))


def is_better(metric: str, new: float, old: float | None) -> bool:
    """Losses fall, everything else rises."""
    if old is None:
        return True
    return new < old if metric.endswith("loss") else new > old
