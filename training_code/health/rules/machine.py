"""Rules that look at the machine: LowGPUUtilization, LowCPUUtilization, CPUBottleneck, IOBottleneck, BatchSize, LoadBalancing.

Processor use is that of the training and its child processes, and time in which they were ready but a neighbour had the
processor is taken out: a shared machine does not make a busy training look idle. Only samples taken inside training steps count.
"""

from __future__ import annotations

from collections.abc import Mapping

from training_code.health.observations import Observations, Record, mean, percentile
from training_code.health.rule import LEAST_GAIN_SECONDS, Outcome, healthy, no_data, rule


def _samples(observed: Observations, p: Mapping[str, float]) -> list[Record] | Outcome:
    samples = observed.system_while_training
    if len(samples) < p["min_samples"]:
        return no_data(
            f"{len(samples)} system samples inside training steps; at least {p['min_samples']:.0f} "
            f"are needed (shorter profiler_interval_ms)"
        )
    return samples


def _has_gpu(samples: list[Record]) -> bool:
    return any(s.get("gpus") for s in samples)


def _gpu(samples: list[Record], key: str) -> list[float]:
    return [mean(g[key] for g in s["gpus"]) for s in samples if s.get("gpus")]


def _wanted(sample: Record) -> float:
    """Processors that the training used or would have used, had they been free."""
    return min(float(sample["cpus"]), sample.get("process_wanted", sample["process_cpu"]))


def _cpu_share(samples: list[Record]) -> float:
    """Part of the processors allowed to the training that it used or asked for."""
    return mean(_wanted(s) / s["cpus"] for s in samples)


@rule(
    "LowGPUUtilization",
    "Inside training steps, the 95th percentile of GPU utilisation is below threshold_p95 %. Or the 5th is below "
    "threshold_p5 % while the mean is below threshold_mean %.",
    threshold_p95=70.0, threshold_p5=10.0, threshold_mean=50.0, min_samples=5, min_gain_seconds=LEAST_GAIN_SECONDS,
)  # fmt: skip
def low_gpu_utilization(observed: Observations, p: Mapping[str, float]) -> Outcome:
    samples = _samples(observed, p)
    if isinstance(samples, Outcome):
        return samples
    if not _has_gpu(samples):
        return no_data("no GPU was seen on this machine")
    used = _gpu(samples, "utilization")
    high, low, average = percentile(used, 95), percentile(used, 5), mean(used)
    seen = f"GPU utilisation inside training steps: mean {average:.0f} %, 5th percentile {low:.0f} %, 95th {high:.0f} %"
    values = {"p95": high, "p5": low, "mean": average, "data_share": observed.data_share}
    if high >= p["threshold_p95"] and (low >= p["threshold_p5"] or average >= p["threshold_mean"]):
        return healthy(seen, **values)
    waiting = observed.data_share > 0.3
    return Outcome(
        "IssuesFound", seen + (f"; {100 * observed.data_share:.0f} % of the step time waits for data" if waiting else ""),
        "an idle GPU costs as much as a busy one",
        "feed it faster: decode in more worker processes, or compute the features of frozen layers once" if waiting
        else "use larger batches, mixed precision, or a smaller and cheaper instance", values, (),
        _wait_to_save(observed) if waiting else _computing(observed) * max(0.0, 1 - average / 90),
    )  # fmt: skip


@rule(
    "LowCPUUtilization",
    "On a machine without GPU, the training uses less than threshold % of the processors inside its training steps.",
    threshold=50.0, min_samples=5, min_gain_seconds=LEAST_GAIN_SECONDS,
)  # fmt: skip
def low_cpu_utilization(observed: Observations, p: Mapping[str, float]) -> Outcome:
    samples = _samples(observed, p)
    if isinstance(samples, Outcome):
        return samples
    if _has_gpu(samples):
        return no_data("the machine has a GPU, which does the work: see LowGPUUtilization and CPUBottleneck")
    used = 100 * _cpu_share(samples)
    had = 100 * mean(s["process_cpu"] / s["cpus"] for s in samples)
    seen = f"the training used {had:.0f} % of {samples[-1]['cpus']} processors inside its steps"
    seen += f" (it would have used {used:.0f} %, had others taken none)" if used > had + 5 else ""
    values = {"percent": used, "cpus": samples[-1]["cpus"]}
    if used >= p["threshold"]:
        return healthy(seen, **values)
    return Outcome(
        "IssuesFound", seen, "processors that do nothing are paid for all the same",
        "more threads (OMP_NUM_THREADS), data loading in worker processes, larger batches, or a smaller instance", values, (),
        _computing(observed) * max(0.0, 1 - used / 90),
    )  # fmt: skip


