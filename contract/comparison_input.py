"""The input of the comparison state machine, checked as a whole before any work is done.

Every candidate is trained on the same photos with the same epochs, and either with the learning rate and batch size that are
asked here, or (`tune`) with those that a short search of its own finds. `docs/comparison.md` describes every field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from contract import comparison_candidates
from contract.checked import Checked, checked, input_fields
from contract.execution_input import DATA_SET, ExecutionInput, Split
from contract.hyperparameters import RULES
from contract.instances import Instances
from contract.photo_set.questions import Asked
from contract.plan import search_of
from contract.validation import InvalidField, a_boolean, a_number, an_integer, unknown_field

SECTIONS: dict[str, type[Checked]] = {"split": Split, "instances": Instances}
# Fields that change what is shown or chosen, never what is measured of a candidate.
SHOWN_ONLY = (
    "dataset", "evaluate_on", "models", "base", "minimum", "weights", "prices", "concurrency", "start_pipeline", "name",
    "budget_minutes",
)  # fmt: skip
WEIGHABLE = (
    "accuracy", "balanced_accuracy", "second_accuracy", "second_balanced_accuracy", "training_seconds",
    "latency_p50_ms", "latency_p99_ms", "seconds_per_photo", "disk_bytes", "memory_bytes", "peak_memory_bytes",
    "parameters", "dollars_per_million", "training_dollars",
)  # fmt: skip


def _a_data_set_or_none(path: str, value: Any) -> str:
    return value if value == "" else DATA_SET.check(path, value)


def _shares(path: str, value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise InvalidField(path, value, 'an object such as {"balanced_accuracy": 2, "disk_bytes": 1}')
    for name in value:
        if name not in WEIGHABLE:
            raise unknown_field(path, name, WEIGHABLE)
    return {name: a_number(f"{path}.{name}", share, 0, 1000) for name, share in value.items()}


def _prices(path: str, value: Any) -> dict[str, Any]:
    """Checked now and not when the page is written: by then the models are trained."""
    if not value:
        return {}
    needed = {"as_of", "region", "source", "per_hour"}
    if not isinstance(value, Mapping) or not needed <= set(value) or not isinstance(value["per_hour"], Mapping):
        raise InvalidField(path, value, "an object with as_of, region, source and per_hour, itself an object")
    hourly = value["per_hour"].items()
    return {**value, "per_hour": {name: a_number(f"{path}.per_hour.{name}", cost, 1e-6, 1e6) for name, cost in hourly}}


@dataclass(frozen=True)
class ComparisonInput(Checked):
    """`dataset` and `evaluate_on` are S3 URIs; `models` a preset or a list; `minimum` the wished balanced accuracy."""

    dataset: str = checked(DATA_SET.check)
    models: Any = "offline"
    evaluate_on: str = checked(_a_data_set_or_none, "")
    name: str | None = None
    base: str = ""
    fine_tune: str = "head"
    pretrained: bool = checked(a_boolean, True)
    image_size: int = checked(RULES["image_size"].check, 0)
    epochs: int = checked(RULES["epochs"].check, 5)
    learning_rate: float = checked(RULES["learning_rate"].check, 1e-3)
    batch_size: int = checked(RULES["batch_size"].check, 16)
    seed: int = checked(RULES["seed"].check, 0)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    minimum: float | None = checked(partial(a_number, minimum=0, maximum=1), None)
    weights: dict[str, float] = checked(_shares, make=dict)
    prices: dict[str, Any] = checked(_prices, make=dict)
    tune: int = checked(partial(an_integer, minimum=0, maximum=50), 0)
    budget_minutes: float = checked(partial(a_number, minimum=0, maximum=100_000), 0.0)
    concurrency: int = checked(partial(an_integer, minimum=1, maximum=40), 1)
    start_pipeline: bool = checked(a_boolean, False)
    layout: str = "auto"
    labels: str = "auto"
    splits: str | dict[str, str] = "auto"
    alike_names: str = "keep"
    split: Split = field(default_factory=Split)
    instances: Instances = field(default_factory=Instances)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.hyperparameters, Mapping):
            raise InvalidField("hyperparameters", self.hyperparameters, 'an object such as {"freeze_epochs": 1}')
        self.as_execution(self.candidates[0].model)  # the pipeline's own rules hold for all that both have
        for name in ("epochs", "learning_rate", "batch_size"):
            if name in self.hyperparameters:
                raise InvalidField(f"hyperparameters.{name}", self.hyperparameters[name], f"this is given by {name}")
        if self.base and self.base not in [candidate.name for candidate in self.candidates]:
            raise InvalidField("base", self.base, ", ".join(c.name for c in self.candidates))

    @classmethod
    def from_json(cls, value: Any) -> ComparisonInput:
        return cls(**input_fields(cls, SECTIONS, value, "comparison input"))

    @property
    def candidates(self) -> list[comparison_candidates.Candidate]:
        chosen = comparison_candidates.choose(self.models)
        return chosen if self.pretrained else [one.from_random_weights() for one in chosen]

    @property
    def reading(self) -> Asked:
        """What settles how the photos are read."""
        return Asked(self.layout, self.labels, self.splits, self.alike_names)

    def as_execution(self, model: str, pretrained: bool = True) -> ExecutionInput:
        """The pipeline's own input for one candidate, without explanation and bias."""
        same = {"learning_rate": self.learning_rate, "batch_size": self.batch_size}
        tuning = {"enabled": True, "mode": "single_job", "strategy": "Random", "max_jobs": self.tune}
        return ExecutionInput.from_json(
            {
                "dataset": self.dataset,
                "name": self.name,
                "model": model,
                "image_size": self.image_size,
                "fine_tune": self.fine_tune,
                "pretrained": self.pretrained and pretrained,
                "seed": self.seed,
                "layout": self.layout,
                "labels": self.labels,
                "splits": self.splits,
                "alike_names": self.alike_names,
                # What a search varies has no fixed value.
                "hyperparameters": self.hyperparameters | {"epochs": self.epochs} | ({} if self.tune else same),
                "split": asdict(self.split),
                "instances": asdict(self.instances),
                "tuning": tuning if self.tune else {"enabled": False},
                "explain": {"enabled": False},
                "bias": {"enabled": False},
            }
        )

    def key(self, *fingerprints: str) -> str:
        """Names the results of this very question: same photos and same training, same key, nothing repeated."""
        asked = asdict(self) | {"fingerprints": list(fingerprints)}
        for name in SHOWN_ONLY:
            asked.pop(name)
        return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def hyperparameters_of(self, model: str, pretrained: bool = True) -> dict[str, str]:
        """What `train` is given: with `tune`, the search that it makes before it trains with the best trial's."""
        execution = self.as_execution(model, pretrained)
        strings = execution.resolved_hyperparameters.to_strings() | {"export": "true"}
        strings.pop("search")
        if self.tune:
            ranges = execution.ranges
            strings = {name: value for name, value in strings.items() if name not in ranges}
            strings["search"] = search_of(execution, ranges, strings).as_hyperparameter
        return strings
