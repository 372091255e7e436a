"""How good the model is on photos it has never seen, as the step Evaluate predictions measured it.

Every number is read from its `details.json`, so that the page says what the registered package says. Only the worst mistakes are
looked up in `predictions.csv`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, Final

from analysis_code.report.inputs import Missing

_PROBABILITY: Final = "probability:"


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


def evaluate(details: dict[str, Any] | Missing, rows: list[dict[str, str]] | Missing) -> Evaluation | Missing:
    """From `details.json` and the rows of `predictions.csv`; what is of another shape is Missing with the reason."""
    if isinstance(details, Missing):
        return details
    if isinstance(rows, Missing):
        return rows
    if not rows or not {"file", "label", "predicted_label"} <= set(rows[0]):
        return Missing("predictions.csv has no rows with the columns file, label and predicted_label", failed=True)
    try:
        return _evaluation(details, rows)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        return Missing(f"details.json lacks what the page shows: {type(error).__name__} {error}", failed=True)


def _evaluation(details: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> Evaluation:
    names, confusion = details["classes"], details["confusion_matrix"]
    low, high = details["intervals"]["accuracy"]
    balanced_low, balanced_high = details["intervals"]["balanced_accuracy"]
    return Evaluation(
        n=details["n"],
        accuracy=details["accuracy"],
        accuracy_interval=(low, high),
        balanced_accuracy=details["balanced_accuracy"],
        balanced_interval=(balanced_low, balanced_high),
        majority=details["baseline_accuracy"],
        classes=names,
        confusion=confusion,
        per_class=[_per_class(i, names, details["per_class"][name], confusion) for i, name in enumerate(names)],
        calibration=[(stated, right, photos) for stated, right, photos in details["calibration"]],
        calibration_error=details["expected_calibration_error"],
        mistakes=_mistakes(rows),
    )


def _per_class(index: int, names: Sequence[str], scores: Mapping[str, float], confusion: list[list[int]]) -> PerClass:
    """Its scores; one that divides by no photo is none, and not the 0 that a mean over classes counts."""
    row, called = confusion[index], sum(row[index] for row in confusion)
    others = [0 if place == index else count for place, count in enumerate(row)]
    return PerClass(
        name=names[index],
        photos=scores["n"],
        recall=scores["recall"] if scores["n"] else None,
        precision=scores["precision"] if called else None,
        f1=scores["f1"] if scores["n"] or called else None,
        confused_with=names[others.index(max(others))] if any(others) else None,
    )


def _stated(row: Mapping[str, str]) -> float:
    """The probability of the predicted class, or NaN."""
    try:
        return float(row.get(_PROBABILITY + row["predicted_label"]) or "nan")
    except ValueError:
        return nan


def _mistakes(rows: Sequence[Mapping[str, str]], most: int = 12) -> list[Mistake]:
    """The mistakes the model was surest of: wrong labels in the data hide among them."""
    wrong = [(row, _stated(row)) for row in rows if row["label"] != row["predicted_label"]]
    wrong.sort(key=lambda one: -(one[1] if one[1] == one[1] else 0.0))
    return [
        Mistake(row["file"], row["label"], row["predicted_label"], stated if stated == stated else None)
        for row, stated in wrong[:most]
    ]
