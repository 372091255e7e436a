"""Small photos of every kind that cameras, scanners and web pages make; all are generated."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def scene(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """A smooth coloured picture, uint8 RGB."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def encode(picture: np.ndarray | Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """The picture as a file's content."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    """EXIF data with an orientation."""
    values = Image.Exif()
    values[0x0112] = orientation
    return values


def png_header_only(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing: reading more than its header would be a mistake."""
    data = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + data + struct.pack(">I", zlib.crc32(data))
    body = zlib.compress(b"")
    pixels = struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body))
    return b"\x89PNG\r\n\x1a\n" + header + pixels
