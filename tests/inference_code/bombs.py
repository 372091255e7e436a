"""Small files that unpack to very much, and files that cost far more work than they look."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.inference_code.fuzz.seeds import chunk
from tests.inference_code.photos import encode

SIDE = 10_900  # 119 megapixels: just below the limit


def png(side: int, depth: int, colour: int, extra: bytes = b"") -> bytes:
    """A black PNG whose rows are all the same."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    packer = zlib.compressobj(9)
    rows = (b"\0" + bytes((side * depth * channels + 7) // 8)) * 100
    pixels = b"".join(packer.compress(rows) for _ in range(-(-side // 100))) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), extra, chunk(b"IDAT", pixels), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def palette_png(side: int = SIDE) -> bytes:
    """14 kB, one bit a pixel, with a transparent colour: 2.2 GB when it was decoded naively."""
    return png(side, 1, 3, chunk(b"PLTE", bytes(6)) + chunk(b"tRNS", b"\0"))


def many_scans(scans: int, side: int = 64) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = encode(Image.new("L", (side, side), 77), progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (scans - data.count(b"\xff\xda") + 1) + data[-2:]


def black(mode: str, side: int) -> Image.Image:
    return Image.new(mode, (side, side))


def _deep(side: int) -> Image.Image:
    grey = np.zeros((side, side), np.uint16)
    grey[0, 0] = 65535
    return Image.fromarray(grey)


# A large black photo in each way that takes memory of its own, by its side.
FORMATS: dict[str, Callable[[int], bytes]] = {
    "PNG palette": palette_png,
    "PNG RGB": lambda side: png(side, 8, 2),
    "PNG RGBA": lambda side: png(side, 8, 6),
    "PNG grey with alpha": lambda side: png(side, 8, 4),
    "PNG grey 16": lambda side: png(side, 16, 0),
    "PNG RGB 16": lambda side: png(side, 16, 2),
    "PNG RGBA 16": lambda side: png(side, 16, 6),
    "JPEG": lambda side: encode(black("RGB", side)),
    "JPEG progressive": lambda side: encode(black("RGB", side), progressive=True, subsampling=0),
    "JPEG CMYK": lambda side: encode(black("CMYK", side)),
    "GIF": lambda side: encode(black("P", side), "GIF", transparency=0),
    "TIFF deflate": lambda side: encode(black("RGBA", side), "TIFF", compression="tiff_deflate"),
    "TIFF of one strip": lambda side: encode(
        black("RGBA", side), "TIFF", compression="tiff_deflate", tiffinfo={278: side}
    ),
    "TIFF JPEG": lambda side: encode(black("RGB", side), "TIFF", compression="jpeg"),
    "TIFF 16": lambda side: encode(_deep(side), "TIFF"),
    "BMP": lambda side: encode(black("RGB", side), "BMP"),
    "WebP": lambda side: encode(black("RGB", side), "WEBP", method=0),
    "WebP with alpha": lambda side: encode(black("RGBA", side), "WEBP", method=0, lossless=True),
    "AVIF": lambda side: encode(black("RGB", side), "AVIF", speed=10),
}
