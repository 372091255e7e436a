"""Charts as inline SVG: no script, no font, no network; colours come from the page's style, light and dark.

Each function returns markup for one chart, drawn in units of CSS pixels and scaled to the column it stands in.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from analysis_code.pages import number, percent
from analysis_code.pages.svg import circle, legend, line, shortened, svg, text, ticks
from contract.measures import wilson_interval

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
    for tick in ticks(y_low, y_high):
        y = place((x_low, tick))[1]
        parts += [line(left, y, width - right, y, "grid"), text(left - 7, y + 4, number(tick), "end")]
    for tick in [value for value in ticks(x_low, x_high, 6) if float(value).is_integer()]:
        parts.append(text(place((tick, y_low))[0], height - bottom + 16, number(tick), "middle"))
    parts.append(line(left, height - bottom, width - right, height - bottom, "axis"))
    parts.append(text((left + width - right) / 2, height - 2, x_name, "middle"))
    if mark is not None:
        parts.append(line(place((mark, 0))[0], top, place((mark, 0))[0], height - bottom, "mark"))
    for index, one in enumerate(series, 1):
        path = " ".join("{:.1f},{:.1f}".format(*place(point)) for point in one.points)
        wide = 1.6 + 1.8 * (len(series) - index)  # what lies below stays visible where lines coincide
        parts.append(
            Markup('<polyline points="{}" class="line l{}" style="stroke-width:{}"/>').format(path, index, wide)
        )
        if len(one.points) == 1:
            parts.append(circle(*place(one.points[0]), 3.5, f"s{index}", number(one.points[0][1])))
    return legend([one.name for one in series]) + svg(width, height, f"course over {x_name}", parts)


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
    for tick in ticks(y_low, y_high, 3):
        parts += [line(left, down(tick), width - right, down(tick), "grid"),
                  text(left - 7, down(tick) + 4, number(tick, 3), "end")]  # fmt: skip
    if categories:
        marks = [(float(index), shortened(name, 10)) for index, name in enumerate(categories)]
    elif logarithmic:
        powers = range(math.ceil(x_low), math.floor(x_high) + 1)
        marks = [(float(power), f"{10.0**power:g}") for power in powers]
    else:
        marks = [(x, number(x)) for x in sorted(set(xs))] if len(set(xs)) <= 4 else []
        marks = marks or [(tick, number(tick)) for tick in ticks(x_low, x_high, 3)]
    parts += [text(across(x), height - bottom + 16, name, "middle") for x, name in marks]
    parts.append(line(left, height - bottom, width - right, height - bottom, "axis"))
    parts.append(text((left + width - right) / 2, height - 4, x_name, "middle", "strong"))
    order = sorted(range(len(points)), key=lambda index: index == best)  # the best one is drawn last, on top
    for index in order:
        kind, radius = ("best", 6.5) if index == best else ("s1", 4.5)
        parts.append(circle(across(places[index]), down(points[index][1]), radius, kind, points[index][2]))
    return svg(width, height, f"{y_name} over {x_name}", parts)


def reliability(bins: Sequence[tuple[float, float, int]]) -> Markup:
    """Confidence against accuracy: (mean confidence, share right, photos) for each bin with its 95 %; the diagonal is honest."""
    width, height, left, top, bottom, right = 320, 260, 44, 8, 36, 12
    most = max(count for _, _, count in bins)

    def place(x: float, y: float) -> Point:
        return left + x * (width - left - right), top + (1 - y) * (height - top - bottom)

    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = place(tick, tick)
        parts += [line(left, y, width - right, y, "grid"), text(left - 7, y + 4, percent(tick, 0), "end"),
                  text(x, height - bottom + 16, percent(tick, 0), "middle")]  # fmt: skip
    parts.append(line(*place(0, 0), *place(1, 1), "mark"))
    parts.append(text((left + width - right) / 2, height - 2, "probability that the model states", "middle"))
    for confidence, right_share, count in bins:
        low, high = wilson_interval(round(right_share * count), count)
        parts.append(line(*place(confidence, low), *place(confidence, high), "error"))
        radius = 3 + 6 * math.sqrt(count / most)
        title = f"{count} photos: stated {percent(confidence)}, right {percent(right_share)} ({percent(low)} to {percent(high)})"
        parts.append(circle(*place(confidence, right_share), round(radius, 1), "s1", title))
    return svg(width, height, "calibration", parts)


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """True classes in rows, predictions in columns; shade: the share of its row."""
    head = Markup("").join(
        Markup('<th class="n" title="{}">{}</th>').format(name, shortened(name, 14)) for name in classes
    )
    rows = []
    for index, name in enumerate(classes):
        total = sum(counts[index]) or 1
        cells = []
        for column, count in enumerate(counts[index]):
            colour = "--cell" if column == index else "--miss"
            opacity = 0 if count == 0 else 0.08 + 0.72 * count / total
            shade = f"rgba(var({colour}), {opacity:.2f})" if count else "var(--zero)"
            title = f"{percent(count / total)} of {name} called {classes[column]}"
            cells.append(_CELL.format(shade, title, f"{count:,}"))
        label = Markup('<th title="{}">{}</th>').format(name, shortened(name, 22))
        rows.append(Markup("<tr>{}{}</tr>").format(label, Markup("").join(cells)))
    return _CONFUSION.format(head, Markup("").join(rows))
