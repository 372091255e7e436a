"""The corpus that the fuzzer starts from: small pictures in every way our formats can be written, made anew each time.

Nothing here is random: the same packages make the same bytes. HEIC has no encoder among our packages, so two files lie in `heic/`.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.inference_code.photos import encode, exif, scene

PHOTO = Image.fromarray(scene(24, 32))
DEEP = (np.arange(24 * 32 * 3).reshape(24, 32, 3) * 28).astype(np.uint16)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def seeds() -> list[tuple[str, bytes]]:
    """(format, content) in a fixed order."""
    makers = (_jpegs, _pngs, _webps, _gifs, _tiffs, _bmps, _avifs, _heics)
    return [(maker.__name__.strip("_")[:-1].upper(), data) for maker in makers for data in maker()]


def _jpegs() -> Iterator[bytes]:
    yield encode(PHOTO)
    for options in ({"progressive": True}, {"subsampling": 0}, {"subsampling": 2, "quality": 20}, {"exif": exif(6)},
                    {"restart_marker_blocks": 2}, {"optimize": True, "comment": b"x" * 99}):  # fmt: skip
        yield encode(PHOTO, **options)
    for mode in ("L", "CMYK"):
        yield encode(PHOTO.convert(mode))
        yield encode(PHOTO.convert(mode), progressive=True)
    yield encode(PHOTO, "MPO", save_all=True, append_images=[PHOTO])


def _pngs() -> Iterator[bytes]:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield encode(Image.fromarray(DEEP[:, :, 0]) if mode == "I;16" else PHOTO.convert(mode), "PNG")
    yield encode(PHOTO.convert("P"), "PNG", transparency=3)
    yield encode(PHOTO, "PNG", transparency=(1, 2, 3), exif=exif(3))
    yield encode(PHOTO, "PNG", save_all=True, append_images=[PHOTO.rotate(90), PHOTO])
    for values in (DEEP, np.dstack([DEEP, DEEP[:, :, :1]])):
        yield cv2.imencode(".png", values)[1].tobytes()
    texts = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(9999))) + chunk(
        b"iCCP", b"p\0\0" + zlib.compress(bytes(9999))
    )
    plain = encode(PHOTO, "PNG")
    yield plain[:33] + texts + plain[33:]
    # Adam7: of 8 × 8 pixels, seven passes of rows with a filter byte each.
    passes = [(1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8)]
    rows = b"".join(bytes([n % 5]) + bytes(range(w * 3)) for n, (h, w) in enumerate(passes) for _ in range(h))
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 1)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    yield b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _webps() -> Iterator[bytes]:
    for options in ({}, {"lossless": True}, {"quality": 5}, {"exif": exif(8)}):
        yield encode(PHOTO, "WEBP", **options)
    yield encode(PHOTO.convert("RGBA"), "WEBP", lossless=True)
    yield encode(PHOTO.convert("RGBA"), "WEBP")
    yield encode(PHOTO, "WEBP", save_all=True, append_images=[PHOTO.rotate(180)])


def _gifs() -> Iterator[bytes]:
    indexed = PHOTO.quantize(32)
    yield encode(indexed, "GIF")
    yield encode(indexed, "GIF", transparency=1, comment=b"y" * 600)
    yield encode(PHOTO.convert("L"), "GIF", interlace=1)
    yield encode(indexed, "GIF", save_all=True, append_images=[indexed.rotate(90), indexed], loop=0, disposal=2)


def _tiffs() -> Iterator[bytes]:
    for compression in (None, "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma"):
        yield encode(PHOTO, "TIFF", compression=compression, tiffinfo={274: 6, 278: 8})
    for compression in ("group3", "group4", "tiff_ccitt"):
        yield encode(PHOTO.convert("1"), "TIFF", compression=compression)
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "I", "F", "I;16", "I;16B"):
        yield encode(Image.fromarray(DEEP[:, :, 0]) if mode == "I;16" else
                     Image.fromarray(DEEP[:, :, 0].astype(">u2")) if mode == "I;16B" else PHOTO.convert(mode), "TIFF")  # fmt: skip
    yield encode(Image.frombytes("LAB", PHOTO.size, PHOTO.tobytes()), "TIFF")  # to convert is not exact to the last bit
    yield encode(PHOTO, "TIFF", big_tiff=True)
    yield encode(PHOTO, "TIFF", save_all=True, append_images=[PHOTO, PHOTO])
    yield cv2.imencode(".tiff", DEEP)[1].tobytes()


def _bmps() -> Iterator[bytes]:
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield encode(PHOTO.convert(mode), "BMP")
    pixels = b"".join(bytes([8, n, 0, 0]) for n in range(8)) + b"\0\1"  # run-length: eight rows of eight
    header = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    yield b"BM" + struct.pack("<IHHI", 1078 + len(pixels), 0, 0, 1078) + header + bytes(1024) + pixels


def _avifs() -> Iterator[bytes]:
    yield encode(PHOTO, "AVIF", speed=10, max_threads=1)
    yield encode(PHOTO.convert("RGBA"), "AVIF", speed=10, max_threads=1)
    yield encode(PHOTO, "AVIF", speed=10, subsampling="4:4:4", exif=exif(5), max_threads=1)
    yield _without_times(
        encode(PHOTO, "AVIF", speed=10, save_all=True, append_images=[PHOTO.rotate(90)], max_threads=1)
    )


def _without_times(data: bytes) -> bytes:
    """An animation notes when it was made, in the first 16 bytes of three kinds of boxes (version 1)."""
    return re.sub(rb"((?:mvhd|tkhd|mdhd)\x01...).{16}", lambda found: found[1] + bytes(16), data, flags=re.DOTALL)


def _heics() -> Iterator[bytes]:
    for file in sorted((Path(__file__).parents[1] / "heic").glob("*.heic")):
        yield file.read_bytes()
