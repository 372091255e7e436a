"""Large photos are decoded once for all candidates that look at them alike; nothing depends on it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from contract.preprocessing import Preprocessing, Resize
from training_code.comparison import shared_pixels
from training_code.comparison.shared_pixels import SharedPixels
from training_code.features.cache import FolderStore

LOOK = Preprocessing((8, 8), Resize("shorter_side", 9), "bilinear", (0.5,) * 3, (0.5,) * 3)
N = 11
DIGESTS = [f"{i:064x}" for i in range(N)]
LARGE = 10_000


def photo(index: int) -> np.ndarray:
    return np.full((8, 8, 3), index, np.uint8)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shared_pixels, "SHARD_PHOTOS", 4)


def opened(store, file_bytes=LARGE, look=LOOK, digests=DIGESTS) -> SharedPixels:
    return SharedPixels(store, digests, file_bytes, look, photo)


def every(pixels: SharedPixels) -> int:
    """Asks for every photo as the engine's threads do, which run ahead of each other by less than two shards; how many were decoded."""
    with ThreadPoolExecutor(3) as pool:
        for begin in range(0, N, 3):
            together = range(begin, min(begin + 3, N))
            for index, found in zip(together, pool.map(pixels.load, together), strict=True):
                assert (found == index).all()
    return pixels.decoded


def test_a_second_candidate_that_looks_alike_decodes_nothing(tmp_path):
    assert every(opened(FolderStore(tmp_path))) == N
    assert every(opened(FolderStore(tmp_path), look=replace(LOOK, mean=(0.1,) * 3))) == 0


def test_who_looks_in_another_way_or_at_other_photos_decodes_its_own(tmp_path):
    every(opened(FolderStore(tmp_path)))
    assert every(opened(FolderStore(tmp_path), look=replace(LOOK, interpolation="bicubic"))) == N
    assert every(opened(FolderStore(tmp_path), digests=[*DIGESTS[:-1], "f" * 64])) == N


def test_both_views_of_a_photo_need_one_decoding_even_without_a_store():
    pixels = opened(None)
    for index in range(N):
        assert (pixels.load(index) == index).all() and (pixels.load(index) == index).all()
    assert pixels.decoded == N
    assert sum(map(len, pixels._begun.values())) <= 2 * 4


def test_small_files_are_not_shared_because_reading_pixels_would_take_longer(tmp_path):
    every(opened(FolderStore(tmp_path), file_bytes=N * 8 * 8 * 3 - 1))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_shard_is_decoded_again_and_a_broken_store_stops_nothing(tmp_path):
    every(opened(FolderStore(tmp_path)))
    first = min(path for path in tmp_path.rglob("*") if path.is_file())
    first.write_bytes(b"half")
    assert every(opened(FolderStore(tmp_path))) == 4

    class Broken:
        def list(self, prefix):
            raise OSError("no network")

    assert every(opened(Broken())) == N
