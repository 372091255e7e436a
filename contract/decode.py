"""Bytes to pixels, once for training and serving: whatever a camera, a scanner or a web page made becomes 8-bit RGB.

The content decides, never the name. Refused, each with a named reason: nothing, too many bytes or pixels, what costs too much
to decode (from the header, before anything is decoded), what is not a picture, a picture that ends early or is damaged.
Treated: orientation is applied; grey, palette, CMYK and 16-bit become 8-bit RGB; transparency is laid on white; of an
animation the first frame counts; beyond REDUCED_ABOVE pixels a photo is reduced while it is decoded.

Usual JPEG and PNG are decoded in this process, under the memory budget that all its threads share. Everything else goes to
another process, which a limit of memory and of time ends (`decode_apart`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import simplejpeg

from contract import decode_apart, jpeg, png
from contract.abandon import Abandon
from contract.memory_budget import MEGABYTE, photo_budget
from contract.photo_kind import KINDS, kind_of, other_kind
from contract.photo_set.files import MAX_BYTES
from contract.pillow import open_picture, pillow_pixels
from contract.pixels import STRIP_BYTES
from contract.unreadable import REASONS, Reason, UnreadablePhoto, damaged

__all__ = ["KINDS", "MAX_BYTES", "MAX_PIXELS", "REASONS", "Abandon", "Decoded", "Reason", "UnreadablePhoto",
           "decode", "is_costly", "read_photo"]  # fmt: skip

MAX_PIXELS: Final = 120_000_000  # the largest phone cameras take 108 megapixels
MAX_MEMORY: Final = 1024 * MEGABYTE  # of one photo while it is decoded
# A photo of more pixels is halved while it is decoded: no input of ours needs them, and the decision depends on the photo
# alone, so that every reader sees the same pixels.
REDUCED_ABOVE: Final = 1 << 25
_WORK_HERE: Final = 1 << 27  # pixels × scans: less than a second


@dataclass(frozen=True)
class Decoded:
    """`pixels`: uint8 RGB (height, width, 3), contiguous. `width`, `height`: upright, before any reduction.

    `notes`: what had to be done (16_bit, stretched, cmyk, grey, transparent, rotated, animated, without_end, reduced).
    """

    pixels: np.ndarray
    kind: str
    width: int
    height: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Plan:
    """What the header says: how the photo is decoded and what that takes; `needs`: bytes of memory."""

    kind: str
    header: jpeg.JpegHeader | png.PngHeader | None = None
    needs: int = 0

    @property
    def apart(self) -> bool:
        return self.header is None


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Return the photo as uint8 RGB of shape (height, width, 3), contiguous; raise UnreadablePhoto."""
    return read_photo(data, max_pixels=max_pixels, max_bytes=max_bytes).pixels


def read_photo(
    data: bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES, abandon: Abandon | None = None
) -> Decoded:
    """The photo with what was found out about it; raise UnreadablePhoto, or Abandoned where the work was given up."""
    plan = _plan(data, max_pixels, max_bytes)
    if plan.header is not None:
        with photo_budget().hold(plan.needs, abandon):
            decoded = _decode_jpeg(data, plan.header) if isinstance(plan.header, jpeg.JpegHeader) else _decode_png(data)
        if decoded:
            return decoded
    pixels, facts = decode_apart.decode(data, plan.kind, max_pixels, photo_budget(), abandon)
    return Decoded(pixels, **facts)


def is_costly(data: bytes) -> bool:
    """Whether the photo is decoded apart, where it may take long; what is refused at once is not."""
    try:
        return _plan(data, MAX_PIXELS, MAX_BYTES).apart
    except UnreadablePhoto:
        return False


def check_size(width: int, height: int, max_pixels: int) -> int:
    """The factor by which a photo of this size is reduced; raise UnreadablePhoto where it is too large."""
    if width * height > max_pixels:
        raise UnreadablePhoto(
            "too_many_pixels",
            f"the photo is {width:,} x {height:,} = {width * height:,} pixels; at most {max_pixels:,} are allowed",
        )
    if width * height == 0:
        raise UnreadablePhoto("corrupt", f"the photo is {width} x {height} pixels, by its header")
    reduction = 1
    while width * height > REDUCED_ABOVE * reduction**2:
        reduction *= 2
    return reduction