def _waiting(observed: Observations, p: Mapping[str, float]) -> Outcome | tuple[float, float]:
    """(share of step time that waits for data, processors busy with data meanwhile); an Outcome when that cannot be told.

    Busy with data are this process inside the data phases, and its worker processes all the time.
    """
    if not observed.has_phases:
        return no_data("the training reported no phases")
    samples = _samples(observed, p)
    if isinstance(samples, Outcome):
        return samples
    waited = observed.phase_seconds("data")
    own = observed.phase_seconds("data_cpu") / waited if waited else 0.0
    return observed.data_share, own + mean(s.get("workers_wanted", 0.0) for s in samples)


@rule(
    "CPUBottleneck",
    "More than threshold % of the training steps' time waits for data, and at least busy_processors are busy with "
    "data: decoding or augmentation is the limit. Counted are this process inside the data phases, and its worker "
    "processes. With a GPU also: utilisation below gpu_threshold % while the processors are above cpu_threshold %.",
    threshold=30.0, busy_processors=0.6, gpu_threshold=10.0, cpu_threshold=90.0, min_samples=3, min_gain_seconds=LEAST_GAIN_SECONDS,
)  # fmt: skip
def cpu_bottleneck(observed: Observations, p: Mapping[str, float]) -> Outcome:
    waiting = _waiting(observed, p)
    if isinstance(waiting, Outcome):
        return waiting
    share, busy = waiting
    starved = [
        s for s in observed.system_while_training
        if s.get("gpus") and mean(g["utilization"] for g in s["gpus"]) < p["gpu_threshold"]
        and 100 * _wanted(s) / s["cpus"] > p["cpu_threshold"]
    ]  # fmt: skip
    gpu_starved = len(starved) > 0.5 * len(observed.system_while_training)
    seen = f"{100 * share:.0f} % of the training steps' time waits for data, with {busy:.2f} processors busy with it"
    values = {"data_share": share, "busy_processors": busy}
    if (100 * share > p["threshold"] and busy >= p["busy_processors"]) or gpu_starved:
        return Outcome(
            "IssuesFound", f"{seen}: data loading dominates, and it computes", "the model waits while photos "
                "are decoded or changed",
            "compute features of frozen layers once, decode at the size that is needed, load in more worker processes, "
            "augment less",
            values, (), _wait_to_save(observed),
        )  # fmt: skip
    return healthy(seen, **values)


@rule(
    "IOBottleneck",
    "More than threshold % of the training steps' time waits for data while fewer than busy_processors are busy with "
    "it: it waits for disk or network.",
    threshold=30.0, busy_processors=0.6, min_samples=3, min_gain_seconds=LEAST_GAIN_SECONDS,
)  # fmt: skip
def io_bottleneck(observed: Observations, p: Mapping[str, float]) -> Outcome:
    waiting = _waiting(observed, p)
    if isinstance(waiting, Outcome):
        return waiting
    share, busy = waiting
    seen = f"{100 * share:.0f} % of the training steps' time waits for data, with {busy:.2f} processors busy with it"
    values = {"data_share": share, "busy_processors": busy}
    if 100 * share > p["threshold"] and busy < p["busy_processors"]:
        return Outcome(
            "IssuesFound", f"{seen}: data loading dominates, and it waits for disk or network",
            "the model and the processors wait for bytes to arrive",
            "pack the photos into few large objects, read ahead in worker processes, keep them on local disk", values, (),
            _wait_to_save(observed),
        )  # fmt: skip
    return healthy(seen, **values)


def _computing(observed: Observations) -> float:
    """Seconds of the training steps that do not wait for data: a machine that is idle for want of data is not helped by threads."""
    return observed.train_seconds - observed.phase_seconds("data")


