"""The comparison's charts as inline SVG: no script, no network, readable in light and dark, exact on hover."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def bars(
    values: Mapping[str, float | None],
    colours: Mapping[str, str],
    title: str,
    show: Callable[[float], str],
    mark: float | None = None,
) -> Markup:
    """Horizontal bars in the given order; `mark` draws a reference line (1 = the base). A missing value is said."""
    left, width, row = 150, 420, 19
    known = [v for v in values.values() if v is not None]
    top = max([*known, mark or 0], default=1) or 1
    scale = (width - left - 60) / top
    body = [_text(0, 14, title, size=13, css="title")]
    for i, (name, value) in enumerate(values.items()):
        y = 28 + i * row
        body.append(_text(left - 6, y + 11, name, "end"))
        if value is None:
            body.append(_text(left + 4, y + 11, "not measured", css="muted"))
            continue
        length = max(1.0, value * scale)
        body.append(
            f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{row - 5}" rx="2" fill="{colours[name]}">'
            f"<title>{escape(name)}: {escape(show(value))}</title></rect>"
        )
        body.append(_text(left + length + 4, y + 11, show(value)))
    height = 34 + len(values) * row
    if mark is not None:
        x = left + mark * scale
        body.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="22" y2="{height - 6}" class="reference"/>')
    return _svg(width, height, body, title)


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
    points: Sequence[tuple[str, float, float]], colours: Mapping[str, str], front: set[str], x_label: str, y_label: str
) -> Markup:
    """Quality (y, 0…1) against a cost (x > 0, logarithmic), with the Pareto front joined."""
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
    labels = _apart({p[0]: at(p) for p in points}, width - 110, height - bottom)
    for point in points:
        x, y = at(point)
        ring = ' class="on-front"' if point[0] in front else ""
        body.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="{colours[point[0]]}"{ring}>'
            f"<title>{escape(point[0])}: {point[1]:,.4g}, {point[2]:.1%}</title></circle>"
        )
        right = x < width - 110
        body.append(_text(x + (9 if right else -9), labels[point[0]], point[0], "start" if right else "end", 10))
    return _svg(width, height, body, f"{y_label} against {x_label}")


def _apart(points: Mapping[str, tuple[float, float]], turn: float, lowest: float) -> dict[str, float]:
    """Baselines of the points' names: beside each point (left of it beyond `turn`), lower where another name is in the way."""
    placed: list[tuple[float, float, float]] = []
    found = {}
    for name, (x, y) in sorted(points.items(), key=lambda item: item[1][1]):
        long = 6.0 * len(name)  # of ten-pixel letters
        begin, end = (x + 9, x + 9 + long) if x < turn else (x - 9 - long, x - 9)
        baseline = y + 4
        for first, last, other in sorted(placed, key=lambda one: one[2]):
            if begin < last and first < end and abs(baseline - other) < 11:
                baseline = other + 11
        found[name] = min(baseline, lowest - 3)
        placed.append((begin, end, found[name]))
    return found


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
                body.append(_text(x + cell / 2, y + cell / 2 + 4, str(int(matrix[i, j])), "middle", 10))
    return _svg(max(230, left + n * cell + 4), top + n * cell + 6, body, title)
