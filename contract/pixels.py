"""A picture that Pillow or OpenCV holds, as 8-bit RGB: in strips, so that one conversion after the other needs no copy of the whole.

Treated: grey, palette and CMYK become RGB; transparency is laid on white; of 16 bits those are used that the photo uses.
What is to be reduced is averaged strip by strip.
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from PIL import Image

from contract.unreadable import UnreadablePhoto

_STRIP_PIXELS: Final = 1 << 20
STRIP_BYTES: Final = 24 * _STRIP_PIXELS  # what the conversions of one strip hold at most
# Cameras and microscopes write 10, 12 or 14 bits into 16; a value between the steps is a dark photo, not another depth.
_DEPTHS: Final = (8, 10, 12, 14, 16, 20, 24, 32)


def rgb_of(picture: Image.Image, reduction: int) -> tuple[np.ndarray, list[str]]:
    """A loaded picture as uint8 (height, width, 3), and what had to be done."""
    notes = []
    if picture.mode == "F":
        raise UnreadablePhoto("unsupported_mode", "the picture holds floating-point values, which have no fixed white")
    if picture.mode.startswith("I"):
        # Pillow's own conversion clips at 255.
        notes.append("16_bit")
        white = _white(max(int(np.asarray(strip).max()) for strip in _strips(picture, reduction)), notes)
        return _collect(picture, reduction, lambda strip: _grey(np.asarray(strip), white)), notes
    if picture.mode == "CMYK":
        notes.append("cmyk")
    elif picture.mode in ("L", "LA", "1"):
        notes.append("grey")
    if picture.has_transparency_data:
        notes.append("transparent")
        return _collect(picture, reduction, _on_white), notes
    return _collect(picture, reduction, lambda strip: strip if strip.mode == "RGB" else strip.convert("RGB")), notes


def rgb_of_deep(values: np.ndarray, reduction: int) -> tuple[np.ndarray, list[str]]:
    """OpenCV's uint16 (height, width, 3 or 4), blue first, as uint8 RGB."""
    notes = ["16_bit"]
    height, width, channels = values.shape
    white = _white(int(values[:, :, :3].max()), notes)
    if channels == 4:
        notes.append("transparent")

    def strip_of(top: int, bottom: int) -> Image.Image:
        strip = values[top:bottom].astype(np.float32)
        colour = np.minimum(strip[:, :, 2::-1] * (255 / white), 255)
        if channels == 4:
            share = strip[:, :, 3:] / 65535
            colour = colour * share + 255 * (1 - share)
        return Image.fromarray((colour + 0.5).astype(np.uint8))

    out = np.empty((-(-height // reduction), -(-width // reduction), 3), np.uint8)
    for top, bottom in _bounds(height, width, reduction):
        _put(out, top, strip_of(top, bottom), reduction)
    return out, notes


def _white(highest: int, notes: list[str]) -> int:
    depth = next((depth for depth in _DEPTHS if highest < 1 << depth), _DEPTHS[-1])
    if depth < 16 and highest > 0:
        notes.append("stretched")
    return (1 << depth) - 1 if highest > 0 else 65535


def _grey(values: np.ndarray, white: int) -> Image.Image:
    grey = np.clip(values.astype(np.float32) * (255 / white) + 0.5, 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _on_white(strip: Image.Image) -> Image.Image:
    rgba = strip.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")


def _bounds(height: int, width: int, reduction: int) -> Iterator[tuple[int, int]]:
    rows = max(reduction, _STRIP_PIXELS // width // reduction * reduction)
    return ((top, min(height, top + rows)) for top in range(0, height, rows))


def _strips(picture: Image.Image, reduction: int) -> Iterator[Image.Image]:
    width, height = picture.size
    for top, bottom in _bounds(height, width, reduction):
        yield picture if bottom - top == height else picture.crop((0, top, width, bottom))


def _collect(picture: Image.Image, reduction: int, convert: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    width, height = picture.size
    out = np.empty((-(-height // reduction), -(-width // reduction), 3), np.uint8)
    top = 0
    for strip in _strips(picture, reduction):
        _put(out, top, convert(strip), reduction)
        top += strip.height
    return out


def _put(out: np.ndarray, top: int, strip: Image.Image, reduction: int) -> None:
    small = strip if reduction == 1 else strip.reduce(reduction)
    out[top // reduction : top // reduction + small.height] = np.asarray(small)