def _wait_to_save(observed: Observations) -> float:
    """All waiting but the 5 % of the rest that a good loader leaves."""
    waited = observed.phase_seconds("data")
    return max(0.0, waited - 0.05 * (observed.train_seconds - waited))


@rule(
    "BatchSize",
    "The machine (GPU; without one, the processors) is used less than utilization_threshold % and its memory less "
    "than memory_threshold %. Less than data_threshold % of the time waits for data: there is room for larger "
    "batches.",
    utilization_threshold=60.0, memory_threshold=70.0, data_threshold=30.0, min_samples=5, min_gain_seconds=LEAST_GAIN_SECONDS,
)  # fmt: skip
def batch_size(observed: Observations, p: Mapping[str, float]) -> Outcome:
    samples = _samples(observed, p)
    if isinstance(samples, Outcome):
        return samples
    batch = sum(r["samples"] for r in observed.train) / observed.train_steps
    if _has_gpu(samples):
        what, used = "GPU", percentile(_gpu(samples, "utilization"), 95)
        memory = max(
            100 * mean(g["memory_used"] / g["memory_total"] for g in s["gpus"]) for s in samples if s.get("gpus")
        )
    else:
        what, used = "processor", 100 * _cpu_share(samples)
        memory = max(100 * s["process_memory"] / s["memory_total"] for s in samples)
    seen = (
        f"mean batch {batch:.3g}; {what} utilisation {used:.0f} %, memory {memory:.0f} %, "
        f"{100 * observed.data_share:.0f} % waits for data"
    )
    values = {"batch": batch, "utilization": used, "memory": memory, "data_share": observed.data_share}
    if (
        used < p["utilization_threshold"]
        and memory < p["memory_threshold"]
        and 100 * observed.data_share < p["data_threshold"]
    ):
        return Outcome(
            "IssuesFound", seen, "each step costs a fixed amount that a small batch cannot spread",
            f"double the batch size (raise the learning rate with it) until the {what} is busy or its memory is full", values, (),
            _computing(observed) * max(0.0, 1 - used / 90) / 2,
        )  # fmt: skip
    return healthy(seen, **values)


def _spread_out(samples: list[Record]) -> bool:
    """Threads for three quarters of the processors, and free to run on all: where each is seen is then the scheduler's choice."""
    processors = len(samples[-1]["wanted_cores"])
    return samples[-1]["cpus"] >= processors and mean(_wanted(s) for s in samples) >= 0.75 * processors


@rule(
    "LoadBalancing",
    "Devices are GPUs if there are several, otherwise processors. The most used one is above busy %, and its mean "
    "utilisation is more than threshold percentage points above that of the least used one. Processors are not judged "
    "when the training may run on all of them and asks for three quarters.",
    threshold=50.0, busy=70.0, min_samples=5, min_gain_seconds=LEAST_GAIN_SECONDS,
)  # fmt: skip
def load_balancing(observed: Observations, p: Mapping[str, float]) -> Outcome:
    samples = _samples(observed, p)
    if isinstance(samples, Outcome):
        return samples
    gpus = max(len(s.get("gpus") or ()) for s in samples)
    if gpus > 1:
        what = "GPU"
        loads = [mean(s["gpus"][k]["utilization"] for s in samples if len(s["gpus"]) > k) for k in range(gpus)]
    else:
        what = "processor"
        loads = [mean(s["wanted_cores"][k] for s in samples) for k in range(len(samples[-1]["wanted_cores"]))]
    if len(loads) < 2:
        return no_data(f"the machine has one {what}: there is nothing to balance")
    high, low = max(loads), min(loads)
    seen = f"most used {what} {high:.0f} %, least used {low:.0f} %"
    values = {"loads": loads}
    if gpus == 1 or high - low <= p["threshold"] or high < p["busy"] or (not gpus and _spread_out(samples)):
        return healthy(seen, **values)
    return Outcome(
        "IssuesFound", seen, "the training is as fast as its busiest device, while the others wait",
        "let it use all of them: distributed data parallel for GPUs; threads, worker processes and no pinning for processors",
        values, (), _computing(observed) * (1 - mean(loads) / high),
    )  # fmt: skip
