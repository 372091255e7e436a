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

from contract.health_rules import RULE_NAMES

if TYPE_CHECKING:
    from training_code.health.observations import Observations

Status = Literal["IssuesFound", "NoIssuesFound", "NoData", "Error"]

# SageMaker's rule that runs all rules about time and machine and writes the page.
PROFILER_REPORT = "ProfilerReport"
PROFILER_RULES = (
    "CPUBottleneck", "IOBottleneck", "LowGPUUtilization", "LowCPUUtilization", "BatchSize", "LoadBalancing", "StepOutlier",
    "MaxInitializationTime", "LongEvaluation",
)  # fmt: skip
# What a rule about time or machine must promise before it says a word: nobody changes a training of two seconds for one.
LEAST_GAIN = {name: 10.0 for name in PROFILER_RULES if name != "MaxInitializationTime"}
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


RULES: dict[str, Rule] = {}


def rule(name: str, definition: str, **parameters: float) -> Callable[[Check], Check]:
    """Registers the decorated function as the rule `name` with these parameters and their defaults."""

    def register(check: Check) -> Check:
        least = {"min_gain_seconds": LEAST_GAIN[name]} if name in LEAST_GAIN else {}
        RULES[name] = Rule(name, definition, {**parameters, **least}, check)
        return check

    return register


def chosen_rules(configuration: Mapping[str, Any]) -> list[tuple[Rule, dict[str, Any]]]:
    """The rules of a configuration: `{"rules": [{"name": …, "parameters": {…}}]}`; all with their defaults when it names none.

    Also reads SageMaker's `DebugRuleConfigurations` (`RuleParameters.rule_to_invoke`), whose values are strings.
    """
    from training_code.health import rules  # noqa: F401  (fills RULES)

    entries = configuration.get("rules")
    if entries is None:
        return [(RULES[name], {}) for name in RULE_NAMES]
    return [_chosen(entry) for entry in entries]


def evaluate_profiler_report(observed: Observations, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All rules of the profiler as one outcome, with theirs in `values`; `CPUBottleneck_threshold` sets one's parameter."""
    parts = []
    for name in PROFILER_RULES:
        own = {k.partition("_")[2]: v for k, v in parameters.items() if k.startswith(f"{name}_")}
        known = {k: _number(name, k, v) for k, v in own.items() if k in RULES[name].parameters}
        parts.append(RULES[name].evaluate(observed, known))
    statuses = {part["status"] for part in parts}
    status = next((s for s in ("IssuesFound", "Error", "NoIssuesFound") if s in statuses), "NoData")
    telling = [part for part in parts if part["status"] == status]
    outcome = Outcome(status, "; ".join(f"{p['name']}: {p['seen']}" for p in telling), values={"rules": parts})
    return {
        "name": PROFILER_REPORT,
        "implementation": IMPLEMENTATION,
        "parameters": dict(parameters),
        **asdict(outcome),
    }


@dataclass(frozen=True)
class ProfilerReport(Rule):
    """Looks like a rule to whoever evaluates a list of them."""

    def evaluate(self, observed: Observations, chosen: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return evaluate_profiler_report(observed, chosen or {})


def _chosen(entry: Mapping[str, Any]) -> tuple[Rule, dict[str, Any]]:
    managed = dict(entry.get("RuleParameters") or {})
    name = entry.get("name") or managed.pop("rule_to_invoke", None)
    if name == PROFILER_REPORT:
        report = ProfilerReport(PROFILER_REPORT, "All rules about time and machine.", {}, lambda *_: no_data(""))
        return report, {**managed, **(entry.get("parameters") or {})}
    if name not in RULES:
        raise ValueError(f"rule {name!r} is not known; allowed: {', '.join((*RULE_NAMES, PROFILER_REPORT))}")
    known = RULES[name].parameters
    given = {**managed, **(entry.get("parameters") or {})}
    unknown = sorted(set(given) - set(known))
    if unknown and not managed:
        raise ValueError(f"rule {name} has no parameter {', '.join(unknown)}; allowed: {', '.join(known) or 'none'}")
    return RULES[name], {k: _number(name, k, v) for k, v in given.items() if k in known}


def _number(name: str, parameter: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"parameter {parameter} of rule {name} is {value!r}; allowed: a number") from None
