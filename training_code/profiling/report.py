"""`profiler-report.html`: what took the time of a training, and the one change that would help most. One file, offline."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from training_code.health.chosen import PROFILER_RULES
from training_code.health.observations import Observations
from training_code.health.page import duration, legend, page
from training_code.profiling.summary import parts, suggestion, summary
from training_code.profiling.timeline import COLOURS, Timeline

TIME_RULES = (*PROFILER_RULES, "Overtraining")


def profiler_report(observed: Observations, outcomes: Sequence[dict[str, Any]], title: str) -> str:
    facts = summary(observed)
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="muted">{escape(_headline(facts))}</p>',
        _suggested(outcomes, observed),
    ]
    body += ["<h2>What took the time</h2>", f'<div class="card">{_parts(observed)}</div>']
    body += [
        "<h2>Over time</h2>", '<div class="card">', Timeline(observed).draw(),
        legend(list(COLOURS.items())),
        legend([
            ("processors: this training", "#2563eb"), ("processors: whole machine", "#94a3b8"),
            ("memory of the machine", "#059669"), ("disk", "#b45309"), ("network", "#0891b2"),
            *([("GPU", "#db2777")] if any(s.get("gpus") for s in observed.system) else []),
        ]),
        "</div>",
    ]  # fmt: skip
    body += ["<h2>The machine inside training steps</h2>", f'<div class="card">{_machine(facts)}</div>']
    body += ["<h2>Findings about time</h2>", findings_table([o for o in outcomes if o["name"] in TIME_RULES])]
    body.append(
        "<p class=\"muted\">Rules carry the names of SageMaker's built-in rules; definitions and code are Darkroom's.</p>"
    )
    return page(title, "".join(body))


def _headline(facts: dict[str, Any]) -> str:
    text = f"{duration(facts['seconds'])} in all, {facts['train_steps']} training steps in {facts['epochs']} epochs"
    if facts.get("photos_per_second"):
        text += f", {facts['step_seconds_median'] * 1000:.3g} ms a step (median), {facts['photos_per_second']:,.0f} photos a second"
    return text


def _suggested(outcomes: Sequence[dict[str, Any]], observed: Observations) -> str:
    best = suggestion(outcomes, observed)
    if best is None:
        longest = max(parts(observed), key=lambda part: part[2])
        return (
            '<div class="card"><span class="big">No rule promises a saving.</span><br>'
            f"The longest part is {escape(longest[1])} with {duration(longest[2])}.</div>"
        )
    return (
        f'<div class="card"><span class="muted">The one change that would help most ({escape(best["rule"])})</span><br>'
        f'<span class="big">{escape(best["change"][0].upper() + best["change"][1:])}</span><br>Expected gain: about '
        f"{duration(best['gain_seconds'])} of {duration(observed.seconds)} ({100 * best['gain_share']:.0f} %), "
        f"if all of it can be had.<br>"
        f'<span class="muted">{escape(best["seen"])}</span></div>'
    )


def _parts(observed: Observations) -> str:
    found = [part for part in parts(observed) if part[2] > 0]
    total = sum(seconds for _, _, seconds in found) or 1.0
    left, boxes, rows = 0.0, [], []
    for key, what, seconds in found:
        width = 960 * seconds / total
        boxes.append(f'<rect x="{left:.1f}" y="0" width="{max(width, 0.5):.1f}" height="30" fill="{COLOURS[key]}"/>')
        left += width
        rows.append(
            f'<tr><td><i style="display:inline-block;width:.8rem;height:.8rem;border-radius:3px;background:{COLOURS[key]}"></i> '
            f'{escape(what)}</td><td class="n">{duration(seconds)}</td><td class="n">{100 * seconds / total:.1f} %</td></tr>'
        )
    bar = f'<svg viewBox="0 0 960 30" role="img" aria-label="parts of the time">{"".join(boxes)}</svg>'
    return f'{bar}<table><tr><th>part</th><th class="n">time</th><th class="n">share</th></tr>{"".join(rows)}</table>'


def _machine(facts: dict[str, Any]) -> str:
    system = facts.get("system")
    if not system:
        return (
            '<p class="muted">No system sample lies inside a training step: the interval was longer than the '
            "training, or sampling was off.</p>"
        )
    rows = [
        ("processors used by the training", f"{system['cpu_percent']:.0f} % of {system['cpus']}"),
        ("processors of the whole machine", f"{system['machine_cpu_percent']:.0f} %"),
        (
            "largest memory of the training",
            f"{system['memory_peak'] / 2**30:.2f} of {system['memory_total'] / 2**30:.1f} GiB",
        ),
        ("GPU", f"{system['gpu_percent']:.0f} %" if "gpu_percent" in system else "none was seen"),
        ("sampled", f"{system['samples']} times, every {duration(system['interval_seconds'])}"),
    ]
    return (
        "<table>" + "".join(f'<tr><td>{name}</td><td class="n">{value}</td></tr>' for name, value in rows) + "</table>"
    )


def findings_table(outcomes: Sequence[dict[str, Any]]) -> str:
    """Issues first, those that cost most time before the others, then what lacks data, then what is well."""
    order = {"IssuesFound": 0, "Error": 1, "NoData": 2, "NoIssuesFound": 3}
    rows = "".join(_finding(o) for o in sorted(outcomes, key=lambda o: (order[o["status"]], -o["gain_seconds"])))
    head = "<tr><th>rule</th><th>outcome</th><th>what was seen, why it matters, what to change</th></tr>"
    return f'<div class="card"><table>{head}{rows}</table></div>'


WORDS = {"IssuesFound": "issue", "NoIssuesFound": "no issue", "NoData": "no data", "Error": "error"}


def _finding(outcome: dict[str, Any]) -> str:
    text = escape(outcome["seen"])
    if outcome["status"] == "IssuesFound":
        text += f"<br><span class='muted'>Why it matters: {escape(outcome['why'])}.</span>"
        text += f"<br><b>Change:</b> {escape(outcome['change'])}."
        if outcome["gain_seconds"] > 0:
            text += f" <span class='muted'>Expected gain: about {duration(outcome['gain_seconds'])}.</span>"
    tag = f'<span class="tag {outcome["status"]}">{WORDS[outcome["status"]]}</span>'
    name = re.sub("(?<=[a-z])(?=[A-Z])", "<wbr>", escape(outcome["name"]))  # where a narrow window may break it
    return f"<tr><td>{name}</td><td>{tag}</td><td>{text}</td></tr>"
