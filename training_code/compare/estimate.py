"""How long a comparison will take, measured before it starts: one forward pass of each candidate on this machine.

Weights play no part in speed, so none are loaded: the network is built empty and filled with zeros. PyTorch is timed, while
features are computed by a faster engine where there is no GPU, so that the estimate errs on the long side. What an earlier
comparison has already finished, and features that are cached, cost nothing and are not known here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training_code.compare.request import ComparisonInput
from training_code.contract.failure import JobFailure
from training_code.models import backbone, catalogue

BATCH = {"cpu": 1, "cuda": 32}
LONGEST = 0.5  # seconds of measuring a candidate, once it has answered twice
# Starting three jobs, converting the network twice, exporting it and timing its answers: measured on 2 cores with small
# networks; see docs/comparison.md.
FIXED_SECONDS = 30.0
# Backward costs about twice the forward pass.
TRAINING_FACTOR = 3.0


@dataclass(frozen=True)
class Work:
    """Photos by split: how often a candidate's network must look at one."""

    train: int
    validation: int
    test: int
    second: int = 0

    def photos(self, asked: ComparisonInput, flip_view: bool) -> float:
        """Forward passes of one photo, those of training counted as such."""
        features = self.train * (2 if flip_view else 1) + self.validation
        judged = self.test + self.validation + self.second
        if asked.fine_tune == "head":
            return features + judged
        epoch = self.train * TRAINING_FACTOR + self.validation
        return features + judged + epoch * asked.epochs * (1 + asked.tune)


def seconds_per_photo(model: str, image_size: int) -> float:
    """Forward time of a photo, on the GPU where there is one, else on all cores."""
    import torch

    spec = catalogue.resolve(model, image_size)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        with torch.device("meta"):
            module, _ = backbone.load(spec, None)
        module = module.to_empty(device=device)
    except (RuntimeError, NotImplementedError):  # a network that looks at its numbers while it is built
        module = backbone.load(spec, None)[0].to(device)
    with torch.inference_mode():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.zero_()
        photos = torch.zeros(BATCH[device], 3, *spec.preprocessing.input_size, device=device)
        if device == "cuda":
            return _shortest(lambda: module(photos).cpu(), time.perf_counter) / BATCH[device]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            # A thread's own time: what else runs on the machine must not look like a slow network.
            return _shortest(lambda: module(photos), time.thread_time) / BATCH[device] / (os.cpu_count() or 1)
        finally:
            torch.set_num_threads(threads)


def _shortest(call: Callable[[], object], clock: Callable[[], float]) -> float:
    times: list[float] = []
    while len(times) < 2 or (len(times) < 8 and sum(times) < LONGEST):
        started = clock()
        call()
        times.append(clock() - started)
    return min(times)


def estimate(asked: ComparisonInput, candidates: Sequence[Mapping[str, Any]], work: Work) -> list[dict[str, Any]]:
    """The candidates with `estimate_seconds` each."""
    found = []
    for candidate in candidates:
        flip = candidate["hyperparameters"]["flip_view"] == "true"
        seconds = FIXED_SECONDS + work.photos(asked, flip) * seconds_per_photo(candidate["model"], asked.image_size)
        found.append({**candidate, "estimate_seconds": round(seconds, 1)})
        print(f"estimate: {candidate['name']} {seconds:.0f} s", flush=True)
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
