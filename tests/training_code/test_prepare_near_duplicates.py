"""Photos that are almost the same by nature (frames of clips, a fixed camera) are split honestly, and never refused as a kind."""

import io
import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from contract import exif
from contract.execution_input import ExecutionInput, NearDuplicates, Split
from contract.failure import JobFailure
from contract.validation import InvalidField
from training_code.prepare import selection
from training_code.prepare.data_report import examples
from training_code.prepare.inspection import Photo
from training_code.prepare.selection import select


@dataclass(frozen=True)
class File:
    name: str


@dataclass(frozen=True)
class Place:
    file: File
    label: str
    split: str | None
    facets: tuple = ()


def shot(label, name, group, split=None, taken=""):
    rng = random.Random(f"{label}/{name}")
    photo = Photo(
        Place(File(f"{label}/{name}"), label, split),
        f"{rng.getrandbits(256):064x}",
        width=9,
        height=9,
        split=split,
        taken=taken,
    )
    photo.group = group
    return photo


@pytest.fixture(autouse=True)
def alike_by_group(monkeypatch):
    """Photos of one group are almost the same; what makes pictures so is tested with pictures elsewhere."""

    def pairs(photos, least):
        members = defaultdict(list)
        for index, photo in enumerate(photos):
            members[photo.group].append(index)
        return sorted(pair for those in members.values() for pair in combinations(those, 2))

    monkeypatch.setattr(selection, "near_pairs", pairs)


def clips(label, sizes):
    return [shot(label, f"clip{c}_{n}.jpg", (label, c)) for c, size in enumerate(sizes) for n in range(size)]


def splits_of(photos):
    found = defaultdict(set)
    for photo in photos:
        if not photo.left_out:
            found[photo.group].add(photo.split)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_three_clips_of_a_class_go_one_into_each_split(seed):
    photos = clips("ant", [10, 10, 10]) + clips("bee", [10, 10, 10])
    told = select(photos, Split(), seed)
    assert Counter(photo.split for photo in photos) == {"train": 20, "validation": 20, "test": 20}
    assert all(len(splits) == 1 for splits in splits_of(photos).values()) and told.warnings == []


def test_two_clips_are_cut_along_the_order_of_their_names_with_a_warning():
    photos = clips("ant", [12, 12]) + clips("bee", [5] * 10)
    random.Random(0).shuffle(photos)
    told = select(photos, Split(), 0)
    ants = sorted((p for p in photos if p.label == "ant"), key=lambda p: tuple(map(int, p.name[8:-4].split("_"))))
    order = {"train": 0, "validation": 1, "test": 2}
    assert [order[p.split] for p in ants] == sorted(order[p.split] for p in ants)
    assert Counter(p.split for p in ants) == {"train": 15, "validation": 4, "test": 5}
    assert not any(photo.left_out for photo in photos)
    (warning,) = told.warnings
    assert "24 photos of 'ant' are only 2 groups of almost the same pictures" in warning
    assert "the order of their names" in warning and "near_duplicates" in warning and "bee" not in warning
    assert all(len(splits) == 1 for group, splits in splits_of(photos).items() if group[0] == "bee")


def test_time_beats_names_where_every_photo_has_it():
    photos = [shot("ant", f"{n}.jpg", 1, taken=f"2026:01:{30 - n:02d} 10:00:00") for n in range(1, 21)]
    told = select(photos + clips("bee", [1] * 20), Split(), 0)
    assert {photo.name for photo in photos if photo.split == "test"} == {f"ant/{n}.jpg" for n in (1, 2, 3, 4)}
    assert "time in their EXIF data" in told.warnings[0]


def test_a_camera_that_sees_all_classes_alike_trains_with_a_warning():
    photos = [shot(label, f"{n}.jpg", "belt") for label in ("good", "scratch") for n in range(20)]
    told = select(photos, Split(), 0)
    assert all(
        Counter(p.split for p in photos if p.label == label) == {"train": 13, "validation": 3, "test": 4}
        for label in ("good", "scratch")
    )
    assert "40 photos of 'good', 'scratch' are only 1 group" in told.warnings[0]
    assert any("near_split" in photo.notes for photo in photos)


