"""Pixels to the model's input, once for training and serving: resize, centre crop, scale, normalise.

Refuses a preprocessing that cannot be carried out (a crop larger than the resized photo, a mean of two numbers).
Shrinking always averages over the source pixels (OpenCV's INTER_AREA: antialiased, and 3 to 5 times as fast as Pillow);
`interpolation` decides how a small photo is enlarged. Crop and resize are one step: what is cut off is never resized.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import cv2
import numpy as np

_ENLARGE: Final = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
_MAX_SIDE: Final = 4096


class InvalidPreprocessing(ValueError):
    """A preprocessing description that names something impossible."""


@dataclass(frozen=True)
class Resize:
    """`shorter_side`: keep the aspect, bring the shorter side to `size`, then crop. `squash`: straight to the input."""

    mode: Literal["shorter_side", "squash"] = "shorter_side"
    size: int = 256


@dataclass(frozen=True)
class Preprocessing:
    """How this model wants its photos; written into the manifest by training, read by everyone else."""

    input_size: tuple[int, int] = (224, 224)
    resize: Resize = Resize()
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        sides = self.input_size
        _require(
            _numbers(sides, 2, int) and all(1 <= side <= _MAX_SIDE for side in sides),
            "input_size",
            self.input_size,
            f"two numbers [height, width] from 1 to {_MAX_SIDE}",
        )
        _require(
            self.resize.mode in ("shorter_side", "squash"), "resize.mode", self.resize.mode, "shorter_side, squash"
        )
        _require(
            self.resize.mode == "squash" or max(self.input_size) <= self.resize.size <= _MAX_SIDE,
            "resize.size",
            self.resize.size,
            f"at least the input's longer side, at most {_MAX_SIDE}",
        )
        _require(self.interpolation in _ENLARGE, "interpolation", self.interpolation, ", ".join(_ENLARGE))
        _require(_numbers(self.mean, 3, (int, float)), "mean", self.mean, "three numbers")
        above = _numbers(self.std, 3, (int, float)) and all(value > 0 for value in self.std)
        _require(above, "std", self.std, "three numbers above 0")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """Read the manifest's form; an unknown or missing field is an error."""
        expected = set(cls.__dataclass_fields__)
        _require(
            isinstance(values, dict) and set(values) == expected,
            "preprocessing",
            sorted(values) if isinstance(values, dict) else values,
            f"exactly the fields {sorted(expected)}",
        )
        resize = values["resize"]
        _require(isinstance(resize, dict) and set(resize) == {"mode", "size"}, "resize", resize, "mode and size")
        try:
            return cls(
                input_size=tuple(int(side) for side in values["input_size"]),  # type: ignore[arg-type]  # two are checked for
                resize=Resize(resize["mode"], int(resize["size"])),
                interpolation=values["interpolation"],
                mean=tuple(float(value) for value in values["mean"]),  # type: ignore[arg-type]
                std=tuple(float(value) for value in values["std"]),  # type: ignore[arg-type]
            )
        except TypeError as error:
            raise InvalidPreprocessing(f"preprocessing {values!r}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """The manifest's form: lists and numbers."""
        values = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _numbers(values: object, count: int, kind: type | tuple[type, ...]) -> bool:
    """Whether it is a tuple of so many numbers of this kind."""
    return isinstance(values, tuple) and len(values) == count and all(isinstance(value, kind) for value in values)


def _require(holds: bool, field: str, received: object, allowed: str) -> None:
    if not holds:
        raise InvalidPreprocessing(f"preprocessing: {field} is {received!r}; allowed: {allowed}")


def resize_and_crop(rgb: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 (height, width, 3) of any size to uint8 of the model's input size: what a cache of decoded photos keeps."""
    target_height, target_width = preprocessing.input_size
    height, width = rgb.shape[:2]
    if preprocessing.resize.mode == "shorter_side":
        scale = preprocessing.resize.size / min(height, width)
        crop_height = min(height, max(1, round(target_height / scale)))
        crop_width = min(width, max(1, round(target_width / scale)))
        top, left = (height - crop_height) // 2, (width - crop_width) // 2
        rgb = rgb[top : top + crop_height, left : left + crop_width]
        height, width = crop_height, crop_width
    if (height, width) == (target_height, target_width):
        return np.ascontiguousarray(rgb)
    shrinks = height >= target_height and width >= target_width
    method = cv2.INTER_AREA if shrinks else _ENLARGE[preprocessing.interpolation]
    if not shrinks and (height > 2 * target_height or width > 2 * target_width):
        # Enlarging one side of a panorama while shrinking the other: average first, then enlarge.
        rgb = cv2.resize(rgb, (min(width, target_width), min(height, target_height)), interpolation=cv2.INTER_AREA)
    return cv2.resize(rgb, (target_width, target_height), interpolation=method)


@lru_cache(maxsize=64)
def _tables(mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """Normalising 8-bit pixels has 256 possible answers per channel: look them up. float32 (3, 256)."""
    levels = np.arange(256, dtype=np.float64) / 255.0
    return ((levels[None, :] - np.array(mean)[:, None]) / np.array(std)[:, None]).astype(np.float32)


def normalize(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 (H, W, 3) of the input size to float32 (3, H, W), normalised."""
    tables = _tables(preprocessing.mean, preprocessing.std)
    tensor = np.empty((3, *pixels.shape[:2]), dtype=np.float32)
    for channel, plane in enumerate(cv2.split(pixels)):
        cv2.LUT(plane, tables[channel], dst=tensor[channel])
    return tensor


def to_tensor(rgb: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 (height, width, 3) RGB of any size to the model's input: float32 (3, H, W)."""
    return normalize(resize_and_crop(rgb, preprocessing), preprocessing)
