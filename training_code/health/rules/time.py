"""Rules that look at where the time goes: StepOutlier, MaxInitializationTime, LongEvaluation."""

from __future__ import annotations

from collections.abc import Mapping

from training_code.health.observations import Observations, median
from training_code.health.rule import LEAST_GAIN_SECONDS, Outcome, healthy, no_data, rule


@rule(
    "StepOutlier",
    "Slow training steps make up more than share of the training time. Slow is: longer than the median by more than "
    "stddev robust standard deviations (1.4826 × median absolute deviation), and at least twice as long. The first "
    "step of each epoch is left out (it fills caches and workers), and so are steps recorded in detail.",
    stddev=3.0, share=0.05, min_steps=20, min_gain_seconds=LEAST_GAIN_SECONDS,
)  # fmt: skip
def step_outlier(observed: Observations, p: Mapping[str, float]) -> Outcome:
    if observed.train_steps < p["min_steps"]:
        return no_data(f"{observed.train_steps} training steps; at least {p['min_steps']:.0f} are needed")
    warm_up = {0} | {r.get("train_steps") for r in observed.epochs}
    detailed = int((observed.run.get("hyperparameters") or {}).get("profiler_steps", 0))
    records = [r for r in observed.train if not (r["steps"] == 1 and r["step"] in warm_up) and r["step"] >= detailed]
    if len(records) < 2:
        return no_data("all training steps lie in one record; they are too short to be told apart")
    usual = [_usual(r) for r in records]
    middle = median(usual)
    spread = 1.4826 * median(abs(u - middle) for u in usual)
    limit = max(2 * middle, middle + p["stddev"] * spread)
    slow = [r for r in records if r["longest"] > limit and r["longest_step"] not in warm_up]
    lost = sum(r["longest"] - middle for r in slow)
    share = lost / observed.train_seconds
    values = {"median_seconds": middle, "limit_seconds": limit, "outliers": len(slow), "share": share}
    seen = f"median step {middle:.3g} s; {len(slow)} step(s) over {limit:.3g} s cost {100 * share:.1f} % of the training time"
    if share <= p["share"]:
        return healthy(seen, **values)
    worst = sorted(slow, key=lambda r: -r["longest"])[:10]
    phase = max(("data", "forward", "backward", "optimizer"), key=lambda name: sum(r.get(name, 0.0) for r in worst))
    named = ", ".join(f"step {r['longest_step']}: {r['longest']:.3g} s" for r in worst[:3])
    return Outcome(
        "IssuesFound", f"{seen} ({named}; mostly in {phase})", "a training waits for its slowest steps",
        "look at what else runs in these steps: reading of new files, checkpoints, garbage collection, a neighbour on the machine"
        + ("; here it is the data" if phase == "data" else ""), values, tuple(r["longest_step"] for r in worst), lost,
    )  # fmt: skip


def _usual(record: Mapping[str, float]) -> float:
    """Seconds of a usual step of the record: without its slowest one, where there are others."""
    if record["steps"] == 1:
        return record["seconds"]
    return (record["seconds"] - record["longest"]) / (record["steps"] - 1)


@rule(
    "MaxInitializationTime",
    "From the start of the process to the first step takes longer than threshold_seconds; or longer than share of the"
    " whole training, and at least min_seconds. (SageMaker's rule has the limit alone, 20 minutes.) The download of "
    "the data before the container starts is not seen from inside.",
    threshold_seconds=1200.0, share=0.5, min_seconds=30.0,
)  # fmt: skip
def max_initialization_time(observed: Observations, p: Mapping[str, float]) -> Outcome:
    first, started = observed.run.get("first_step"), observed.run.get("process_started")
    if first is None or started is None:
        return no_data("no step has been observed")
    seconds = first - started
    share = seconds / observed.seconds if observed.seconds else 1.0
    observing = observed.run["observed_from"] - started
    seen = (
        f"{seconds:.3g} s from the start of the process to the first step ({100 * share:.0f} % of the training so far)"
    )
    values = {"seconds": seconds, "share": share, "before_observation": observing}
    if seconds > p["threshold_seconds"] or (seconds > p["min_seconds"] and share > p["share"]):
        return Outcome(
            "IssuesFound", seen, "nothing is learnt before the first step, but it is paid for",
            "read the data as one packed object (FastFile, not thousands of small files), load weights from disk, import less",
            values, (), max(0.0, seconds - p["min_seconds"]) if seconds > p["min_seconds"] else seconds / 2,
        )  # fmt: skip
    return healthy(seen, **values)


@rule(
    "LongEvaluation",
    "Evaluation takes more than max_ratio of the time of the training steps. (No built-in rule of SageMaker has this.)",
    max_ratio=0.5, min_seconds=0.05, min_gain_seconds=LEAST_GAIN_SECONDS,
)  # fmt: skip
def long_evaluation(observed: Observations, p: Mapping[str, float]) -> Outcome:
    if not observed.train_seconds or not observed.evaluation:
        return no_data(
            "no evaluation steps have been observed"
            if observed.train_seconds
            else "no training steps have been observed"
        )
    ratio = observed.evaluation_seconds / observed.train_seconds
    seen = f"evaluation {observed.evaluation_seconds:.3g} s, training steps {observed.train_seconds:.3g} s: ratio {ratio:.2f}"
    values = {
        "ratio": ratio,
        "evaluation_seconds": observed.evaluation_seconds,
        "train_seconds": observed.train_seconds,
    }
    if ratio <= p["max_ratio"] or observed.evaluation_seconds < p["min_seconds"]:
        return healthy(seen, **values)
    wanted = 0.2 * observed.train_seconds
    longer = "takes longer than training" if ratio > 1 else "takes a large part of the time"
    return Outcome(
        "IssuesFound", f"{seen}: evaluation {longer}", "time in which the model does not get better",
        "evaluate less often, on fewer photos, with larger batches and without gradients (torch.inference_mode)", values, (),
        observed.evaluation_seconds - wanted,
    )  # fmt: skip
