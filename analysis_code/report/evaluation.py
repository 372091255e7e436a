"""How good the model is on photos it has never seen, counted from `predictions.csv` itself.

Intervals are 95 %: Wilson's for accuracy, a bootstrap within each class for balanced accuracy.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from analysis_code.comparison.statistics import balanced_accuracy, balanced_accuracy_interval, wilson_interval
from analysis_code.report.inputs import Missing

_PROBABILITY: Final = "probability:"
_BINS: Final = 10


@dataclass(frozen=True)
class PerClass:
    """One class: how many photos it has, how many of them are found, how many of its predictions are right."""

    name: str
    photos: int
    recall: float | None
    precision: float | None
    f1: float | None
    confused_with: str | None


@dataclass(frozen=True)
class Mistake:
    """A photo that was called something else, with the probability the model gave its error."""

    file: str
    label: str
    predicted_label: str
    probability: float | None


@dataclass(frozen=True)
class Evaluation:
    """All that the section needs."""

    n: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced_accuracy: float
    balanced_interval: tuple[float, float]
    majority: float
    classes: list[str]
    confusion: list[list[int]]
    per_class: list[PerClass]
    calibration: list[tuple[float, float, int]]
    calibration_error: float | None
    mistakes: list[Mistake]

    def results(self) -> dict[str, Any]:
        """For programs."""
        return {
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "balanced_accuracy": self.balanced_accuracy,
            "balanced_accuracy_interval": list(self.balanced_interval),
            "n": self.n,
            "expected_calibration_error": self.calibration_error,
        }


def evaluate(rows: list[dict[str, str]] | Missing, classes: list[str] | None) -> Evaluation | Missing:
    """Count; `classes` gives the order (all of the model's), else those that occur."""
    if isinstance(rows, Missing):
        return rows
    needed = {"file", "label", "predicted_label"}
    if not rows or not needed <= set(rows[0]):
        return Missing(f"predictions.csv has no rows with the columns {sorted(needed)}")
    found = {row["label"] for row in rows} | {row["predicted_label"] for row in rows}
    names = list(classes) if classes and found <= set(classes) else sorted(found)
    place = {name: index for index, name in enumerate(names)}
    labels = np.array([place[row["label"]] for row in rows])
    predicted = np.array([place[row["predicted_label"]] for row in rows])
    confusion = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(confusion, (labels, predicted), 1)
    stated = np.array([_stated(row) for row in rows], dtype=float)
    right = labels == predicted
    calibration, error = _calibration(stated, right)
    return Evaluation(
        n=len(rows),
        accuracy=float(right.mean()),
        accuracy_interval=wilson_interval(int(right.sum()), len(rows)),
        balanced_accuracy=balanced_accuracy(labels, predicted),
        balanced_interval=balanced_accuracy_interval(labels, predicted),
        majority=float(confusion.sum(axis=1).max() / len(rows)),
        classes=names,
        confusion=confusion.tolist(),
        per_class=[_per_class(index, names, confusion) for index in range(len(names))],
        calibration=calibration,
        calibration_error=error,
        mistakes=_mistakes(rows, stated),
    )


def _stated(row: dict[str, str]) -> float:
    """The probability of the predicted class, or NaN."""
    try:
        return float(row.get(_PROBABILITY + row["predicted_label"]) or row.get("probability") or "nan")
    except ValueError:
        return float("nan")


def _per_class(index: int, names: list[str], confusion: np.ndarray) -> PerClass:
    true, said, right = int(confusion[index].sum()), int(confusion[:, index].sum()), int(confusion[index, index])
    recall = right / true if true else None
    precision = right / said if said else None
    f1 = 2 * right / (true + said) if true + said else None
    wrong = confusion[index].copy()
    wrong[index] = 0
    return PerClass(names[index], true, recall, precision, f1, names[int(wrong.argmax())] if wrong.any() else None)


def _calibration(stated: np.ndarray, right: np.ndarray) -> tuple[list[tuple[float, float, int]], float | None]:
    """Bins of (mean stated, share right, photos), and the expected calibration error."""
    if len(stated) == 0 or np.isnan(stated).any():
        return [], None
    place = np.minimum((stated * _BINS).astype(int), _BINS - 1)
    bins = []
    for index in np.unique(place):
        mine = place == index
        bins.append((float(stated[mine].mean()), float(right[mine].mean()), int(mine.sum())))
    error = sum(abs(confidence - share) * count for confidence, share, count in bins) / len(stated)
    return bins, float(error)


def _mistakes(rows: list[dict[str, str]], stated: np.ndarray, most: int = 12) -> list[Mistake]:
    """The mistakes the model was surest of: wrong labels in the data hide among them."""
    wrong = [index for index, row in enumerate(rows) if row["label"] != row["predicted_label"]]
    wrong.sort(key=lambda index: -np.nan_to_num(stated[index], nan=0.0))
    return [
        Mistake(
            rows[index]["file"],
            rows[index]["label"],
            rows[index]["predicted_label"],
            None if np.isnan(stated[index]) else float(stated[index]),
        )
        for index in wrong[:most]
    ]
