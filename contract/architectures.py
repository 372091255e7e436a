"""Names of architectures, known without their libraries: a typo is told before an upload and a job.

`architectures.txt` is what torchvision and timm of the training image know; a test holds it against them, and
`python -m training_code.models.catalogue > contract/architectures.txt` writes it anew.
"""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

from contract.validation import InvalidField

LIBRARIES = ("torchvision", "timm")


@cache
def known() -> tuple[str, ...]:
    return tuple(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").split())


def require(path: str, name: str) -> None:
    """`resnet18`, `timm/resnet18` or a name with timm's tag; InvalidField with the closest ones otherwise."""
    library, slash, plain = name.rpartition("/")
    if plain not in known() or (slash and library not in LIBRARIES):
        raise InvalidField(path, name, f"any of {len(known())} torchvision classifiers and timm models", hint(name))


def hint(name: str) -> str:
    close = difflib.get_close_matches(name.rpartition("/")[2].lower().replace("-", "_"), known(), n=4, cutoff=0.6)
    return f"Did you mean {', '.join(close)}?" if close else "Names are torchvision's and timm's, such as resnet18."
