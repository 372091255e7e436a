"""Photos decoded once for all candidates that look at them in the same way: same size, same resizing.

    <FEATURE_CACHE_URI>/pixels/<key>/<number>   uint8 pixels of SHARD_PHOTOS photos at the input size, in the pack's order

Within one extraction each photo is decoded once for both of its views. Between candidates pixels are shared where they are fewer
bytes than the photos' files (large photos, whose decoding is what costs): elsewhere reading them would take longer than decoding
again. Shards are added whole; one that is missing, cannot be read or has another length is decoded again.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Callable, Sequence

import numpy as np

from contract.preprocessing import Preprocessing
from training_code.features.cache import Store

VERSION = 1  # raise it when decoding or resizing itself changes
SHARD_PHOTOS = 256
LARGEST = 8 * 1024**3  # bytes of one way of looking


class SharedPixels:
    """uint8 pixels (H, W, 3) by place in the pack; `make` decodes and resizes one photo.

    Photos are asked for nearly in order, by several threads: what lies two shards back is forgotten.
    """

    def __init__(
        self, store: Store | None, digests: Sequence[str], file_bytes: int, look: Preprocessing,
        make: Callable[[int], np.ndarray],
    ) -> None:  # fmt: skip
        self._shape, self._n, self._make = (*look.input_size, 3), len(digests), make
        size = self._n * int(np.prod(self._shape))
        self._store = store if size <= min(file_bytes, LARGEST) else None
        made_of = [VERSION, look.input_size, look.resize.mode, look.resize.size, look.interpolation, list(digests)]
        self._key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]
        self._whole: dict[int, np.ndarray | None] = {}  # None: looked for, not there
        self._begun: dict[int, dict[int, np.ndarray]] = {}
        self._there: set[str] | None = None  # what earlier candidates have left; asked for at the first photo
        self._lock = threading.Lock()
        self.decoded = 0

    def load(self, index: int) -> np.ndarray:
        """The pixels of a photo: of an earlier candidate's where there are any, else decoded, once for both views."""
        number = index // SHARD_PHOTOS
        with self._lock:
            whole = self._looked_up(number)
            known = self._begun.get(number, {}).get(index)
        if whole is not None:
            return whole[index % SHARD_PHOTOS]
        if known is not None:
            return known
        pixels = self._make(index)
        with self._lock:
            self.decoded += 1
            self._begun.setdefault(number, {})[index] = pixels
            self._share_if_whole(number)
        return pixels

    def _looked_up(self, number: int) -> np.ndarray | None:
        if number not in self._whole:
            self._whole[number] = self._read(number)
            for old in [one for one in self._whole if one < number - 1]:
                self._whole.pop(old)
            for old in [one for one in self._begun if one < number - 1]:
                self._begun.pop(old)
        return self._whole[number]

    def _name(self, number: int) -> str:
        return f"pixels/{self._key}/{number:05d}"

    def _photos_in(self, number: int) -> int:
        return min(SHARD_PHOTOS, self._n - number * SHARD_PHOTOS)

    def _read(self, number: int) -> np.ndarray | None:
        if self._store is None:
            return None
        name = self._name(number)
        try:
            if self._there is None:
                self._there = set(self._store.list(f"pixels/{self._key}/"))
            data = self._store.read(name) if name in self._there else b""
        except Exception as error:
            print(f"warning: shared pixels cannot be read ({error}); photos are decoded", file=sys.stderr, flush=True)
            self._store = None
            return None
        shape = (self._photos_in(number), *self._shape)
        return np.frombuffer(data, np.uint8).reshape(shape) if len(data) == int(np.prod(shape)) else None

    def _share_if_whole(self, number: int) -> None:
        begun = self._begun[number]
        if self._store is None or len(begun) < self._photos_in(number):
            return
        self._whole[number] = np.stack([begun[index] for index in sorted(begun)])
        self._begun.pop(number)
        try:
            self._store.write(self._name(number), self._whole[number].tobytes())
        except Exception as error:
            print(f"warning: pixels cannot be shared ({error})", file=sys.stderr, flush=True)
            self._store = None
