"""Pages for people: self-contained (no script, no network, pictures inside), light and dark, printable.

The page's own Content-Security-Policy forbids it to load or run anything; all data is escaped.
"""

import base64
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from contract.whole_file import whole_file

FOLDER = Path(__file__).parent


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, percent=percent, duration=duration, tidy=tidy)
    # The only text that is not escaped is ours: it lies beside this module.
    environment.globals["style"] = Markup((FOLDER / "style.css").read_text(encoding="utf-8"))  # noqa: S704
    return environment


def write_page(path: Path, template: str, **values: Any) -> None:
    """Render the template to the path, whole or not at all."""
    page = _environment().get_template(template).render(**values)
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def data_uri(picture: bytes, kind: str = "image/png") -> Markup:
    """A picture as part of the page."""
    return Markup("data:{};base64,{}").format(kind, base64.b64encode(picture).decode())


def number(value: Any, digits: int = 4) -> str:
    """A number for reading: significant digits for small and large ones, at most `digits` decimals between."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or float(value).is_integer():
        return f"{value:,.0f}"
    if abs(value) < 10**-digits or abs(value) >= 1e6:
        return f"{value:.3g}"
    text = f"{value:,.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def percent(value: Any, digits: int = 1) -> str:
    """0.9312 as 93.1 %, with a narrow space that does not break."""
    return "–" if value is None else f"{100 * value:.{digits}f}\u202f%"


def duration(seconds: Any) -> str:
    """Seconds for reading."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def tidy(text: Any) -> str:
    """A hyperparameter's value (always text) with its digits shortened."""
    try:
        value = float(text)
    except ValueError:
        return str(text)
    return str(text) if value.is_integer() else f"{value:.4g}"
