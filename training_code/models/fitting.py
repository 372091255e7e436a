"""Tensors into an architecture, each accounted for: loaded, replaced on purpose (the head), or refused by name.

timm loads what fits and keeps silent about the rest, and a state that fits half of a network trains as if it fitted all of it.
Refuses missing tensors, tensors too many (a larger sister of the same family holds all names of the smaller), other shapes and
kinds, and values that are not finite.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from contract.failure import JobFailure
from contract.weight_names import prefix_of
from training_code.models.catalogue import ModelSpec

if TYPE_CHECKING:
    from torch import nn

NAMED = 4  # of each kind, in a message
# Play no part in what a network answers: counters, indices that a network makes itself, a placeholder of masked trainings.
UNIMPORTANT = ("num_batches_tracked", "n_averaged", "relative_position_index", "attn_mask", "mask_token")


@dataclass(frozen=True)
class Loading:
    """How many tensors of the file were loaded, and how many of its head's were left for the new one; `beside`: of other parts
    of a checkpoint (another network, a loss), which stand under other names."""

    loaded: int
    replaced: int
    beside: int = 0

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


def without_prefix(state: Mapping[str, Any], needed: Collection[str]) -> tuple[dict[str, Any], int]:
    """The state under the names that an architecture knows, and how many tensors stand elsewhere."""
    prefix = prefix_of(state, needed)
    own = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
    return own, len(state) - len(own)


def fit(model: nn.Module, state: Mapping[str, Any], spec: ModelSpec, head: str) -> Loading:
    """Load all that `model`, whose head is taken off already, needs; `head` is the name that it had."""
    wanted = model.state_dict()
    own, beside = without_prefix(state, wanted)
    require_kinds(own, wanted, spec)
    missing = [name for name in wanted if name not in own and not name.endswith(UNIMPORTANT)]
    extra = [name for name in own if name not in wanted]
    replaced = [name for name in extra if name.startswith(f"{head}.")]
    surplus = [name for name in extra if not name.startswith(f"{head}.") and not name.endswith(UNIMPORTANT)]
    other = [
        f"{name} {tuple(own[name].shape)} for {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in own and own[name].shape != value.shape
    ]
    if missing or surplus or other:
        raise unfitting(spec, told(wanted, missing, surplus, other))
    model.load_state_dict({name: own[name] for name in wanted if name in own}, strict=False)
    require_finite(model, spec)
    return Loading(sum(name in own for name in wanted), len(replaced), beside)


def told(wanted: Collection[str], missing: list[str], surplus: list[str], other: Sequence[str] = ()) -> str:
    """What does not fit, each kind with a few names."""
    needed = sum(not name.endswith(UNIMPORTANT) for name in wanted)
    parts = [
        f"{len(names)} {what} ({', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''})"
        for names, what in (
            (missing, f"of its {needed} tensors missing"),
            (other, "of another shape"),
            (surplus, "that it does not have"),
        )
        if names
    ]
    return "; ".join(parts)


def unfitting(spec: ModelSpec, reason: str) -> JobFailure:
    short = " ".join(reason.split())[:600]
    return JobFailure(
        f"the weights do not fit {spec.name}: {short}. Nothing was trained with them: name the model that they are of, or add "
        f"the right file with `darkroom weights add {spec.name} FILE`."
    )


def require_kinds(state: Mapping[str, Any], wanted: Mapping[str, Any], spec: ModelSpec) -> None:
    """Whole numbers where a network multiplies are a quantised file, and would be read as if they were the weights."""
    wrong = [
        f"{name} is {str(value.dtype).removeprefix('torch.')}"
        for name, value in state.items()
        if name in wanted and wanted[name].is_floating_point() and not value.is_floating_point()
    ]
    if wrong:
        raise unfitting(spec, f"{len(wrong)} tensors are not floating-point numbers ({', '.join(wrong[:NAMED])})")


def require_finite(model: nn.Module, spec: ModelSpec) -> None:
    """A diverged training leaves NaN in every tensor; nothing can be learnt on such features."""
    import torch

    broken = [
        name
        for name, value in model.state_dict().items()
        if value.is_floating_point() and not bool(torch.isfinite(value).all())
    ]
    if broken:
        raise unfitting(spec, f"{len(broken)} tensors hold values that are not finite ({', '.join(broken[:NAMED])})")


@contextmanager
def watched(kind: type[nn.Module]) -> Iterator[list[Any]]:
    """What `load_state_dict` of this class said: timm calls it inside `create_model` and tells nobody."""
    said: list[Any] = []
    own, load = kind.__dict__.get("load_state_dict"), kind.load_state_dict

    def loading(self: nn.Module, state: Mapping[str, Any], *given: Any, **named: Any) -> Any:
        result = load(self, state, *given, **named)
        said.append((frozenset(state), result))
        return result

    kind.load_state_dict = loading  # type: ignore[method-assign]
    try:
        yield said
    finally:
        if own is None:
            del kind.load_state_dict
        else:
            kind.load_state_dict = own  # type: ignore[method-assign]


def head_names(classifier: Any, wanted: Collection[str]) -> tuple[str, ...]:
    """What a network without a head no longer has: the classifier, with the container around it where that went too."""
    found = []
    for name in (classifier,) if isinstance(classifier, str) else tuple(classifier or ()):
        parts = name.split(".")
        outer = [".".join(parts[: depth + 1]) + "." for depth in range(len(parts))]
        found.append(next((one for one in outer if not any(own.startswith(one) for own in wanted)), outer[-1]))
    return tuple(found)
