"""Batches of augmented photos, made while the one before is being learnt from.

Threads, not processes: cropping and resizing leave Python's lock, nothing is copied between processes, and a batch is the
same whichever thread makes it, because its random numbers come from (seed, epoch, step, place in the batch).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np

from training_code.train.photos import PhotoSplit
from training_code.train.sampling import generator

SMALLEST_CROP = 0.75  # of the cached photo's side
MIRRORED = 0.5  # share of the photos
DRAWS = 5  # random numbers a photo: size, top and left of the crop; left for right, top for bottom
AHEAD = 3


class Loader:
    """`batches`: uint8 (n, height, width, 3) and labels for a list of indices a step. `augmentation`: light, mirror or none.

    `flips`: horizontal, or both where up and down mean as little as left and right."""

    def __init__(
        self, split: PhotoSplit, size: tuple[int, int], seed: int, workers: int, augmentation: str, flips: str
    ) -> None:
        self._split, self._size, self._seed, self._augmentation = split, size, seed, augmentation
        self._upside_down = flips == "both"
        self._pool = ThreadPoolExecutor(workers)

    def batches(
        self, epoch: int, steps: Sequence[np.ndarray], first: int = 0, share: Callable[[int], slice] = slice
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """From step `first` on; `share`: the part of a batch of n photos that this machine sees."""
        waiting: deque[Future[tuple[np.ndarray, np.ndarray]]] = deque()
        following = iter(range(first, len(steps)))
        for step in following:
            waiting.append(self._pool.submit(self._make, epoch, step, steps[step], share))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _make(
        self, epoch: int, step: int, indices: np.ndarray, share: Callable[[int], slice]
    ) -> tuple[np.ndarray, np.ndarray]:
        random = generator(self._seed, epoch, step)
        # Drawn for the whole batch: one machine of several makes of a photo what a single one would.
        draws = random.random((len(indices), DRAWS))[share(len(indices))]
        mine = indices[share(len(indices))]
        height, width = self._size
        batch = np.empty((len(mine), height, width, 3), np.uint8)
        for place, index in enumerate(mine):
            batch[place] = self._view(index, draws[place])
        return batch, self._split.labels[mine]

    def _view(self, index: int, draw: np.ndarray) -> np.ndarray:
        """A random crop of 0.75 to 1 of the side, or as served; mirrored half the time unless there is no augmentation."""
        height, width = self._size
        if self._augmentation != "light":
            served = self._split.as_served(index, self._size)
            return self._flipped(served, draw) if self._augmentation == "mirror" else served
        photo = self._split.pixels[index]
        full_height, full_width = photo.shape[:2]
        share = SMALLEST_CROP + (1 - SMALLEST_CROP) * draw[0]
        crop_height, crop_width = round(full_height * share), round(full_width * share)
        top, left = int(draw[1] * (full_height - crop_height + 1)), int(draw[2] * (full_width - crop_width + 1))
        crop = self._flipped(photo[top : top + crop_height, left : left + crop_width], draw)
        if crop.shape[:2] == (height, width):
            return crop
        return cv2.resize(np.ascontiguousarray(crop), (width, height), interpolation=cv2.INTER_LINEAR)

    def _flipped(self, photo: np.ndarray, draw: np.ndarray) -> np.ndarray:
        if draw[3] < MIRRORED:
            photo = photo[:, ::-1]
        return photo[::-1] if self._upside_down and draw[4] < MIRRORED else photo

    def kept_views(self, asked: int, epochs: int) -> int:
        """How many views of each photo are worth keeping: without crops only the mirrored ones, without those only one; and of
        random crops no more than there are epochs to draw them in."""
        return min(asked, {"light": epochs, "mirror": 4 if self._upside_down else 2, "none": 1}[self._augmentation])

    def kept_view(self, photo: int, view: int) -> np.ndarray:
        """One of the views that are drawn once for the whole training; every second one is mirrored."""
        draw = np.random.default_rng([self._seed, photo, view, 0x51DE]).random(DRAWS)
        draw[3], draw[4] = (1.0, 0.0)[view % 2], (1.0, 0.0)[view // 2 % 2]
        return self._view(photo, draw)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class KeptLoader:
    """The same photos and order from what was computed once: `kept` holds `views` rows a photo, and each draw takes one of them."""

    def __init__(self, kept: np.ndarray, labels: np.ndarray, views: int, seed: int) -> None:
        self._kept, self._labels, self._views, self._seed = kept, labels, views, seed

    def batches(
        self, epoch: int, steps: Sequence[np.ndarray], first: int = 0, share: Callable[[int], slice] = slice
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for step in range(first, len(steps)):
            indices = steps[step]
            draws = generator(self._seed, epoch, step).random((len(indices), DRAWS))[share(len(indices))]
            mine = indices[share(len(indices))]
            # Two views are the photo and its mirror image: the very draw that would mirror it decides.
            view = (draws[:, 3] < MIRRORED).astype(int) if self._views == 2 else (draws[:, 0] * self._views).astype(int)
            yield self._kept[mine * self._views + view], self._labels[mine]
