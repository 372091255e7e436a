"""Whatever a camera, a scanner or a web page made becomes 8-bit RGB, or is refused with a named reason."""

import io
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from contract import webp
from contract.decode import UnreadablePhoto, decode, read_photo
from tests.inference_code.bombs import many_scans, png
from tests.inference_code.photos import encode, exif, png_header_only, scene

PHOTO = scene()


def reason_for(data: bytes, **limits: int) -> str:
    with pytest.raises(UnreadablePhoto) as refused:
        decode(data, **limits)
    assert str(refused.value)
    return refused.value.reason


def test_a_jpeg_has_the_pixels_that_pillow_decodes():
    data = encode(PHOTO, quality=90)
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
    data = encode(PHOTO, "PNG", exif=exif(6))
    assert np.array_equal(decode(data), np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_agrees_with_pillow(kind, orientation):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(PHOTO, kind, exif=exif(orientation), **options)
    assert np.array_equal(
        decode(data), np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    )


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "jpeg", "packbits"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_tiff_is_applied_once(compression, orientation):
    data = encode(PHOTO, "TIFF", tiffinfo={0x112: orientation}, compression=compression)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    decoded = read_photo(data)
    assert np.array_equal(decoded.pixels, wanted)
    assert (decoded.height, decoded.width) == wanted.shape[:2]
    assert ("rotated" in decoded.notes) == (orientation > 1)


@pytest.mark.parametrize("big", [False, True])
def test_a_big_tiff_is_a_tiff(big):
    assert np.array_equal(decode(encode(PHOTO, "TIFF", big_tiff=big)), PHOTO)


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


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_of_sixteen_bits_those_are_used_that_the_photo_uses(kind, bits):
    ramp = np.arange(64 * 80, dtype=np.uint32).reshape(64, 80) * ((1 << bits) - 1) // (64 * 80 - 1)
    full = np.arange(64 * 80, dtype=np.uint32).reshape(64, 80) * 65535 // (64 * 80 - 1)
    decoded = read_photo(encode(Image.fromarray(ramp.astype(np.uint16)), kind))
    wanted = decode(encode(Image.fromarray(full.astype(np.uint16)), kind))
    assert np.abs(decoded.pixels.astype(int) - wanted).max() <= 1
    assert {"16_bit", "stretched"} <= set(decoded.notes)


def test_a_photo_of_full_range_is_not_stretched():
    values = np.array([[0, 65535]], dtype=np.uint16)
    assert "stretched" not in read_photo(encode(Image.fromarray(values), "PNG")).notes


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("shift", [0, 4])
def test_sixteen_bits_in_colour_keep_what_twelve_of_them_say(extension, shift):
    deep = PHOTO[:, :, ::-1].astype(np.uint16) * 257 >> shift
    deep[0, 0] = 65535 >> shift
    decoded = decode(cv2.imencode(extension, deep)[1].tobytes()).astype(int)
    assert np.abs(decoded[1:] - PHOTO[1:]).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_deep_tiff_is_turned_like_any_other(orientation):
    deep = PHOTO.astype(np.uint16) * 257
    data = bytearray(cv2.imencode(".tiff", deep[:, :, ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1].tobytes())
    data = with_tiff_tag(bytes(data), 274, orientation)
    upright = Image.fromarray(PHOTO)
    upright.getexif()[274] = orientation
    wanted = np.asarray(ImageOps.exif_transpose(upright))
    decoded = decode(data)
    assert decoded.shape == wanted.shape
    assert np.abs(decoded.astype(int) - wanted).max() <= 1


def with_tiff_tag(data: bytes, tag: int, value: int) -> bytes:
    """The TIFF with a copy of its directory at the end that holds one entry more."""
    import struct

    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    entries = [data[at + 2 + 12 * i : at + 14 + 12 * i] for i in range(count)]
    entries = [entry for entry in entries if struct.unpack_from("<H", entry)[0] != tag]
    entries.append(struct.pack("<HHIHH", tag, 3, 1, value, 0))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry)[0])
    data += bytes(len(data) % 2)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


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


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_its_end_marker_has_all_its_pixels(progressive):
    whole = encode(scene(64, 80), quality=95, progressive=progressive)
    for cut in (1, 2):
        decoded = read_photo(whole[:-cut])
        assert np.array_equal(decoded.pixels, decode(whole)) and "without_end" in decoded.notes
    assert "without_end" not in read_photo(whole).notes
    assert "without_end" not in read_photo(whole + bytes(900)).notes


