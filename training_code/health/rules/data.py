"""The rule that looks at what is trained on: ClassImbalance."""

from __future__ import annotations

from collections.abc import Mapping

from training_code.health.observations import Observations
from training_code.health.rule import Outcome, healthy, no_data, rule


@rule(
    "ClassImbalance",
    "The largest class has threshold_imbalance times as many training photos as the smallest, or a class has fewer "
    "than min_photos. Or, in the last epoch, accuracy exceeds balanced accuracy by more than accuracy_gap.",
    threshold_imbalance=10.0, min_photos=5, accuracy_gap=0.1,
)  # fmt: skip
def class_imbalance(observed: Observations, p: Mapping[str, float]) -> Outcome:
    counts: Mapping[str, int] = observed.run.get("class_counts") or {}
    if not counts:
        return no_data("the training did not say how many photos each class has (Observer.dataset)")
    smallest, largest = min(counts, key=lambda c: counts[c]), max(counts, key=lambda c: counts[c])
    ratio = counts[largest] / max(1, counts[smallest])
    gap = _accuracy_gap(observed)
    values = {"smallest": smallest, "largest": largest, "ratio": ratio, "accuracy_gap": gap}
    seen = (
        f"{len(counts)} classes; {largest}: {counts[largest]} photos, {smallest}: {counts[smallest]}, {ratio:.3g} to 1"
    )
    if ratio == 1:
        seen = f"{len(counts)} classes of {counts[smallest]} photos each"
    if gap is not None:
        seen += f"; accuracy is {gap:.3g} above balanced accuracy"
    few = counts[smallest] < p["min_photos"]
    if ratio >= p["threshold_imbalance"] or few or (gap or 0.0) > p["accuracy_gap"]:
        return Outcome(
            "IssuesFound", seen, "the rare class hardly moves the loss, so it is the one that is got wrong, and accuracy hides it",
            f"more photos of {smallest}, class weights or balanced sampling; judge by balanced accuracy", values,
        )  # fmt: skip
    return healthy(seen, **values)


def _accuracy_gap(observed: Observations) -> float | None:
    accuracy, balanced = (
        observed.epoch_series("validation:accuracy"),
        observed.epoch_series("validation:balanced_accuracy"),
    )
    return accuracy[-1][1] - balanced[-1][1] if accuracy and balanced else None
