"""The execution input: what a user may ask of one run of the pipeline, checked as a whole before any work is done.

Only `dataset` is required. Unknown fields and wrong values are refused with the field's path, the value and what is allowed.
The state machine can merge defaults one level deep only, so this is also where they are filled in below that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from contract import search_space
from contract.checked import Checked, input_fields
from contract.hyperparameters import RULES, Hyperparameters, check_hyperparameters, json_schema, settled
from contract.instances import Instances
from contract.metrics import DEFAULT_OBJECTIVE, OBJECTIVES
from contract.names import LONGEST_MODEL_NAME, model_name
from contract.photo_set.questions import LEVELS, Asked
from contract.rule import Rule, boolean, choice, integer, number, other, ruled, texts
from contract.validation import InvalidField, a_choice, a_text

NAME = r"[a-z0-9](-?[a-z0-9])*"
DATA_SET = Rule(
    "form", "a zip, or a prefix with photos",
    form=r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?", noun="an S3 URI: s3://bucket/prefix/ or s3://bucket/photos.zip",
)  # fmt: skip
LAYOUT = f"^(auto|({'|'.join(LEVELS)})(/({'|'.join(LEVELS)}))*)$"
LAYOUTS = "auto, or the folders from the first one that differs, as class, split/class, class/split, -/class, name, split/name"
PARTS = ("train", "validation", "test", "ignore")  # what a word for a split may stand for
SPLITS = 'auto, draw, or an object such as {"holdout": "test"}'
QUALITY_METRICS = ("accuracy", "balanced_accuracy", "worst_class_recall", "macro_f1")
GIVEN_ELSEWHERE = {
    "model": "model", "image_size": "image_size", "fine_tune": "fine_tune", "pretrained": "pretrained", "seed": "seed",
    "objective": "tuning.objective", "search": "tuning.ranges", "export": "nothing: trials do not export, the best model does",
}  # fmt: skip


def a_model_name(path: str, value: Any) -> str:
    name = a_text(path, value, longest=LONGEST_MODEL_NAME, empty=False)
    if not re.fullmatch(NAME, name):
        raise InvalidField(path, name, SMALL_LETTERS)
    return name


SMALL_LETTERS = "small letters, digits and single hyphens between them"
MODEL_NAME = {"type": "string", "pattern": f"^(?:{NAME})$", "maxLength": LONGEST_MODEL_NAME}


def _as_hyperparameter(name: str) -> Any:
    """A field that is the hyperparameter of this name, with its rule and its default."""
    return ruled(getattr(Hyperparameters, name), RULES[name])


@dataclass(frozen=True)
class Split(Checked):
    """Shares taken out where a data set has no such part: validation out of what is left after test."""

    PATH = "split"

    validation: float = number(0.2, 0.02, 0.5, "share of what is left after the test photos")
    test: float = number(0.2, 0.02, 0.5, "share of all photos")


@dataclass(frozen=True)
class NearDuplicates(Checked):
    """Photos that are almost the same."""

    PATH = "near_duplicates"

    treatment: str = choice(
        ("group", "keep", "drop"), "held together in one split, drawn like others, or one of each kept"
    )
    threshold: float = number(
        0.995, 0.9, 1, "how far thumbnails must correlate to be taken for the same; higher takes fewer"
    )


@dataclass(frozen=True)
class Tuning(Checked):
    """The search for hyperparameters."""

    PATH = "tuning"

    enabled: bool = boolean(True, "whether there is a search")
    mode: str = choice(("sagemaker", "single_job"), "a tuning job, or all trials in one training job")
    strategy: str = choice(
        ("auto", *search_space.STRATEGIES), "auto: every cell where there are no more than max_jobs, else Bayesian"
    )
    max_jobs: int = integer(8, 1, 750, "trials at most")
    max_parallel_jobs: int = integer(2, 1, 100, "trials at a time")
    early_stopping: str = choice(("Off", "Auto"), "whether trials that fall behind are stopped")
    objective: str = choice(
        ("auto", *OBJECTIVES),
        "auto: the validation loss for a head that is solved, which no two trials share, else the balanced accuracy",
    )
    ranges: dict[str, Any] | None = other(
        None,
        'an object such as {"learning_rate": {"min": 1e-4, "max": 0.1, "scale": "log"}, "batch_size": [32, 64]}',
        "what is searched; without it the default ranges of what has no fixed value",
        search_space.json_schema(),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strategy == "Hyperband" and self.early_stopping != "Off":
            raise InvalidField("tuning.early_stopping", self.early_stopping, "Off, since Hyperband stops trials itself")
        if self.ranges is not None:
            search_space.check_ranges("tuning.ranges", self.ranges, self.strategy)


@dataclass(frozen=True)
class Explain(Checked):
    """Which part of a photo speaks for its class."""

    PATH = "explain"

    enabled: bool = boolean(True, "whether photos are explained")
    photos: int = integer(3, 1, 50, "how many test photos")


@dataclass(frozen=True)
class Bias(Checked):
    """Whether the model treats groups of photos alike."""

    PATH = "bias"

    enabled: bool = boolean(True, "whether bias is measured")
    facets: list[str] = texts("columns of the table of photos; none: every suitable one")
    positive_labels: list[str] = texts("classes that count as the positive answer; none: the rarest class")


@dataclass(frozen=True)
class QualityGate(Checked):
    """What a model must reach to be registered."""

    PATH = "quality_gate"

    metric: str = choice(QUALITY_METRICS, "metric on the test photos", "balanced_accuracy")
    minimum: float | None = number(
        None, 0, 1, "smallest value; without it halfway between guessing and perfect, (1 + 1/classes) / 2"
    )


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

    dataset: str = ruled(MISSING, DATA_SET)
    name: str = other(MISSING, SMALL_LETTERS, "the model's; by default that of the data set", MODEL_NAME, a_model_name)
    model: str = _as_hyperparameter("model")
    image_size: int = _as_hyperparameter("image_size")
    fine_tune: str = _as_hyperparameter("fine_tune")
    pretrained: bool = _as_hyperparameter("pretrained")
    seed: int = _as_hyperparameter("seed")
    minutes: float | None = number(
        None, 0.1, 7200, "what the search may take; no trial starts after them, one that runs ends with its best so far"
    )
    hyperparameters: dict[str, Any] = other(
        {},
        "an object",
        "fixed values of the training's hyperparameters",
        json_schema(name for name in RULES if name not in GIVEN_ELSEWHERE),
    )
    layout: str = other("auto", LAYOUTS, "what the folders mean (docs/data.md)", {"type": "string", "pattern": LAYOUT})
    labels: str = other(
        "auto", "auto, folders, a table, or a table and its column as labels.csv:breed", "where the classes stand",
        {"type": "string", "minLength": 1},
    )  # fmt: skip
    splits: str | dict[str, str] = other(
        "auto", SPLITS, "which photos are for what",
        {"anyOf": [{"enum": ["auto", "draw"]}, {"type": "object", "additionalProperties": {"enum": list(PARTS)}}]},
    )  # fmt: skip
    alike_names: str = choice(("keep", "merge"), "classes whose names differ by case or spaces")
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
        raise InvalidField("layout", layout, LAYOUTS)
    a_text("labels", labels, empty=False)
    if isinstance(splits, Mapping):
        for name, part in splits.items():
            a_choice(f"splits.{name}", part, PARTS)
    elif splits not in ("auto", "draw"):
        raise InvalidField("splits", splits, SPLITS)
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
