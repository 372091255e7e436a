"""Decoded photos: what training sees without augmentation is what serving sees, and a refit decodes and computes only what is new."""

from __future__ import annotations

import numpy as np
import pytest

from contract.decode import decode
from contract.failure import JobFailure
from contract.hyperparameters import Hyperparameters
from contract.photo_set.read import read_set
from contract.photo_set.sources import open_source
from contract.preprocessing import Preprocessing, Resize, resize_and_crop
from tests.training_code.photo_sets import write_set
from tests.training_code.tiny_jobs import photo as tiny_photo
from tests.training_code.tiny_jobs import tiny_photos
from training_code.comparison.extract import extract
from training_code.features.feature_set import FeatureSet
from training_code.prepare.inspection import inspect_all
from training_code.prepare.outputs import write_photos
from training_code.prepare.photo_pack import PhotoPack, write_pack
from training_code.train.loader import Loader
from training_code.train.photos import PhotoCache


@pytest.fixture
def pack(tmp_path):
    tiny_photos(tmp_path / "photos", train=7, validation=3)
    return tmp_path / "photos"


@pytest.fixture
def cache(pack):
    opened = PhotoCache(pack, Preprocessing((28, 28), Resize("shorter_side", 32)), 2)
    yield opened
    opened.close()


@pytest.mark.parametrize("resize", [Resize("shorter_side", 32), Resize("squash", 28)], ids=lambda one: one.mode)
def test_without_augmentation_training_sees_what_serving_sees(pack, resize):
    """Tolerance: photos are kept a little larger than they are served, so they are resized twice."""
    preprocessing = Preprocessing((28, 28), resize)
    cache, stored = PhotoCache(pack, preprocessing, 2), PhotoPack(pack)
    loader = Loader(cache.train, (28, 28), 0, 1, "none", "horizontal")
    try:
        for index, photo in enumerate(photo for photo in stored.photos if photo.split == "train"):
            served = resize_and_crop(decode(stored.read(photo)), preprocessing).astype(float)
            seen = loader.kept_view(index, 0).astype(float)
            assert np.corrcoef(served.ravel(), seen.ravel())[0, 1] > 0.98
    finally:
        loader.close()
        cache.close()


def test_without_features_the_classes_keep_the_order_of_the_pack_and_not_the_alphabets(tmp_path):
    """Numbered classes as numbers, or as a list numbers them: what `prepare` decided."""
    order, data = ["=1+1", "2 euro", "10 euro"], {}
    random = np.random.default_rng(0)
    rows = [(f"{split}{n}", order[n], split, "jpg") for split in ("train", "validation") for n in (2, 0, 1)]
    data = {row[0]: tiny_photo(int(row[0][-1]), random) for row in rows}
    write_pack(tmp_path / "photos", rows, data.__getitem__, order)
    cache = PhotoCache(tmp_path / "photos", Preprocessing((28, 28), Resize("squash", 28)), 1)
    cache.close()
    assert cache.classes == order
    assert cache.train.labels.tolist() == [2, 0, 1]


def test_photos_without_the_order_of_their_classes_are_refused(pack):
    (pack / "classes.json").unlink()
    with pytest.raises(JobFailure, match=r"classes\.json is missing.*run `prepare` again"):
        PhotoPack(pack)


def test_a_candidates_features_keep_the_order_of_the_classes_of_prepare(tmp_path, monkeypatch):
    """The folders are numbered: `10` comes behind `2`."""
    monkeypatch.delenv("FEATURE_CACHE_URI", raising=False)
    base = tmp_path / "processing"
    write_set(base / "input/dataset", {"10": 6, "2": 6, "1": 6})
    source = open_source(base / "input/dataset")
    layout = read_set(source, source.files())
    photos = inspect_all(layout.photos, source)
    for index, one in enumerate(photos):
        one.split = ("train", "validation")[index % 2]
    write_photos(base / "input/photos", photos, lambda one: source.read(one.placed.file), layout.classes)
    settings = {"model": "timm/test_efficientnet", "pretrained": "false", "image_size": "32", "precision": "float32"}
    extract(Hyperparameters.from_strings(settings), base)
    assert FeatureSet.read(base / "output/features").classes == ["1", "2", "10"]


def test_validation_photos_follow_the_training_photos_of_a_refit(cache):
    both = cache.together()
    seven = len(cache.train.ids)
    assert both.train.ids == [*cache.train.ids, *cache.validation.ids]
    assert both.train.labels.tolist() == [*cache.train.labels.tolist(), *cache.validation.labels.tolist()]
    assert (both.train.pixels[:seven] == cache.train.pixels).all()
    for index in range(len(cache.validation.ids)):
        served = cache.validation.pixels[index].astype(float)
        seen = both.train.as_served(seven + index, (28, 28)).astype(float)
        assert np.corrcoef(served.ravel(), seen.ravel())[0, 1] > 0.98


def test_what_was_computed_for_the_first_photos_is_not_computed_again(tmp_path):
    from training_code.train.frozen_front import _computed

    asked = []

    class Engine:
        def extract(self, work, pixels):
            asked.extend(number for number, _ in work)
            return np.stack([np.full(6, pixels(number), np.float32) for number, _ in work])

    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    nothing = np.empty((0, 2, 3), np.float16)
    first = _computed(Engine(), tmp_path / "first" / "train.npy", nothing, 300, lambda number: number)
    second = _computed(Engine(), tmp_path / "second" / "train.npy", first, 310, lambda number: number)
    assert asked == list(range(310)) and second.shape == (310, 2, 3)
    assert (second[:, 1, 2] == np.arange(310)).all()
    assert _computed(Engine(), tmp_path / "second" / "plain.npy", first, 300, lambda number: number) is first
    assert len(asked) == 310
