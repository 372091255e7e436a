"""The frame of our pages and their line chart: one HTML file, no script, nothing fetched, so that it opens offline and from S3."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

Series = tuple[str, str, Sequence[tuple[float, float]]]  # name, colour, points
COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d", "#be185d")
STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--ground:#f6f7f9;--paper:#fff;--edge:#e2e6ec;--line:#e6e9ee;--soft:#627084;--lane:#f3f5f8;
--bad:#fde8e6;--on-bad:#a3231a;--good:#e2f4e8;--on-good:#17663a;--none:#eceff3;--on-none:#4d5a6a;--odd:#fdf0d8;--on-odd:#8a5300}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9ef;--ground:#0f1115;--paper:#171a20;--edge:#2a303a;--line:#2a303a;--soft:#a4adbb;
--lane:#1f242c;--bad:#361614;--on-bad:#f28b82;--good:#12291d;--on-good:#63c794;--none:#252b35;--on-none:#a4adbb;--odd:#302509;
--on-odd:#e3b657}}
:root{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground)}
body{max-width:62rem;margin:2rem auto;padding:0 1.2rem;overflow-wrap:break-word}
h1{font-size:1.55rem;margin:0 0 .2rem}h2{font-size:1.12rem;margin:2rem 0 .6rem}
.card{background:var(--paper);border:1px solid var(--edge);border-radius:10px;padding:1rem 1.2rem;margin:.8rem 0;overflow-x:auto}
.muted{color:var(--soft);font-size:.9rem}.big{font-size:1.15rem;font-weight:600}
table{border-collapse:collapse;width:100%}
td,th{padding:.42rem .6rem;border-bottom:1px solid var(--edge);text-align:left;vertical-align:top}
th{font-weight:600;color:var(--soft)}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.tag{display:inline-block;border-radius:99px;padding:.05rem .6rem;font-size:.82rem;font-weight:600;white-space:nowrap}
.IssuesFound{background:var(--bad);color:var(--on-bad)}.NoIssuesFound{background:var(--good);color:var(--on-good)}
.NoData{background:var(--none);color:var(--on-none)}.Error{background:var(--odd);color:var(--on-odd)}
svg{display:block;width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:var(--soft)}
svg .lane{fill:var(--lane)}svg .grid{stroke:var(--line)}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;font-size:.88rem;margin:.4rem 0}
.legend i{display:inline-block;width:.8rem;height:.8rem;border-radius:3px;margin-right:.35rem;vertical-align:-1px}
@media(max-width:40rem){body{padding:0 .4rem}.card{padding:.6rem}td,th{padding:.35rem .25rem}svg{min-width:640px}svg text{font-size:14px}}
@media print{body{margin:0;max-width:none;font-size:12px}.card,tr{break-inside:avoid}h2{break-after:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}@page{margin:14mm}}
"""


def page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>{body}</body></html>\n'
    )


def legend(items: Sequence[tuple[str, str]]) -> str:
    """(name, colour) pairs."""
    spans = "".join(f'<span><i style="background:{colour}"></i>{escape(name)}</span>' for name, colour in items)
    return f'<div class="legend">{spans}</div>'


def duration(seconds: float) -> str:
    """`0.42 ms`, `420 ms`, `37.1 s`, `4 min 05 s`, `2 h 03 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms" if seconds else "0 s"
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d} min"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between low and high."""
    span = (high - low) or 1.0
    raw = span / count
    unit = 10.0 ** math.floor(math.log10(raw))
    unit *= next((m for m in (1, 2, 5) if m * unit >= raw), 10)
    first = math.ceil(low / unit - 1e-9)
    return [k * unit for k in range(first, math.floor(high / unit + 1e-9) + 1)]


def powers(low: float, high: float) -> list[float]:
    """Logarithms of round numbers between 10**low and 10**high: powers of ten, with 2 and 5 where there are few."""
    marks = (1, 2, 5) if high - low < 3 else (1,)
    every = max(1, round((high - low) / 6)) if len(marks) == 1 else 1
    decades = range(math.floor(low), math.ceil(high) + 1, every)
    found = [decade + math.log10(mark) for decade in decades for mark in marks]
    return [power for power in found if low - 1e-9 <= power <= high + 1e-9]


def line_chart(series: Sequence[Series], across: str, up: str, logarithmic: bool = False, height: int = 260) -> str:
    """An inline SVG; points that cannot be drawn (not finite; ≤ 0 on a logarithmic axis) are left out. A lone point is a dot."""
    height_of = math.log10 if logarithmic else float
    drawn = [(n, c, [(x, height_of(y)) for x, y in pts if _drawable(y, logarithmic)]) for n, c, pts in series]
    points = [p for _, _, pts in drawn for p in pts]
    if not points:
        return '<p class="muted">Nothing was recorded for this chart.</p>'
    width, left, bottom, top = 900, 58, 34, 10
    low_x, high_x = min(x for x, _ in points), max(x for x, _ in points)
    low_y, high_y = min(y for _, y in points), max(y for _, y in points)
    if not logarithmic:
        low_y = min(0.0, low_y)
    if high_y == low_y:
        high_y = low_y + 1

    def at(x: float, y: float) -> tuple[float, float]:
        share_x = (x - low_x) / ((high_x - low_x) or 1)
        return left + share_x * (width - left - 12), top + (1 - (y - low_y) / (high_y - low_y)) * (
            height - top - bottom
        )

    out = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(up)} by {escape(across)}">']
    for tick in powers(low_y, high_y) if logarithmic else ticks(low_y, high_y):
        y = at(low_x, tick)[1]
        label = f"{10**tick:.3g}" if logarithmic else f"{tick:.4g}"
        out.append(f'<line x1="{left}" x2="{width - 12}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        out.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for tick in ticks(low_x, high_x, 8):
        out.append(
            f'<text x="{at(tick, low_y)[0]:.1f}" y="{height - bottom + 16}" text-anchor="middle">{tick:g}</text>'
        )
    out.append(f'<text x="{(left + width) / 2}" y="{height - 3}" text-anchor="middle">{escape(across)}</text>')
    for _, colour, pts in drawn:
        places = [at(x, y) for x, y in _thinned(pts)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-linejoin="round"/>'
        )
        if len(places) <= 60:
            out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in places]
    out.append("</svg>")
    return "".join(out)


def _drawable(value: float | None, logarithmic: bool) -> bool:
    return value is not None and math.isfinite(value) and (value > 0 or not logarithmic)


def _thinned(points: Sequence[tuple[float, float]], most: int = 600) -> list[tuple[float, float]]:
    """Means of neighbours: more points than pixels only hide the curve."""
    size = -(-len(points) // most)
    groups = [points[k : k + size] for k in range(0, len(points), size)] if size > 1 else [[p] for p in points]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
