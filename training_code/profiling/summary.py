"""What took the time of a training, in numbers: parts of the whole, steps, the machine, and the one change that would help most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training_code.health.observations import PHASES, Observations, mean, median, percentile

# A training that never learns has its best epoch early: the advice to stop there would miss the cause.
CAUSE_OF = {"Overtraining": "LossNotDecreasing"}

Part = tuple[str, str, float]  # key, what it is, seconds


def parts(observed: Observations) -> list[Part]:
    """The whole time of the process, split without overlap; they add up to `observed.seconds`."""
    if observed.stepping is None or observed.started is None:
        return [("initialization", "from process start; no step was seen", observed.seconds)]
    first, last = observed.stepping
    phases = {name: observed.phase_seconds(name) for name in PHASES}
    named = {
        "data": "training steps: waiting for data", "forward": "training steps: forward", "backward": "training steps: backward",
        "optimizer": "training steps: optimizer",
    }  # fmt: skip
    rest = max(0.0, observed.train_seconds - sum(phases.values()))
    settings = observed.run.get("hyperparameters") or {}
    refitted = settings.get("refit") == "true" and settings.get("export") != "false"
    after = "after the last step" + (": the refit (not observed itself), the export" if refitted else "")
    between = max(0.0, last - first - observed.train_seconds - observed.evaluation_seconds)
    return [
        ("initialization", "from process start to the first step: imports, data, weights", max(0.0, first - observed.started)),
        *((name, named[name], phases[name]) for name in PHASES if phases[name]),
        ("other", "training steps: the rest" if observed.has_phases else "training steps (no phases reported)", rest),
        ("evaluation", "evaluation", observed.evaluation_seconds),
        ("between", "between steps: metrics, checkpoints", between),
        ("finalization", after, max(0.0, (observed.ended or last) - last)),
    ]  # fmt: skip


def summary(observed: Observations) -> dict[str, Any]:
    """The `profile` part of `health.json`; what was not observed is absent or None, never zero."""
    found: dict[str, Any] = {
        "seconds": observed.seconds, "parts": [{"name": k, "what": w, "seconds": s} for k, w, s in parts(observed)],
        "train_steps": observed.train_steps, "evaluation_steps": sum(r["steps"] for r in observed.evaluation),
        "epochs": len(observed.epochs),
    }  # fmt: skip
    if observed.train:
        samples = sum(r["samples"] for r in observed.train)
        found |= {
            "step_seconds_median": median(r["seconds"] / r["steps"] for r in observed.train),
            "step_seconds_p95": percentile((r["longest"] for r in observed.train), 95),
            "photos_per_second": samples / observed.train_seconds if observed.train_seconds else None,
            "data_share": observed.data_share if observed.has_phases else None,
        }
    inside = observed.system_while_training
    if inside:
        found["system"] = {
            "samples": len(observed.system), "interval_seconds": median(s["interval"] for s in observed.system),
            "cpus": inside[-1]["cpus"], "cpu_percent": 100 * mean(s["process_cpu"] / s["cpus"] for s in inside),
            "machine_cpu_percent": mean(mean(s["cores"]) for s in inside),
            "memory_peak": max(s["process_memory"] for s in observed.system), "memory_total": inside[-1]["memory_total"],
        }  # fmt: skip
        gpus = [s["gpus"] for s in inside if s.get("gpus")]
        if gpus:
            found["system"]["gpu_percent"] = mean(mean(g["utilization"] for g in sample) for sample in gpus)
    return found


def suggestion(outcomes: Sequence[dict[str, Any]], observed: Observations) -> dict[str, Any] | None:
    """The finding whose change is expected to save most time; None when no finding promises any."""
    found = {o["name"] for o in outcomes if o["status"] == "IssuesFound"}
    promising = [
        o for o in outcomes if o["name"] in found and o["gain_seconds"] > 0 and CAUSE_OF.get(o["name"]) not in found
    ]
    if not promising:
        return None
    best = max(promising, key=lambda o: o["gain_seconds"])
    gain = min(best["gain_seconds"], observed.seconds)
    return {
        "rule": best["name"], "change": best["change"], "seen": best["seen"], "gain_seconds": gain,
        "gain_share": gain / observed.seconds if observed.seconds else 0.0,
    }  # fmt: skip
