"""Between our rules and SageMaker's managed mode, in both directions.

Out: a platform that honours DebugRuleConfigurations and ProfilerRuleConfigurations with our rules finds, per configuration, a
folder of its name with `outcome.json` in SageMaker's terms and what belongs below `rule-output/`. In: what AWS's own rules said
of a training (the statuses of DescribeTrainingJob) takes the place of our rules of the same name.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DebugRuleEvaluationStatus.html
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.failure import JobFailure
from contract.state_file import read_state_file
from contract.validation import InvalidField
from training_code.health.chosen import PROFILER_REPORT

Outcome = Mapping[str, Any]
LONGEST_DETAILS = 1024
# On AWS that is SageMaker's built-in rule; the local cloud evaluates such a request with ours.
BY_SERVICE = "the rule of the training request (managed mode), evaluated by the platform"
STATUS_FIELDS = ("DebugRuleEvaluationStatuses", "ProfilerRuleEvaluationStatuses")


def in_service_terms(outcome: Outcome) -> dict[str, str]:
    """`NoData` is not in SageMaker's enumeration: it is an Error that says so, never well."""
    missing = outcome["status"] == "NoData"
    details = f"NoData: {outcome['seen']}" if missing else outcome["seen"]
    return {
        "RuleEvaluationStatus": "Error" if missing else outcome["status"],
        "StatusDetails": details[:LONGEST_DETAILS],
    }


def write_evaluations(
    output: Path, configurations: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome], pages: Mapping[str, str]
) -> None:
    """One folder per configuration: `outcome.json`, and the rule's own results as SageMaker lays them out."""
    for configuration, outcome in zip(configurations, outcomes, strict=True):
        folder = output / configuration["RuleConfigurationName"]
        shutil.rmtree(folder, ignore_errors=True)
        if outcome["name"] == PROFILER_REPORT:
            reports = folder / "profiler-output" / "profiler-reports"
            reports.mkdir(parents=True)
            (reports.parent / "profiler-report.html").write_text(pages["profiler-report.html"], encoding="utf-8")
            for part in outcome["values"]["rules"]:
                (reports / f"{part['name']}.json").write_text(json.dumps(part, indent=1), encoding="utf-8")
        else:
            folder.mkdir(parents=True)
            (folder / f"{outcome['name']}.json").write_text(json.dumps(outcome, indent=1), encoding="utf-8")
            (folder / "health.html").write_text(pages["health.html"], encoding="utf-8")
        (folder / "outcome.json").write_text(json.dumps(in_service_terms(outcome), indent=1), encoding="utf-8")


def read_statuses(path: Path) -> list[dict[str, Any]]:
    """The rules' outcomes from a file with the two lists of DescribeTrainingJob."""
    try:
        content = read_state_file(path.name, path.read_bytes())
        statuses = [one for field in STATUS_FIELDS for one in content.get(field) or []]
        return [_outcome(one) for one in statuses]
    except (OSError, InvalidField, KeyError, TypeError, AttributeError) as error:
        raise JobFailure(
            f"health: --evaluated {path} cannot be read ({type(error).__name__}: {error}); expected JSON with "
            f"{' and '.join(STATUS_FIELDS)} as DescribeTrainingJob gives them."
        ) from error


def with_service_outcomes(
    outcomes: Sequence[dict[str, Any]], evaluated: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Ours, but the service's where it evaluated a rule of that name; what it alone has comes last."""
    by_name = {one["name"]: one for one in evaluated}
    ours = [by_name.pop(one["name"], one) for one in outcomes]
    return [*ours, *by_name.values()]


def _outcome(status: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation that did not end in an answer gives no data: a rule never passes for want of evidence."""
    said = status.get("StatusDetails", "")
    reached = status["RuleEvaluationStatus"]
    if reached == "Error" and said.startswith("NoData: "):
        reached, said = "NoData", said.removeprefix("NoData: ")
    elif reached not in ("IssuesFound", "NoIssuesFound", "Error"):
        reached, said = "NoData", f"the evaluation was {reached}. {said}".strip()
    name, job = status["RuleConfigurationName"], status.get("RuleEvaluationJobArn", "its evaluation job")
    found = reached == "IssuesFound"
    return {
        "name": name, "implementation": BY_SERVICE, "parameters": {}, "status": reached,
        "seen": said or f"the platform says {reached} and no more",
        "why": "SageMaker's documentation of this rule says why it matters" if found else "",
        "change": f"see the log of {job} and rule-output/{name}/" if found else "", "values": {}, "steps": (),
        "gain_seconds": 0.0,
    }  # fmt: skip
