"""One look at each photo: everything that later decisions need comes from one read and one decode, on all cores.

OpenCV, simplejpeg and zlib release the interpreter lock, so threads use every core and share the pixel store without copies.
A photo that cannot be read is a fact about it, never a failure of the job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np

from contract import exif
from contract.decode import MAX_BYTES, Decoded, UnreadablePhoto, read_photo
from contract.machine import usable_cores
from contract.photo_set.questions import Placed
from contract.photo_set.sources import Source

SMALLEST_SIDE = 8  # pixels; less holds nothing to learn from
MEASURED_SIDE = 256  # brightness and sharpness are measured at this size, so that large photos are not judged otherwise
_EXTENSIONS = {
    "JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif", "AVIF": "avif", "HEIC": "heic",
}  # fmt: skip
_NAMED = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tiff": "tif", "dib": "bmp", "heif": "heic", "hif": "heic"}


@dataclass
class Photo:
    """A photo with what was found out about it. `left_out`: why no split has it; `notes`: findings it is kept with."""

    placed: Placed
    sha256: str = ""
    photo_id: str = ""
    extension: str = ""  # of the content, not of the name
    width: int = 0
    height: int = 0
    brightness: float = 0.0  # mean, 0 to 1
    dark_end: float = 0.0  # 5 % of the pixels are darker
    bright_end: float = 0.0  # 1 % of the pixels are brighter
    contrast: float = 0.0  # standard deviation, 0 to 1
    sharpness: float = 0.0  # variance of the Laplacian
    perceptual_hash: int = 0
    thumbnail: np.ndarray | None = None  # 32 × 32 grey
    taken: str = ""  # EXIF's DateTimeOriginal, which sorts by time as text
    split: str | None = None
    left_out: str = ""
    detail: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        return self.placed.label

    @property
    def name(self) -> str:
        return self.placed.file.name

    @property
    def readable(self) -> bool:
        return self.width > 0


def inspect_all(
    placed: Sequence[Placed],
    source: Source,
    keep_pixels: Callable[[int, np.ndarray], None] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Photo]:
    """Inspect in order; `keep_pixels(index, rgb)` gets the decoded pixels of each readable photo, from any thread."""
    cv2.setNumThreads(1)  # one photo a core beats one photo on all cores

    def look(index: int) -> Photo:
        return _inspect(placed[index], source, lambda rgb: keep_pixels(index, rgb) if keep_pixels else None)

    photos = []
    with ThreadPoolExecutor(usable_cores()) as pool:
        for done, photo in enumerate(pool.map(look, range(len(placed))), 1):
            photos.append(photo)
            progress(done)
    _name_photos(photos)
    return photos


def _inspect(placed: Placed, source: Source, keep: Callable[[np.ndarray], None]) -> Photo:
    photo = Photo(placed, split=placed.split)
    try:
        data = source.read(placed.file)
    except OSError as error:
        return _unreadable(photo, "corrupt", f"the file cannot be read: {error}")
    photo.sha256 = hashlib.sha256(data).hexdigest()
    try:
        decoded = read_photo(data, max_bytes=MAX_BYTES)
    except UnreadablePhoto as error:
        return _unreadable(photo, error.reason, str(error))
    width, height = decoded.width, decoded.height
    if min(height, width) < SMALLEST_SIDE:
        return _unreadable(photo, "too_small", f"{width} x {height} pixels; at least {SMALLEST_SIDE} are needed")
    photo.width, photo.height = width, height
    photo.taken = exif.taken(data)
    _describe_file(photo, decoded)
    _measure(photo, decoded.pixels)
    keep(decoded.pixels)
    return photo


def _unreadable(photo: Photo, reason: str, detail: str) -> Photo:
    photo.left_out, photo.detail = reason, detail
    return photo


def _describe_file(photo: Photo, decoded: Decoded) -> None:
    """The real format, and what decoding had to do to make 8-bit RGB of it."""
    photo.extension = _EXTENSIONS[decoded.kind]
    named = photo.name.rpartition(".")[2].lower()
    if _NAMED.get(named, named) != photo.extension:
        photo.notes.append("misnamed")
    photo.notes += decoded.notes


def _measure(photo: Photo, rgb: np.ndarray) -> None:
    height, width = rgb.shape[:2]
    scale = MEASURED_SIDE / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    mean, deviation = cv2.meanStdDev(grey)
    shares = np.cumsum(np.bincount(grey.ravel(), minlength=256)) / grey.size
    photo.brightness, photo.contrast = float(mean[0, 0]) / 255, float(deviation[0, 0]) / 255
    photo.dark_end = float(np.searchsorted(shares, 0.05)) / 255
    photo.bright_end = float(np.searchsorted(shares, 0.99)) / 255
    photo.sharpness = float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_64F))[1][0, 0]) ** 2
    photo.thumbnail = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA)
    photo.perceptual_hash = _perceptual_hash(photo.thumbnail)


def _perceptual_hash(grey: np.ndarray) -> int:
    """pHash (Zauner 2010): signs of the 8 × 8 lowest frequencies against their median; the mean brightness is left out."""
    low = cv2.dct(grey.astype(np.float32))[:8, :8].ravel()
    low[0] = 0.0
    return int(np.packbits(low > np.median(low[1:])).view(">u8")[0])


def _name_photos(photos: Sequence[Photo]) -> None:
    """A short, safe, stable id from the content; later copies of the same bytes get a number."""
    seen: dict[str, int] = {}
    for photo in photos:
        base = (photo.sha256 or hashlib.sha256(photo.name.encode()).hexdigest())[:16]
        seen[base] = seen.get(base, 0) + 1
        photo.photo_id = base if seen[base] == 1 else f"{base}-{seen[base]}"
