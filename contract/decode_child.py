"""`python -m contract.decode_child`: decodes the photos that `decode_apart` sends, one after the other, each within limits.

Before a photo, the address space may grow by what a header may need; once the header is read, by what the photo needs, by
our estimate: where that is wrong, the photo fails and not the machine. A timer of processor time ends the process.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from contract import exif, jpeg, png, webp
from contract.decode import Decoded, as_decoded, check_memory, check_size, jpeg_pixels
from contract.decode_apart import HEADER_MEMORY, LENGTH, REQUEST
from contract.memory_budget import MEGABYTE
from contract.pillow import bits_per_sample, open_picture, pillow_pixels
from contract.pixels import STRIP_BYTES, rgb_of_deep
from contract.unreadable import UnreadablePhoto, damaged

SLACK: Final = 192 * MEGABYTE  # of address space: libraries that are loaded now, what the allocator keeps
# Bytes a pixel while it is decoded, without the answer: measured with one thread (tests/inference_code/test_decode_costs.py).
_PER_PIXEL: Final = {"WEBP": 17, "GIF": 3, "BMP": 6, "TIFF": 5, "AVIF": 12, "HEIC": 12}
_DEEP: Final = 4  # a channel: OpenCV holds sixteen bits twice
_DEEP_STRIP: Final = 3 * STRIP_BYTES  # in floating point
_ORIENTATION_TAG: Final = 274


class Job:
    """One photo: its header now, its pixels when the parent has the memory for it."""

    def __init__(self, data: bytes, kind: str, max_pixels: int) -> None:
        self._data, self._kind = data, kind
        self._jpeg = jpeg.read_header(data) if kind == "JPEG" else None
        self._chunks = png.check(data) if kind == "PNG" else None
        # A WebP takes the memory of its pixels when it is opened: not before the parent has it.
        self._picture: Any = None if kind == "WEBP" else open_picture(self._chunks.data if self._chunks else data, kind)
        if _is_preview(self._picture):
            raise UnreadablePhoto(
                "unsupported_mode",
                "the TIFF begins with a preview and keeps its photo elsewhere, as raw files of cameras do (DNG, NEF): "
                "save it as JPEG or PNG",
            )
        self._size: tuple[int, int] = webp.size(data) if self._picture is None else self._picture.size
        self._reduction = check_size(self._size[0], self._size[1], max_pixels)
        self._deep = self._is_deep()
        self._orientation = self._read_orientation()
        self._turned = kind == "TIFF" and _tags(self._picture).get(_ORIENTATION_TAG, 1) != 1
        self.needs = self._estimate()
        check_memory(self.needs, kind)

    def _is_deep(self) -> bool:
        if self._chunks:
            header = png.read_header(self._data)
            return bool(header and header.deep_colour and not self._chunks.colour_key)
        return self._kind == "TIFF" and self._picture.mode in ("RGB", "RGBA") and bits_per_sample(self._picture) == 16

    def _read_orientation(self) -> int:
        if self._jpeg or self._chunks:
            return self._jpeg.orientation if self._jpeg else self._chunks.orientation  # type: ignore[union-attr]
        if self._kind == "TIFF":  # Pillow turns it upright itself, and OpenCV as well
            return 1
        if self._picture is None:  # not known yet; this is the one that takes more memory
            return 6
        block = self._picture.info.get("exif") or b""
        return exif.orientation(bytes(block).removeprefix(b"Exif\0\0"))

    def _estimate(self) -> int:
        width, height = self._size
        area = width * height
        answer = 3 * area // self._reduction**2 * (2 if self._orientation > 1 else 1) + STRIP_BYTES
        if self._kind == "JPEG":
            if self._jpeg and self._jpeg.is_usual:
                return answer + self._jpeg.coefficients
            return answer + 4 * area + (self._jpeg.coefficients if self._jpeg else 8 * area)
        if self._deep:
            return answer + _DEEP_STRIP + _DEEP * len(self._picture.getbands()) * area
        if self._kind == "PNG":
            header = png.read_header(self._data)
            return answer + area * (header.bytes_per_pixel if header else 4)
        return answer + _PER_PIXEL[self._kind] * area + 3 * _tile_bytes(self._picture) // 2

    def _open_late(self) -> None:
        self._picture = open_picture(self._data, self._kind)
        if self._picture.size != self._size:
            raise UnreadablePhoto("corrupt", "the header of the WEBP picture is damaged: it gives two sizes")
        self._orientation = self._read_orientation()

    def decode(self) -> Decoded:
        if self._picture is None:
            self._open_late()
        try:
            # A GIF's second picture is looked for, and may be damaged.
            animated = self._kind != "JPEG" and bool(getattr(self._picture, "is_animated", False))
            pixels, notes = self._pixels()
        except UnreadablePhoto:
            raise
        except Exception as error:  # whatever a damaged photo makes a decoder raise
            raise damaged(f"{self._kind} picture", error) from None
        notes += ["animated"] if animated else []
        notes += ["rotated"] if self._turned else []
        return as_decoded(pixels, self._kind, self._size, self._reduction, self._orientation, notes)

    def _pixels(self) -> tuple[np.ndarray, list[str]]:
        if self._jpeg and self._jpeg.is_usual:
            pixels = jpeg_pixels(self._data, self._jpeg, self._reduction)
            if pixels is not None:
                return pixels, self._jpeg.notes
        if self._deep:
            deep = _by_opencv(self._data)
            if deep is not None:
                return rgb_of_deep(deep, self._reduction)
        return pillow_pixels(self._picture, self._reduction)


def _by_opencv(data: bytes) -> np.ndarray | None:
    import cv2

    cv2.setNumThreads(1)
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    fits = values is not None and values.dtype == np.uint16 and values.ndim == 3 and values.shape[2] in (3, 4)
    return values if fits else None


def _tags(picture: Any) -> Mapping[int, Any]:
    """Of a TIFF; other pictures have none."""
    return getattr(picture, "tag_v2", {})


def _is_preview(picture: Any) -> bool:
    """NewSubfileType, bit 0: a reduced version of another picture in this file (TIFF 6.0, page 36)."""
    kind = _tags(picture).get(254, 0)
    return isinstance(kind, int) and bool(kind & 1)


def _tile_bytes(picture: Any) -> int:
    """One strip or tile of a TIFF: it may be larger than the picture."""
    tags = _tags(picture)
    if not tags:
        return 0
    width = tags.get(322) or picture.size[0]
    height = tags.get(323) or min(tags.get(278) or picture.size[1], picture.size[1])
    samples = tags.get(277) or 1
    try:
        return int(width) * int(height) * int(samples) * -(-bits_per_sample(picture) // 8)
    except (TypeError, ValueError):
        raise UnreadablePhoto("corrupt", "the header of the TIFF picture is damaged: its tiles have no size") from None


def allow(more: int | None) -> None:
    """Let the address space grow by so many bytes from now on; None: without a limit."""
    statistics = Path("/proc/self/statm")
    if not statistics.exists():  # no Linux: only the time is limited
        return
    now = int(statistics.read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = hard if more is None else now + more
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Until the parent closes its end, or ends itself."""
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        length, max_pixels, seconds, kind = REQUEST.unpack(head)
        data = requests.read(length)
        if len(data) < length:
            return
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            allow(HEADER_MEMORY + 2 * length)
            try:
                job = Job(data, kind.decode().strip(), max_pixels)
            except MemoryError as error:
                raise damaged(f"header of the {kind.decode().strip()} picture", error) from None
            _tell(answers, {"needs": job.needs + length})
            if requests.read(1) != b"\1":
                return
            allow(job.needs + SLACK)
            decoded = job.decode()
            allow(None)
            facts = {"kind": decoded.kind, "width": decoded.width, "height": decoded.height, "notes": decoded.notes}
            _tell(answers, {"shape": decoded.pixels.shape, **facts})
            answers.write(decoded.pixels.data.cast("B"))
            answers.flush()
            del decoded, job
        except UnreadablePhoto as refused:
            allow(None)
            _tell(answers, {"refused": [refused.reason, str(refused)]})
        except Exception as error:  # the header of a damaged photo can raise anything
            allow(None)
            damage = damaged(f"{kind.decode().strip()} picture", error)
            _tell(answers, {"refused": [damage.reason, str(damage)]})
        signal.setitimer(signal.ITIMER_PROF, 0)


def _tell(answers: BinaryIO, value: dict[str, Any]) -> None:
    text = json.dumps(value).encode()
    answers.write(LENGTH.pack(len(text)) + text)
    answers.flush()


if __name__ == "__main__":
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not write into an answer
    serve(sys.stdin.buffer, own)
