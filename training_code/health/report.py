"""`health.html`: the findings of the rules, the loss over TRAIN and EVAL steps, and what was seen inside the model."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from training_code.health.observations import Observations
from training_code.health.page import COLOURS, Series, legend, line_chart, page
from training_code.profiling.report import findings_table


def health_report(observed: Observations, outcomes: Sequence[dict[str, Any]], stopped: dict[str, Any] | None) -> str:
    found = [o for o in outcomes if o["status"] == "IssuesFound"]
    body = ["<h1>Training health</h1>", f'<p class="muted">{escape(_headline(observed, outcomes))}</p>']
    if stopped:
        body.append(
            f'<div class="card"><span class="big">Stopped by '
            f"{escape(stopped['name'])}</span><br>{escape(stopped['seen'])}</div>"
        )
    if not found:
        body.append('<div class="card"><span class="big">No rule found an issue.</span></div>')
    body += ["<h2>Findings</h2>", findings_table(outcomes), "<h2>Loss</h2>", _loss(observed)]
    body += ["<h2>Metrics by epoch</h2>", _epochs(observed)]
    body += ["<h2>Gradients</h2>", _gradients(observed)]
    body.append(
        '<p class="muted">Rules carry the names of SageMaker\'s built-in rules; definitions and code are '
        'Darkroom\'s. "No data" means that '
        "the rule could not be evaluated, for the reason given.</p>"
    )
    return page("Training health", "".join(body))


def _headline(observed: Observations, outcomes: Sequence[dict[str, Any]]) -> str:
    def count(status: str) -> int:
        return sum(o["status"] == status for o in outcomes)

    return (
        f"{len(outcomes)} rules: {count('IssuesFound')} with issues, {count('NoIssuesFound')} without, "
        f"{count('NoData')} without data, "
        f"{count('Error')} failed · {observed.train_steps} training steps, {len(observed.epochs)} epochs"
    )


def loss_series(observed: Observations) -> list[Series]:
    """The loss over steps of each mode. EVAL steps are placed at the number of training steps done before them."""
    train = [(r["step"] + (r["steps"] - 1) / 2, r["loss"]) for r in observed.train if r["loss"] is not None]
    evaluation, done = [], 0
    for record in observed.steps:
        if record["mode"] == "TRAIN":
            done = record["step"] + record["steps"]
        elif record["loss"] is not None:
            evaluation.append((done, record["loss"], record["steps"]))
    merged = [(x, _weighted([e for e in evaluation if e[0] == x])) for x in sorted({e[0] for e in evaluation})]
    return [("training", COLOURS[0], train), ("validation", COLOURS[1], merged)]


def _weighted(points: list[tuple[int, float, int]]) -> float:
    return sum(loss * steps for _, loss, steps in points) / sum(steps for _, _, steps in points)


def _loss(observed: Observations) -> str:
    series = loss_series(observed)
    return (
        f'<div class="card">{line_chart(series, "training step", "loss")}{legend([(n, c) for n, c, _ in series])}</div>'
    )


def _epochs(observed: Observations) -> str:
    names = [n for n in ("validation:accuracy", "validation:balanced_accuracy") if observed.epoch_series(n)]
    series = [(name, COLOURS[k], observed.epoch_series(name)) for k, name in enumerate(names)]
    return f'<div class="card">{line_chart(series, "epoch", "metric", height=200)}{legend([(n, c) for n, c, _ in series])}</div>'


def _gradients(observed: Observations) -> str:
    names: list[str] = []
    for record in observed.tensors:
        names += [n for n in record.get("gradients") or () if n not in names and n.endswith("weight")]
    shown = [names[round(k * (len(names) - 1) / 7)] for k in range(8)] if len(names) > 8 else names
    series = [(name, COLOURS[k], _sizes(observed, name)) for k, name in enumerate(shown)]
    note = (
        f'<p class="muted">{len(shown)} of {len(names)} weights, from the first layer to the last.</p>'
        if len(shown) < len(names)
        else ""
    )
    chart = line_chart(series, "training step", "mean absolute gradient", logarithmic=True)
    return f'<div class="card">{chart}{legend([(n, c) for n, c, _ in series])}{note}</div>'


def _sizes(observed: Observations, name: str) -> list[tuple[float, float]]:
    records = [(r["step"], (r.get("gradients") or {}).get(name)) for r in observed.tensors]
    return [(step, stats["abs_mean"]) for step, stats in records if stats and stats["abs_mean"] is not None]
