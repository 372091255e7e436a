"""Rules that look inside the model: VanishingGradient, ExplodingTensor, PoorWeightInitialization, DeadRelu, SaturatedActivation.

They read statistics, from Darkroom's own `tensors.jsonl` or from smdebug's reductions (`health/trial.py`): a record is one step,
with `gradients`, `weights` and `activations` by tensor name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from training_code.health.observations import Observations, Record, median
from training_code.health.rule import Outcome, healthy, no_data, rule


def _of(observed: Observations, kind: str) -> list[Record]:
    return [r for r in observed.tensors if r.get(kind) and r.get("mode", "TRAIN") == "TRAIN"]


def _judged(gradients: Mapping[str, Record]) -> dict[str, float]:
    """Gradients of weights. A bias is left out: in front of a batch norm its gradient is zero by construction, and behind one it
    follows the weight beside it. So is the weight of a normalisation (one dimension), where dimensions are known."""
    return {
        name: stats["abs_mean"] for name, stats in gradients.items()
        if not name.endswith("bias") and stats.get("dimensions", 2) >= 2 and stats.get("abs_mean") is not None
    }  # fmt: skip


@rule(
    "VanishingGradient",
    "A weight's gradient has a mean absolute value below threshold, or below ratio times the largest such value among"
    " the weights. It has so in more than half of the observed steps, while the loss is still above a tenth of its "
    "first value. Biases and normalisation weights are not judged: a convolution's bias in front of batch norm has "
    "gradient zero by construction.",
    threshold=1e-7, ratio=1e-5, min_observations=2,
)  # fmt: skip
def vanishing_gradient(observed: Observations, p: Mapping[str, float]) -> Outcome:
    records = [r for r in _of(observed, "gradients") if _judged(r["gradients"])]
    if len(records) < p["min_observations"]:
        return no_data(
            f"{len(records)} steps with gradients of weights; at least {p['min_observations']:.0f} are needed"
        )
    unfinished = [r for r in records if _unfinished(observed, r)] or records[:1]
    vanished: dict[str, list[int]] = {}
    for record in unfinished:
        judged = _judged(record["gradients"])
        limit = max(p["threshold"], p["ratio"] * max(judged.values()))
        for name, size in judged.items():
            if size < limit:
                vanished.setdefault(name, []).append(record["step"])
    lasting = {name: steps for name, steps in vanished.items() if len(steps) > len(unfinished) / 2}
    last = _judged(unfinished[-1]["gradients"])
    smallest = min(last, key=lambda n: last[n])
    values = {"smallest": last[smallest], "tensor": smallest, "vanished": sorted(lasting), "judged": len(last)}
    seen = f"smallest mean |gradient| {last[smallest]:.3g} ({smallest}) among {len(last)} weights at step {unfinished[-1]['step']}"
    if not lasting:
        return healthy(seen, **values)
    name = min(lasting, key=lambda n: last.get(n, 0.0))
    return Outcome(
        "IssuesFound",
        f"{seen}; vanished in {len(lasting)} weight(s), such as {name}, in {len(lasting[name])} of "
        f"{len(unfinished)} observed steps",
        "layers whose gradient vanishes keep the weights they began with: that part of the model is not trained",
        "use ReLU-like activations, normalisation or residual connections, a better initialisation; or freeze those "
        "layers and save their cost",
        values, tuple(lasting[name]),
    )  # fmt: skip


def _unfinished(observed: Observations, record: Record) -> bool:
    """Whether the loss around that step is still above a tenth of the first one: a finished model has small gradients rightly."""
    losses = [r for r in observed.train if r["loss"] is not None]
    if not losses:
        return True
    near = next((r for r in losses if r["step"] <= record["step"] < r["step"] + r["steps"]), losses[-1])
    return near["loss"] > 0.1 * losses[0]["loss"]


@rule(
    "ExplodingTensor",
    "A gradient, weight or activation is not finite, or a gradient's norm exceeds growth times the median of its "
    "observed norms and 1e3.",
    growth=1e4,
)  # fmt: skip
def exploding_tensor(observed: Observations, p: Mapping[str, float]) -> Outcome:
    seen_any = [(r, kind, name, stats) for r in observed.tensors for kind, name, stats in _tensors(r)]
    lost = next((r for r in observed.train if r["nonfinite"]), None)
    if not seen_any and not observed.train:
        return no_data("no tensors and no losses were observed")
    for record, kind, name, stats in seen_any:
        if stats.get("nonfinite"):
            return _exploded(f"{kind} {name} is not finite at step {record['step']}", record["step"])
    if lost:
        return _exploded(f"the loss is not finite at step {lost['step']}", lost["step"])
    if not seen_any:
        return no_data("no tensors were observed; the losses are finite")
    norms: dict[str, list[tuple[int, float]]] = {}
    for record, kind, name, stats in seen_any:
        if kind == "gradient" and stats.get("l2") is not None:
            norms.setdefault(name, []).append((record["step"], stats["l2"]))
    for name, series in norms.items():
        usual = median(v for _, v in series)
        step, largest = max(series, key=lambda pair: pair[1])
        if largest > 1e3 and largest > p["growth"] * usual:
            return _exploded(f"the gradient of {name} has norm {largest:.3g} at step {step}, usually {usual:.3g}", step)
    largest = max((v for series in norms.values() for _, v in series), default=0.0)
    return healthy(
        f"all of {len(seen_any)} observed tensors are finite; largest gradient norm {largest:.3g}", largest_norm=largest
    )


def _exploded(seen: str, step: int) -> Outcome:
    return Outcome(
        "IssuesFound", seen, "a value that is not finite spreads to all weights within one step; the training cannot recover",
        "lower the learning rate, clip gradients, raise epsilon, check the inputs for values that are "
        "not finite", {"step": step}, (step,),
    )  # fmt: skip


def _tensors(record: Record) -> Iterator[tuple[str, str, Record]]:
    for kind in ("gradient", "weight", "activation"):
        for name, stats in (record.get(kind + "s") or {}).items():
            yield kind, name, stats


@rule(
    "PoorWeightInitialization",
    "Before training has changed them, the weights of a trained layer other than the last are all equal or have equal"
    " rows: every unit then computes the same. Or their standard deviation lies outside 1/scale to scale times "
    "1/√fan_in; and, for the scale, the loss does not fall by a tenth within the first `steps` steps or begins above "
    "start_ratio × ln(classes).",
    scale=20.0, steps=50, start_ratio=3.0,
)  # fmt: skip
def poor_weight_initialization(observed: Observations, p: Mapping[str, float]) -> Outcome:
    first = next((r for r in _of(observed, "weights") if r["step"] == 0), None)
    layers = [
        (n, s)
        for n, s in (first["weights"].items() if first else ())
        if s.get("fan_in") and s.get("dimensions", 0) >= 2
    ]
    if not layers:
        return no_data("no weights of trained layers were observed at step 0")
    hidden = layers[:-1]
    for name, stats in hidden:
        if stats.get("row_spread", 1.0) == 0.0:
            return _poor(
                f"all units of {name} have the same weights at step 0",
                {"tensor": name},
                "its units all learn the same thing and count as one",
            )
    odd = {n: s["std"] * math.sqrt(s["fan_in"]) for n, s in layers if s["std"] is not None}
    odd = {n: r for n, r in odd.items() if r > p["scale"] or (r < 1 / p["scale"] and n != layers[-1][0])}
    start, fell = _early_loss(observed, int(p["steps"]))
    classes = len(observed.run.get("class_counts") or ())
    high = bool(classes > 1 and start is not None and start > p["start_ratio"] * math.log(classes))
    seen = (
        f"{len(layers)} weights at step 0, {len(odd)} of them outside the usual scale; first loss "
        f"{start if start is None else round(start, 4)}"
    )
    if odd and (high or fell is False):
        name = max(odd, key=lambda n: abs(math.log(max(odd[n], 1e-30))))
        return _poor(
            f"{seen}; {name} has {odd[name]:.3g} times the usual spread, and the loss "
            + ("begins far above that of guessing" if high else f"does not fall in the first {p['steps']:.0f} steps"),
            {"tensor": name, "relative_spread": odd[name], "first_loss": start}, "signals grow or fade from "
                "layer to layer until nothing can be learnt",
        )  # fmt: skip
    return healthy(seen, odd=sorted(odd), first_loss=start)


def _poor(seen: str, values: Mapping, why: str) -> Outcome:
    return Outcome(
        "IssuesFound",
        seen,
        why,
        "use the framework's initialisation (Kaiming for ReLU, Xavier for tanh) or pretrained weights",
        values,
        (0,),
    )


def _early_loss(observed: Observations, steps: int) -> tuple[float | None, bool | None]:
    early = [r for r in observed.train if r["step"] < steps and r["loss"] is not None]
    if not early:
        return None, (False if observed.train else None)
    start = early[0]["loss"]
    if observed.train_steps < 5 or len(observed.train) < 2:
        return start, None
    later = [r for r in observed.train if r["loss"] is not None][1:]
    later = [r for r in later if r["step"] < steps] or later[:1]
    return start, min(r["loss"] for r in later) < 0.9 * start


def _share_of_units(
    observed: Observations, key: str, p: Mapping[str, float], missing: str
) -> Outcome | tuple[dict[str, float], int, list[int]]:
    """(worst share of each layer that holds in most observed steps, observed steps, their numbers)."""
    records = [r for r in _of(observed, "activations") if any(key in s for s in r["activations"].values())]
    if len(records) < p["min_observations"]:
        return no_data(f"{len(records)} observed steps with {missing}; at least {p['min_observations']:.0f} are needed")
    by_layer: dict[str, list[float]] = {}
    for record in records:
        for name, stats in record["activations"].items():
            if key in stats:
                by_layer.setdefault(name, []).append(stats[key])
    return {n: median(v) for n, v in by_layer.items()}, len(records), [r["step"] for r in records]


@rule(
    "DeadRelu",
    "In a ReLU layer, more than threshold_layer % of the units (channels) are zero for every photo of the batch. This"
    " is the median of the observed steps.",
    threshold_layer=50.0, min_observations=2,
)  # fmt: skip
def dead_relu(observed: Observations, p: Mapping[str, float]) -> Outcome:
    shares = _share_of_units(observed, "dead", p, "outputs of ReLU layers")
    if isinstance(shares, Outcome):
        return shares
    return _by_units(
        *shares, p["threshold_layer"], "of its units are zero for every photo", "a unit that is zero for every "
            "photo has gradient zero and never comes back",
        "lower the learning rate, use leaky ReLU, GELU or SiLU, check the initialisation of biases",
    )  # fmt: skip


@rule(
    "SaturatedActivation",
    "In a sigmoid or tanh layer, more than threshold_layer % of the outputs lie within 2 % of the range's ends. This "
    "is the median of the observed steps.",
    threshold_layer=50.0, min_observations=2,
)  # fmt: skip
def saturated_activation(observed: Observations, p: Mapping[str, float]) -> Outcome:
    shares = _share_of_units(observed, "saturated", p, "outputs of sigmoid or tanh layers")
    if isinstance(shares, Outcome):
        return shares
    return _by_units(
        *shares, p["threshold_layer"], "of its outputs are saturated", "a saturated unit has nearly no "
            "gradient: what lies before it is hardly trained",
        "normalise inputs, initialise smaller, lower the learning rate, use ReLU-like activations",
    )  # fmt: skip


def _by_units(
    shares: dict[str, float], count: int, steps: list[int], threshold: float, what: str, why: str, change: str
) -> Outcome:
    name = max(shares, key=lambda n: shares[n])
    bad = sorted(n for n, share in shares.items() if 100 * share > threshold)
    seen = f"worst of {len(shares)} layers: {name}, {100 * shares[name]:.0f} % {what} (median of {count} steps)"
    values = {"layer": name, "share": shares[name], "layers": bad}
    if not bad:
        return healthy(seen, **values)
    return Outcome(
        "IssuesFound", f"{seen}; {len(bad)} layer(s) over {threshold:.0f} %", why, change, values, tuple(steps[-3:])
    )
