"""Ranges of a hyperparameter search: from the short form of the execution input to the shape of the SageMaker API.

Short form: `{"learning_rate": {"min": 1e-4, "max": 0.1, "scale": "log"}, "batch_size": [32, 64]}`. A list is categorical, `min`
and `max` are an integer or a continuous range, by the type of the hyperparameter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from contract.hyperparameters import RULES, as_string
from contract.validation import InvalidField, a_choice, unknown_field

SCALES = {"auto": "Auto", "linear": "Linear", "log": "Logarithmic", "reverse_log": "ReverseLogarithmic"}
STRATEGIES = ("Bayesian", "Random", "Hyperband", "Grid")
# They decide which features are computed or what is written: one value for all trials of a search.
FIXED_IN_A_SEARCH = (
    "model", "pretrained", "fine_tune", "image_size", "flip_view", "test_time_flip", "calibrate", "objective",
    "export", "search", "seed", "precision", "workers", "checkpoint_steps", "solver",
)  # fmt: skip
SEARCHABLE = tuple(name for name in RULES if name not in FIXED_IN_A_SEARCH)
DEPTHS = (1, 2, 4, 8)  # as far as the backbone has them
MOST_VALUES = 30  # of one categorical range, and ranges of one tuning job: limits of SageMaker


def default_ranges(fine_tune: str, exact: bool = False) -> dict[str, Any]:
    """What is searched when nobody says: depths for a head that is solved; a head bears larger steps than a pretrained backbone."""
    if exact:
        return {"depths": list(DEPTHS)}
    lowest, highest = (1e-4, 3e-3) if fine_tune == "head" else (1e-5, 3e-3)
    return {
        "learning_rate": {"min": lowest, "max": highest, "scale": "log"},
        "weight_decay": {"min": 1e-6, "max": 1e-1, "scale": "log"},
        "batch_size": [32, 64, 128] if fine_tune == "head" else [16, 32, 64],
    }


def json_schema() -> dict[str, Any]:
    """Of the short form, for editors."""
    properties = {}
    for name in SEARCHABLE:
        value = RULES[name].json_schema
        forms = [{"type": "array", "items": value, "minItems": 1, "maxItems": MOST_VALUES, "uniqueItems": True}]
        if RULES[name].kind in ("number", "integer"):
            ends = {"min": value, "max": value, "scale": {"enum": list(SCALES)}}
            forms.append(
                {"type": "object", "additionalProperties": False, "required": ["min", "max"], "properties": ends}
            )
        properties[name] = {"anyOf": forms}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def check_range(path: str, name: str, value: Any) -> dict[str, Any] | list[Any]:
    """One range in its short form with typed values; InvalidField when it is none."""
    rule = RULES[name]
    if isinstance(value, list):
        if not 1 <= len(value) <= MOST_VALUES:
            raise InvalidField(path, value, f"a list of 1 to {MOST_VALUES} values")
        checked = [rule.check(f"{path}[{index}]", item) for index, item in enumerate(value)]
        if len(set(checked)) != len(checked):
            raise InvalidField(path, value, "a list of different values")
        return checked
    if not isinstance(value, Mapping):
        raise InvalidField(path, value, 'a list of values, or {"min": …, "max": …, "scale": …}')
    if rule.kind not in ("number", "integer"):
        raise InvalidField(path, value, f"a list of values, since {name} is {rule.allowed}")
    for key in value:
        if key not in ("min", "max", "scale"):
            raise unknown_field(path, key, ("min", "max", "scale"))
    for key in ("min", "max"):
        if key not in value:
            raise InvalidField(path, dict(value), "both min and max")
    low, high = rule.check(f"{path}.min", value["min"]), rule.check(f"{path}.max", value["max"])
    if low >= high:
        raise InvalidField(path, dict(value), "min below max", f"Exchange {low:g} and {high:g}?" if low > high else "")
    scale = a_choice(f"{path}.scale", value.get("scale", "auto"), tuple(SCALES))
    if scale == "log" and low <= 0:
        raise InvalidField(f"{path}.min", low, "a number above 0 for scale log")
    if scale == "reverse_log" and not (low >= 0 and high < 1):
        raise InvalidField(path, dict(value), "0 ≤ min < max < 1 for scale reverse_log")
    return {"min": low, "max": high, "scale": scale}


def check_ranges(path: str, ranges: Any, strategy: str) -> dict[str, Any]:
    """All ranges of a search in their short form."""
    if not isinstance(ranges, Mapping) or not 1 <= len(ranges) <= MOST_VALUES:
        raise InvalidField(path, ranges, f"an object with 1 to {MOST_VALUES} hyperparameters")
    checked = {}
    for name, value in ranges.items():
        if name in FIXED_IN_A_SEARCH:
            raise InvalidField(f"{path}.{name}", value, "no range: it has one value for a whole search")
        if name not in SEARCHABLE:
            raise unknown_field(path, name, SEARCHABLE)
        checked[name] = check_range(f"{path}.{name}", name, value)
        if strategy == "Grid" and not isinstance(checked[name], list):
            raise InvalidField(f"{path}.{name}", dict(value), "a list of values, as strategy Grid needs")
    return checked


def cells(ranges: Mapping[str, Any]) -> int:
    """How many trials a grid has; 0 where a range is not a list."""
    return math.prod(len(one) if isinstance(one, list) else 0 for one in ranges.values())


def parameter_ranges(ranges: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """`ParameterRanges` of CreateHyperParameterTuningJob: all values are strings."""
    shaped: dict[str, list[dict[str, Any]]] = {
        "IntegerParameterRanges": [], "ContinuousParameterRanges": [], "CategoricalParameterRanges": [],
    }  # fmt: skip
    for name, value in ranges.items():
        if isinstance(value, list):
            shaped["CategoricalParameterRanges"].append({"Name": name, "Values": [as_string(item) for item in value]})
            continue
        kind = "IntegerParameterRanges" if RULES[name].kind == "integer" else "ContinuousParameterRanges"
        shaped[kind].append(
            {
                "Name": name,
                "MinValue": as_string(value["min"]),
                "MaxValue": as_string(value["max"]),
                "ScalingType": SCALES[value["scale"]],
            }
        )
    return shaped
