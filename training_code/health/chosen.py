"""Which rules a configuration wants, with their parameters; and SageMaker's rule that stands for all about time and machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from contract.health_rules import RULE_NAMES
from training_code.health.rule import IMPLEMENTATION, Outcome, Rule, no_data
from training_code.health.rules import RULES

if TYPE_CHECKING:
    from training_code.health.observations import Observations

BY_NAME = {rule.name: rule for rule in RULES}
# SageMaker's rule that runs all rules about time and machine and writes the page.
PROFILER_REPORT = "ProfilerReport"
PROFILER_RULES = (
    "CPUBottleneck", "IOBottleneck", "LowGPUUtilization", "LowCPUUtilization", "BatchSize", "LoadBalancing", "StepOutlier",
    "MaxInitializationTime", "LongEvaluation",
)  # fmt: skip


def chosen_rules(configuration: Mapping[str, Any]) -> list[tuple[Rule, dict[str, Any]]]:
    """The rules of a configuration: `{"rules": [{"name": …, "parameters": {…}}]}`; all with their defaults when it names none.

    Also reads SageMaker's `DebugRuleConfigurations` (`RuleParameters.rule_to_invoke`), whose values are strings.
    """
    entries = configuration.get("rules")
    if entries is None:
        return [(BY_NAME[name], {}) for name in RULE_NAMES]
    return [_chosen(entry) for entry in entries]


def evaluate_profiler_report(observed: Observations, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All rules of the profiler as one outcome, with theirs in `values`; `CPUBottleneck_threshold` sets one's parameter."""
    parts = []
    for name in PROFILER_RULES:
        own = {k.partition("_")[2]: v for k, v in parameters.items() if k.startswith(f"{name}_")}
        known = {k: _number(name, k, v) for k, v in own.items() if k in BY_NAME[name].parameters}
        parts.append(BY_NAME[name].evaluate(observed, known))
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
    if name not in BY_NAME:
        raise ValueError(f"rule {name!r} is not known; allowed: {', '.join((*RULE_NAMES, PROFILER_REPORT))}")
    known = BY_NAME[name].parameters
    given = {**managed, **(entry.get("parameters") or {})}
    unknown = sorted(set(given) - set(known))
    if unknown and not managed:
        raise ValueError(f"rule {name} has no parameter {', '.join(unknown)}; allowed: {', '.join(known) or 'none'}")
    return BY_NAME[name], {k: _number(name, k, v) for k, v in given.items() if k in known}


def _number(name: str, parameter: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"parameter {parameter} of rule {name} is {value!r}; allowed: a number") from None
