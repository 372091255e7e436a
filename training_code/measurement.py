"""Everything that is said about a classifier from its answers on the test photos, for the whole, by class and by group.

The formulas stand in `contract/measures.py`. NumPy alone, so that it starts at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from contract.measures import (
    balanced_accuracy,
    balanced_accuracy_interval,
    calibration_bins,
    calibration_error,
    log_loss,
    wilson_interval,
)


def measure(
    truth: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    facets: Mapping[str, Sequence[str]],
    thresholds: Mapping[str, float],
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
        "balanced_accuracy": balanced_accuracy(truth, predicted),
        "worst_class_recall": float(recalls.min()),
        "macro_f1": float(per_class["f1"][present].mean()),
        "loss": log_loss(truth, probabilities),
        "expected_calibration_error": calibration_error(truth, probabilities),
        "calibration": [list(one) for one in calibration_bins(truth, probabilities)],
        "baseline_accuracy": float(confusion.sum(axis=1).max() / n),
        "intervals": {
            "accuracy": list(wilson_interval(right, n)),
            "balanced_accuracy": list(balanced_accuracy_interval(truth, predicted)),
        },
        "facets": {
            name: facet_scores(truth, predicted, values, thresholds.get(name))
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


def facet_scores(
    truth: np.ndarray, predicted: np.ndarray, values: Sequence[str], threshold: float | None
) -> dict[str, dict[str, float]]:
    """Accuracy and balanced accuracy of each group of photos; numbers are cut in two at the threshold."""
    groups = np.array([_group(value, threshold) for value in values])
    found = {}
    for group in sorted(set(groups.tolist())):
        those = groups == group
        found[group] = {
            "n": int(those.sum()),
            "accuracy": round(float((truth[those] == predicted[those]).mean()), 6),
            "balanced_accuracy": round(balanced_accuracy(truth[those], predicted[those]), 6),
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
