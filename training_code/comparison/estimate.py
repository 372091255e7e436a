"""How long a comparison will take, measured before it starts: one forward pass of each candidate on this machine.

Weights play no part in speed, so none are loaded: the network is built empty and filled with zeros. The rest is arithmetic:
photos to be looked at, jobs to be started, networks to be converted, and what a benchmark takes at least. What an earlier
comparison has already finished, and features that are cached, cost nothing and are not known here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract import benchmark
from contract.comparison_input import ComparisonInput
from contract.failure import JobFailure
from contract.hyperparameters import RULES
from contract.machine import usable_cores
from training_code.models import backbone, catalogue

BATCH = {"cpu": 1, "cuda": 32}
LONGEST = 0.5  # seconds of measuring a candidate, once it has answered twice
# Measured with eleven candidates on 2 cores, in processor seconds (see docs/comparison.md): starting the jobs of extraction
# and training, and that of the benchmark; converting a network, which grows with its layers and its weights; a photo by
# OpenVINO, relative to PyTorch; decoding one.
START_TRAINING, START_BENCHMARK = 8.0, 4.0
CONVERT_LAYER, CONVERT_MILLION = 0.014, 0.08
OPENVINO, DECODING = 0.6, 0.003
# Backward costs about twice the forward pass.
TRAINING_FACTOR = 3.0


@dataclass(frozen=True)
class Work:
    """Photos by split: how often a candidate's network must look at one."""

    train: int
    validation: int
    test: int
    second: int = 0

    def features(self, flip_view: bool) -> int:
        """Forward passes through the frozen network."""
        return self.train * (2 if flip_view else 1) + self.validation

    def trained(self, asked: ComparisonInput) -> float:
        """Forward passes that training takes when more than the head learns, each step counted as several."""
        if asked.fine_tune == "head":
            return 0.0
        once = (self.train * TRAINING_FACTOR + self.validation) * asked.epochs
        again = RULES["refit"].check("hyperparameters.refit", asked.hyperparameters.get("refit", False))
        return once * (1 + asked.tune) + again * (self.train + self.validation) * TRAINING_FACTOR * asked.epochs

    @property
    def judged(self) -> int:
        return self.test + self.validation + self.second


@dataclass(frozen=True)
class Cost:
    """One network on this machine: seconds for a photo with all cores busy, layers, weights."""

    seconds: float
    layers: int
    parameters: int
    gpu: bool = False

    @property
    def conversion(self) -> float:
        return CONVERT_LAYER * self.layers + CONVERT_MILLION * self.parameters / 1e6

    @property
    def served(self) -> float:
        """Seconds for a photo by the engine that computes features and serves."""
        return DECODING + self.seconds * (1 if self.gpu else OPENVINO)

    def training_seconds(self, asked: ComparisonInput, work: Work, flip_view: bool) -> float:
        looked = work.features(flip_view) * self.served + work.trained(asked) * self.seconds
        return START_TRAINING + self.conversion + looked

    def benchmark_seconds(self, work: Work) -> float:
        """Loading it twice, answering every photo of every set once, and timing answers."""
        return (
            START_BENCHMARK
            + self.conversion
            + work.judged * self.served
            + benchmark.seconds(self.served, usable_cores())
        )


def cost_of(model: str, image_size: int) -> Cost:
    """Measured on the GPU where there is one, else on one core and divided by their number."""
    import torch

    spec = catalogue.resolve(model, image_size)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        with torch.device("meta"):
            module, _ = backbone.load(spec, None)
        module = module.to_empty(device=device)
    except (RuntimeError, NotImplementedError):  # a network that looks at its numbers while it is built
        module = backbone.load(spec, None)[0].to(device)
    layers = sum(not any(part.children()) for part in module.modules())
    parameters = sum(tensor.numel() for tensor in module.parameters())
    with torch.inference_mode():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.zero_()
        photos = torch.zeros(BATCH[device], 3, *spec.preprocessing.input_size, device=device)
        if device == "cuda":
            seconds = _shortest(lambda: module(photos).cpu(), time.perf_counter) / BATCH[device]
            return Cost(seconds, layers, parameters, gpu=True)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            # A thread's own time: what else runs on the machine must not look like a slow network.
            seconds = _shortest(lambda: module(photos), time.thread_time) / BATCH[device] / (usable_cores())
        finally:
            torch.set_num_threads(threads)
    return Cost(seconds, layers, parameters)


def _shortest(call: Callable[[], object], clock: Callable[[], float]) -> float:
    times: list[float] = []
    while len(times) < 2 or (len(times) < 8 and sum(times) < LONGEST):
        started = clock()
        call()
        times.append(clock() - started)
    return min(times)


def estimate(asked: ComparisonInput, candidates: Sequence[Mapping[str, Any]], work: Work) -> list[dict[str, Any]]:
    """The candidates with `estimate_seconds` each, and the share of it that measuring them takes."""
    found = []
    for candidate in candidates:
        cost = cost_of(candidate["model"], asked.image_size)
        flip = candidate["hyperparameters"]["flip_view"] == "true"
        measuring = cost.benchmark_seconds(work)
        total = cost.training_seconds(asked, work, flip) + measuring
        found.append({**candidate, "estimate_seconds": round(total, 1), "benchmark_seconds": round(measuring, 1)})
        print(f"estimate: {candidate['name']} {total:.0f} s", flush=True)
    return found


def within_budget(
    candidates: Sequence[Mapping[str, Any]], minutes: float, base: str = ""
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Those that fit, in the order asked, and those left out with their reason. The base goes first, then the quickest."""
    if not minutes:
        return [dict(one) for one in candidates], []
    rest, chosen, reasons = minutes * 60, set(), {}
    for one in sorted(candidates, key=lambda one: (one["name"] != base, one["estimate_seconds"])):
        if one["estimate_seconds"] <= rest:
            rest -= one["estimate_seconds"]
            chosen.add(one["name"])
        else:
            reasons[one["name"]] = (
                f"left out: estimated at {one['estimate_seconds']:.0f} s, {rest:.0f} s were left of the budget of "
                f"{minutes:g} min"
            )
    if not chosen:
        quickest = min(candidates, key=lambda one: one["estimate_seconds"])
        raise JobFailure(
            f"budget_minutes: received {minutes:g}; the quickest candidate, {quickest['name']}, is estimated at "
            f"{quickest['estimate_seconds'] / 60:.1f} min. Give more, or choose smaller models."
        )
    fit = [dict(one) for one in candidates if one["name"] in chosen]
    return fit, [{**one, "reason": reasons[one["name"]]} for one in candidates if one["name"] in reasons]
