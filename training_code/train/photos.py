"""Photos decoded and resized once, kept on disk as plain pixels: what fine-tuning reads in every epoch.

Training photos are kept a little larger than the input, so that random crops have room; validation photos exactly as serving
will see them. A memory-mapped file: the system's page cache holds what fits, the rest streams from disk.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from contract.decode import decode
from contract.failure import JobFailure
from contract.machine import reserve, usable_cores
from contract.preprocessing import Preprocessing, Resize, resize_and_crop
from training_code.prepare.photo_pack import PackedPhoto, PhotoPack

ROOM_FOR_CROPS = 256 / 224


@dataclass(frozen=True)
class PhotoSplit:
    """`pixels`: uint8 photos x side x side x 3 (a memory map); `labels`, `ids` in the same order.

    `whole`: serving sees all of these pixels, else their centre.
    """

    pixels: np.ndarray
    labels: np.ndarray
    ids: list[str]
    whole: bool = False

    def as_served(self, index: int, size: tuple[int, int]) -> np.ndarray:
        """What serving would see of a photo, as uint8 height x width x 3."""
        photo, (height, width) = self.pixels[index], size
        if self.whole and photo.shape[:2] != size:
            return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
        top, left = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
        return photo[top : top + height, left : left + width]


class PhotoCache:
    """Both splits of a pack, decoded into a folder that lives as long as this object."""

    def __init__(self, folder: Path, preprocessing: Preprocessing, workers: int, classes: Sequence[str] = ()) -> None:
        self._pack, self._preprocessing, self._workers = PhotoPack(folder), preprocessing, workers
        self.classes = list(classes) or self._pack.classes
        self.folder = Path(tempfile.mkdtemp(prefix="darkroom-photos-"))
        self.kept: dict[str, dict[str, np.ndarray]] = {}  # what a frozen front answers, for all trials of a search
        self.kept_before: dict[str, dict[str, np.ndarray]] = {}  # the same of the photos that these begin with
        try:
            self.train = self._decode("train", larger(preprocessing))
            self.validation = self._decode("validation", preprocessing)
        except BaseException:
            self.close()
            raise

    def together(self) -> PhotoCache:
        """The same with the validation photos behind the training photos; it lives as long as this object."""
        both = copy(self)
        both.folder = self.folder / "together"
        both.folder.mkdir(exist_ok=True)
        both.kept, both.kept_before = {}, self.kept
        both.train = both._decode("validation", larger(self._preprocessing), behind=self.train)
        return both

    def _decode(self, split: str, preprocessing: Preprocessing, behind: PhotoSplit | None = None) -> PhotoSplit:
        """The photos of a split, those of `behind` in front of them."""
        photos = [photo for photo in self._pack.photos if photo.split == split]
        if not photos:
            folder = self._pack.folder
            raise JobFailure(f"channel 'photos': no photo of the split {split} in {folder}; run `prepare` again.")
        first = len(behind.ids) if behind else 0
        shape = (first + len(photos), *preprocessing.input_size, 3)
        needed, free = int(np.prod(shape)), shutil.disk_usage(self.folder).free
        if needed > free:
            raise JobFailure(
                f"the decoded {split} photos need {needed:,} bytes of disk; {free:,} are free in {self.folder.parent}. "
                "Raise the job's VolumeSizeInGB or lower image_size."
            )
        pixels = reserved(self.folder / f"{split}.npy", np.uint8, shape)

        def place(item: tuple[int, PackedPhoto]) -> None:
            index, photo = item
            pixels[index] = resize_and_crop(decode(self._pack.read(photo)), preprocessing)

        with ThreadPoolExecutor(self._workers) as pool:
            for _ in pool.map(place, enumerate(photos, start=first)):
                pass
        labels = np.array([self._number(photo) for photo in photos], dtype=np.int64)
        ids = [photo.photo_id for photo in photos]
        if behind:
            pixels[:first] = behind.pixels
            labels, ids = np.concatenate([behind.labels, labels]), [*behind.ids, *ids]
        return PhotoSplit(pixels, labels, ids, preprocessing.resize.mode == "squash")

    def _number(self, photo: PackedPhoto) -> int:
        try:
            return self.classes.index(photo.label)
        except ValueError:
            raise JobFailure(
                f"channel 'photos': {photo.photo_id} has the label {photo.label!r}; channel 'features' knows "
                f"{', '.join(self.classes)}. Both must come from the same `prepare`."
            ) from None

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def reserved(path: Path, kind: type, shape: tuple[int, ...]) -> np.ndarray:
    """A memory map whose disk is taken now: writing to one on a full disk would kill the process instead of raising an error."""
    array = np.lib.format.open_memmap(path, "w+", kind, shape)
    reserve(path, array.offset)
    return array


def larger(preprocessing: Preprocessing) -> Preprocessing:
    """The same view of a photo with a border around the input's crop."""
    height, width = (round(side * ROOM_FOR_CROPS) for side in preprocessing.input_size)
    mode, size = preprocessing.resize.mode, preprocessing.resize.size
    return replace(
        preprocessing,
        input_size=(height, width),
        resize=Resize(mode, max(size, height, width) if mode == "shorter_side" else size),
    )


def worker_count(asked: int) -> int:
    """Threads that decode and augment; -1: one a core."""
    return asked if asked > 0 else usable_cores() if asked < 0 else 1
