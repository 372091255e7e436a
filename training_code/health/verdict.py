"""What the rules say of a training in a few words: metrics in its log, and what the pipeline carries on with."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.metrics import metric_line
from training_code.health.chosen import chosen_rules
from training_code.health.observations import Observations

# SageMaker keeps values of a model package's metadata to 256 characters, of which a comma is none that it allows:
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html
LONGEST = 256

log = logging.getLogger("darkroom.health")


def status_of(outcomes: Sequence[Mapping[str, Any]]) -> str:
    """Of all rules together; without any evidence it is `NoData`, never well."""
    statuses = {o["status"] for o in outcomes}
    return next((s for s in ("IssuesFound", "Error", "NoIssuesFound") if s in statuses), "NoData")


def verdict(outcomes: Sequence[Mapping[str, Any]], stopped: Mapping[str, Any] | None) -> dict[str, Any]:
    """Small enough for a state machine. `issue_names` and `stopped_by` are text, `none` where there is nothing to name."""
    issues = [o["name"] for o in outcomes if o["status"] == "IssuesFound"]
    return {
        "status": status_of(outcomes),
        "issues_found": len(issues),
        "no_data": sum(o["status"] == "NoData" for o in outcomes),
        "issues": issues,
        "issue_names": _within(issues) or "none",
        "stopped_by": stopped["name"] if stopped else "none",
    }


def metric_lines(said: Mapping[str, Any]) -> str:
    return " ".join(
        metric_line(name, said[field])
        for name, field in (("health:issues_found", "issues_found"), ("health:rules_without_data", "no_data"))
    )


def print_verdict(directory: Path) -> None:
    """Judge a training that has just ended by its `observations/` folder; what goes wrong here is a warning."""
    try:
        observed = Observations.read(directory)
        outcomes = [rule.evaluate(observed, parameters) for rule, parameters in chosen_rules({})]
        said = verdict(outcomes, stop_of(directory))
    except Exception as error:
        log.warning(
            "the rules could not be evaluated, the training is not concerned: %s: %s", type(error).__name__, error
        )
        return
    print(f"health {metric_lines(said)} found: {said['issue_names']}", flush=True)


def stop_of(directory: Path) -> dict[str, Any] | None:
    """The rule that stopped the training, from `stop.json`."""
    path = directory / "stop.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _within(names: Sequence[str]) -> str:
    text = ""
    for name in names:
        longer = f"{text} {name}".strip()
        if len(longer) > LONGEST - 4:
            return f"{text} ..."
        text = longer
    return text
