"""The metrics that `train` prints, and the regular expressions by which SageMaker finds them in the log.

One line per value: `validation_balanced_accuracy=0.9312;`. The name comes from one table, so that what is printed and what
is looked for cannot differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One metric: `name` as CloudWatch and tuning know it, and whether less or more of it is better."""

    name: str
    better: Literal["Minimize", "Maximize"]

    @property
    def printed_name(self) -> str:
        return self.name.replace(":", "_")

    @property
    def regex(self) -> str:
        # The word boundary keeps `validation_accuracy` from matching inside another name. Only numbers: SageMaker can
        # neither compare nor plot NaN, and a training with a NaN loss fails by itself.
        return rf"\b{re.escape(self.printed_name)}=(-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?);"


METRICS = (
    Metric("train:loss", "Minimize"),
    Metric("validation:loss", "Minimize"),
    Metric("validation:accuracy", "Maximize"),
    Metric("validation:balanced_accuracy", "Maximize"),
    # Printed once, at the end of the training that is exported.
    Metric("health:issues_found", "Minimize"),
    Metric("health:rules_without_data", "Minimize"),
)
BY_NAME = {metric.name: metric for metric in METRICS}
DEFAULT_OBJECTIVE = "validation:balanced_accuracy"
OBJECTIVES = tuple(metric.name for metric in METRICS if metric.name.startswith("validation:"))


def metric_definitions() -> list[dict[str, str]]:
    """`AlgorithmSpecification.MetricDefinitions` of a training or tuning job."""
    return [{"Name": metric.name, "Regex": metric.regex} for metric in METRICS]


def metric_line(name: str, value: float) -> str:
    """The text that the regex of this metric finds; an unknown name is a KeyError."""
    return f"{BY_NAME[name].printed_name}={value:.6g};"
