"""Whatever a camera, a scanner or a web page made becomes 8-bit RGB, or is refused with a named reason."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from contract.decode import UnreadablePhoto, decode
from tests.inference_code.photos import encode, exif, png_header_only, scene

PHOTO = scene()


def reason_for(data: bytes, **limits: int) -> str:
    with pytest.raises(UnreadablePhoto) as refused:
        decode(data, **limits)
    assert str(refused.value)
    return refused.value.reason


def test_a_jpeg_has_the_pixels_that_pillow_decodes():
    data = encode(PHOTO, quality=90)
    import io

    assert np.array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_come_back_exactly(kind):
    assert np.array_equal(decode(encode(PHOTO, kind)), PHOTO)


@pytest.mark.parametrize("kind", ["WEBP", "GIF"])
def test_other_web_formats_come_back_nearly(kind):
    decoded = decode(encode(PHOTO, kind))
    assert decoded.shape == PHOTO.shape
    assert np.abs(decoded.astype(int) - PHOTO).mean() < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(kind, orientation):
    image = Image.fromarray(PHOTO)
    data = encode(image, kind, exif=exif(orientation))
    plain = decode(encode(image, kind))
    expected = {1: plain, 2: plain[:, ::-1], 3: plain[::-1, ::-1], 4: plain[::-1]}
    turned = plain.transpose(1, 0, 2)
    expected |= {5: turned, 6: turned[:, ::-1], 7: turned[::-1, ::-1], 8: turned[::-1]}
    assert np.array_equal(decode(data), expected[orientation])


def test_rotation_agrees_with_pillow():
    import io

    data = encode(PHOTO, "PNG", exif=exif(6))
    assert np.array_equal(decode(data), np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))))


def test_damaged_exif_does_not_cost_the_photo():
    data = encode(PHOTO, exif=b"Exif\0\0not a tiff header at all")
    assert decode(data).shape == PHOTO.shape


def test_grey_becomes_three_equal_channels():
    grey = Image.fromarray(PHOTO).convert("L")
    for kind in ("JPEG", "PNG"):
        decoded = decode(encode(grey, kind))
        assert decoded.shape == PHOTO.shape
        assert (decoded[:, :, 0] == decoded[:, :, 1]).all() and (decoded[:, :, 1] == decoded[:, :, 2]).all()


def test_cmyk_becomes_the_colours_it_prints():
    decoded = decode(encode(Image.fromarray(PHOTO).convert("CMYK"), quality=95))
    assert np.abs(decoded.astype(int) - PHOTO).mean() < 8


def test_sixteen_bits_are_scaled_not_clipped():
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    assert decode(encode(Image.fromarray(values), "PNG"))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_transparency_is_laid_on_white():
    pixels = np.zeros((2, 2, 4), dtype=np.uint8)
    pixels[0, 0] = (200, 10, 20, 255)
    decoded = decode(encode(Image.fromarray(pixels), "PNG"))
    assert decoded[0, 0].tolist() == [200, 10, 20]
    assert decoded[1, 1].tolist() == [255, 255, 255]


def test_a_palette_with_a_transparent_colour_is_treated_alike():
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 250, 5, 5])
    image.putdata([0, 1])
    decoded = decode(encode(image, "PNG", transparency=0))
    assert decoded.tolist() == [[[255, 255, 255], [250, 5, 5]]]


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    decoded = decode(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert decoded[0, 0].tolist() == [255, 0, 0] or decoded[0, 0].tolist() == [254, 0, 0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_one_pixel_is_a_photo(kind):
    assert decode(encode(np.full((1, 1, 3), 77, dtype=np.uint8), kind)).tolist() == [[[77, 77, 77]]]


def test_nothing_is_refused():
    assert reason_for(b"") == "empty"


@pytest.mark.parametrize("data", [b"hello, this is text", b"%PDF-1.7", b"<svg/>", bytes(1000)])
def test_what_is_no_picture_is_refused(data):
    assert reason_for(data) == "not_a_photo"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_photo_is_refused(kind, share):
    data = encode(scene(120, 160), kind)
    assert reason_for(data[: int(len(data) * share)]) == "truncated"


def test_a_photo_cut_within_its_header_is_refused():
    assert reason_for(encode(PHOTO)[:24]) in ("truncated", "corrupt")


def test_damaged_pixels_are_refused():
    data = bytearray(encode(PHOTO, "PNG"))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    assert reason_for(bytes(data)) in ("corrupt", "truncated")


def test_too_many_pixels_are_refused_from_the_header_alone():
    # There is nothing behind the header: a decoder that had begun with the pixels would find it truncated.
    assert reason_for(png_header_only(20_000, 20_000)) == "too_many_pixels"
    assert reason_for(png_header_only(20, 20)) in ("corrupt", "truncated")


def test_the_limits_can_be_set():
    data = encode(PHOTO)
    assert reason_for(data, max_pixels=48 * 64 - 1) == "too_many_pixels"
    assert decode(data, max_pixels=48 * 64).shape == PHOTO.shape
    assert reason_for(data, max_bytes=len(data) - 1) == "too_many_bytes"


def test_floating_point_pictures_are_refused_by_name():
    assert reason_for(encode(Image.fromarray(np.zeros((2, 2), dtype=np.float32)), "TIFF")) == "unsupported_mode"


def test_a_refusal_crosses_processes():
    error = pickle.loads(pickle.dumps(UnreadablePhoto("truncated", "it ends early")))  # noqa: S301  our own
    assert (error.reason, str(error)) == ("truncated", "it ends early")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"]), st.integers(0, 200))
def test_no_bytes_do_anything_but_decode_or_be_refused(noise, kind, at):
    data = bytearray(encode(scene(8, 8), kind))
    data[at : at + len(noise)] = noise
    try:
        decoded = decode(bytes(data), max_pixels=1_000_000)
    except UnreadablePhoto as error:
        assert error.reason
    else:
        assert decoded.dtype == np.uint8 and decoded.ndim == 3 and decoded.shape[2] == 3
