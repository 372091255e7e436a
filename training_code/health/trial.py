"""Reads smdebug's own files (`smdebug.trials.create_trial`) into the records that the rules read.

So the rules judge any training that ran with the smdebug hook, also one of another image: reductions where reductions were
saved, and whole tensors where those were.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from training_code.health.observations import Observations, Record

KINDS = (("gradients", "gradients"), ("weights", "weights"), ("biases", "weights"))


def with_smdebug(observed: Observations, directory: Path) -> Observations:
    """`observed`, with tensors and losses from smdebug where it has none of its own. Waits for nothing: the trial has ended."""
    from training_code.debugging.smdebug_compatibility import load_smdebug

    load_smdebug()
    from smdebug.trials import create_trial

    # smdebug waits, without end, for collection files of a job that has not written them; the caller has seen them.
    trial = create_trial(str(directory))
    return replace(
        observed,
        steps=observed.steps or _steps(trial),
        tensors=observed.tensors or _tensors(trial),
    )


def _steps(trial: Any) -> list[Record]:
    """Losses as steps without times: rules about time then have no data."""
    from smdebug import modes

    names = trial.tensor_names(collection="losses")
    records = []
    # GLOBAL numbers the steps of all modes; a training that named no mode has it alone.
    for mode in (modes.TRAIN, modes.EVAL) if trial.steps(mode=modes.TRAIN) else (modes.GLOBAL,):
        for name in names[:1]:
            tensor = trial.tensor(name)
            for step in tensor.steps(mode=mode):
                value = float(tensor.value(step, mode=mode).mean())
                finite = value - value == 0
                records.append({
                    "time": 0.0, "mode": "EVAL" if mode == modes.EVAL else "TRAIN", "step": step, "steps": 1,
                    "seconds": 0.0, "samples": 0, "longest": 0.0, "longest_step": step,
                    "loss": value if finite else None, "nonfinite": int(not finite),
                })  # fmt: skip
    return records


def _tensors(trial: Any) -> list[Record]:
    from smdebug import modes

    by_step: dict[int, Record] = {}
    mode = modes.TRAIN if trial.steps(mode=modes.TRAIN) else modes.GLOBAL
    for collection, kind in KINDS:
        for name in _names(trial, collection):
            tensor = trial.tensor(name)
            for step in tensor.steps(mode=mode):
                record = by_step.setdefault(step, {"mode": "TRAIN", "step": step, "time": 0.0})
                record.setdefault(kind, {})[name.removeprefix("gradient/")] = _statistics(tensor, step, mode, kind)
    _add_activations(trial, mode, by_step)
    return [by_step[step] for step in sorted(by_step)]


def _add_activations(trial: Any, mode: Any, by_step: dict[int, Record]) -> None:
    """Whole outputs alone: a reduction of a layer does not tell which of its units are dead."""
    from training_code.debugging.statistics import unit_statistics

    for collection, kind in (("relu_output", "ReLU"), ("tanh_output", "Tanh"), ("sigmoid_output", "Sigmoid")):
        if collection not in trial.collections():
            continue
        for name in trial.tensor_names(collection=collection):
            tensor = trial.tensor(name)
            for step in tensor.steps(mode=mode):
                if not tensor.reduction_values(step, mode=mode):
                    record = by_step.setdefault(step, {"mode": "TRAIN", "step": step, "time": 0.0})
                    record.setdefault("activations", {})[name] = unit_statistics(tensor.value(step, mode=mode), kind)


def _names(trial: Any, collection: str) -> list[str]:
    names = trial.tensor_names(collection=collection)
    prefixed = collection == "gradients"
    return [n for n in names if n.startswith("gradient/") == prefixed]


def _statistics(tensor: Any, step: int, mode: Any, kind: str) -> Record:
    from training_code.debugging.statistics import gradient_statistics, weight_statistics

    reductions = tensor.reduction_values(step, mode=mode)
    if not reductions:
        value = tensor.value(step, mode=mode)
        return gradient_statistics(value) if kind == "gradients" else weight_statistics(value)
    numbers = {("abs_" if absolute else "") + name: float(value) for (name, absolute), value in reductions.items()}
    finite = all(value - value == 0 for value in numbers.values())
    wanted = ("abs_mean", "l2") if kind == "gradients" else ("std", "mean")
    return {**{key: numbers.get(key) if finite else None for key in wanted}, "nonfinite": not finite}