def given_sets(alike):
    return [
        shot("ant", f"{split}{n}.jpg", "same" if n < alike else (split, n), split)
        for split, count in (("train", 20), ("test", 10)) for n in range(count)
    ] + [shot("bee", f"{split}{n}.jpg", (split, n, "bee"), split) for split in ("train", "test") for n in range(20)]  # fmt: skip


def test_a_few_leaks_into_a_given_test_set_are_left_out_and_most_of_a_class_is_kept_with_a_warning():
    few = given_sets(4)
    assert select(few, Split(), 0).warnings == []
    assert Counter(p.split for p in few if p.group == "same" and not p.left_out) == {"test": 4}
    assert sum(p.left_out == "near_leakage" for p in few) == 4
    most = given_sets(15)
    (warning,) = select(most, Split(), 0).warnings
    assert "(15 of 20 of 'ant')" in warning and not any(photo.left_out for photo in most)
    strict = given_sets(15)
    assert select(strict, Split(), 0, NearDuplicates("drop")).warnings == []
    assert sum(p.left_out == "near_leakage" for p in strict) == 15


def test_dropping_keeps_one_of_each_and_keeping_draws_them_like_others():
    photos = clips("ant", [4] * 10) + clips("bee", [4] * 10)
    select(photos, Split(), 0, NearDuplicates("drop"))
    assert Counter(photo.group for photo in photos if not photo.left_out) == {photo.group: 1 for photo in photos}
    photos = clips("ant", [4] * 10) + clips("bee", [4] * 10)
    told = select(photos, Split(), 0, NearDuplicates("keep"))
    assert not any(photo.left_out for photo in photos) and told.warnings == []
    assert any(len(splits) > 1 for splits in splits_of(photos).values())


def test_dropping_says_how_many_went_where_nothing_is_left_to_learn_from():
    photos = clips("ant", [10]) + clips("bee", [1] * 10)
    with pytest.raises(JobFailure, match=r"'ant' has 1 usable photo"):
        select(photos, Split(), 0, NearDuplicates("drop"))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(st.integers(1, 15), min_size=1, max_size=8), min_size=2, max_size=4), st.integers(0, 9))
def test_whatever_the_groups_every_class_is_in_every_split_and_only_a_warning_parts_a_group(sizes, seed):
    sizes = [[*of, 3] if sum(of) < 3 else of for of in sizes]
    photos = [photo for number, of in enumerate(sizes) for photo in clips(f"class{number}", of)]
    told = select(photos, Split(), seed)
    for number in range(len(sizes)):
        mine = [p for p in photos if p.label == f"class{number}"]
        assert {p.split for p in mine if not p.left_out} == {"train", "validation", "test"}
        if not any(f"'class{number}'" in warning for warning in told.warnings):
            assert all(len(splits) == 1 for splits in splits_of(mine).values())


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            {"treatment": "kep"},
            r"near_duplicates.treatment: received 'kep'; allowed: group, keep, drop. Did you mean 'keep'",
        ),
        ({"threshold": 0.5}, r"near_duplicates.threshold: received 0.5; allowed: a number from 0.9 to 1"),
        ("keep", r"near_duplicates: received 'keep'; allowed: an object with treatment, threshold"),
    ],
)
def test_the_field_is_checked_like_every_other(value, said):
    with pytest.raises(InvalidField, match=said):
        ExecutionInput.from_json({"dataset": "s3://bucket/photos.zip", "near_duplicates": value})


def test_three_examples_are_spread_over_all_pairs():
    pairs = [(n, n + 1) for n in range(90)]
    assert examples(pairs) == [(0, 1), (30, 31), (60, 61)] and examples(pairs[:2]) == pairs[:2] and examples([]) == []


@pytest.mark.parametrize("when", ["2026:01:31 10:00:05", "0000:00:00 00:00:00", "yesterday", None])
def test_the_time_is_the_one_that_pillow_wrote_into_a_jpeg(when):
    stream, notes = io.BytesIO(), Image.Exif()
    notes[ExifTags.Base.Orientation] = 1
    if when:
        notes.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = when
    Image.new("RGB", (16, 16)).save(stream, "JPEG", exif=notes)
    assert exif.taken(stream.getvalue()) == (when if when and when[0] == "2" else "")


def test_damaged_notes_of_a_camera_say_nothing_and_cost_nothing():
    block = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(256)) * 4
    assert [exif.taken(block[:length]) for length in range(0, len(block), 7)] == [""] * len(range(0, len(block), 7))
