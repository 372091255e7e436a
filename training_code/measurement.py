"""What is said about a classifier from its answers on labelled photos, with how sure one can be of it.

NumPy alone, so that it starts at once. Balanced accuracy is the mean recall of the classes that occur.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Z95 = 1.959963984540054
RESAMPLES = 1000
CALIBRATION_BINS = 15


def measure(
    truth: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    facets: Mapping[str, Sequence[str]],
    thresholds: Mapping[str, float],
    seed: int,
) -> dict[str, Any]:
    """All measures of `truth` (class index per photo) against `probabilities` (photos × classes), as JSON."""
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(truth, predicted, len(classes))
    per_class = class_scores(confusion)
    present = confusion.sum(axis=1) > 0
    recalls = per_class["recall"][present]
    n, right = len(truth), int((truth == predicted).sum())
    return {
        "n": n,
        "accuracy": right / n,
        "balanced_accuracy": float(recalls.mean()),
        "worst_class_recall": float(recalls.min()),
        "macro_f1": float(per_class["f1"][present].mean()),
        "loss": log_loss(truth, probabilities),
        "expected_calibration_error": calibration_error(truth, probabilities),
        "baseline_accuracy": float(confusion.sum(axis=1).max() / n),
        "intervals": {
            "accuracy": list(wilson(right, n)),
            "balanced_accuracy": list(bootstrap_balanced_accuracy(truth, predicted, len(classes), seed)),
        },
        "facets": {
            name: facet_scores(truth, predicted, values, thresholds.get(name), len(classes))
            for name, values in facets.items()
            if name in thresholds or len(set(values)) <= 50
        },
        "classes": list(classes),
        "per_class": {
            label: {
                "n": int(confusion[i].sum()),
                **{name: round(float(per_class[name][i]), 6) for name in ("precision", "recall", "f1")},
            }
            for i, label in enumerate(classes)
        },
        "confusion_matrix": confusion.tolist(),
    }


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Photos by true class (rows) and predicted class (columns)."""
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def class_scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall and F1 of each class; 0 where it is undefined."""
    hits = np.diag(confusion).astype(float)
    precision = hits / np.maximum(confusion.sum(axis=0), 1)
    recall = hits / np.maximum(confusion.sum(axis=1), 1)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / np.maximum(precision + recall, 1e-12),
    }


def log_loss(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean negative logarithm of the probability of the true class; a certain mistake counts as 1e-7."""
    return float(-np.log(np.clip(probabilities[np.arange(len(truth)), truth], 1e-7, 1)).mean())


def calibration_error(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Expected calibration error of the predicted class: 15 bins of equal width (Guo et al. 2017, arXiv:1706.04599)."""
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((sure * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [
        (bins == one).mean() * abs(sure[bins == one].mean() - right[bins == one].mean())
        for one in range(CALIBRATION_BINS)
        if (bins == one).any()
    ]
    return float(sum(gaps))


def wilson(right: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): honest for few photos and shares near 1, unlike the normal one."""
    share, z2 = right / n, Z95 * Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * (share * (1 - share) / n + z2 / (4 * n * n)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap_balanced_accuracy(
    truth: np.ndarray, predicted: np.ndarray, classes: int, seed: int
) -> tuple[float, float]:
    """95 % percentile interval; photos are drawn again within each class, which is a binomial draw of its hits."""
    rng = np.random.default_rng(seed)
    counts = np.bincount(truth, minlength=classes)
    hits = np.bincount(truth[truth == predicted], minlength=classes)
    there = counts > 0
    drawn = rng.binomial(counts[there], hits[there] / counts[there], size=(RESAMPLES, int(there.sum())))
    low, high = np.percentile((drawn / counts[there]).mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def facet_scores(
    truth: np.ndarray, predicted: np.ndarray, values: Sequence[str], threshold: float | None, classes: int
) -> dict[str, dict[str, float]]:
    """Accuracy and balanced accuracy of each group of photos; numbers are cut in two at the threshold."""
    groups = np.array([_group(value, threshold) for value in values])
    found = {}
    for group in sorted(set(groups.tolist())):
        those = groups == group
        confusion = confusion_matrix(truth[those], predicted[those], classes)
        recall = class_scores(confusion)["recall"][confusion.sum(axis=1) > 0]
        found[group] = {
            "n": int(those.sum()),
            "accuracy": round(float((truth[those] == predicted[those]).mean()), 6),
            "balanced_accuracy": round(float(recall.mean()), 6),
        }
    return found


def _group(value: str, threshold: float | None) -> str:
    if not value:
        return "(none)"
    if threshold is None:
        return value
    try:
        return f"> {threshold:g}" if float(value) > threshold else f"≤ {threshold:g}"
    except ValueError:
        return "(no number)"
