"""The hyperparameters of `train`: name, type, allowed values, default and meaning, once.

SageMaker passes every value as a string; unknown names and values out of range are refused before any work is done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from contract import metrics
from contract.foreign_json import parse
from contract.health_rules import RULE_NAMES
from contract.rule import Rule, boolean, choice, integer, names, number, rules_of, text
from contract.validation import InvalidField, unknown_field

# These decide what is watched, kept and exported, not what is learnt: a checkpoint is continued whatever they are.
NOT_LEARNT_FROM = (
    "export", "refit", "checkpoint_steps", "search", "workers", "observe", "debug_hook", "profiler_interval_ms", "profiler_steps",
    "stop_on",
)  # fmt: skip


# Only a training by steps reads these; a head that is solved has none of them.
OF_STEPS = (
    "learning_rate", "batch_size", "epochs", "optimizer", "weight_decay", "epsilon", "momentum", "schedule", "warmup",
    "label_smoothing", "dropout", "hidden_units", "ema_decay", "patience", "checkpoint_steps",
)  # fmt: skip
OF_EXACT = ("depths", "folds")
# Where a head is solved, other defaults are the better ones: probabilities that mean what they say, every photo learnt from.
DEFAULTS_OF_EXACT = {
    "class_balance": "none", "refit": True, "flip_view": False, "objective": "validation:loss"
}  # fmt: skip


@dataclass(frozen=True)
class Hyperparameters:
    """Checked values of one training job. The defaults suit a head that learns by steps on a frozen backbone; `settled` gives
    the others where it is solved."""

    model: str = text("efficientnet_lite0", "architecture: efficientnet_lite0, or a torchvision or timm name")
    pretrained: bool = boolean(True, "start from the published weights of the architecture")
    fine_tune: str = choice(("head", "last_block", "all"), "which part of the model learns")
    solver: str = choice(
        ("auto", "exact", "steps"),
        "how a head is learnt: exact, a linear head solved to the end; steps, by an optimizer; auto: exact, unless "
        "something is asked for that only steps have",
    )
    depths: int = integer(
        0, 0, 16, "exact: depths of the backbone whose features the head reads; 0: chosen by cross-validation"
    )
    folds: int = integer(5, 2, 20, "exact: folds of the cross-validation")
    # Below 32 nothing is left of a photo after the five halvings that nearly all backbones make.
    image_size: int = integer(
        0, 32, 1024, "side of the square input in pixels; 0: as the weights were trained", or_zero=True
    )
    learning_rate: float = number(1e-3, 0, 10, "peak learning rate", above=True)
    batch_size: int = integer(64, 1, 8192, "photos per step, over all machines")
    epochs: int = integer(30, 1, 1000, "passes over the training photos")
    optimizer: str = choice(("adamw", "adam", "sgd", "rmsprop"), "optimizer")
    weight_decay: float = number(1e-4, 0, 1, "weight decay")
    epsilon: float = number(1e-8, 0, 1, "epsilon of adam, adamw and rmsprop", above=True)
    momentum: float = number(0.9, 0, 0.9999, "momentum of sgd and rmsprop")
    schedule: str = choice(("cosine", "constant"), "learning rate over time, after the warm-up")
    warmup: float = number(0.05, 0, 0.5, "share of all steps in which the learning rate rises")
    label_smoothing: float = number(0.0, 0, 0.5, "label smoothing")
    dropout: float = number(0.0, 0, 0.9, "dropout in front of the last layer")
    hidden_units: int = integer(0, 0, 8192, "units of a hidden layer in the head; 0: a linear head")
    class_balance: str = choice(("loss", "sampling", "none"), "how rare classes are made to count")
    backbone_learning_rate: float = number(0.1, 0, 1, "learning rate of the backbone, as a share of the head's")
    last_block_share: float = number(
        0.2, 0, 1, "last_block: how much of the backbone learns, as a share of its parameters", above=True
    )
    augmentation: str = choice(("light", "mirror", "none"), "while fine-tuning: random crops and flips, flips, or none")
    flips: str = choice(
        ("horizontal", "both"),
        "how photos may be mirrored while fine-tuning; both: upside down too, as on a microscope",
    )
    frozen_views: int = integer(
        8, 0, 64, "last_block: views of each photo of which the frozen blocks are computed once; 0: anew in every step"
    )
    flip_view: bool = boolean(True, "features of the mirrored training photos too (frozen backbone)")
    test_time_flip: bool = boolean(False, "serve the mean over a photo and its mirror image")
    refit: bool = boolean(
        False, "train once more on training and validation photos together; metrics stay those of the first time"
    )
    calibrate: bool = boolean(True, "fit the temperature of the probabilities on the validation photos")
    ema_decay: float = number(0.0, 0, 0.99999, "decay of the moving average of the weights; 0: none")
    patience: int = integer(0, 0, 1000, "epochs without a better objective before training ends; 0: all epochs")
    objective: str = choice(metrics.OBJECTIVES, "metric by which the best epoch is chosen", metrics.DEFAULT_OBJECTIVE)
    precision: str = choice(("auto", "float32", "bfloat16", "float16"), "arithmetic of fine-tuning")
    workers: int = integer(-1, -1, 128, "processes that read photos; -1: chosen by the machine")
    checkpoint_steps: int = integer(0, 0, 1_000_000, "steps between checkpoints; 0: one an epoch")
    seed: int = integer(0, 0, 2**31 - 1, "of weights, order and augmentation")
    export: bool = boolean(True, "write the model that is served; trials of a tuning job do not")
    observe: str = choice(("on", "off"), "write steps, epochs and statistics of tensors for the health rules")
    debug_hook: str = choice(
        ("off", "losses", "reductions"), "what the smdebug hook saves where SageMaker configures none"
    )
    profiler_interval_ms: int = integer(
        1000, 0, 60_000, "between two samples of the machine, from 100; 0: none (as in trials that do not ask for it)"
    )
    profiler_steps: int = integer(0, 0, 10_000, "first training steps that torch.profiler records in detail")
    stop_on: str = names(RULE_NAMES, "comma-separated health rules that may stop the training")
    search: str = text("", "JSON of the search that `single_job` tuning makes inside one training job")

    @classmethod
    def from_strings(cls, raw: Mapping[str, Any]) -> Hyperparameters:
        """From `hyperparameters.json` (all strings); names of SageMaker's own (`sagemaker_…`, `_…`) are passed over."""
        return cls(**settled(check_hyperparameters(own_strings(raw))))

    @property
    def is_exact(self) -> bool:
        """Whether a head is trained that is solved to the end."""
        return self.solver == "exact" and self.fine_tune == "head"

    @property
    def needs_pytorch(self) -> bool:
        """Whether the training needs the image with PyTorch: to train more than a head, or for torch's own profiler."""
        return self.fine_tune != "head" or self.profiler_steps > 0

    def to_strings(self) -> dict[str, str]:
        """What this training reads; a solved head has no steps and therefore no learning rate."""
        unread = OF_STEPS if self.is_exact else OF_EXACT
        return {item.name: as_string(getattr(self, item.name)) for item in fields(self) if item.name not in unread}

    def course(self) -> dict[str, str]:
        """Those that decide the course of a training: a checkpoint continues only a training that has the same."""
        return {name: value for name, value in self.to_strings().items() if name not in NOT_LEARNT_FROM}


