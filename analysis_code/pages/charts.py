"""Charts as inline SVG: no script, no font, no network; colours come from the page's style, light and dark.

Each function returns markup for one chart, drawn in units of CSS pixels and scaled to the column it stands in.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from analysis_code.pages import duration, number, percent

_RECT = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="{}" class="{}"><title>{}</title></rect>')
_CIRCLE = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}" class="{}"><title>{}</title></circle>')
_CELL = Markup('<td style="background:{}" title="{}">{}</td>')
_CONFUSION = Markup(
    '<div class="scroll"><table class="confusion"><thead><tr><th>true \u2193 \u00a0said \u2192</th>{}</tr></thead>'
    "<tbody>{}</tbody></table></div>"
)

Point = tuple[float, float]


class Series(NamedTuple):
    """A line: its name and points (x, y)."""

    name: str
    points: Sequence[Point]


def _svg(width: int, height: int, label: str, parts: Sequence[Any]) -> Markup:
    body = Markup("").join(parts)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(width, height, label, body)


def _text(x: float, y: float, text: Any, anchor: str = "start", kind: str = "") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>').format(x, y, anchor, kind, text)


def _rect(x: float, y: float, width: float, height: float, kind: str, title: Any = "", radius: float = 2) -> Markup:
    return _RECT.format(x, y, max(0.0, width), height, radius, kind, title)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(x1, y1, x2, y2, kind)


def _circle(x: float, y: float, radius: float, kind: str, title: Any = "") -> Markup:
    return _CIRCLE.format(x, y, radius, kind, title)


def _shortened(text: str, longest: int = 26) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def legend(names: Sequence[str]) -> Markup:
    """Names of the series s1, s2, … above a chart."""
    item = Markup('<span><i style="background:var(--s{})"></i>{}</span>')
    items = Markup("").join(item.format(index, name) for index, name in enumerate(names, 1))
    return Markup('<div class="legend">{}</div>').format(items)


def stacked_bars(rows: Sequence[tuple[str, Sequence[int]]], names: Sequence[str]) -> Markup:
    """A horizontal bar per row, stacked by `names`, with the sum at its end."""
    width, left, right, step = 960, 190, 70, 26
    most = max((sum(values) for _, values in rows), default=0) or 1
    parts = []
    for index, (label, values) in enumerate(rows):
        y, x = index * step + 4, float(left)
        parts.append(_text(left - 10, y + 12, _shortened(label, 28), "end"))
        for place, value in enumerate(values, 1):
            length = (width - left - right) * value / most
            parts.append(_rect(x, y, length, 16, f"s{place}", f"{label}, {names[place - 1]}: {value:,}"))
            x += length
        parts.append(_text(x + 7, y + 12, f"{sum(values):,}", kind="strong"))
    return legend(names) + _svg(width, len(rows) * step + 6, "photos per class", parts)


def _ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers within the range."""
    if high <= low:
        return [low]
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _range(values: Sequence[float], margin: float = 0.06) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        spread = abs(low) * 0.1 or 1.0
        return low - spread, high + spread
    return low - margin * (high - low), high + margin * (high - low)


