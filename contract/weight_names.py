"""Where in a checkpoint its tensors are, and what trainings put in front of their names.

torch.compile, DataParallel, Lightning and many scripts wrap a model, and each wrapper leaves its name in front of every tensor.
A prefix is taken off only where it makes names fit; nothing is guessed from how a name looks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

# Averaged weights first: where a training kept them, they are what it measured.
WRAPPERS = (
    "state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "params_ema", "ema", "state_dict", "model_state_dict",
    "model_state", "model", "net", "network", "module", "backbone", "weights", "params",
)  # fmt: skip
PREFIXES = (
    "module.",
    "model.",
    "_orig_mod.",
    "backbone.",
    "net.",
    "network.",
    "encoder.",
    "base_encoder.",
    "encoder_q.",
    "ema.",
)
DEEPEST = 4


def state_of(value: Any, is_tensor: Callable[[Any], bool], depth: int = 0) -> dict[str, Any]:
    """The mapping of names to tensors in a checkpoint; empty where there is none."""
    if not isinstance(value, Mapping) or depth > DEEPEST:
        return {}
    for wrapper in WRAPPERS:
        if isinstance(value.get(wrapper), Mapping):
            found = state_of(value[wrapper], is_tensor, depth + 1)
            if found:
                return found
    return {name: item for name, item in value.items() if isinstance(name, str) and is_tensor(item)}


def prefix_of(names: Iterable[str], needed: Collection[str]) -> str:
    """What to take off, so that most of the needed names are there; the shortest of equally good ones.

    Where none is there under any prefix (another training's names): what all names begin with.
    """
    names, needed = list(names), frozenset(needed)
    fitting: dict[str, int] = {"": 0}
    for name in names:
        for prefix in _prefixes(name):
            fitting[prefix] = fitting.get(prefix, 0) + (name[len(prefix) :] in needed)
    best = max(fitting, key=lambda prefix: (fitting[prefix], -len(prefix)))
    if fitting[best] or not names:
        return best
    return max(set.intersection(*(set(_prefixes(name)) for name in names)), key=len)


def _prefixes(name: str) -> list[str]:
    found, rest = [""], name
    while taken := next((prefix for prefix in PREFIXES if rest.startswith(prefix)), ""):
        rest = rest[len(taken) :]
        found.append(name[: len(name) - len(rest)])
    return found
