"""Small generated photos: each class has its own stripes, each photo its own noise, so that a classifier can learn them."""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

STRIPES = {"ants": (3, 0), "bees": (0, 5), "wasps": (7, 7)}


def pixels(label: str, number: int, size: tuple[int, int] = (48, 40)) -> np.ndarray:
    """uint8 RGB; the same label and number give the same photo."""
    rng = np.random.default_rng([number, zlib.crc32(label.encode())])
    height, width = size
    down, across = STRIPES.get(label, (number % 7 + 1, 2))
    y, x = np.mgrid[:height, :width]
    wave = np.sin(2 * np.pi * (down * y / height + across * x / width) + rng.uniform(0, 6))
    blobs = np.kron(rng.normal(0, 40, (height // 8 + 1, width // 8 + 1)), np.ones((8, 8)))[:height, :width]
    noise = rng.normal(0, 6, (height, width, 3))
    grey = 128 + 60 * wave + blobs
    return np.clip(grey[:, :, None] * rng.uniform(0.7, 1.0, 3) + noise, 0, 255).astype(np.uint8)


def encoded(rgb: np.ndarray, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, kind, **options)
    return stream.getvalue()


def photo(label: str, number: int, kind: str = "PNG", size: tuple[int, int] = (48, 40), **options) -> bytes:
    return encoded(pixels(label, number, size), kind, **options)


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def write_set(folder: Path, counts: dict[str, int], prefix: str = "", first: int = 0) -> Path:
    """`counts` photos a class, as PNG, in `folder/prefix/CLASS/`."""
    for label, count in counts.items():
        for number in range(first, first + count):
            write(folder / prefix / label / f"{number:03d}.png", photo(label, number))
    return folder


def write_request(base: Path, **fields) -> Path:
    """`input/request/input.json` of a prepare job below `base/processing`."""
    request = {"dataset": "s3://data-bucket/photos/", "pretrained": False, "image_size": 64, **fields}
    return write(base / "processing" / "input" / "request" / "input.json", json.dumps(request))
