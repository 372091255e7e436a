"""What a run would take on AWS: minutes, dollars and quotas of each step, from the deployed state machine and two dated tables.

The tables are contract/prices.json and contract/durations.json; both can be overridden. A machine without a price is named, not guessed,
and a step without a duration counts its start alone. Nothing here was measured on AWS.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import contract
from contract.architectures import PACKAGED
from contract.execution_input import ExecutionInput
from contract.instances import Instances
from darkroom.failure import DarkroomError

FOLDER = Path(contract.__file__).parent
KINDS = {
    "createProcessingJob": "processing", "createTrainingJob": "training", "createTransformJob": "transform",
    "createHyperParameterTuningJob": "training",
}  # fmt: skip
TUNE, SINGLE, TRAIN, EXPLAIN, BIAS, TRACE = (
    "Tune hyperparameters", "Tune in one job", "Train best model", "Explain with Clarify", "Measure bias", "Prepare with PyTorch",
)  # fmt: skip


@dataclass(frozen=True)
class Tables:
    """Prices and durations, with their dates."""

    per_hour: Mapping[str, float]
    start_minutes: Mapping[str, float]
    work_seconds: Mapping[str, float]
    photos: int
    told: str

    @classmethod
    def read(cls, override: Path | None = None) -> Tables:
        """The shipped tables, with what a file of the user's says instead."""
        prices, durations = (
            json.loads((FOLDER / name).read_text(encoding="utf-8")) for name in ("prices.json", "durations.json")
        )
        own = _own(override) if override else {}
        source = f"prices of {prices['region']}, {prices['as_of']}; minutes {durations['as_of']}, never measured on AWS"
        return cls(
            {**prices["per_hour"], **own.get("per_hour", {})},
            {**durations["start_minutes"], **own.get("start_minutes", {})},
            {**durations["work_seconds"], **own.get("work_seconds", {})},
            own.get("photos", durations["photos"]),
            f"{source}; {override} on top" if override else source,
        )


def _own(path: Path) -> dict[str, Any]:
    form = (
        '{"per_hour": {"ml.m5.xlarge": 0.27}, "start_minutes": {"processing": 6}, "work_seconds": {}, "photos": 1000}'
    )
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        for name in ("per_hour", "start_minutes", "work_seconds"):
            if not all(
                isinstance(one, int | float) and not isinstance(one, bool) and one >= 0
                for one in said.get(name, {}).values()
            ):
                raise ValueError(f"{name} has a value that is not a number from 0 up")
        unknown = said.keys() - {"per_hour", "start_minutes", "work_seconds", "photos"}
        if unknown or not isinstance(said.get("photos", 1), int) or said.get("photos", 1) < 1:
            raise ValueError(f"{', '.join(sorted(unknown)) or 'photos'} is not understood")
    except (OSError, ValueError, AttributeError) as error:
        raise DarkroomError(f"--table {path} cannot be used: {error}.", f"It is JSON such as {form}") from None
    return said


@dataclass(frozen=True)
class Step:
    """One job of a run, or several that run side by side and after each other."""

    name: str
    machine: str
    kind: str
    jobs: int
    at_once: int
    minutes: float  # from the first start to the last end
    machine_minutes: float
    spot: bool = False

    @property
    def quotas(self) -> dict[str, int]:
        """By the names that Service Quotas has for them."""
        spot = "spot " if self.spot else ""
        job = "" if self.kind == "endpoint" else " job"
        return {f"{self.machine} for {spot}{self.kind}{job} usage": self.at_once}

    def dollars(self, tables: Tables) -> float | None:
        price = tables.per_hour.get(self.machine)
        return None if price is None else price * self.machine_minutes / 60


def steps(definition: Mapping[str, Any], execution: ExecutionInput, photos: int, tables: Tables) -> list[Step]:
    """The jobs that this input would start, in their order."""
    instances = {
        kind: value for kind, value in vars(execution.instances).items() if value != getattr(Instances(), kind)
    }
    machines = {**definition["States"]["Set defaults"]["Parameters"]["instances"], **instances}
    steps = []
    for name, state in _in_order(definition):
        if _runs(name, execution):
            steps.append(_step(name, state, machines, execution, photos, tables))
            if name == EXPLAIN:
                steps.append(_endpoint_of(steps[-1], machines, tables))
    return steps


def _in_order(definition: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for name, state in definition["States"].items():
        if state["Type"] == "Task" and state["Resource"].endswith(".sync"):
            yield name, state


def _runs(name: str, execution: ExecutionInput) -> bool:
    single = execution.tuning.mode == "single_job"
    searches = execution.tuning.enabled
    return {
        TUNE: searches and not single, SINGLE: searches and single, TRAIN: not (searches and single),
        EXPLAIN: execution.explain.enabled, BIAS: execution.bias.enabled,
        # The first run with an architecture that is not packaged traces it; later ones find it in the store.
        TRACE: execution.model not in PACKAGED,
    }.get(name, True)  # fmt: skip


def _step(
    name: str, state: Mapping[str, Any], machines: Mapping[str, Any], execution: ExecutionInput, photos: int, tables: Tables
) -> Step:  # fmt: skip
    kind = KINDS[state["Resource"].rpartition(":")[2].removesuffix(".sync")]
    text = json.dumps(state["Parameters"])
    machine = machines[text.partition('"InstanceType.$": "$.instances.')[2].partition('"')[0]]
    start = tables.start_minutes[kind]
    work = tables.work_seconds.get(name, 0.0) / 60 * photos / tables.photos
    jobs, at_once, each = 1, 1, start + work
    minutes = each
    if name == TUNE:
        jobs = execution.tuning.max_jobs
        at_once = min(jobs, execution.tuning.max_parallel_jobs)
        minutes = each * -(-jobs // at_once)
    elif name == SINGLE:
        minutes = each = start + work * execution.tuning.max_jobs / 8
    count = int(machines.get("training_count", 1)) if kind == "training" else 1
    spot = '"EnableManagedSpotTraining": true' in text
    return Step(name, machine, kind, jobs, at_once * count, minutes, each * jobs * count, spot)


def _endpoint_of(explain: Step, machines: Mapping[str, Any], tables: Tables) -> Step:
    """The endpoint that explaining makes for its own time."""
    minutes = tables.start_minutes["endpoint"] + explain.minutes
    return Step(f"{explain.name}: its endpoint", str(machines["transform"]), "endpoint", 1, 1, 0.0, minutes)


def quotas(steps: Iterable[Step]) -> dict[str, int]:
    """How many machines of each quota a run needs at once; its steps run one after the other."""
    needed: dict[str, int] = {}
    for step in steps:
        for name, count in step.quotas.items():
            needed[name] = max(count, needed.get(name, 0))
    return needed


def lacking(needed: Mapping[str, int], granted: Mapping[str, tuple[float, str]]) -> list[tuple[str, int, float, str]]:
    """Quota, needed, granted and code of each that is certain to fail; `granted` by name: value and code."""
    return [
        (name, count, granted[name][0], granted[name][1])
        for name, count in needed.items()
        if name in granted and granted[name][0] < count
    ]
