"""`plan.json`: everything that was decided by `prepare`, already in the shape of the SageMaker API; `state.json`: what of it the
state machine carries.

JSONPath can pick values but not choose between shapes, so what depends on the input (a strategy's own settings, a grid
without a number of jobs) is decided here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from contract.execution_input import ExecutionInput
from contract.metrics import BY_NAME
from contract.search_space import parameter_ranges
from contract.validation import InvalidField

SCHEMA_VERSION = 1
STATE_FILE = "plan/state.json"  # below an execution's folder


def make_plan(
    execution: ExecutionInput, dataset: Mapping[str, Any], bias: Mapping[str, Any], features: Mapping[str, Any]
) -> dict[str, Any]:
    """The plan of one execution; `dataset`: fingerprint, classes, counts; `bias`: enabled, reason, facets, positive_labels."""
    hyperparameters = execution.resolved_hyperparameters.to_strings()
    for name in ("search", "export"):
        hyperparameters.pop(name)
    ranges = _with_depths_there(execution, features) if execution.tuning.enabled else {}
    tuning = tuning_of(execution, ranges, hyperparameters)
    if execution.tuning.enabled and execution.tuning.mode == "single_job":
        hyperparameters["search"] = search_of(tuning)
    minimum = execution.quality_gate.minimum
    if minimum is None:
        minimum = round((1 + 1 / len(dataset["classes"])) / 2, 4)
    return {
        "schema_version": SCHEMA_VERSION,
        "name": execution.name,
        "dataset": dict(dataset),
        "features": dict(features),
        "training": {"hyperparameters": hyperparameters, "instance_count": execution.instances.training_count},
        "tuning": tuning,
        "explain": {"enabled": execution.explain.enabled, "photos": execution.explain.photos},
        "bias": dict(bias),
        "quality_gate": {"metric": execution.quality_gate.metric, "minimum": minimum},
    }


def for_state(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the plan that the state machine reads: nothing in it grows with the classes, photos or columns.

    The whole state of an execution is limited to 256 KiB, and the names of 1,200 classes alone may be 90 KiB.
    https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    """
    dataset = plan["dataset"]
    return {
        **{name: plan[name] for name in ("schema_version", "name", "features", "training", "tuning", "quality_gate")},
        "dataset": {name: dataset[name] for name in ("fingerprint", "counts", "left_out")},
        "explain": {"enabled": plan["explain"]["enabled"]},
        "bias": {"enabled": plan["bias"]["enabled"]},
    }


def _with_depths_there(execution: ExecutionInput, features: Mapping[str, Any]) -> dict[str, Any]:
    """The ranges, of depths those that the backbone has; more of them that were asked for is an InvalidField."""
    ranges, most = execution.ranges, features.get("depths", 1)
    asked = ranges.get("depths")
    if asked is None:
        return ranges
    if execution.tuning.ranges is None:
        return ranges | {"depths": sorted({min(one, most) for one in asked})}
    for one in asked if isinstance(asked, list) else (asked["max"],):
        if one > most:
            raise InvalidField("tuning.ranges.depths", one, f"1 to {most}, the depths of {execution.model}")
    return ranges


def tuning_of(execution: ExecutionInput, ranges: Mapping[str, Any], fixed: Mapping[str, str]) -> dict[str, Any]:
    """The search; `config` is HyperParameterTuningJobConfig as a whole."""
    asked = execution.tuning
    shaped = parameter_ranges(ranges)
    strategy = execution.strategy
    objective = {"Type": BY_NAME[execution.objective].better, "MetricName": execution.objective}
    limits = {"MaxParallelTrainingJobs": min(asked.max_parallel_jobs, asked.max_jobs)}
    if strategy != "Grid":  # SageMaker counts the cells of a grid itself
        limits["MaxNumberOfTrainingJobs"] = asked.max_jobs
    if execution.minutes is not None and asked.mode == "sagemaker":
        limits["MaxRuntimeInSeconds"] = round(execution.minutes * 60)
    config: dict[str, Any] = {
        "Strategy": strategy,
        "HyperParameterTuningJobObjective": objective,
        "ResourceLimits": limits,
        "ParameterRanges": shaped,
    }
    # Step Functions' integration may refuse fields that are newer than itself, and its documentation does not list those of this
    # object. So RandomSeed stays out (each trial has the execution's seed; only the choice of trials differs), and what says no more than
    # the default does.
    if asked.early_stopping != "Off":
        config["TrainingJobEarlyStoppingType"] = asked.early_stopping
    if strategy == "Hyperband":
        resource = {"MinResource": 1, "MaxResource": max(2, int(fixed["epochs"]))}
        config["StrategyConfig"] = {"HyperbandStrategyConfig": resource}
    return {
        "enabled": asked.enabled,
        "mode": asked.mode,
        "strategy": strategy,
        "max_jobs": asked.max_jobs,
        "minutes": execution.minutes,
        "max_parallel_jobs": limits["MaxParallelTrainingJobs"],
        "early_stopping": asked.early_stopping,
        "objective": objective,
        "static_hyperparameters": {k: v for k, v in fixed.items() if k not in ranges} | {"export": "false"},
        "parameter_ranges": shaped,
        "config": config,
    }


def judged(gate: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """The plan's gate with what was reached, and whether that is enough: `evaluate` judges, and everybody else reads it."""
    value = measured[gate["metric"]]
    return {**gate, "value": value, "passed": bool(value >= gate["minimum"])}


def search_of(tuning: Mapping[str, Any]) -> str:
    """The hyperparameter `search` of a single-job search; hyperparameters hold 2,500 characters."""
    wanted = ("strategy", "max_jobs", "minutes", "early_stopping", "objective", "parameter_ranges")
    text = json.dumps({name: tuning[name] for name in wanted}, separators=(",", ":"))
    if len(text) > 2500:
        raise InvalidField("tuning.ranges", f"{len(text)} characters of JSON", "at most 2500 in mode single_job")
    return text
