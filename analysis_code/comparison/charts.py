"""The comparison's charts as inline SVG: no script, no network, readable in light and dark, exact on hover."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

import numpy as np
from markupsafe import Markup

# JumpStart's own colours for a comparison: PyTorch red, TensorFlow blue.
FRAMEWORK_COLOURS = {"PyTorch": "#d9480f", "TensorFlow": "#1971c2"}
OTHER_COLOUR = "#868e96"


def colour_of(framework: str | None) -> str:
    return FRAMEWORK_COLOURS.get(framework or "", OTHER_COLOUR)


def _svg(width: int, height: int, body: Sequence[str], label: str) -> Markup:
    # Every name and number in `body` went through `escape`: this is the one place that vouches for it.
    return Markup(  # noqa: S704
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(body)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 11, css: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" class="{css}">{escape(text)}</text>'
    )


@dataclass(frozen=True)
class Look:
    """How candidates are drawn in every chart: by the colour of their framework, pale where their weights are random."""

    colours: Mapping[str, str]
    pale: frozenset[str] = frozenset()

    def fill(self, name: str) -> str:
        return f'fill="{self.colours[name]}"' + (' fill-opacity="0.35"' if name in self.pale else "")


def _width_of(text: str, size: int = 11) -> float:
    """Of a text in the page's font, rather too much than too little."""
    return 0.6 * size * len(text)


