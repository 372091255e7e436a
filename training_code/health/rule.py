"""What a health rule is, their names, and what comes out of one.

The names are those of SageMaker Debugger's built-in rules
(https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html), so that a configuration can be carried
over. Definitions and implementations are ours (docs/health.md), and every result says so. A rule that lacks what it needs
says `NoData` and names it; it never passes for want of evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from training_code.health.observations import Observations

Status = Literal["IssuesFound", "NoIssuesFound", "NoData", "Error"]

# What a rule about time or machine must promise before it says a word: nobody changes a training of two seconds for one.
LEAST_GAIN_SECONDS = 10.0
IMPLEMENTATION = "Darkroom (not SageMaker's built-in rule of this name)"


@dataclass(frozen=True)
class Outcome:
    """`seen`: values and steps. `why` and `change` only with an issue. `gain_seconds`: what the change should save."""

    status: Status
    seen: str
    why: str = ""
    change: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[int, ...] = ()
    gain_seconds: float = 0.0


def healthy(seen: str, **values: Any) -> Outcome:
    return Outcome("NoIssuesFound", seen, values=values)


def no_data(missing: str) -> Outcome:
    return Outcome("NoData", missing)


Check = Callable[["Observations", Mapping[str, float]], Outcome]


@dataclass(frozen=True)
class Rule:
    name: str
    definition: str
    parameters: Mapping[str, float]
    check: Check

    def evaluate(self, observed: Observations, chosen: Mapping[str, float] | None = None) -> dict[str, Any]:
        """One entry of `health.json`. A rule that fails is an `Error` of that rule alone."""
        parameters = {**self.parameters, **(chosen or {})}
        try:
            outcome = self.check(observed, parameters)
        except Exception as error:
            outcome = Outcome("Error", f"{type(error).__name__}: {error}")
        least = parameters.get("min_gain_seconds", 0.0)
        if outcome.status == "IssuesFound" and outcome.gain_seconds < least:
            seen = f"{outcome.seen}; all that could be gained is {outcome.gain_seconds:.2g} s, too little to act on"
            outcome = healthy(seen, **outcome.values)
        return {"name": self.name, "implementation": IMPLEMENTATION, "parameters": parameters, **asdict(outcome)}


def rule(name: str, definition: str, **parameters: float) -> Callable[[Check], Rule]:
    """Makes a rule of the function that checks it; `training_code/health/rules/__init__.py` lists them all."""
    return lambda check: Rule(name, definition, parameters, check)
