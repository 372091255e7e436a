"""The input of the comparison state machine, checked as a whole before any work is done.

Every candidate is trained on the same photos with the same epochs, and either with the learning rate and batch size that are
asked here, or (`tune`) with those that a short search of its own finds. `docs/comparison.md` describes every field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from contract import comparison_candidates
from contract.execution_input import ExecutionInput, Split
from contract.hyperparameters import RULES
from contract.instances import Instances
from contract.photo_set.questions import Asked
from contract.plan import search_of, tuning_of
from contract.validation import InvalidField, a_boolean, a_number, an_integer, input_fields, keep, unknown_field

SECTIONS = {"split": Split, "instances": Instances}
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


@dataclass(frozen=True)
class ComparisonInput:
    """`dataset` and `evaluate_on` are S3 URIs; `models` a preset or a list; `minimum` the wished balanced accuracy."""

    dataset: str
    models: Any = "offline"
    evaluate_on: str = ""
    name: str | None = None
    base: str = ""
    fine_tune: str = "head"
    pretrained: bool = True
    image_size: int = 0
    epochs: int = 5
    learning_rate: float = 1e-3
    batch_size: int = 16
    seed: int = 0
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    minimum: float | None = None
    weights: dict[str, float] = field(default_factory=dict)
    prices: dict[str, Any] = field(default_factory=dict)
    tune: int = 0
    budget_minutes: float = 0
    concurrency: int = 1
    start_pipeline: bool = False
    layout: str = "auto"
    labels: str = "auto"
    splits: str | dict[str, str] = "auto"
    alike_names: str = "keep"
    split: Split = field(default_factory=Split)
    instances: Instances = field(default_factory=Instances)

    def __post_init__(self) -> None:
        keep(self, concurrency=an_integer("concurrency", self.concurrency, 1, 40))
        keep(self, tune=an_integer("tune", self.tune, 0, 50), pretrained=a_boolean("pretrained", self.pretrained))
        keep(self, image_size=RULES["image_size"].check("image_size", self.image_size))
        keep(self, seed=RULES["seed"].check("seed", self.seed))
        if not isinstance(self.hyperparameters, Mapping):
            raise InvalidField("hyperparameters", self.hyperparameters, 'an object such as {"freeze_epochs": 1}')
        self.as_execution(self.candidates[0].model)  # the pipeline's own rules hold for all that both have
        if self.evaluate_on:
            self._uri("evaluate_on", self.evaluate_on)
        for name in ("epochs", "learning_rate", "batch_size"):
            keep(self, **{name: RULES[name].check(name, getattr(self, name))})
            if name in self.hyperparameters:
                raise InvalidField(f"hyperparameters.{name}", self.hyperparameters[name], f"this is given by {name}")
        if self.base and self.base not in [candidate.name for candidate in self.candidates]:
            raise InvalidField("base", self.base, ", ".join(c.name for c in self.candidates))
        if self.minimum is not None:
            keep(self, minimum=a_number("minimum", self.minimum, 0, 1))
        keep(self, budget_minutes=a_number("budget_minutes", self.budget_minutes, 0, 100_000))
        keep(self, start_pipeline=a_boolean("start_pipeline", self.start_pipeline))
        self._check_weights()
        self._check_prices()

    def _uri(self, name: str, value: str) -> None:
        try:
            ExecutionInput(dataset=value)
        except InvalidField as error:
            raise InvalidField(name, value, "an S3 URI: s3://bucket/prefix/ or s3://bucket/photos.zip") from error

    def _check_weights(self) -> None:
        if not isinstance(self.weights, Mapping):
            raise InvalidField("weights", self.weights, 'an object such as {"balanced_accuracy": 2, "disk_bytes": 1}')
        for name, value in self.weights.items():
            if name not in WEIGHABLE:
                raise unknown_field("weights", name, WEIGHABLE)
            a_number(f"weights.{name}", value, 0, 1000)
        keep(self, weights={name: float(value) for name, value in self.weights.items()})

    def _check_prices(self) -> None:
        """Now and not when the page is written: by then the models are trained."""
        if not self.prices:
            return
        needed = {"as_of", "region", "source", "per_hour"}
        if (
            not isinstance(self.prices, Mapping)
            or not needed <= set(self.prices)
            or not isinstance(self.prices["per_hour"], Mapping)
        ):
            raise InvalidField(
                "prices", self.prices, "an object with as_of, region, source and per_hour, itself an object"
            )
        given = self.prices["per_hour"]
        per_hour = {name: a_number(f"prices.per_hour.{name}", dollars, 1e-6, 1e6) for name, dollars in given.items()}
        keep(self, prices={**self.prices, "per_hour": per_hour})

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
            strings["search"] = search_of(tuning_of(execution, ranges, strings))
        return strings
