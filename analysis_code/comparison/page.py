"""The page: one file, no network; it opens from a disk, a mail or a bucket alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis_code.comparison import charts
from analysis_code.comparison.candidates import Candidate
from analysis_code.comparison.photos import Disagreement

PANELS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("accuracy", "Accuracy, test", lambda v: f"{v:.1%}"),
    ("balanced_accuracy", "Balanced accuracy, test", lambda v: f"{v:.1%}"),
    ("loss", "Loss, test", lambda v: f"{v:.3f}"),
    ("validation_accuracy", "Accuracy, validation", lambda v: f"{v:.1%}"),
    ("second_accuracy", "Accuracy, second set", lambda v: f"{v:.1%}"),
    ("second_loss", "Loss, second set", lambda v: f"{v:.3f}"),
    ("training_seconds", "Training time", lambda v: f"{v:.1f} s"),
    ("tuning_seconds", "Tuning time", lambda v: f"{v:.1f} s"),
    ("latency_p50_ms", "Inference, one photo (p50)", lambda v: f"{v:.1f} ms"),
    ("seconds_per_photo", "Inference per photo at best batch", lambda v: f"{v * 1e3:.1f} ms"),
    ("peak_memory_bytes", "Peak memory while serving", lambda v: f"{v / 1e6:,.0f} MB"),
    ("disk_bytes", "Size on disk", lambda v: f"{v / 1e6:,.1f} MB"),
)
FRONTS = (
    ("latency_p50_ms", "one photo, p50 (ms)", 1.0),
    ("disk_bytes", "size on disk (MB)", 1e-6),
    ("dollars_per_million", "$ per million predictions", 1.0),
)
COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("accuracy", "Accuracy", lambda v: f"{v:.1%}"),
    ("balanced_accuracy", "Balanced", lambda v: f"{v:.1%}"),
    ("loss", "Loss", lambda v: f"{v:.3f}"),
    ("second_accuracy", "2nd set accuracy", lambda v: f"{v:.1%}"),
    ("second_balanced_accuracy", "2nd set balanced", lambda v: f"{v:.1%}"),
    ("second_loss", "2nd set loss", lambda v: f"{v:.3f}"),
    ("training_seconds", "Training s", lambda v: f"{v:,.1f}"),
    ("tuning_seconds", "Tuning s", lambda v: f"{v:,.1f}"),
    ("latency_p50_ms", "p50 ms", lambda v: f"{v:.2f}"),
    ("latency_p99_ms", "p99 ms", lambda v: f"{v:.2f}"),
    ("seconds_per_photo", "best batch ms", lambda v: f"{v * 1e3:.2f}"),
    ("parameters", "Parameters M", lambda v: f"{v / 1e6:,.2f}"),
    ("disk_bytes", "Disk MB", lambda v: f"{v / 1e6:,.1f}"),
    ("peak_memory_bytes", "Peak MB", lambda v: f"{v / 1e6:,.0f}"),
    ("training_dollars", "$ a training", lambda v: f"{v:.4f}"),
    ("dollars_per_million", "$ a million", lambda v: f"{v:.2f}"),
)


def render(result: Mapping[str, Any], candidates: Sequence[Candidate], photos: Sequence[Disagreement]) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    rows = sorted(result["candidates"], key=_order)
    finished = [r for r in rows if r["status"] == "finished"]
    look = charts.Look(
        {r["name"]: charts.colour_of(r["framework"]) for r in rows},
        frozenset(r["name"] for r in rows if not r["pretrained"]),
    )
    by_name = {c.name: c for c in candidates}
    done = [by_name[r["name"]] for r in finished]
    # A second set and tuning are asked for or not: without them their columns would be empty.
    asked = ("second_", "tuning_")
    shown = [c for c in COLUMNS if not c[0].startswith(asked) or any(r[c[0]] is not None for r in rows)]
    return environment.get_template("comparison.html.jinja").render(
        result=result,
        rows=rows,
        columns=[(key, label) for key, label, _ in shown],
        cells={r["name"]: {k: "–" if r[k] is None else show(r[k]) for k, _, show in shown} for r in rows},
        near=_by_note(rows),
        relative=_relative(result, finished, look),
        panels=[
            charts.bars({r["name"]: r[key] for r in finished}, look, title, show, intervals=_intervals(finished, key))
            for key, title, show in PANELS
            if any(r[key] is not None for r in finished)
        ],
        unmeasured=[title for key, title, _ in PANELS if all(r[key] is None for r in finished)],
        fronts=[_front(finished, look, result, *front) for front in FRONTS],
        curves=[_curves(c) for c in done],
        confusions=[_confusion(c) for c in done if "test" in c.splits],
        photos=[(photo, _by_answer(photo)) for photo in photos],
        undecided=_undecided(result["pairs"], [r["name"] for r in finished]),
    )


def _order(row: Mapping[str, Any]) -> tuple[bool, bool, float]:
    """The most accurate first; then smoke tests, then those that did not finish."""
    return row["status"] != "finished", not row["pretrained"], -(row["balanced_accuracy"] or 0)


def _by_note(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Candidates with other weights than the original ones, by what is to be said of these."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["match"] == "near":
            found.setdefault(row["note"], []).append(row["name"])
    return found


def _undecided(pairs: Sequence[Mapping[str, Any]], order: Sequence[str]) -> dict[str, list[tuple[str, float]]]:
    """For each candidate those, less accurate than it, from which these photos cannot tell it."""
    place = {name: i for i, name in enumerate(order)}
    found: dict[str, list[tuple[str, float]]] = {}
    for pair in pairs:
        if not pair["distinguishable"]:
            better, worse = sorted((pair["a"], pair["b"]), key=place.__getitem__)
            found.setdefault(better, []).append((worse, pair["p_holm"]))
    return {name: sorted(found[name], key=lambda one: place[one[0]]) for name in order if name in found}


def _by_answer(photo: Disagreement) -> list[tuple[str, list[str]]]:
    """Each answer with those who gave it and how sure they were; the right answer first, then the most frequent."""
    found: dict[str, list[str]] = {}
    for name, (label, probability) in photo.answers.items():
        found.setdefault(label, []).append(f"{name} {probability:.0%}")
    return sorted(found.items(), key=lambda one: (one[0] != photo.label, -len(one[1])))


def _intervals(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, tuple[float, float]]:
    return {r["name"]: r[f"{key}_interval"] for r in rows if r.get(f"{key}_interval")}


def _relative(result: Mapping[str, Any], finished: Sequence[Mapping[str, Any]], look: charts.Look) -> list[Markup]:
    titles = {"accuracy": "Accuracy", "training_seconds": "Training time", "latency_p50_ms": "Inference time"}
    return [
        charts.bars(
            {row["name"]: result["relative"][row["name"]][key] for row in finished},
            look,
            f"{title} relative to {result['base']}",
            lambda v: f"{v:.2f}×",
            mark=1.0,
        )
        for key, title in titles.items()
        if result["relative"]
    ]


def _front(
    rows: Sequence[Mapping[str, Any]], look: charts.Look, result: Mapping[str, Any], key: str, label: str,
    scale: float,
) -> Markup:  # fmt: skip
    points = [
        (r["name"], r[key] * scale, r["balanced_accuracy"])
        for r in rows
        if r[key] and r["balanced_accuracy"] is not None
    ]
    return charts.scatter(points, look, set(result["pareto"][key]), label, "balanced accuracy")


def _curves(candidate: Candidate) -> Markup:
    names = {"train:loss": "train", "validation:loss": "validation"}
    series = {short: [e[key] for e in candidate.epochs if e.get(key) is not None] for key, short in names.items()}
    return charts.lines({k: v for k, v in series.items() if v}, candidate.name)


def _confusion(candidate: Candidate) -> Markup:
    test, classes = candidate.splits["test"], candidate.manifest["classes"]
    matrix = np.zeros((len(classes), len(classes)), int)
    np.add.at(matrix, (test.labels, test.predicted), 1)
    return charts.confusion(matrix, classes, candidate.name)
