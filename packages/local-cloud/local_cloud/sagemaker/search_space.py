"""SageMaker's parameter ranges as an Optuna search space: every kind of range and every scaling.

https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-define-ranges.html
Auto means logarithmic when a positive range spans a factor of 100, else linear: AWS does not say how it chooses.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_cloud.sagemaker.store import Document
from local_cloud.sagemaker.support import invalid, refuse_unsupported

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

AUTO_LOGARITHMIC_FACTOR = 100


@dataclass(frozen=True)
class Parameter:
    """One tuned hyperparameter; `lower` and `upper` are numbers except for categories."""

    name: str
    kind: str
    scaling: str = "Linear"
    lower: float = 0
    upper: float = 0
    values: tuple[str, ...] = ()

    def distribution(self) -> "BaseDistribution":
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "Categorical":
            return CategoricalDistribution(self.values)
        if self.kind == "Integer":
            return IntDistribution(int(self.lower), int(self.upper), log=self.scaling == "Logarithmic")
        if self.scaling == "ReverseLogarithmic":  # searched as 1 - value
            return FloatDistribution(1 - self.upper, 1 - self.lower, log=True)
        return FloatDistribution(self.lower, self.upper, log=self.scaling == "Logarithmic")

    def text(self, searched: Any) -> str:
        """The hyperparameter that the training job gets for a value of the search space."""
        if self.kind == "Continuous":
            value = 1 - searched if self.scaling == "ReverseLogarithmic" else searched
            return repr(min(max(float(value), self.lower), self.upper))
        return str(searched)

    def searched(self, text: str) -> Any:
        """The value of the search space for a hyperparameter; None when the range does not hold it."""
        if self.kind == "Categorical":
            return text if text in self.values else None
        try:
            value = float(text)
        except ValueError:
            return None
        if not self.lower <= value <= self.upper:
            return None
        if self.kind == "Integer":
            return int(value)
        return 1 - value if self.scaling == "ReverseLogarithmic" else value


def search_space(ranges: Document) -> list[Parameter]:
    """The parameters of ParameterRanges; raises for ranges that AWS refuses."""
    refuse_unsupported(
        "ParameterRanges", ranges, ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges")
    )
    parameters = [
        _numeric(entry, kind)
        for kind in ("Integer", "Continuous")
        for entry in ranges.get(f"{kind}ParameterRanges", [])
    ]
    for entry in ranges.get("CategoricalParameterRanges", []):
        if len(set(entry["Values"])) != len(entry["Values"]):
            raise invalid(f"The categorical hyperparameter {entry['Name']!r} has a value twice: {entry['Values']}.")
        parameters.append(Parameter(entry["Name"], "Categorical", values=tuple(entry["Values"])))
    names = [parameter.name for parameter in parameters]
    for name in {name for name in names if names.count(name) > 1}:
        raise invalid(f"The hyperparameter {name!r} has more than one range.")
    return parameters


def _numeric(entry: Document, kind: str) -> Parameter:
    name, scaling = entry["Name"], entry.get("ScalingType", "Auto")
    try:
        lower, upper = float(entry["MinValue"]), float(entry["MaxValue"])
    except ValueError as error:
        raise invalid(
            f"The range of {name!r} is not numeric: MinValue {entry['MinValue']!r}, MaxValue {entry['MaxValue']!r}."
        ) from error
    if not (math.isfinite(lower) and math.isfinite(upper)) or (kind == "Integer" and (lower % 1 or upper % 1)):
        raise invalid(
            f"The {kind.lower()} range of {name!r} must have {kind.lower()} bounds; got {entry['MinValue']} and "
            f"{entry['MaxValue']}."
        )
    if lower >= upper:
        raise invalid(
            f"The MinValue {entry['MinValue']} of {name!r} must be less than its MaxValue {entry['MaxValue']}."
        )
    if scaling == "Auto":
        scaling = "Logarithmic" if lower > 0 and upper / lower >= AUTO_LOGARITHMIC_FACTOR else "Linear"
    if scaling == "Logarithmic" and lower <= 0:
        raise invalid(
            f"Logarithmic scaling of {name!r} needs a range above 0; got {entry['MinValue']} to {entry['MaxValue']}."
        )
    if scaling == "ReverseLogarithmic":
        if kind == "Integer":
            raise invalid(f"ReverseLogarithmic scaling of {name!r} is for continuous ranges only.")
        if not 0 <= lower < upper < 1:
            raise invalid(
                f"ReverseLogarithmic scaling of {name!r} needs a range within 0 <= x < 1; got "
                f"{entry['MinValue']} to {entry['MaxValue']}."
            )
    return Parameter(name, kind, scaling, lower, upper)


def combinations(parameters: list[Parameter]) -> int:
    """How many points a grid of categories has."""
    return math.prod(len(parameter.values) for parameter in parameters)
