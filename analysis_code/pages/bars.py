"""Bars along the width of the page: photos per class, accuracy with its interval, steps over time; each also for narrow screens."""

from collections.abc import Sequence

from markupsafe import Markup

from analysis_code.pages import duration, percent
from analysis_code.pages.svg import NARROW, WIDE, for_both, legend, line, rect, shortened, svg, text, ticks


def stacked_bars(rows: Sequence[tuple[str, Sequence[int]]], names: Sequence[str]) -> Markup:
    """A horizontal bar per row, stacked by `names`, with the sum at its end."""
    most = max((sum(values) for _, values in rows), default=0) or 1

    def draw(narrow: bool) -> Markup:
        width, left, right, step = (NARROW, 0, 52, 42) if narrow else (WIDE, 190, 70, 26)
        parts = []
        for index, (label, values) in enumerate(rows):
            y, x = index * step + (20 if narrow else 4), float(left)
            parts.append(
                text(0, y - 6, shortened(label, 46)) if narrow else text(left - 10, y + 12, shortened(label, 28), "end")
            )
            for place, value in enumerate(values, 1):
                length = (width - left - right) * value / most
                parts.append(rect(x, y, length, 16, f"s{place}", f"{label}, {names[place - 1]}: {value:,}"))
                x += length
            parts.append(text(x + 7, y + 12, f"{sum(values):,}", kind="strong"))
        return svg(width, len(rows) * step + 6, "photos per class", parts)

    return legend(names) + for_both(draw)


def interval(value: float, low: float, high: float, marks: Sequence[tuple[str, float]]) -> Markup:
    """A share with its interval on the way from 0 to 100 %, and what to compare it with."""

    def draw(narrow: bool) -> Markup:
        width, edge = (NARROW if narrow else WIDE), 4

        def across(share: float) -> float:
            return edge + share * (width - 2 * edge)

        parts = [rect(edge, 34, width - 2 * edge, 10, "ghost", radius=5)]
        parts.append(
            rect(across(low), 34, across(high) - across(low), 10, "s1", f"{percent(low)} to {percent(high)}", 5)
        )
        parts.append(line(across(value), 28, across(value), 50, "whisker"))
        parts.append(text(min(max(across(value), 26), width - 26), 20, percent(value), "middle", "strong"))
        for index, (name, share) in enumerate(marks):
            y = 66 + 16 * index
            parts.append(line(across(share), 30, across(share), 54, "mark"))
            anchor = "end" if share > 0.6 else "start" if share < 0.4 else "middle"
            parts.append(text(across(share), y, f"{name} {percent(share)}", anchor))
        return svg(width, 60 + 16 * len(marks), "accuracy with its interval", parts)

    return for_both(draw)


def gantt(rows: Sequence[tuple[str, float, float, bool]]) -> Markup:
    """Steps over time: (name, begin, end, failed) in seconds since the start."""
    total = max((end for _, _, end, _ in rows), default=0) or 1.0

    def draw(narrow: bool) -> Markup:
        width, left, right, step = (NARROW, 0, 8, 42) if narrow else (900, 210, 74, 25)
        scale = (width - left - right) / total
        bottom = len(rows) * step
        parts = []
        for tick in ticks(0, total, 3 if narrow else 6):
            x = left + tick * scale
            parts.append(line(x, 4, x, bottom + 4, "grid"))
            parts.append(text(x, bottom + 20, duration(tick) if tick else "0", "middle" if tick else "start"))
        for index, (name, begin, end, failed) in enumerate(rows):
            y, x, long = index * step + (20 if narrow else 6), left + begin * scale, max(2.5, (end - begin) * scale)
            took = duration(end - begin)
            if narrow:
                parts.append(text(0, y - 5, f"{shortened(name, 40)}, {took}"))
            else:
                parts.append(text(left - 10, y + 12, shortened(name, 32), "end"))
                parts.append(text(x + long + 7, y + 12, took, kind="strong"))
            parts.append(rect(x, y, long, 16, "fail" if failed else "s1", f"{name}: {took}"))
        return svg(width, bottom + 26, "timeline of the steps", parts)

    return for_both(draw)
