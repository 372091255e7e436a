"""`plan.json`: everything that was decided by `prepare`, already in the shape of the SageMaker API; `state.json`: what of it the
state machine carries; `evaluation_plan.json`: what of it `evaluate` needs.

JSONPath can pick values but not choose between shapes, so what depends on the input (a strategy's own settings, a grid
without a number of jobs) is decided here. The JSON of each file is that of its class (`contract/json_form.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.execution_input import ExecutionInput
from contract.json_form import to_json
from contract.metrics import BY_NAME
from contract.search_space import parameter_ranges
from contract.validation import InvalidField

SCHEMA_VERSION = 1
STATE_FILE = "plan/state.json"  # below an execution's folder
PLAN_FILE = "plan/plan.json"
EVALUATION_FILE = "prepared/evaluation_plan.json"


def _grows(**options: Any) -> Any:
    """A field that grows with classes, photos or columns: the state machine does not carry it."""
    return field(metadata={"grows": True}, **options)


@dataclass(frozen=True)
class DataSet:
    """`counts`: photos per split."""

    fingerprint: str
    counts: Mapping[str, int]
    left_out: int
    classes: tuple[str, ...] = _grows()


@dataclass(frozen=True)
class Features:
    """What the head learns from. `depths`: of how many depths of the backbone; `arithmetic`: which was chosen, and why."""

    key: str
    width: int
    engine: str
    arithmetic: Mapping[str, Any]
    from_cache: int
    computed: int
    depths: int


@dataclass(frozen=True)
class PyTorch:
    """What needs the image that has it: preparing (`reason` says why), and training."""

    prepare: bool
    training: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Training:
    """Hyperparameters are texts, as SageMaker passes them."""

    hyperparameters: Mapping[str, str]
    instance_count: int


@dataclass(frozen=True)
class Search:
    """`config` is HyperParameterTuningJobConfig as a whole; `objective` and `parameter_ranges` have the API's shape, too."""

    enabled: bool
    mode: str
    strategy: str
    max_jobs: int
    minutes: float | None
    max_parallel_jobs: int
    early_stopping: str
    objective: Mapping[str, str]
    static_hyperparameters: Mapping[str, str]
    parameter_ranges: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def as_hyperparameter(self) -> str:
        """The hyperparameter `search` of a single-job search; hyperparameters hold 2,500 characters."""
        wanted = ("strategy", "max_jobs", "minutes", "early_stopping", "objective", "parameter_ranges")
        text = json.dumps({name: getattr(self, name) for name in wanted}, separators=(",", ":"))
        if len(text) > 2500:
            raise InvalidField("tuning.ranges", f"{len(text)} characters of JSON", "at most 2500 in mode single_job")
        return text


@dataclass(frozen=True)
class Explanations:
    """`photos`: names of those that Clarify explains."""

    enabled: bool
    photos: tuple[str, ...] = _grows()


@dataclass(frozen=True)
class Facet:
    """A column by which groups are compared: by its values, or below and above a threshold."""

    name: str
    values: tuple[str, ...] | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class BiasPlan:
    """`reason`: why bias is not measured; empty where it is."""

    enabled: bool
    reason: str = _grows(default="")
    facets: tuple[Facet, ...] = _grows(default=())
    positive_labels: tuple[str, ...] = _grows(default=())


@dataclass(frozen=True)
class Gate:
    """What a model must reach to be registered."""

    metric: str
    minimum: float

    def judged(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """The gate with what was reached, and whether that is enough: `evaluate` judges, and everybody else reads it."""
        value = measured[self.metric]
        return {**to_json(self), "value": value, "passed": bool(value >= self.minimum)}


@dataclass(frozen=True)
class EvaluationPlan:
    """What `evaluate` needs of the plan, in a folder that its role may read."""

    classes: tuple[str, ...]
    bias: BiasPlan
    quality_gate: Gate


@dataclass(frozen=True)
class Plan:
    schema_version: int
    name: str
    dataset: DataSet
    features: Features
    training: Training
    pytorch: PyTorch
    tuning: Search
    explain: Explanations
    bias: BiasPlan
    quality_gate: Gate

    def to_json(self) -> dict[str, Any]:
        return to_json(self)

    def for_state(self) -> dict[str, Any]:
        """The part that the state machine reads: nothing in it grows with the classes, photos or columns.

        The whole state of an execution is limited to 256 KiB, and the names of 1,200 classes alone may be 90 KiB.
        https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
        """
        return to_json(self, without="grows")

    def for_evaluation(self) -> dict[str, Any]:
        return to_json(EvaluationPlan(self.dataset.classes, self.bias, self.quality_gate))


def make_plan(
    execution: ExecutionInput, dataset: DataSet, bias: BiasPlan, features: Features, explained: tuple[str, ...] = ()
) -> Plan:
    """The plan of one execution; `explained`: the photos that were chosen for it."""
    hyperparameters = execution.resolved_hyperparameters.to_strings()
    for name in ("search", "export"):
        hyperparameters.pop(name)
    ranges = _with_depths_there(execution, features.depths) if execution.tuning.enabled else {}
    tuning = search_of(execution, ranges, hyperparameters)
    if execution.tuning.enabled and execution.tuning.mode == "single_job":
        hyperparameters["search"] = tuning.as_hyperparameter
    minimum = execution.quality_gate.minimum
    if minimum is None:
        minimum = round((1 + 1 / len(dataset.classes)) / 2, 4)
    return Plan(
        schema_version=SCHEMA_VERSION,
        name=execution.name,
        dataset=dataset,
        features=features,
        training=Training(hyperparameters, execution.instances.training_count),
        pytorch=PyTorch(prepare=False, training=execution.resolved_hyperparameters.needs_pytorch),
        tuning=tuning,
        explain=Explanations(execution.explain.enabled, explained),
        bias=bias,
        quality_gate=Gate(execution.quality_gate.metric, minimum),
    )


def _with_depths_there(execution: ExecutionInput, most: int) -> dict[str, Any]:
    """The ranges, of depths those that the backbone has; more of them that were asked for is an InvalidField."""
    ranges = execution.ranges
    asked = ranges.get("depths")
    if asked is None:
        return ranges
    if execution.tuning.ranges is None:
        return ranges | {"depths": sorted({min(one, most) for one in asked})}
    for one in asked if isinstance(asked, list) else (asked["max"],):
        if one > most:
            raise InvalidField("tuning.ranges.depths", one, f"1 to {most}, the depths of {execution.model}")
    return ranges


def search_of(execution: ExecutionInput, ranges: Mapping[str, Any], fixed: Mapping[str, str]) -> Search:
    """The search over these ranges; `fixed`: the hyperparameters that have one value."""
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
    return Search(
        enabled=asked.enabled,
        mode=asked.mode,
        strategy=strategy,
        max_jobs=asked.max_jobs,
        minutes=execution.minutes,
        max_parallel_jobs=limits["MaxParallelTrainingJobs"],
        early_stopping=asked.early_stopping,
        objective=objective,
        static_hyperparameters={k: v for k, v in fixed.items() if k not in ranges} | {"export": "false"},
        parameter_ranges=shaped,
        config=config,
    )