def lines(series: Sequence[Series], x_name: str, mark: float | None = None) -> Markup:
    """Lines over a common x; `mark` is a vertical line (the epoch that was kept)."""
    width, height, left, top, bottom, right = 420, 230, 46, 8, 34, 12
    points = [point for one in series for point in one.points]
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_low, y_high = _range([y for _, y in points])

    def place(point: Point) -> Point:
        x = left + (point[0] - x_low) / ((x_high - x_low) or 1) * (width - left - right)
        y = top + (y_high - point[1]) / (y_high - y_low) * (height - top - bottom)
        return x, y

    parts = []
    for tick in _ticks(y_low, y_high):
        y = place((x_low, tick))[1]
        parts += [_line(left, y, width - right, y, "grid"), _text(left - 7, y + 4, number(tick), "end")]
    for tick in [value for value in _ticks(x_low, x_high, 6) if float(value).is_integer()]:
        parts.append(_text(place((tick, y_low))[0], height - bottom + 16, number(tick), "middle"))
    parts.append(_line(left, height - bottom, width - right, height - bottom, "axis"))
    parts.append(_text((left + width - right) / 2, height - 2, x_name, "middle"))
    if mark is not None:
        parts.append(_line(place((mark, 0))[0], top, place((mark, 0))[0], height - bottom, "mark"))
    for index, one in enumerate(series, 1):
        path = " ".join("{:.1f},{:.1f}".format(*place(point)) for point in one.points)
        wide = 1.6 + 1.8 * (len(series) - index)  # what lies below stays visible where lines coincide
        parts.append(
            Markup('<polyline points="{}" class="line l{}" style="stroke-width:{}"/>').format(path, index, wide)
        )
        if len(one.points) == 1:
            parts.append(_circle(*place(one.points[0]), 3.5, f"s{index}", number(one.points[0][1])))
    return legend([one.name for one in series]) + _svg(width, height, f"course over {x_name}", parts)


def scatter(points: Sequence[tuple[float | str, float, str]], x_name: str, y_name: str, best: int | None) -> Markup:
    """One point a trial (x, y, title); numbers that span more than a factor of 20 get a logarithmic axis."""
    width, height, left, top, bottom, right = 320, 210, 50, 10, 40, 14
    categories = sorted({str(x) for x, _, _ in points}) if any(isinstance(x, str) for x, _, _ in points) else None
    xs = [float(categories.index(str(x))) if categories else float(x) for x, _, _ in points]
    logarithmic = not categories and min(xs) > 0 and max(xs) / min(xs) > 20
    places = [math.log10(x) for x in xs] if logarithmic else xs
    x_low, x_high = _range(places, 0.09)
    y_low, y_high = _range([y for _, y, _ in points], 0.09)

    def across(x: float) -> float:
        return left + (x - x_low) / (x_high - x_low) * (width - left - right)

    def down(y: float) -> float:
        return top + (y_high - y) / (y_high - y_low) * (height - top - bottom)

    parts = []
    for tick in _ticks(y_low, y_high, 3):
        parts += [_line(left, down(tick), width - right, down(tick), "grid"),
                  _text(left - 7, down(tick) + 4, number(tick, 3), "end")]  # fmt: skip
    if categories:
        marks = [(float(index), _shortened(name, 10)) for index, name in enumerate(categories)]
    elif logarithmic:
        powers = range(math.ceil(x_low), math.floor(x_high) + 1)
        marks = [(float(power), f"{10.0**power:g}") for power in powers]
    else:
        marks = [(x, number(x)) for x in sorted(set(xs))] if len(set(xs)) <= 4 else []
        marks = marks or [(tick, number(tick)) for tick in _ticks(x_low, x_high, 3)]
    parts += [_text(across(x), height - bottom + 16, name, "middle") for x, name in marks]
    parts.append(_line(left, height - bottom, width - right, height - bottom, "axis"))
    parts.append(_text((left + width - right) / 2, height - 4, x_name, "middle", "strong"))
    order = sorted(range(len(points)), key=lambda index: index == best)  # the best one is drawn last, on top
    for index in order:
        kind, radius = ("best", 6.5) if index == best else ("s1", 4.5)
        parts.append(_circle(across(places[index]), down(points[index][1]), radius, kind, points[index][2]))
    return _svg(width, height, f"{y_name} over {x_name}", parts)