def test_a_progressive_jpeg_that_ends_between_two_scans_is_truncated():
    """libjpeg would show it without a word, at a part of its quality."""
    whole = encode(scene(64, 80), quality=95, progressive=True)
    places = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"]
    for at in places[1:]:
        head = whole.rindex(b"\xff\xc4", 0, at) if whole.rfind(b"\xff\xc4", 0, at) > places[0] else at
        assert reason_for(whole[:head]) == "truncated"


def test_a_photo_cut_within_its_header_is_refused():
    assert reason_for(encode(PHOTO)[:24]) in ("truncated", "corrupt")


@pytest.mark.parametrize(
    ("beginning", "named"),
    [(b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "video"), (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"), (b"8BPS\0\1", "Photoshop"),
     (b"<!DOCTYPE html><html>", "web page"), (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
     (b"II*\0\x10\0\0\0CR\x02\0", "camera's raw file"), (b"\0\0\0\x18ftypcrx \0\0\0\1", "camera's raw file"),
     (bytes(128) + b"DICM", "DICOM"), (b"P6\n8 8\n255\n", "PNM")],
)  # fmt: skip
def test_what_is_something_else_is_called_by_its_name(beginning, named):
    with pytest.raises(UnreadablePhoto, match=named):
        decode(beginning + bytes(100))


HEIC = Path(__file__).parent / "heic"


def test_heic_is_read_and_turned_once():
    upright = decode((HEIC / "upright.heic").read_bytes()).astype(int)
    assert upright.shape == PHOTO.shape and np.abs(upright - PHOTO).mean() < 8
    turned = decode((HEIC / "turned.heic").read_bytes()).astype(int)
    assert turned.shape == (64, 48, 3)
    assert np.abs(turned - upright.transpose(1, 0, 2)[:, ::-1]).mean() < 8


def test_a_tiff_that_begins_with_a_preview_is_no_photo_of_its_own():
    """Of a camera's raw file the thumbnail would be learnt: NewSubfileType says that a picture is a reduced version of another."""
    with pytest.raises(UnreadablePhoto, match=r"begins with a preview.*save it as JPEG") as refused:
        decode(encode(PHOTO, "TIFF", tiffinfo={254: 1}))
    assert refused.value.reason == "unsupported_mode"
    assert decode(encode(PHOTO, "TIFF", tiffinfo={254: 2})).shape == PHOTO.shape  # a page of several


def test_damaged_heic_says_so():
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300)
    with pytest.raises(UnreadablePhoto, match="HEIC") as refused:
        decode(data)
    assert "ftyp" not in str(refused.value)


def test_heic_where_its_package_is_missing_says_what_to_do(monkeypatch):
    import sys

    from contract.pillow import open_picture

    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(UnreadablePhoto, match="pi-heif"):
        open_picture((HEIC / "upright.heic").read_bytes(), "HEIC")


def test_avif_is_read():
    decoded = decode(encode(PHOTO, "AVIF", quality=90))
    assert decoded.shape == PHOTO.shape and np.abs(decoded.astype(int) - PHOTO).mean() < 12


def test_a_heic_item_type_that_is_no_text_is_refused_before_the_library_crashes_on_it():
    data = (HEIC / "turned.heic").read_bytes()
    assert reason_for(data.replace(b"Exif\0", b"\xff\xffif\0", 1)) == "corrupt"


LARGE = np.tile(PHOTO, (113, 100, 1))  # 5424 × 6400: 35 megapixels


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_very_large_photo_is_halved_while_it_is_decoded(kind):
    decoded = read_photo(encode(LARGE, kind, **({"quality": 95} if kind == "JPEG" else {"compress_level": 1})))
    assert (decoded.width, decoded.height) == (6400, 5424)
    assert decoded.pixels.shape == (2712, 3200, 3) and "reduced" in decoded.notes
    wanted = np.asarray(Image.fromarray(PHOTO).reduce(2))
    if kind == "PNG":
        assert np.array_equal(decoded.pixels, np.tile(wanted, (113, 100, 1)))
    else:
        assert np.abs(decoded.pixels[24:48, 32:64].astype(int) - wanted).mean() < 3


def test_a_jpeg_of_too_many_scans_is_refused_before_it_is_decoded():
    assert decode(many_scans(100)).shape == (64, 64, 3)
    assert reason_for(many_scans(101)) == "too_costly"
    assert reason_for(many_scans(20_000)) == "too_costly"


def test_scans_of_a_thumbnail_and_of_what_follows_the_end_do_not_count():
    photo = encode(PHOTO)
    assert np.array_equal(decode(photo + many_scans(300)), decode(photo))
    thumbnail = b"\xff\xe1" + (2 + 30_000).to_bytes(2, "big") + b"\xff\xda" * 15_000
    assert np.array_equal(decode(photo[:2] + thumbnail + photo[2:]), decode(photo))


def test_a_jpeg_cut_at_any_byte_of_its_headers_is_refused():
    whole = encode(PHOTO)
    for end in range(4, whole.index(b"\xff\xda") + 8):
        assert reason_for(whole[:end]) in ("truncated", "corrupt")


def test_a_jpeg_of_nothing_but_comments_is_refused():
    assert reason_for(encode(PHOTO)[:2] + b"\xff\xfe\0\2" * 100_000 + encode(PHOTO)[2:]) == "too_costly"


def test_a_png_of_too_many_chunks_is_refused():
    plain = encode(PHOTO, "PNG")
    assert reason_for(plain[:33] + (b"\0\0\0\0teXt" + bytes(4)) * 70_000 + plain[33:]) == "too_costly"


def test_texts_and_profiles_that_unpack_to_very_much_are_not_unpacked():
    import zlib

    from tests.inference_code.fuzz.seeds import chunk

    bomb = zlib.compress(bytes(50_000_000), 9)
    plain = encode(PHOTO, "PNG")
    texts = chunk(b"iCCP", b"p\0\0" + bomb) + chunk(b"zTXt", b"k\0\0" + bomb) * 40
    assert np.array_equal(decode(plain[:33] + texts + plain[33:]), PHOTO)


def test_pixels_that_unpack_to_more_than_the_picture_are_not_unpacked():
    import struct
    import zlib

    from tests.inference_code.fuzz.seeds import chunk

    rows = (b"\0" + bytes(30)) * 10
    parts = (
        chunk(b"IHDR", struct.pack(">IIBBBBB", 10, 10, 8, 2, 0, 0, 0)),
        chunk(b"IDAT", zlib.compress(rows + bytes(300_000_000))),
    )
    assert decode(b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")).shape == (10, 10, 3)


# Valid photos: Pillow's opener takes eight bytes a pixel, and they were called damaged.
@pytest.mark.parametrize(("side", "lossless"), [(6000, False), (6000, True)])
def test_a_webp_of_36_megapixels_is_decoded(side, lossless):
    decoded = read_photo(encode(np.zeros((side, side, 3), np.uint8), "WEBP", method=0, lossless=lossless))
    assert decoded.pixels.shape == (side // 2, side // 2, 3) and "reduced" in decoded.notes


def test_a_webp_that_takes_more_than_any_photo_may_is_too_costly_and_not_damaged():
    assert reason_for(encode(np.zeros((9000, 9000, 3), np.uint8), "WEBP", method=0)) == "too_costly"


@pytest.mark.parametrize(("kind", "options"), [("VP8 ", {}), ("VP8L", {"lossless": True}), ("VP8X", {"exif": exif(6)})])
def test_the_size_of_a_webp_is_read_from_its_first_bytes(kind, options):
    data = encode(PHOTO, "WEBP", **options)
    assert data[12:16] == kind.encode() and webp.size(data) == PHOTO.shape[1::-1]


def test_a_webp_that_is_cut_in_its_first_chunk_is_corrupt():
    data = encode(PHOTO, "WEBP")
    assert {reason_for(data[:end]) for end in range(12, 30)} == {"corrupt"}


@pytest.mark.parametrize(("depth", "colour"), [(16, 6)])
def test_what_takes_more_than_any_photo_may_is_refused_from_its_header(depth, colour):
    assert reason_for(png(10_900, depth, colour)) == "too_costly"


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


def test_programs_of_others_find_what_the_endpoint_does_with_a_photo_at_its_old_address():
    from contract import decode as decoding
    from inference_code import contract as old

    assert old.decode is decoding.decode and old.UnreadablePhoto is UnreadablePhoto
    assert [name for name in old.__all__ if not hasattr(old, name)] == []
