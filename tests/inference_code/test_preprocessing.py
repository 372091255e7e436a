"""From pixels to the model's input: the numbers, the crop, the antialiasing, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.preprocessing import InvalidPreprocessing, Preprocessing, Resize, resize_and_crop, to_tensor
from tests.inference_code.photos import scene

IMAGENET = Preprocessing()


def test_each_channel_is_scaled_and_normalised_by_its_own_numbers():
    pixels = np.zeros((224, 224, 3), dtype=np.uint8)
    pixels[:] = (0, 128, 255)
    tensor = to_tensor(pixels, IMAGENET)
    wanted = [
        (value / 255 - mean) / std for value, mean, std in zip((0, 128, 255), IMAGENET.mean, IMAGENET.std, strict=True)
    ]
    assert tensor.shape == (3, 224, 224) and tensor.dtype == np.float32
    assert tensor[:, 0, 0] == pytest.approx(wanted, rel=1e-6)
    assert (tensor == tensor[:, :1, :1]).all()


def test_the_shorter_side_is_resized_and_the_centre_kept():
    pixels = np.zeros((512, 1024, 3), dtype=np.uint8)
    pixels[:, 512 - 224 : 512 + 224] = 255  # exactly what a crop of 224 from 256 keeps at half size
    kept = resize_and_crop(pixels, IMAGENET)
    assert kept.shape == (224, 224, 3)
    assert (kept == 255).all()


def test_squash_keeps_everything():
    pixels = np.zeros((100, 300, 3), dtype=np.uint8)
    pixels[:, 150:] = 200
    kept = resize_and_crop(pixels, Preprocessing((32, 32), Resize("squash", 32)))
    assert (kept[:, :15] == 0).all() and (kept[:, 17:] == 200).all()


def test_shrinking_averages_instead_of_picking():
    pixels = np.zeros((512, 512, 3), dtype=np.uint8)
    pixels[::2, ::2] = pixels[1::2, 1::2] = 255
    kept = resize_and_crop(pixels, Preprocessing((64, 64), Resize("squash", 64)))
    assert np.abs(kept.astype(int) - 127).max() <= 1


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_small_photo_is_enlarged_smoothly(interpolation):
    pixels = np.array([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8).repeat(2, axis=0)
    kept = resize_and_crop(pixels, Preprocessing((16, 16), Resize("squash", 16), interpolation))
    assert (np.diff(kept[8, 2:-2, 0].astype(int)) >= 0).all() and len(np.unique(kept)) > 4


def test_a_photo_of_the_input_size_is_left_alone():
    pixels = scene(224, 224)
    assert np.array_equal(resize_and_crop(pixels, Preprocessing((224, 224), Resize("squash", 224))), pixels)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from(["shorter_side", "squash"]))
def test_every_size_becomes_the_input_size(height, width, mode):
    pixels = np.full((height, width, 3), 90, dtype=np.uint8)
    kept = resize_and_crop(pixels, Preprocessing((48, 40), Resize(mode, 56)))
    assert kept.shape == (48, 40, 3) and (kept == 90).all()


def test_it_survives_the_manifest():
    asked = Preprocessing((128, 96), Resize("shorter_side", 146), "bicubic", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert Preprocessing.from_dict(asked.to_dict()) == asked


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input_size", [224]),
        ("input_size", [0, 224]),
        ("resize", {"mode": "crop", "size": 256}),
        ("resize", {"mode": "shorter_side", "size": 200}),
        ("interpolation", "nearest"),
        ("mean", [0.5, 0.5]),
        ("std", [0.2, 0.0, 0.2]),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(field, value):
    with pytest.raises(InvalidPreprocessing, match=field):
        Preprocessing.from_dict({**IMAGENET.to_dict(), field: value})


def test_an_unknown_field_is_refused():
    with pytest.raises(InvalidPreprocessing, match="crop_pct"):
        Preprocessing.from_dict({**IMAGENET.to_dict(), "crop_pct": 0.9})