def reliability(bins: Sequence[tuple[float, float, int]]) -> Markup:
    """Confidence against accuracy: (mean confidence, share right, photos) for each bin; the diagonal is honest."""
    width, height, left, top, bottom, right = 320, 260, 44, 8, 36, 12
    most = max(count for _, _, count in bins)

    def place(x: float, y: float) -> Point:
        return left + x * (width - left - right), top + (1 - y) * (height - top - bottom)

    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = place(tick, tick)
        parts += [_line(left, y, width - right, y, "grid"), _text(left - 7, y + 4, percent(tick, 0), "end"),
                  _text(x, height - bottom + 16, percent(tick, 0), "middle")]  # fmt: skip
    parts.append(_line(*place(0, 0), *place(1, 1), "mark"))
    parts.append(_text((left + width - right) / 2, height - 2, "probability that the model states", "middle"))
    path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y, _ in bins)
    parts.append(Markup('<polyline points="{}" class="line l1"/>').format(path))
    for confidence, right_share, count in bins:
        radius = 3 + 6 * math.sqrt(count / most)
        title = f"{count} photos: stated {percent(confidence)}, right {percent(right_share)}"
        parts.append(_circle(*place(confidence, right_share), round(radius, 1), "s1", title))
    return _svg(width, height, "calibration", parts)


def interval(value: float, low: float, high: float, marks: Sequence[tuple[str, float]]) -> Markup:
    """A share with its interval on the way from 0 to 100 %, and what to compare it with."""
    width, left, right = 960, 4, 4

    def across(share: float) -> float:
        return left + share * (width - left - right)

    parts = [_rect(left, 34, width - left - right, 10, "ghost", radius=5)]
    parts.append(_rect(across(low), 34, across(high) - across(low), 10, "s1", f"{percent(low)} to {percent(high)}", 5))
    parts.append(_line(across(value), 28, across(value), 50, "whisker"))
    parts.append(_text(min(max(across(value), 26), width - 26), 20, percent(value), "middle", "strong"))
    for index, (name, share) in enumerate(marks):
        y = 66 + 16 * index
        parts.append(_line(across(share), 30, across(share), y - 10, "mark"))
        anchor = "end" if share > 0.75 else "start" if share < 0.25 else "middle"
        parts.append(_text(across(share), y, f"{name} {percent(share)}", anchor))
    return _svg(width, 60 + 16 * len(marks), "accuracy with its interval", parts)


def gantt(rows: Sequence[tuple[str, float, float, bool]]) -> Markup:
    """Steps over time: (name, begin, end, failed) in seconds since the start."""
    width, left, right, step = 900, 210, 74, 25
    total = max((end for _, _, end, _ in rows), default=0) or 1.0
    scale = (width - left - right) / total
    parts = []
    for tick in _ticks(0, total, 6):
        x = left + tick * scale
        parts += [_line(x, 4, x, len(rows) * step + 4, "grid"),
                  _text(x, len(rows) * step + 20, duration(tick) if tick else "0", "middle")]  # fmt: skip
    for index, (name, begin, end, failed) in enumerate(rows):
        y = index * step + 6
        parts.append(_text(left - 10, y + 12, _shortened(name, 32), "end"))
        title = f"{name}: {duration(end - begin)}"
        parts.append(
            _rect(left + begin * scale, y, max(2.5, (end - begin) * scale), 16, "fail" if failed else "s1", title)
        )
        parts.append(
            _text(left + max(end * scale, begin * scale + 2.5) + 7, y + 12, duration(end - begin), kind="strong")
        )
    return _svg(width, len(rows) * step + 26, "timeline of the steps", parts)


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """True classes in rows, predictions in columns; shade: the share of its row."""
    head = Markup("").join(
        Markup('<th class="n" title="{}">{}</th>').format(name, _shortened(name, 14)) for name in classes
    )
    rows = []
    for index, name in enumerate(classes):
        total = sum(counts[index]) or 1
        cells = []
        for column, count in enumerate(counts[index]):
            colour = "--cell" if column == index else "--miss"
            opacity = 0 if count == 0 else 0.08 + 0.72 * count / total
            shade = f"rgba(var({colour}), {opacity:.2f})" if count else "var(--tint)"
            title = f"{percent(count / total)} of {name} called {classes[column]}"
            cells.append(_CELL.format(shade, title, f"{count:,}"))
        label = Markup('<th title="{}">{}</th>').format(name, _shortened(name, 22))
        rows.append(Markup("<tr>{}{}</tr>").format(label, Markup("").join(cells)))
    return _CONFUSION.format(head, Markup("").join(rows))
