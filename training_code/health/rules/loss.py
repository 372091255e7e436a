"""Rules that look at losses: LossNotDecreasing, Overfit, Overtraining."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from training_code.health.observations import Observations, mean
from training_code.health.rule import Outcome, healthy, no_data, rule


@rule(
    "LossNotDecreasing",
    "The mean training loss of the last fifth of the steps is compared with that of the first twentieth: it is not "
    "lower by diff_percent and by twice its standard error. Or it stands rise_percent above the lowest loss it had "
    "reached, or it is not a number. A loss that is below low_loss from the beginning is not blamed for staying "
    "there.",
    diff_percent=2.0, rise_percent=50.0, min_steps=10, low_loss=0.02,
)  # fmt: skip
def loss_not_decreasing(observed: Observations, p: Mapping[str, float]) -> Outcome:
    records = observed.train
    if observed.train_steps < p["min_steps"] or len(records) < 2:
        return no_data(
            f"{observed.train_steps} training steps in {len(records)} records; at least {p['min_steps']:.0f} are needed"
        )
    lost = next((r for r in records if r["nonfinite"]), None)
    if lost:
        return _not_a_number(lost)
    records = [r for r in records if r["loss"] is not None]
    first, last = _part(records, 0.0, 0.05), _part(records, 0.8, 1.0)
    start, end = _mean(first), _mean(last)
    noise = 2 * (_step_variance(records) * (1 / _steps(first) + 1 / _steps(last))) ** 0.5
    best = min(_mean(_part(records, k / 10, (k + 1) / 10)) for k in range(10))
    values = {"first_loss": start, "last_loss": end, "lowest_loss": best, "noise": noise}
    seen = (
        f"training loss {start:.4g} at the start, {end:.4g} at the end, {best:.4g} at its lowest, over "
        f"{observed.train_steps} steps"
    )
    step = records[-1]["step"] + records[-1]["steps"] - 1
    if end > best * (1 + p["rise_percent"] / 100) and end - best > max(p["low_loss"], noise):
        return Outcome(
            "IssuesFound", f"{seen}: it rises again", "each step moves the weights past the minimum instead of towards it",
            "lower the learning rate (a tenth is a good first try)", values, (step,), 0.0,
        )  # fmt: skip
    if max(start, end) > p["low_loss"] and start - end < max(abs(start) * p["diff_percent"] / 100, noise):
        return Outcome(
            "IssuesFound", f"{seen}: it does not fall", "the model learns nothing from these steps, whatever they cost",
            "raise the learning rate if it is small, lower it if the loss jumps; check that labels match the photos, that the "
            "layers to be trained are not frozen, and that the weights are not all equal", values, (step,), observed.train_seconds,
        )  # fmt: skip
    return healthy(seen, **values)


def _not_a_number(record: dict) -> Outcome:
    return Outcome(
        "IssuesFound", f"the training loss is not a number in {record['nonfinite']} step(s) from step {record['step']}",
        "once a loss is not a number, so is every weight that follows from it: the rest of the training is lost",
        "lower the learning rate, clip gradients, and look for photos or labels that are not finite",
        {"step": record["step"]}, (record["step"],),
    )  # fmt: skip


Weighted = list[tuple[float, float]]  # a record's mean loss, and how many of its steps count


def _part(records: list[dict], begin: float, end: float) -> Weighted:
    """The steps of that part of the training, at least one step.

    A record is a group of steps that ended with the clock; what is found must not depend on how quick the machine was.
    """
    total = sum(r["steps"] for r in records)
    length = max(1.0, (end - begin) * total)
    begin = min(begin * total, total - length)
    part, at = [], 0.0
    for record in records:
        inside = min(at + record["steps"], begin + length) - max(at, begin)
        if inside > 0:
            part.append((record["loss"], inside))
        at += record["steps"]
    return part


def _steps(part: Weighted) -> float:
    return sum(steps for _, steps in part)


def _mean(part: Weighted) -> float:
    return sum(loss * steps for loss, steps in part) / _steps(part)


def _step_variance(records: list[dict]) -> float:
    """Variance of one step's loss, from neighbouring groups in the training's second half: a trend hardly moves those apart."""
    half = _part(records, 0.5, 1.0)
    return mean((a - b) ** 2 / (1 / m + 1 / n) for (a, m), (b, n) in pairwise(half))


def _losses(observed: Observations) -> list[tuple[int, float, float]]:
    """(epoch, training loss, validation loss)."""
    train, validation = dict(observed.epoch_series("train:loss")), dict(observed.epoch_series("validation:loss"))
    return [(epoch, train[epoch], validation[epoch]) for epoch in sorted(train) if epoch in validation]


@rule(
    "Overfit",
    "In each of the last `patience` epochs the validation loss exceeds the training loss: by more than ratio_threshold times"
    " the training loss, and by more than min_gap. The validation loss is also above its own lowest. "
    "(SageMaker's rule uses the ratio alone, 0.1; tiny losses then look like overfitting.)",
    ratio_threshold=0.5, min_gap=0.1, patience=2,
)  # fmt: skip
def overfit(observed: Observations, p: Mapping[str, float]) -> Outcome:
    losses, patience = _losses(observed), int(p["patience"])
    if len(losses) < patience + 1:
        return no_data(f"{len(losses)} epochs with train:loss and validation:loss; at least {patience + 1} are needed")
    lowest = min(validation for _, _, validation in losses)
    epoch, train, validation = losses[-1]
    seen = f"epoch {epoch}: training loss {train:.4g}, validation loss {validation:.4g} (lowest {lowest:.4g})"
    values = {"train_loss": train, "validation_loss": validation, "lowest_validation_loss": lowest}
    apart = all(v - t > max(p["ratio_threshold"] * t, p["min_gap"]) for _, t, v in losses[-patience:])
    if apart and validation > lowest * 1.02:
        return Outcome(
            "IssuesFound", seen, "the model remembers its training photos better than it understands them",
            "more weight decay, fewer trained layers (fine_tune=head), more photos or augmentation, fewer epochs",
            values, (int(losses[-1][0]),),
        )  # fmt: skip
    return healthy(seen, **values)


@rule(
    "Overtraining",
    "The validation loss has not improved by more than delta (relative) for `patience` epochs that are at least a "
    "quarter of the training. It also stands more than delta above its lowest, or these epochs took min_seconds.",
    patience=3, delta=0.01, min_seconds=10.0,
)  # fmt: skip
def overtraining(observed: Observations, p: Mapping[str, float]) -> Outcome:
    series, patience = observed.epoch_series("validation:loss"), int(p["patience"])
    if len(series) < patience + 1:
        return no_data(f"{len(series)} epochs with validation:loss; at least {patience + 1} are needed")
    best_at, best = 0, series[0][1]
    for index, (_, loss) in enumerate(series):
        if loss < best * (1 - p["delta"]):
            best_at, best = index, loss
    since = len(series) - 1 - best_at
    (lowest_epoch, lowest), (last_epoch, last) = min(series, key=lambda one: one[1]), series[-1]
    reached = series[best_at][0]
    values = {"best_epoch": reached, "best_loss": best, "lowest_loss": lowest, "last_loss": last, "epochs_since": since}
    seen = f"validation loss lowest in epoch {lowest_epoch} ({lowest:.4g}); epoch {last_epoch}: {last:.4g}"
    if since < max(patience, len(series) / 4):
        return healthy(seen, **values)
    times = {int(r["epoch"]): r["time"] for r in observed.epochs}
    wasted = times[last_epoch] - times[reached]
    rises = last > lowest * (1 + p["delta"])
    if not rises and wasted < p["min_seconds"]:
        return healthy(f"{seen}: it stays, which cost {wasted:.2g} s", **values)
    wanted = reached + (0 if series[0][0] else 1)
    within = "" if reached == lowest_epoch else f", within {p['delta']:.0%} of it since epoch {reached}"
    return Outcome(
        "IssuesFound", f"{seen}{within}; the {since} epochs since then took {wasted:.3g} s and gained nothing",
        "epochs after the best one cost money and tend to make the model worse on new photos" if rises
        else "epochs that change nothing cost money",
        f"train {wanted} epoch{'s' * (wanted > 1)}, or stop early when the validation loss stays", values,
        (int(last_epoch),), wasted,
    )  # fmt: skip
