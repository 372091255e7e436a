"""`results.json`: the numbers of the page for programs; the command line merges them into `summary.json`."""

from typing import Any

from analysis_code.clarify.meaning import reading
from analysis_code.clarify.page import bias_sections
from analysis_code.report.run import Run


def results(run: Run) -> dict[str, Any]:
    """One object; a piece that is missing is null, and `missing` has its reason; what could not be read is `unreadable` too."""
    return {
        "schema_version": 1,
        "model": {
            "architecture": run.hyperparameters.get("model"),
            "hyperparameters": run.hyperparameters,
            "training_job": run.noted("training", "job"),
            "model_data": run.noted("training", "model_data"),
            "model_package_arn": run.noted("registered", "arn"),
            "dataset_fingerprint": ((run.plan or {}).get("dataset") or {}).get("fingerprint"),
        },
        "tuning": _tuning(run),
        "test": run.evaluation.results() if run.evaluation else None,
        "gate": run.noted("gate"),
        "bias": bias_findings(run),
        "health": _health(run),
        "explanations": _explained(run),
        "missing": run.missing(),
        "unreadable": run.unreadable(),
    }


def _tuning(run: Run) -> dict[str, Any] | None:
    if run.tuning:
        return run.tuning.results()
    if run.best_hyperparameters is None:
        return None
    objective = run.noted("tuning", "objective") or {}
    return {
        "job": run.noted("tuning", "job"),
        "trials": None,
        "best_hyperparameters": run.best_hyperparameters,
        "best_objective": objective.get("Value") if isinstance(objective, dict) else None,
    }


def bias_findings(run: Run) -> dict[str, Any] | None:
    """Metrics by facet and group, and those that are worth a look."""
    if not run.bias:
        return None
    facets: dict[str, Any] = {}
    noticed = []
    for stage, section in bias_sections(run.bias):
        for column, groups in section["facets"].items():
            for group in groups:
                value = group["value_or_threshold"]
                metrics = {one["name"]: one["value"] for one in group["metrics"]}
                facets.setdefault(column, {}).setdefault(value, {})[stage + "_training"] = metrics
                noticed += [
                    {"facet": column, "group": value, "metric": one["name"], "value": one["value"]}
                    for one in group["metrics"]
                    if reading(one) == "look"
                ]
    return {"facets": facets, "findings": noticed}


def _health(run: Run) -> dict[str, Any] | None:
    if not run.health:
        return None
    rules = run.health.get("rules") or []
    return {
        "rules": len(rules),
        "issues": [rule["name"] for rule in rules if rule.get("status") == "IssuesFound"],
        "stopped_by": (run.health.get("stopped_by") or {}).get("name"),
    }


def _explained(run: Run) -> list[dict[str, Any]] | None:
    if not run.explanations:
        return None
    images = run.explanations.get("explanations", {}).get("kernel_shap", {}).get("images", [])
    keep = ("file", "true_label", "predicted_label", "probability", "fit")
    return [{name: image.get(name) for name in keep} for image in images]
