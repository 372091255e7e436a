"""Which columns of metadata.csv bias can be measured on, and for which label.

Suitable: a few categories that repeat, or numbers (cut at their median). Refuses a facet or a label that does not exist.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from contract.execution_input import Bias
from contract.plan import BiasPlan, Facet
from contract.validation import InvalidField, did_you_mean
from training_code.prepare.inspection import Photo

MOST_CATEGORIES = 20


def bias_plan(asked: Bias, photos: Sequence[Photo], classes: Sequence[str]) -> BiasPlan:
    used = [photo for photo in photos if not photo.left_out]
    columns = list(dict.fromkeys(name for photo in used for name in photo.placed.facets))
    for name in asked.facets:
        if name not in columns:
            raise InvalidField(
                "bias.facets",
                name,
                ", ".join(columns) or "none, since the data set has no metadata.csv",
                did_you_mean(name, columns),
            )
    for label in asked.positive_labels:
        if label not in classes:
            raise InvalidField("bias.positive_labels", label, ", ".join(classes), did_you_mean(label, classes))
    rarest = min(classes, key=lambda label: (sum(photo.label == label for photo in used), label))
    positive = tuple(asked.positive_labels or [rarest])
    if not asked.enabled:
        return BiasPlan(False, "bias.enabled is false", positive_labels=positive)
    if not columns:
        why = "the data set has no metadata.csv with columns beside file_name"
        return BiasPlan(False, why, positive_labels=positive)
    judged = {
        name: _facet(name, [p.placed.facets.get(name, "") for p in used if p.split == "test"]) for name in columns
    }
    wanted = asked.facets or columns
    facets = tuple(facet for name in wanted if isinstance(facet := judged[name], Facet))
    unsuitable = [f"{name}: {judged[name]}" for name in wanted if isinstance(judged[name], str)]
    if asked.facets and unsuitable:
        raise InvalidField(
            "bias.facets", asked.facets, "columns on which bias can be measured", "; ".join(unsuitable) + "."
        )
    if not facets:
        why = f"no column of metadata.csv is suitable ({'; '.join(unsuitable)})"
        return BiasPlan(False, why, positive_labels=positive)
    return BiasPlan(True, "", facets, positive)


def _facet(name: str, values: Sequence[str]) -> Facet | str:
    """The facet, or why it is none."""
    present = [value for value in values if value]
    counts = Counter(present)
    if len(counts) < 2:
        return "fewer than two values among the test photos"
    if len(counts) <= MOST_CATEGORIES:
        return Facet(name, tuple(sorted(counts)))
    try:
        numbers = [float(value) for value in present]
    except ValueError:
        return f"{len(counts)} different values"
    return Facet(name, threshold=median(numbers))
