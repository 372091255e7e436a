"""Decoded photos at the model's input size, kept on disk between the check of the photos and the extraction of features.

Decoding costs more than the disk: photos are decoded once. Beyond a budget they are decoded again when they are needed, so that
a large data set fills neither memory nor disk.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from contract.machine import reserve
from contract.preprocessing import Preprocessing, resize_and_crop

LARGEST_SHARE = 0.4  # of the free disk


class PixelStore:
    """uint8 pixels by index, for the indices in `wanted` as far as they fit; others come from `decode_again`."""

    def __init__(
        self,
        wanted: Sequence[int],
        preprocessing: Preprocessing,
        decode_again: Callable[[int], np.ndarray],
        budget: int | None = None,
    ) -> None:
        self._preprocessing, self._decode_again = preprocessing, decode_again
        self._folder = Path(tempfile.mkdtemp(prefix="pixels-"))
        shape = (*preprocessing.input_size, 3)
        free = int(shutil.disk_usage(self._folder).free * LARGEST_SHARE) if budget is None else budget
        fitting = wanted[: max(0, free // int(np.prod(shape)))]
        self._slots = {index: slot for slot, index in enumerate(fitting)}
        self._kept: set[int] = set()
        file = self._folder / "pixels.npy"
        self._array = np.lib.format.open_memmap(file, "w+", np.uint8, (max(1, len(self._slots)), *shape))
        reserve(file, self._array.offset)

    def keep(self, index: int, rgb: np.ndarray) -> None:
        """Safe from several threads: each index has a place of its own."""
        slot = self._slots.get(index)
        if slot is not None:
            self._array[slot] = resize_and_crop(rgb, self._preprocessing)
            self._kept.add(index)

    def load(self, index: int) -> np.ndarray:
        if index in self._kept:
            return self._array[self._slots[index]]
        return resize_and_crop(self._decode_again(index), self._preprocessing)

    def __enter__(self) -> PixelStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._array
        shutil.rmtree(self._folder, ignore_errors=True)