RULES: dict[str, Rule] = rules_of(Hyperparameters)


def json_schema(allowed: Iterable[str]) -> dict[str, Any]:
    """Of an object with some of these hyperparameters, each in its own type."""
    properties = {name: RULES[name].json_schema for name in allowed}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def settled(given: Mapping[str, Any], searched: Collection[str] = ()) -> dict[str, Any]:
    """Checked values with the solver decided, and with the defaults of a solved head where it is one.

    `searched`: names that have a range. A solver that was asked for together with what it cannot read is an InvalidField.
    """
    head = given.get("fine_tune", "head") == "head"
    asked = given.get("solver", "auto")
    steps = [name for name in OF_STEPS if name in given or name in searched]
    exact = [name for name in OF_EXACT if name in given or name in searched]
    if asked == "exact" and (steps or not head):
        why = (
            f"auto or steps with {steps[0]}, which only steps have"
            if steps
            else "auto or steps with fine_tune other than head"
        )
        raise InvalidField("hyperparameters.solver", asked, why)
    if exact and (asked == "steps" or steps or not head):
        other = (
            f"{steps[0]}, which only steps have" if steps else "solver: steps" if head else "fine_tune other than head"
        )
        raise InvalidField(f"hyperparameters.{exact[0]}", given.get(exact[0]), f"nothing beside {other}")
    if asked == "steps" or steps or not head:
        return {**given, "solver": "steps"}
    return {
        **DEFAULTS_OF_EXACT,
        **({"flip_view": True} if given.get("test_time_flip") else {}),
        **given,
        "solver": "exact",
    }


def own_strings(raw: Mapping[str, Any]) -> dict[str, Any]:
    """`hyperparameters.json` without SageMaker's own names, and without the quotes that its SDK puts around values."""
    return {name: _unquoted(value) for name, value in raw.items() if not name.startswith(("sagemaker_", "_"))}


def check_hyperparameters(values: Mapping[str, Any], path: str = "hyperparameters") -> dict[str, Any]:
    """The given values in their own types; the first unknown name or wrong value is an InvalidField."""
    checked = {}
    for name, value in values.items():
        if name not in RULES:
            raise unknown_field(path, name, RULES)
        checked[name] = RULES[name].check(f"{path}.{name}", value)
    return checked


def as_string(value: Any) -> str:
    """As SageMaker wants it: `true`, `0.001`, `64`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _unquoted(value: Any) -> Any:
    """The SageMaker SDK writes values as JSON: `"\\"resnet18\\""` is resnet18."""
    if isinstance(value, str) and len(value) >= 2 and value[0] == value[-1] == '"':
        try:
            return parse(value)
        except ValueError:
            return value
    return value
