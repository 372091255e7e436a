"""Bytes to pixels, once for training and serving: whatever a camera, a scanner or a web page made becomes 8-bit RGB.

The content decides, never the name. Refused, each with a named reason: nothing, too many bytes, too many pixels (read
from the header, before anything is decoded), what is no picture, a picture that ends early or is damaged.
Treated: EXIF rotation is applied; grey, palette, CMYK and 16-bit become 8-bit RGB; transparency is laid on white; of an
animation the first frame counts.
"""

import io
import re
import struct
import zlib
from typing import Final, Literal, get_args

import numpy as np
import simplejpeg
from PIL import Image, TiffImagePlugin, WebPImagePlugin  # noqa: F401  registers the two formats

Reason = Literal[
    "empty", "too_many_bytes", "too_many_pixels", "not_a_photo", "truncated", "corrupt", "unsupported_mode"
]
REASONS: Final = get_args(Reason)
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_PIXELS: Final = 120_000_000  # the largest phone cameras take 108 megapixels
# How each format begins. Asking Pillow to guess would load all its plugins, some of them for formats nobody reviews.
_SIGNATURES: Final = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WEBP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("BMP", re.compile(rb"BM")),
    ("TIFF", re.compile(rb"II\*\0|MM\0\*")),
)
FORMATS: Final = tuple(name for name, _ in _SIGNATURES)

# decode() holds the limit itself, from the header. Pillow's own check would warn or raise at a number of its own.
Image.MAX_IMAGE_PIXELS = None

_ORIENTATION_TAG: Final = 0x0112


class UnreadablePhoto(ValueError):
    """A photo that cannot become pixels; `reason` is one of REASONS, the text is for a person."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason

    def __reduce__(self) -> tuple:  # crosses process pools in `prepare`
        return type(self), (self.reason, str(self))


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Return the photo as uint8 RGB of shape (height, width, 3), contiguous; raise UnreadablePhoto."""
    if not data:
        raise UnreadablePhoto("empty", "the photo has no bytes")
    if len(data) > max_bytes:
        raise UnreadablePhoto("too_many_bytes", f"the photo has {len(data):,} bytes; at most {max_bytes:,} are allowed")
    picture = _open(data)
    width, height = picture.size
    if width * height > max_pixels:
        raise UnreadablePhoto(
            "too_many_pixels",
            f"the photo is {width:,} x {height:,} = {width * height:,} pixels; at most {max_pixels:,} are allowed",
        )
    orientation = _orientation(picture)
    pixels = _decode_jpeg(data) if picture.format in ("JPEG", "MPO") and picture.mode in ("RGB", "L") else None
    if pixels is None:
        if picture.format == "PNG":
            _check_png(data)
        pixels = _load(picture)
    return np.ascontiguousarray(_rotate(pixels, orientation))


def _open(data: bytes) -> Image.Image:
    beginning = bytes(data[:12])
    kind = next((name for name, signature in _SIGNATURES if signature.match(beginning)), None)
    if kind is None:
        allowed = ", ".join(FORMATS)
        raise UnreadablePhoto("not_a_photo", f"the content is no picture ({allowed}); it begins with {beginning!r}")
    try:
        return Image.open(io.BytesIO(data), formats=[kind])
    except Image.UnidentifiedImageError:
        raise UnreadablePhoto(
            "corrupt", f"the content begins like a {kind} picture, but its header is damaged"
        ) from None
    except Exception as error:  # a damaged header can raise anything in a plugin
        raise _damaged("photo's header", error) from None


def _damaged(what: str, error: Exception) -> UnreadablePhoto:
    text = str(error).lower()
    if isinstance(error, EOFError) or any(sign in text for sign in ("truncated", "unexpected end", "not enough")):
        return UnreadablePhoto("truncated", f"the {what} ends early: {error}")
    return UnreadablePhoto("corrupt", f"the {what} is damaged: {error}")


def _decode_jpeg(data: bytes) -> np.ndarray | None:
    """The fast path: the same pixels as Pillow in 60 % of its time. None where it complains; then Pillow judges."""
    try:
        return simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)
    except ValueError:
        return None


def _check_png(data: bytes) -> None:
    """Compare the checksums of the critical chunks: Pillow shows damaged pixels without a word."""
    at = 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        if kind[:1].isupper() and zlib.crc32(data[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            name = kind.decode("latin-1")
            raise UnreadablePhoto("corrupt", f"the PNG picture is damaged: the checksum of its chunk {name} is wrong")
        if kind == b"IEND":
            return
        at = end + 4
    raise UnreadablePhoto("truncated", "the PNG picture ends early: its last chunk is not whole")


def _load(picture: Image.Image) -> np.ndarray:
    try:
        picture.load()
        return _to_rgb(picture)
    except UnreadablePhoto:
        raise
    except Exception as error:
        raise _damaged(f"{picture.format} picture", error) from None


def _to_rgb(picture: Image.Image) -> np.ndarray:
    if picture.mode.startswith("I"):  # 16 bit: Pillow's own conversion clips at 255
        values = np.asarray(picture).astype(np.float32)
        grey = np.clip(values / 257 + 0.5, 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if picture.mode == "F":
        raise UnreadablePhoto("unsupported_mode", "the picture holds floating-point values, which have no fixed white")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _orientation(picture: Image.Image) -> int:
    """EXIF orientation 1 to 8; 1 where there is none or where EXIF is damaged (the pixels may still be fine)."""
    if "exif" not in picture.info and picture.format not in ("PNG", "WEBP", "TIFF"):
        return 1
    try:
        value = picture.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # Pillow raises whatever a damaged EXIF block leads it to; the photo itself may be whole
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _rotate(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
