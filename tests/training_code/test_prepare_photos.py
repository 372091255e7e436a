"""What is found out about photos, what is done with it, and how photos are drawn into splits."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from contract.execution_input import Bias, Split
from contract.failure import JobFailure
from contract.photo_set.questions import Placed
from contract.photo_set.read import read_set
from contract.photo_set.sources import File, open_source
from contract.plan import Facet
from tests.training_code.photo_sets import encoded, photo, pixels, write, write_set
from training_code.prepare.duplicates import MOST_DIFFERENT_BITS, joined, near_pairs
from training_code.prepare.facets import bias_plan
from training_code.prepare.findings import findings, note_odd_photos
from training_code.prepare.inspection import Photo, inspect_all
from training_code.prepare.outputs import servable, slugs
from training_code.prepare.selection import select


def look(folder):
    source = open_source(folder)
    return inspect_all(read_set(source, source.files()).photos, source)


def selected(folder, seed=0, shares=None):
    photos = look(folder)
    select(photos, shares or Split(), seed)
    note_odd_photos(photos)
    return {photo.name: photo for photo in photos}


def header_of(width, height):
    """A PNG that claims a size and holds nothing of it."""
    data = bytearray(photo("ants", 0, size=(8, 8)))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def sixteen_bit(label, number):
    grey = pixels(label, number)[:, :, 0].astype(np.uint16) * 257
    return encoded(grey)


def rgba(label, number):
    rgb = pixels(label, number)
    alpha = np.full((*rgb.shape[:2], 1), 255, np.uint8)
    alpha[:10] = 0
    return encoded(np.concatenate([rgb, alpha], axis=2))


def turned(label, number):
    exif = Image.Exif()
    exif[0x0112] = 6
    return photo(label, number, "JPEG", exif=exif)


def cmyk(label, number):
    import io

    stream = io.BytesIO()
    Image.fromarray(pixels(label, number)).convert("CMYK").save(stream, "JPEG")
    return stream.getvalue()


HEIC = Path(__file__).parents[1] / "inference_code" / "heic"


def twelve_bit(label, number):
    return encoded(pixels(label, number)[:, :, 0].astype(np.uint16) * 4095 // 255)


TREATED = {
    "misnamed": ("x.jpg", photo("bees", 101)),
    "cmyk": ("x.jpg", cmyk("bees", 102)),
    "16_bit": ("x.png", sixteen_bit("bees", 103)),
    "grey": ("x.png", encoded(pixels("bees", 104)[:, :, 1])),
    "transparent": ("x.png", rgba("bees", 105)),
    "rotated": ("x.jpg", turned("bees", 106)),
    "stretched": ("x.png", twelve_bit("bees", 109)),
    "without_end": ("x.jpg", photo("bees", 110, "JPEG")[:-2]),
}
LEFT_OUT = {
    "empty": ("x.jpg", b""),
    "truncated": ("x.jpg", photo("bees", 107, "JPEG", size=(200, 200))[:3000]),
    "not_a_photo": ("x.jpg", b"<html>not found</html>"),
    "too_small": ("x.png", photo("bees", 108, size=(1, 1))),
    "too_many_pixels": ("x.png", header_of(20_000, 20_000)),
    "too_costly": ("x.jpg", photo("bees", 111, "JPEG")[:2] + b"\xff\xfe\0\2" * 9999 + photo("bees", 111, "JPEG")[2:]),
    "corrupt": ("x.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300)),
}


@pytest.mark.parametrize(("kind", "name", "data"), [(kind, *case) for kind, case in TREATED.items()], ids=list(TREATED))
def test_unusual_photos_are_used_and_their_treatment_is_named(tmp_path, kind, name, data):
    write(write_set(tmp_path, {"ants": 5, "bees": 5}) / "bees" / name, data)
    found = selected(tmp_path)[f"bees/{name}"]
    assert kind in found.notes
    assert not found.left_out
    assert found.split in ("train", "validation", "test")


def test_heic_is_a_photo_by_its_content_whatever_its_name_says(tmp_path):
    bees = write_set(tmp_path, {"ants": 5, "bees": 5}) / "bees"
    write(bees / "IMG_1.HEIC", (HEIC / "upright.heic").read_bytes())
    write(bees / "renamed.jpg", (HEIC / "turned.heic").read_bytes())
    photos = selected(tmp_path)
    named, renamed = photos["bees/IMG_1.HEIC"], photos["bees/renamed.jpg"]
    assert (named.extension, named.left_out, "misnamed" in named.notes) == ("heic", "", False)
    assert (renamed.extension, renamed.left_out, "misnamed" in renamed.notes) == ("heic", "", True)
    assert (renamed.width, renamed.height) == (48, 64)
    data, extension = servable((HEIC / "turned.heic").read_bytes(), renamed)
    assert extension == "png" and data.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("reason", "name", "data"), [(kind, *case) for kind, case in LEFT_OUT.items()], ids=list(LEFT_OUT)
)
def test_photos_that_cannot_be_used_are_left_out_and_listed_with_the_reason(tmp_path, reason, name, data):
    write(write_set(tmp_path, {"ants": 5, "bees": 5}) / "bees" / name, data)
    photos = selected(tmp_path)
    assert photos[f"bees/{name}"].left_out == reason
    assert photos[f"bees/{name}"].detail
    assert sum(bool(one.left_out) for one in photos.values()) == 1
    listed = {finding.kind: finding for finding in findings(list(photos.values()), [])}
    assert [one.name for one in listed[reason].photos] == [f"bees/{name}"]


def test_a_tenth_of_corrupt_files_is_reported_and_not_fatal(tmp_path):
    write_set(tmp_path, {"ants": 18, "bees": 18})
    for number in range(4):
        write(tmp_path / "ants" / f"broken{number}.png", photo("ants", 200 + number)[:60])
    assert Counter(one.left_out for one in selected(tmp_path).values()) == {"": 36, "truncated": 4}


def test_nothing_readable_one_class_and_a_class_with_one_photo_are_errors(tmp_path):
    for number in range(3):
        write(tmp_path / "none" / f"class{number % 2}" / f"{number}.jpg", b"text")
    write_set(tmp_path / "one", {"bees": 9})
    write_set(tmp_path / "single", {"bees": 9, "ants": 1})
    write_set(tmp_path / "split", {"bees": 9, "ants": 1}, "train")
    write_set(tmp_path / "split", {"bees": 3, "ants": 3}, "test", first=50)
    for name, words in (
        ("none", "none of the 3 photos can be read"), ("one", "received one class, 'bees'"),
        ("single", r"the class 'ants' has 1 usable photo\(s\) \(of 1\); allowed: at least 3"),
        ("split", r"the class 'ants' has 1 usable photo\(s\) in train"),
    ):  # fmt: skip
        with pytest.raises(JobFailure, match=words):
            selected(tmp_path / name)


def test_copies_are_found_and_the_split_that_learns_loses_them(tmp_path):
    write_set(tmp_path, {"ants": 6, "bees": 6}, "train")
    write_set(tmp_path, {"ants": 3, "bees": 3}, "valid", first=20)
    write_set(tmp_path, {"ants": 3, "bees": 3}, "test", first=40)
    write(tmp_path / "train/ants/copy.png", photo("ants", 1))  # twice in train
    write(tmp_path / "train/ants/of_test.png", photo("ants", 41))  # leakage
    write(tmp_path / "valid/ants/of_test.png", photo("ants", 42))
    write(tmp_path / "train/bees/of_valid.png", photo("bees", 21))
    write(tmp_path / "train/bees/ant.png", photo("ants", 3))  # under two labels
    write(tmp_path / "test/bees/again.png", photo("bees", 41))  # twice in test: as published
    photos = selected(tmp_path)
    assert {name: one.left_out for name, one in photos.items() if one.left_out} == {
        "train/ants/copy.png": "exact_duplicate", "train/ants/of_test.png": "leakage", "valid/ants/of_test.png": "leakage",
        "train/bees/of_valid.png": "leakage", "train/bees/ant.png": "conflicting_label", "train/ants/003.png": "conflicting_label",
    }  # fmt: skip
    assert sum(one.split == "test" for one in photos.values()) == 7
    assert "exact_duplicate_test" in photos["test/bees/again.png"].notes + photos["test/bees/041.png"].notes


def test_almost_the_same_picture_does_not_leak_from_test_into_training(tmp_path):
    write_set(tmp_path, {"ants": 8, "bees": 8}, "train")
    write_set(tmp_path, {"ants": 2, "bees": 2}, "test", first=40)
    write(tmp_path / "test/bees/large.png", photo("bees", 42, size=(150, 170)))
    smaller = Image.fromarray(pixels("bees", 40)).resize((35, 42), Image.Resampling.BOX)
    write(tmp_path / "train/bees/smaller.png", encoded(np.asarray(smaller)))
    write(tmp_path / "train/bees/encoded.jpg", photo("bees", 42, "JPEG", size=(150, 170), quality=60))
    write(
        tmp_path / "train/bees/brighter.png",
        encoded(np.clip(pixels("bees", 40).astype(int) + 4, 0, 255).astype(np.uint8)),
    )
    photos = selected(tmp_path)
    assert {name for name, one in photos.items() if one.left_out == "near_leakage"} == {
        "train/bees/smaller.png", "train/bees/encoded.jpg", "train/bees/brighter.png",
    }  # fmt: skip
    assert not [one for one in photos.values() if one.left_out and one.left_out != "near_leakage"]


def test_different_photos_of_one_kind_are_told_apart_although_their_hashes_agree(tmp_path):
    """Solar cells look alike but for a crack, which is what their classifier must see."""
    wide = np.random.default_rng(0).normal(0, 40, (6, 6))
    cell = 128 + np.asarray(Image.fromarray(wide.astype(np.float32)).resize((64, 64), Image.Resampling.BICUBIC))
    for number in range(24):
        rng = np.random.default_rng(number)
        cracked = cell.copy()
        row, column = rng.integers(4, 40, 2)
        cracked[row : row + 20, column : column + 3] -= 70
        rgb = np.repeat(np.clip(cracked, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
        write(tmp_path / f"class{number % 2}" / f"{number}.png", encoded(rgb))
    photos = look(tmp_path)
    bits = [
        (one.perceptual_hash ^ other.perceptual_hash).bit_count()
        for one in photos
        for other in photos
        if one is not other
    ]
    assert min(bits) <= MOST_DIFFERENT_BITS
    assert near_pairs(photos) == []


def test_pictures_that_show_the_same_are_drawn_into_the_same_split(tmp_path):
    write_set(tmp_path, {"ants": 20, "bees": 20})
    for number in range(10):
        write(tmp_path / "ants" / f"twin{number}.jpg", photo("ants", number, "JPEG", quality=80))
    for seed in range(5):
        photos = selected(tmp_path, seed)
        for number in range(10):
            assert photos[f"ants/twin{number}.jpg"].split == photos[f"ants/{number:03d}.png"].split


def unlike(count, label):
    """Photos as if they had been looked at, none like another."""
    rng = random.Random(f"{label}{count}")
    files = (File((label, f"{n}.png"), 1, None) for n in range(count))
    return [Photo(Placed(f, label, None), sha256=f"{rng.getrandbits(256):064x}", width=9, height=9) for f in files]


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 60), st.integers(3, 60), st.integers(0, 99), st.floats(0.05, 0.5), st.floats(0.05, 0.5))
def test_a_draw_is_stratified_repeatable_and_independent_of_names_and_order(ants, bees, seed, test, validation):
    shares = Split(validation, test)
    photos = unlike(ants, "ants") + unlike(bees, "bees")
    select(photos, shares, seed)
    drawn = {one.sha256: one.split for one in photos}
    for label, count in (("ants", ants), ("bees", bees)):
        counts = Counter(one.split for one in photos if one.label == label)
        in_test = max(1, min(round(test * count), count - 2))
        assert counts["test"] == in_test
        assert counts["validation"] == max(1, min(round(validation * (count - in_test)), count - in_test - 1))
        assert counts["train"] >= 1
    again = [Photo(Placed(File(("x", f"{i}"), 1, None), one.label, None), one.sha256, width=9, height=9)
             for i, one in enumerate(reversed(photos))]  # fmt: skip
    select(again, shares, seed)
    assert {one.sha256: one.split for one in again} == drawn


def test_validation_comes_out_of_train_where_only_train_and_test_are_given(tmp_path):
    write_set(tmp_path, {"ants": 20, "bees": 20}, "train")
    write_set(tmp_path, {"ants": 5, "bees": 5}, "test", first=50)
    photos = selected(tmp_path)
    assert {one.name for one in photos.values() if one.split == "test"} == {n for n in photos if n.startswith("test/")}
    assert Counter(one.split for one in photos.values()) == {"train": 32, "validation": 8, "test": 10}


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40))
def test_joined_photos_share_the_lowest_index_of_all_that_they_touch(pairs):
    roots = joined(31, pairs)
    for one, other in pairs:
        assert roots[one] == roots[other]
    assert all(root <= item and roots[root] == root for item, root in enumerate(roots))


def test_dark_blank_blurred_and_oddly_sized_photos_are_named_and_kept(tmp_path):
    write_set(tmp_path, {"ants": 10, "bees": 10})
    smooth = np.tile(np.linspace(60, 200, 64)[:, None, None], (1, 64, 3)).astype(np.uint8)
    odd = {
        "dark": pixels("bees", 60) // 8, "blank": np.full((40, 40, 3), 90, np.uint8), "blurry": smooth,
        "odd_size": pixels("bees", 61, (300, 250)), "odd_shape": pixels("bees", 62, (20, 120)),
        "washed_out": 235 + pixels("bees", 63) // 16,
    }  # fmt: skip
    for name, rgb in odd.items():
        write(tmp_path / "bees" / f"{name}.png", encoded(rgb))
    photos = selected(tmp_path)
    for name in odd:
        assert name in photos[f"bees/{name}.png"].notes
        assert not photos[f"bees/{name}.png"].left_out
    assert not [one.notes for name, one in photos.items() if name.startswith("ants") and one.notes]


def test_small_and_unbalanced_classes_are_named(tmp_path):
    found = {
        one.kind: one for one in findings(list(selected(write_set(tmp_path, {"ants": 5, "bees": 60})).values()), [])
    }
    assert "ants" in found["small_class"].title
    assert found["unbalanced"].level == "treated"


def photos_with(facets):
    photos = []
    for number, (label, values) in enumerate(facets):
        file = File((label, f"{number}.png"), 1, None)
        photos.append(
            Photo(Placed(file, label, "test", values), sha256=f"{number:064x}", width=9, height=9, split="test")
        )
    return photos


def test_bias_is_measured_on_columns_that_group_photos_and_for_the_rarest_class():
    rows = [("ok", {"cell": "mono", "serial": f"n{i}", "age": str(i)}) for i in range(30)]
    rows += [("bad", {"cell": "poly", "serial": f"m{i}", "age": str(50 + i)}) for i in range(20)]
    plan = bias_plan(Bias(), photos_with(rows), ["bad", "ok"])
    assert plan.enabled
    assert plan.positive_labels == ("bad",)
    assert plan.facets == (Facet("cell", ("mono", "poly")), Facet("age", threshold=24.5))


def test_without_a_usable_facet_bias_is_off_and_says_why():
    assert bias_plan(Bias(), photos_with([("a", {}), ("b", {})]), ["a", "b"]).reason.startswith(
        "the data set has no metadata"
    )
    same = bias_plan(Bias(), photos_with([("a", {"cell": "mono"}), ("b", {"cell": "mono"})]), ["a", "b"])
    assert not same.enabled
    assert "fewer than two values" in same.reason


def test_a_facet_or_label_that_does_not_exist_is_refused_with_the_close_one():
    photos = photos_with([("a", {"cell": "mono"}), ("b", {"cell": "poly"})])
    with pytest.raises(JobFailure, match=r"bias.facets: received 'cel'.*Did you mean 'cell'"):
        bias_plan(Bias(facets=["cel"]), photos, ["a", "b"])
    with pytest.raises(JobFailure, match=r"bias.positive_labels: received 'c'; allowed: a, b"):
        bias_plan(Bias(positive_labels=["c"]), photos, ["a", "b"])


def test_labels_of_any_alphabet_become_different_plain_folder_names():
    found = slugs(["Café", "cafe", "蜂", "蟻", "a/b", "A B"])
    assert len(set(found.values())) == 6
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in found.values())


def test_test_photos_keep_their_bytes_where_the_server_takes_them(tmp_path):
    write(tmp_path / "a" / "1.jpg", photo("ants", 1, "JPEG"))
    write(tmp_path / "b" / "2.jpg", photo("bees", 2, "WEBP", lossless=True))
    first, second = look(tmp_path)
    data = (tmp_path / "a" / "1.jpg").read_bytes()
    assert servable(data, first) == (data, "jpg")
    png, extension = servable((tmp_path / "b" / "2.jpg").read_bytes(), second)
    assert extension == "png"
    assert png.startswith(b"\x89PNG")
