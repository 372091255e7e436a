"""Pictures that Pillow opens: the one decoder of everything that is not a usual JPEG.

It loads the plugins of the formats that are reviewed here and no others. HEIC needs the package pi-heif (libheif without
encoders); where that is missing, the photo is refused with what to do.
"""

import io
from typing import Any, Final

import numpy as np
from PIL import AvifImagePlugin, Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin  # noqa: F401  registers the formats

from contract import heif
from contract.pixels import rgb_of
from contract.unreadable import UnreadablePhoto, damaged

# The limits are ours, from the header. Pillow's own check would warn or raise at a number of its own.
Image.MAX_IMAGE_PIXELS = None
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # memory and time of a photo are limited; threads would hide both

_IN_FORMAT: Final = {"HEIC": "HEIF"}


def open_picture(data: bytes, kind: str) -> Image.Image:
    """The picture with its header read; raise UnreadablePhoto."""
    if kind == "HEIC":
        _prepare_heif()
        heif.check(data)
    try:
        return Image.open(io.BytesIO(data), formats=[_IN_FORMAT.get(kind, kind)])
    except UnidentifiedImageError:
        raise UnreadablePhoto(
            "corrupt", f"the content begins like a {kind} picture, but its header is damaged"
        ) from None
    except Exception as error:  # a damaged header can raise anything in a plugin
        raise damaged(f"header of the {kind} picture", error) from None


def _prepare_heif() -> None:
    try:
        import pi_heif
    except ImportError:
        raise UnreadablePhoto(
            "unsupported_mode",
            "the photo is HEIC, which this environment cannot read: install the package pi-heif, or save the photo as JPEG",
        ) from None
    pi_heif.register_heif_opener()
    options = pi_heif.options
    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False  # only the photo itself is wanted


def pillow_pixels(picture: Image.Image, reduction: int) -> tuple[np.ndarray, list[str]]:
    """Decode, as uint8 RGB; whatever a decoder raises passes."""
    picture.load()
    return rgb_of(picture, reduction)


def bits_per_sample(picture: Any) -> int:
    """Of a TIFF; 8 where it does not say."""
    try:
        return max(picture.tag_v2.get(258, (8,)))
    except (TypeError, ValueError):
        return 8