def bars(
    values: Mapping[str, float | None],
    look: Look,
    title: str,
    show: Callable[[float], str],
    mark: float | None = None,
    intervals: Mapping[str, tuple[float, float]] | None = None,
) -> Markup:
    """Horizontal bars in the given order; `mark` draws a reference line (1 = the base). A missing value is said."""
    left = 12 + max([110.0, *(_width_of(name) for name in values)])
    width, row, intervals = left + 240, 19, intervals or {}
    known = [v for v in values.values() if v is not None]
    ends = [high for _, high in intervals.values()]
    top = max([*known, *ends, mark or 0], default=1) or 1
    scale = (width - left - 10 - max((_width_of(show(v)) for v in known), default=0)) / top
    height = 34 + len(values) * row
    # What is drawn later lies above: the reference line crosses bars, never a number.
    body, texts = [], [_text(0, 14, title, size=13, css="title")]
    for i, (name, value) in enumerate(values.items()):
        y = 28 + i * row
        texts.append(_text(left - 6, y + 11, name, "end"))
        if value is None:
            texts.append(_text(left + 4, y + 11, "not measured", css="muted"))
            continue
        length = end = max(1.0, value * scale)
        body.append(
            f'<rect x="{left:.1f}" y="{y}" width="{length:.1f}" height="{row - 5}" rx="2" {look.fill(name)}>'
            f"<title>{escape(name)}: {escape(show(value))}</title></rect>"
        )
        if name in intervals:
            low, high = (left + bound * scale for bound in intervals[name])
            body.append(
                f'<path d="M{low:.1f} {y + 7}H{high:.1f}M{low:.1f} {y + 4}v6M{high:.1f} {y + 4}v6" class="whisker"/>'
            )
            end = high - left
        texts.append(_text(left + end + 4, y + 11, show(value), css="value"))
    if mark is not None:
        x = left + mark * scale
        body.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="22" y2="{height - 6}" class="reference"/>')
    return _svg(round(width), height, body + texts, title)


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20, 50 … from at or below `low` to at or above `high`; two at least, and few enough to be read."""
    exponents = range(floor(log10(low)) - 1, ceil(log10(high)) + 2)
    every = [float(f"{m}e{e}") for e in exponents for m in (1, 2, 5)]
    first = max(i for i, tick in enumerate(every) if tick <= low)
    last = min(i for i, tick in enumerate(every) if tick >= high)
    ticks = every[first : max(last, first + 1) + 1]
    if len(ticks) > 8:  # more than two decades and a half: whole powers of ten
        ticks = [10.0**e for e in range(floor(log10(low)), ceil(log10(high)) + 1)]
    return ticks


def linear_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 × 10ⁿ that enclose both ends."""
    span = max(high - low, 1e-9)
    raw = span / wanted
    power = 10.0 ** floor(log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    first = floor(low / step)
    return [round(i * step, 12) for i in range(first, max(ceil(high / step), first + 1) + 1)]


def scatter(
    points: Sequence[tuple[str, float, float]], look: Look, front: set[str], x_label: str, y_label: str
) -> Markup:
    """Quality (y, 0…1) against a cost (x > 0, logarithmic), with the Pareto front joined. Names where they have room."""
    width, height, left, bottom = 390, 300, 48, 40
    if not points:
        return Markup('<p class="muted">{}</p>').format(f"{x_label}: not measured for any candidate.")
    x_ticks = log_ticks(min(p[1] for p in points) / 1.08, max(p[1] for p in points) * 1.08)
    x0, x1 = log10(x_ticks[0]), log10(x_ticks[-1])
    ys = [p[2] for p in points]
    y_ticks = [tick for tick in linear_ticks(min(ys) - 0.02, min(1.0, max(ys) + 0.01)) if 0 <= tick <= 1]
    y0, y1 = y_ticks[0], y_ticks[-1]

    def at(point: tuple[str, float, float]) -> tuple[float, float]:
        x = left + (log10(point[1]) - x0) / (x1 - x0) * (width - left - 16)
        y = height - bottom - (point[2] - y0) / ((y1 - y0) or 1) * (height - bottom - 16)
        return x, y

    body = []
    for step in y_ticks:
        y = at(("", x_ticks[0], step))[1]
        body.append(f'<line x1="{left}" x2="{width - 8}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        body.append(_text(left - 6, y + 4, f"{100 * step:.4g} %", "end"))
    for tick in x_ticks:
        x = at(("", tick, y0))[0]
        body.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="16" y2="{height - bottom}" class="grid"/>')
        body.append(_text(x, height - bottom + 15, f"{tick:,.10g}", "middle"))
    body.append(_text((left + width) / 2, height - 6, x_label, "middle"))
    body.append(_text(left, 11, y_label, css="muted"))
    best = sorted((p for p in points if p[0] in front), key=lambda p: p[1])
    if len(best) > 1:
        line = " ".join("{:.1f},{:.1f}".format(*at(p)) for p in best)
        body.append(f'<polyline points="{line}" class="front"/>')
    for point in sorted(points, key=lambda p: p[0] in front):
        x, y = at(point)
        ring = ' class="on-front"' if point[0] in front else ""
        body.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" {look.fill(point[0])}{ring}>'
            f"<title>{escape(point[0])}: {point[1]:,.4g}, {point[2]:.1%}</title></circle>"
        )
    # Names on the front first, then those that taught something: where there is no room, the point tells on hover.
    order = sorted(points, key=lambda p: (p[0] not in front, p[0] in look.pale, -p[2]))
    places = _places({p[0]: at(p) for p in order}, front, left, width - 4, 16, height - bottom)
    for name, (x, y, anchor) in places.items():
        body.append(_text(x, y, name, anchor, 10, css="value"))
    return _svg(width, height, body, f"{y_label} against {x_label}")


Box = tuple[float, float, float, float]


def _places(
    points: Mapping[str, tuple[float, float]], needed: set[str], left: float, right: float, top: float, bottom: float
) -> dict[str, tuple[float, float, str]]:
    """Where each name stands (x, baseline, anchor): beside, above or below its point, in the way of nothing; else nowhere.

    A name of `needed` may cover other points, never another name.
    """
    dots: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in points.values()]
    taken: list[Box] = []
    found: dict[str, tuple[float, float, str]] = {}
    for name, (x, y) in points.items():
        long = _width_of(name, 10)
        choices = [
            (x + 9, y + 4, "start"), (x - 9, y + 4, "end"), (x, y - 9, "middle"), (x, y + 17, "middle"),
            (x + 7, y - 7, "start"), (x + 7, y + 15, "start"), (x - 7, y - 7, "end"), (x - 7, y + 15, "end"),
        ]  # fmt: skip
        for choice, careful in [*((c, True) for c in choices), *((c, False) for c in choices if name in needed)]:
            begin = choice[0] - {"start": 0.0, "middle": long / 2, "end": long}[choice[2]]
            box = (begin, choice[1] - 9, begin + long, choice[1] + 2)
            inside = left <= box[0] and box[2] <= right and top <= box[1] and box[3] <= bottom
            if inside and not any(_overlap(box, other) for other in (*taken, *(dots if careful else ()))):
                taken.append(box)
                found[name] = choice
                break
    return found


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def lines(series: Mapping[str, Sequence[float]], title: str) -> Markup:
    """Curves over epochs, e.g. training and validation loss of one candidate."""
    width, height, left, bottom = 260, 150, 40, 22
    values = [v for s in series.values() for v in s]
    if not values:
        return Markup('<p class="muted">{}</p>').format(f"{title}: no epochs were recorded.")
    low, high = min(values), max(values)
    longest = max(len(s) for s in series.values())
    body = [_text(0, 11, title, size=12, css="title")]
    for value in (low, high):
        y = height - bottom - (value - low) / ((high - low) or 1) * (height - bottom - 22)
        body.append(f'<line x1="{left}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        body.append(_text(left - 4, y + 4, f"{value:.3g}", "end", 10))
    for name, s in series.items():
        points = " ".join(
            f"{left + i / max(1, longest - 1) * (width - left - 4):.1f},"
            f"{height - bottom - (v - low) / ((high - low) or 1) * (height - bottom - 22):.1f}"
            for i, v in enumerate(s)
        )
        body.append(
            f'<polyline points="{points}" class="curve {escape(name)}"><title>{escape(name)}</title></polyline>'
        )
    body.append(_text((left + width) / 2, height - 6, f"epoch 1 … {longest}", "middle", 10, "muted"))
    return _svg(width, height, body, title)


def confusion(matrix: np.ndarray, classes: Sequence[str], title: str) -> Markup:
    """Rows are labels, columns predictions; the shade is the share of the row. Numbers while they fit."""
    n = len(classes)
    cell = max(6, min(34, 230 // n))
    left, top = 80, 30
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    body = [_text(0, 12, title, size=12, css="title")]
    for i in range(n):
        if cell >= 11:
            body.append(_text(left - 4, top + i * cell + cell / 2 + 4, classes[i][:14], "end", 10))
        for j in range(n):
            x, y = left + j * cell, top + i * cell
            body.append(
                f'<rect x="{x}" y="{y}" width="{cell - 1}" height="{cell - 1}" class="{"hit" if i == j else "miss"}" '
                f'fill-opacity="{shares[i, j]:.3f}"><title>{escape(classes[i])} answered as {escape(classes[j])}: '
                f"{int(matrix[i, j])}</title></rect>"
            )
            if cell >= 20 and matrix[i, j]:
                css = "on-dark" if shares[i, j] > 0.6 else ""
                body.append(_text(x + cell / 2, y + cell / 2 + 4, str(int(matrix[i, j])), "middle", 10, css))
    return _svg(max(230, left + n * cell + 4), top + n * cell + 6, body, title)