def check_memory(needs: int, kind: str) -> None:
    """Raise UnreadablePhoto where no photo may take so much."""
    if needs > MAX_MEMORY:
        raise UnreadablePhoto(
            "too_costly",
            f"decoding this {kind} picture takes about {needs / MEGABYTE:,.0f} MB of memory; at most "
            f"{MAX_MEMORY / MEGABYTE:,.0f} MB are allowed; scale it down, or save it as a baseline JPEG",
        )


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turned and mirrored as EXIF's orientation 1 to 8 says; contiguous."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])


def as_decoded(
    pixels: np.ndarray, kind: str, size: tuple[int, int], reduction: int, orientation: int, notes: Sequence[str]
) -> Decoded:
    """`size`: width and height as stored."""
    width, height = size if orientation < 5 else size[::-1]
    told = (*notes, *(["rotated"] if orientation > 1 else []), *(["reduced"] if reduction > 1 else []))
    return Decoded(upright(pixels, orientation), kind, width, height, told)


def _plan(data: bytes, max_pixels: int, max_bytes: int) -> _Plan:
    if not data:
        raise UnreadablePhoto("empty", "the photo has no bytes")
    if len(data) > max_bytes:
        raise UnreadablePhoto("too_many_bytes", f"the photo has {len(data):,} bytes; at most {max_bytes:,} are allowed")
    kind = kind_of(data)
    if kind is None:
        allowed = ", ".join(KINDS)
        raise UnreadablePhoto("not_a_photo", f"the content is not a picture ({allowed}); {other_kind(data)}")
    read = {"JPEG": jpeg.read_header, "PNG": png.read_header}.get(kind)
    header = read(data) if read else None
    if header is None:
        return _Plan(kind)
    reduction = check_size(header.width, header.height, max_pixels)
    area = header.width * header.height
    out = 3 * area // reduction**2
    if isinstance(header, png.PngHeader):
        check_memory(needs := out + area * header.bytes_per_pixel + STRIP_BYTES, kind)
        return _Plan(kind) if reduction > 1 or header.deep_colour else _Plan(kind, header, needs)
    check_memory(needs := out * (2 if header.orientation > 1 else 1) + header.coefficients, kind)
    return _Plan(kind, header, needs) if header.is_usual and area * header.scans <= _WORK_HERE else _Plan(kind)


def _decode_jpeg(data: bytes, header: jpeg.JpegHeader) -> Decoded | None:
    """The fast path: the same pixels as Pillow in 60 % of its time. None where it complains; then Pillow judges."""
    pixels = jpeg_pixels(data, header, reduction := check_size(header.width, header.height, MAX_PIXELS))
    if pixels is None:
        return None
    return as_decoded(pixels, "JPEG", (header.width, header.height), reduction, header.orientation, header.notes)


def jpeg_pixels(data: bytes, header: jpeg.JpegHeader, reduction: int) -> np.ndarray | None:
    """By libjpeg-turbo, strictly. Where only the end marker is missing, all pixels are there: it is put there."""
    if not header.whole:
        if not jpeg.is_complete(data, header):
            return None
        data = data + b"\xff\xd9"
    height, width = -(-header.height // reduction), -(-header.width // reduction)
    smaller = {"min_height": height, "min_width": width, "min_factor": reduction} if reduction > 1 else {}
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True, **smaller)
    except ValueError:
        return None
    return pixels if pixels.shape == (height, width, 3) else None


def _decode_png(data: bytes) -> Decoded:
    chunks = png.check(data)
    try:
        picture = open_picture(chunks.data, "PNG")
        pixels, notes = pillow_pixels(picture, 1)
    except UnreadablePhoto:
        raise
    except Exception as error:
        raise damaged("PNG picture", error) from None
    notes += ["animated"] if chunks.animated else []
    return as_decoded(pixels, "PNG", picture.size, 1, chunks.orientation, notes)
