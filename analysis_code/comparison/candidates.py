"""Read what is known of each candidate, and join it into one table row per candidate.

A candidate's folder holds what its own benchmark job wrote: `benchmark.json`, `predictions.npz`, and, copied from the
training, `manifest.json` and `epochs.jsonl`. A folder without `benchmark.json` belongs to a candidate that did not
finish; its reason comes from the state machine's own record, never from here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analysis_code.comparison.prices import Prices
from contract.foreign_json import parse
from contract.instances import Instances


@dataclass(frozen=True)
class Split:
    """One set of photos as the candidate answered them: labels and probabilities share their first axis."""

    labels: np.ndarray
    probabilities: np.ndarray
    photo_ids: list[str]

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        return self.predicted == self.labels


@dataclass(frozen=True)
class Candidate:
    """A candidate and everything measured of it; `reason` is set where it failed."""

    name: str
    description: Mapping[str, Any]
    benchmark: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    epochs: tuple[Mapping[str, float], ...] = ()
    splits: Mapping[str, Split] = field(default_factory=dict)
    training_seconds: float | None = None
    tuning_seconds: float | None = None
    reason: str | None = None
    state: str = ""

    @property
    def status(self) -> str:
        """`finished`, `failed`, or `left out` for want of budget."""
        return "finished" if self.finished else "left out" if self.state == "left out" else "failed"

    @property
    def finished(self) -> bool:
        return bool(self.benchmark)


def read_candidates(folder: Path, outcomes: Sequence[Mapping[str, Any]]) -> list[Candidate]:
    """`outcomes`: the state machine's record of each candidate (`candidate`, `state` and, where it failed, `cause`)."""
    return [_read(folder / outcome["candidate"]["name"], outcome) for outcome in outcomes]


def _reason(outcome: Mapping[str, Any]) -> str | None:
    """The failed job's own words: Step Functions gives its whole description as text."""
    cause = outcome.get("cause")
    try:
        job = parse(cause or "")
    except ValueError:
        return cause
    return job.get("ExitMessage") or job.get("FailureReason") or cause


def _read(folder: Path, outcome: Mapping[str, Any]) -> Candidate:
    asked = outcome["candidate"]
    known: dict[str, Any] = {"name": asked["name"], "description": asked.get("description", {})}
    known |= {"reason": _reason(outcome), "state": outcome.get("state", "")}
    if known["state"] == "left out":
        return Candidate(**known)
    if not (folder / "benchmark.json").is_file():
        known["reason"] = known["reason"] or "It wrote no benchmark.json, and no reason was recorded."
        return Candidate(**known)
    known["benchmark"] = json.loads((folder / "benchmark.json").read_text())
    known["manifest"] = json.loads((folder / "manifest.json").read_text())
    epochs = folder / "epochs.jsonl"
    if epochs.is_file():
        known["epochs"] = tuple(json.loads(line) for line in epochs.read_text().splitlines() if line.strip())
    with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
        known["splits"] = dict(_splits(arrays))
    for name in ("training_seconds", "tuning_seconds"):
        known[name] = known["benchmark"].get(name)
    return Candidate(**known)


def _splits(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, Split]]:
    for split in sorted({key.split("/")[0] for key in arrays}):
        ids = [str(i) for i in arrays[f"{split}/photo_ids"]]
        yield split, Split(arrays[f"{split}/labels"], arrays[f"{split}/probabilities"], ids)


def table_row(candidate: Candidate, prices: Prices, instances: Instances) -> dict[str, Any]:
    """One flat row; every value that was not measured is None. Each second is priced as the machine on which it passed."""
    b = candidate.benchmark
    latency, sizes = b.get("latency", {}), b.get("size", {})
    row: dict[str, Any] = {
        "name": candidate.name,
        "model": candidate.description.get("model", candidate.name),
        "framework": candidate.description.get("framework"),
        "weights": candidate.description.get("weights"),
        # False: random weights, which show that it runs and what it costs, not what it can learn.
        "pretrained": candidate.description.get("pretrained", True),
        "match": candidate.description.get("match", "same"),
        "note": candidate.description.get("note", ""),
        "status": candidate.status,
        "reason": candidate.reason,
    }
    for split, prefix in (("test", ""), ("validation", "validation_"), ("second", "second_")):
        judged = b.get("evaluations", {}).get(split, {})
        for key in ("accuracy", "balanced_accuracy", "loss"):
            row[prefix + key] = judged.get(key)
    row |= {
        "training_seconds": candidate.training_seconds,
        "extraction_seconds": b.get("extraction_seconds"),
        "tuning_seconds": candidate.tuning_seconds,
        "features_from_cache": b.get("features_from_cache"),
        "latency_p50_ms": latency.get("batch_1", {}).get("p50_ms"),
        "latency_p99_ms": latency.get("batch_1", {}).get("p99_ms"),
        "best_batch": latency.get("best_batch", {}).get("batch"),
        "seconds_per_photo": latency.get("best_batch", {}).get("seconds_per_photo"),
        "peak_memory_bytes": b.get("peak_memory_bytes"),
        "parameters": sizes.get("parameters"),
        "memory_bytes": sizes.get("memory_bytes"),
        "disk_bytes": sizes.get("disk_bytes"),
    }
    row["training_dollars"] = _training_dollars(row, prices, instances)
    row["dollars_per_million"] = prices.dollars_per_million(row["seconds_per_photo"], instances.transform)
    return row


def _training_dollars(row: Mapping[str, Any], prices: Prices, instances: Instances) -> float | None:
    """Of `training_seconds`: features are computed on one kind of machine, the training runs on another."""
    seconds, extraction = row["training_seconds"], row["extraction_seconds"]
    if seconds is None or extraction is None:
        return None
    parts = ((extraction, instances.prepare), (seconds - extraction, instances.training))
    dollars = [prices.training_dollars(time, instance) for time, instance in parts]
    return None if None in dollars else sum(dollars)


def relative_to(rows: list[dict[str, Any]], base: str, columns: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    """Per candidate and column the value divided by the base's: JumpStart's own way of showing a comparison."""
    reference = next((r for r in rows if r["name"] == base), None)
    if reference is None:
        raise ValueError(f"The base {base!r} is not among the candidates: {', '.join(r['name'] for r in rows)}.")

    def ratio(row: dict[str, Any], column: str) -> float | None:
        return row[column] / reference[column] if row[column] is not None and reference[column] else None

    return {row["name"]: {column: ratio(row, column) for column in columns} for row in rows}
