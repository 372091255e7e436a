"""The parts that charts are drawn of: inline SVG without script, font and network; colours come from the page's style.

Drawn in units of CSS pixels and scaled to the column it stands in. What is wide has a second drawing for narrow screens, since text in
a wide one would be too small to read there.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

WIDE, NARROW = 960, 340  # units of a drawing that fills the page, on a screen and on a telephone
_RECT = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="{}" class="{}"><title>{}</title></rect>')
_CIRCLE = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}" class="{}"><title>{}</title></circle>')
_BOTH = Markup('<div class="wide">{}</div><div class="narrow">{}</div>')


def for_both(draw: Callable[[bool], Markup]) -> Markup:
    """`draw(narrow)` for wide and for narrow screens; the page's style shows one of them."""
    return _BOTH.format(draw(False), draw(True))


def svg(width: int, height: int, label: str, parts: Sequence[Any]) -> Markup:
    body = Markup("").join(parts)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(width, height, label, body)


def text(x: float, y: float, text: Any, anchor: str = "start", kind: str = "") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>').format(x, y, anchor, kind, text)


def rect(x: float, y: float, width: float, height: float, kind: str, title: Any = "", radius: float = 2) -> Markup:
    return _RECT.format(x, y, max(0.0, width), height, radius, kind, title)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(x1, y1, x2, y2, kind)


def circle(x: float, y: float, radius: float, kind: str, title: Any = "") -> Markup:
    return _CIRCLE.format(x, y, radius, kind, title)


def shortened(text: str, longest: int = 26) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def legend(names: Sequence[str]) -> Markup:
    """Names of the series s1, s2, … above a chart."""
    item = Markup('<span><i style="background:var(--s{})"></i>{}</span>')
    items = Markup("").join(item.format(index, name) for index, name in enumerate(names, 1))
    return Markup('<div class="legend">{}</div>').format(items)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers within the range."""
    if high <= low:
        return [low]
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]
