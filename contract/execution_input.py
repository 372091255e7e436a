"""The execution input: what a user may ask of one run of the pipeline, checked as a whole before any work is done.

Only `dataset` is required. Unknown fields and wrong values are refused with the field's path, the value and what is allowed.
The state machine can merge defaults one level deep only, so this is also where they are filled in below that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import partial
from typing import Any

from contract import search_space
from contract.checked import Checked, checked, input_fields
from contract.hyperparameters import RULES, Hyperparameters, check_hyperparameters, settled
from contract.instances import Instances
from contract.metrics import DEFAULT_OBJECTIVE, OBJECTIVES
from contract.names import LONGEST_MODEL_NAME, model_name
from contract.photo_set.questions import LEVELS, Asked
from contract.validation import (
    InvalidField,
    a_boolean,
    a_choice,
    a_number,
    a_text,
    an_integer,
)

QUALITY_METRICS = ("accuracy", "balanced_accuracy", "worst_class_recall", "macro_f1")
GIVEN_ELSEWHERE = {
    "model": "model", "image_size": "image_size", "fine_tune": "fine_tune", "pretrained": "pretrained", "seed": "seed",
    "objective": "tuning.objective", "search": "tuning.ranges", "export": "nothing: trials do not export, the best model does",
}  # fmt: skip


def a_data_set(path: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?", value):
        raise InvalidField(path, value, "an S3 URI: s3://bucket/prefix/ or s3://bucket/photos.zip")
    return value


def a_model_name(path: str, value: Any) -> str:
    name = a_text(path, value, longest=LONGEST_MODEL_NAME, empty=False)
    if not re.fullmatch(r"[a-z0-9](-?[a-z0-9])*", name):
        raise InvalidField(path, name, "small letters, digits and single hyphens between them")
    return name


def texts(path: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise InvalidField(path, value, "a list of texts")
    return value


def _as_hyperparameter(name: str) -> Any:
    """A field that is the hyperparameter of this name, with its rule and its default."""
    return checked(RULES[name].check, getattr(Hyperparameters, name))


@dataclass(frozen=True)
class Split(Checked):
    """Shares taken out where a data set has no such part: validation out of what is left after test."""

    PATH = "split"

    validation: float = checked(partial(a_number, minimum=0.02, maximum=0.5), 0.2)
    test: float = checked(partial(a_number, minimum=0.02, maximum=0.5), 0.2)


@dataclass(frozen=True)
class NearDuplicates(Checked):
    """Photos that are almost the same: held together in one split (`group`), drawn like others (`keep`), one of each kept (`drop`).

    `threshold`: how far their thumbnails must correlate to be taken for the same; higher takes fewer.
    """

    PATH = "near_duplicates"

    treatment: str = checked(partial(a_choice, choices=("group", "keep", "drop")), "group")
    threshold: float = checked(partial(a_number, minimum=0.9, maximum=1), 0.995)


@dataclass(frozen=True)
class Tuning(Checked):
    """`strategy` auto: every cell where there are no more than `max_jobs`, else Bayesian. `objective` auto: the validation loss for a
    head that is solved, which no two trials share; else the balanced accuracy."""

    PATH = "tuning"

    enabled: bool = checked(a_boolean, True)
    mode: str = checked(partial(a_choice, choices=("sagemaker", "single_job")), "sagemaker")
    strategy: str = checked(partial(a_choice, choices=("auto", *search_space.STRATEGIES)), "auto")
    max_jobs: int = checked(partial(an_integer, minimum=1, maximum=750), 8)
    max_parallel_jobs: int = checked(partial(an_integer, minimum=1, maximum=100), 2)
    early_stopping: str = checked(partial(a_choice, choices=("Off", "Auto")), "Off")
    objective: str = checked(partial(a_choice, choices=("auto", *OBJECTIVES)), "auto")
    ranges: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strategy == "Hyperband" and self.early_stopping != "Off":
            raise InvalidField("tuning.early_stopping", self.early_stopping, "Off, since Hyperband stops trials itself")
        if self.ranges is not None:
            search_space.check_ranges("tuning.ranges", self.ranges, self.strategy)


@dataclass(frozen=True)
class Explain(Checked):
    PATH = "explain"

    enabled: bool = checked(a_boolean, True)
    photos: int = checked(partial(an_integer, minimum=1, maximum=50), 3)


@dataclass(frozen=True)
class Bias(Checked):
    """Facets: columns of metadata.csv (empty: every suitable one). Positive labels (empty: the rarest class)."""

    PATH = "bias"

    enabled: bool = checked(a_boolean, True)
    facets: list[str] = checked(texts, make=list)
    positive_labels: list[str] = checked(texts, make=list)


@dataclass(frozen=True)
class QualityGate(Checked):
    """Minimum None: halfway between guessing and perfect, (1 + 1/classes) / 2."""

    PATH = "quality_gate"

    metric: str = checked(partial(a_choice, choices=QUALITY_METRICS), "balanced_accuracy")
    minimum: float | None = checked(partial(a_number, minimum=0, maximum=1), None)


SHORTEST_TUNING_MINUTES = (
    2  # of a SageMaker tuning job. https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ResourceLimits.html
)
SECTIONS: dict[str, type[Checked]] = {
    "split": Split, "near_duplicates": NearDuplicates, "tuning": Tuning, "explain": Explain, "bias": Bias,
    "quality_gate": QualityGate, "instances": Instances,
}  # fmt: skip


@dataclass(frozen=True)
class ExecutionInput(Checked):
    """One run: `dataset` is an S3 URI of a zip, or of a prefix with photos; `name` is the model's, by default that of the data set.

    `minutes`: what the search may take, from its start; no trial starts after them, and one that runs then ends with its best so far.
    """

    dataset: str = checked(a_data_set)
    name: str = checked(a_model_name)
    model: str = _as_hyperparameter("model")
    image_size: int = _as_hyperparameter("image_size")
    fine_tune: str = _as_hyperparameter("fine_tune")
    pretrained: bool = _as_hyperparameter("pretrained")
    seed: int = _as_hyperparameter("seed")
    minutes: float | None = checked(partial(a_number, minimum=0.1, maximum=7200), None)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    layout: str = "auto"
    labels: str = "auto"
    splits: str | dict[str, str] = "auto"
    alike_names: str = "keep"
    split: Split = field(default_factory=Split)
    near_duplicates: NearDuplicates = field(default_factory=NearDuplicates)
    tuning: Tuning = field(default_factory=Tuning)
    explain: Explain = field(default_factory=Explain)
    bias: Bias = field(default_factory=Bias)
    quality_gate: QualityGate = field(default_factory=QualityGate)
    instances: Instances = field(default_factory=Instances)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_reading(self.layout, self.labels, self.splits, self.alike_names)
        if not isinstance(self.hyperparameters, dict):
            raise InvalidField("hyperparameters", self.hyperparameters, "an object")
        for name in self.hyperparameters:
            if name in GIVEN_ELSEWHERE:
                raise InvalidField(
                    f"hyperparameters.{name}", self.hyperparameters[name], f"this is given by {GIVEN_ELSEWHERE[name]}"
                )
            if name in (self.tuning.ranges or {}) and self.tuning.enabled:
                raise InvalidField(
                    f"hyperparameters.{name}",
                    self.hyperparameters[name],
                    "a fixed value or a range in tuning.ranges, not both",
                )
        _ = self._settled
        if self.minutes is not None:
            self._check_minutes(self.minutes)

    def _check_minutes(self, minutes: float) -> None:
        if not self.tuning.enabled:
            raise InvalidField("minutes", self.minutes, "nothing with tuning.enabled: false", "It limits the search.")
        if self.tuning.mode == "sagemaker":
            hint = "SageMaker's tuning jobs know no less; tuning.mode: single_job does."
            if minutes < SHORTEST_TUNING_MINUTES:
                raise InvalidField("minutes", self.minutes, f"at least {SHORTEST_TUNING_MINUTES}", hint)
        elif self.instances.training_count > 1 and self.fine_tune != "head":
            # Each machine walks through the same trials; their clocks would end them at different places.
            raise InvalidField("minutes", self.minutes, "one machine (instances.training_count) in mode single_job")

    @classmethod
    def from_json(cls, value: Any) -> ExecutionInput:
        """From the parsed JSON; a null is a field not given."""
        read = input_fields(cls, SECTIONS, value, "execution input")
        return cls(**{"name": model_name(read["dataset"]), **read})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def reading(self) -> Asked:
        """What settles how the photos are read."""
        return Asked(self.layout, self.labels, self.splits, self.alike_names)

    @property
    def ranges(self) -> dict[str, Any]:
        """What is searched: as given, or the default ranges of what has no fixed value."""
        if self.tuning.ranges is not None:
            return search_space.check_ranges("tuning.ranges", self.tuning.ranges, self.tuning.strategy)
        defaults = search_space.default_ranges(self.fine_tune, self._settled["solver"] == "exact")
        if self.tuning.strategy == "Grid" and "learning_rate" in defaults:
            defaults = {"learning_rate": [1e-4, 1e-3, 1e-2], "batch_size": defaults["batch_size"]}
        free = {name: value for name, value in defaults.items() if name not in self.hyperparameters}
        if self.tuning.enabled and not free:
            raise InvalidField(
                "tuning.ranges",
                None,
                "at least one range",
                "All default ranges have fixed values: name one, or tuning.enabled: false.",
            )
        return search_space.check_ranges("tuning.ranges", free, self.tuning.strategy) if free else {}

    @property
    def strategy(self) -> str:
        """How the search goes."""
        if self.tuning.strategy != "auto":
            return self.tuning.strategy
        cells = search_space.cells(self.ranges)
        return "Grid" if cells and cells <= self.tuning.max_jobs else "Bayesian"

    @property
    def objective(self) -> str:
        """The metric that a search goes by, and the choice inside each training."""
        if self.tuning.objective != "auto":
            return self.tuning.objective
        return self._settled.get("objective", DEFAULT_OBJECTIVE)

    @property
    def _settled(self) -> dict[str, Any]:
        """Hyperparameters as given, with the solver decided. Trials that may be cut short learn by steps."""
        top = {name: getattr(self, name) for name in ("model", "image_size", "fine_tune", "pretrained", "seed")}
        searched = list(self.tuning.ranges or {}) if self.tuning.enabled else []
        if self.tuning.enabled and (self.tuning.strategy == "Hyperband" or self.tuning.early_stopping != "Off"):
            searched.append("epochs")
        return settled(check_hyperparameters({**self.hyperparameters, **top}), searched)

    @property
    def resolved_hyperparameters(self) -> Hyperparameters:
        """All hyperparameters of the final training, without what a search finds."""
        return Hyperparameters(**{**self._settled, "objective": self.objective})


def check_reading(layout: Any, labels: Any, splits: Any, alike_names: Any) -> None:
    """The fields that settle how a set of photos is read (docs/data.md)."""
    levels = layout.split("/") if isinstance(layout, str) else []
    named = [level for level in levels if level in ("class", "name")]
    if layout != "auto" and (
        len(named) != 1 or any(level not in LEVELS for level in levels) or levels.count("split") > 1
    ):
        raise InvalidField(
            "layout",
            layout,
            "auto, or the folders from the first one that differs, as class, split/class, class/split, -/class, name, split/name",
        )
    a_text("labels", labels, empty=False)
    if isinstance(splits, Mapping):
        for name, part in splits.items():
            a_choice(f"splits.{name}", part, ("train", "validation", "test", "ignore"))
    elif splits not in ("auto", "draw"):
        raise InvalidField("splits", splits, 'auto, draw, or an object such as {"holdout": "test"}')
    a_choice("alike_names", alike_names, ("keep", "merge"))


def defaults() -> dict[str, Any]:
    """All defaults but `dataset`, as JSON: what the state machine merges the user's input over. Instances are the deployment's."""
    found: dict[str, Any] = {}
    for item in fields(ExecutionInput):
        if item.name in SECTIONS:
            found[item.name] = {key: value for key, value in asdict(SECTIONS[item.name]()).items() if value is not None}
        elif item.default is not MISSING and item.default is not None:
            found[item.name] = item.default
        elif item.default_factory is not MISSING:
            found[item.name] = item.default_factory()
    return found
