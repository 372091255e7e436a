"""A folder becomes the same zip every time, and everything that stays out of it is named."""

import os
import zipfile
from pathlib import Path

import pytest

from darkroom import dataset
from darkroom.failure import DarkroomError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "My Phötos"
    for name in ("bee/2.JPG", "bee/ö '\"🐝.png", "ant/1.jpg", "ant/deep/er/3.jpeg", "ant/zero.png"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if "zero" in name else name.encode())
    (folder / "metadata.csv").write_text("file_name,kind\n")
    return folder


def test_names_are_sorted_and_times_fixed_so_equal_files_give_equal_bytes(photos, tmp_path):
    first = dataset.survey(photos)
    dataset.pack(first, tmp_path / "a.zip")
    for path in photos.rglob("*.jpg"):
        os.utime(path, (1, 1))
    again = dataset.survey(photos)
    dataset.pack(again, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert dataset.fingerprint(first) == dataset.fingerprint(again)
    entries = zipfile.ZipFile(tmp_path / "a.zip").infolist()
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert "bee/ö '\"🐝.png" in [entry.filename for entry in entries] and "metadata.csv" in [
        entry.filename for entry in entries
    ]
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert first.photos == 5 and not first.notes()


@pytest.mark.parametrize("change", ["content", "name"])
def test_another_content_or_name_is_another_fingerprint(photos, change):
    before = dataset.fingerprint(dataset.survey(photos))
    path = photos / "ant" / "1.jpg"
    path.write_bytes(b"other") if change == "content" else path.rename(photos / "ant" / "4.jpg")
    assert dataset.fingerprint(dataset.survey(photos)) != before


@pytest.mark.parametrize("name", ["photos.manifest", "labels.jsonl", "train.lst"])
def test_what_names_photos_and_labels_goes_along(photos, name):
    (photos / name).write_text("x")
    found = dataset.survey(photos)
    assert name in [one for one, _ in found.files] and found.photos == 5 and not found.notes()


def test_a_chosen_manifest_is_the_only_one_that_counts(photos):
    for name in ("photos.manifest", "old.manifest"):
        (photos / name).write_text("x")
    found = dataset.survey(photos / "photos.manifest")
    assert {Path(name).name for name, _ in found.files} >= {"photos.manifest", "1.jpg"} and found.root == photos
    assert found.notes() == ["2 tables beside photos.manifest were left out: metadata.csv, old.manifest"]


def test_what_stays_out_is_named_with_its_reason(photos, tmp_path):
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(b"secret")
    (photos / "ant" / "link.jpg").symlink_to(outside)
    (photos / "linked-class").symlink_to(tmp_path)
    (photos / ".DS_Store").write_bytes(b"x")
    (photos / ".git").mkdir()
    (photos / ".git" / "9.jpg").write_bytes(b"x")
    (photos / "notes.pdf").write_text("x")
    os.mkfifo(photos / "pipe.jpg")
    found = dataset.survey(photos)
    names = [name for name, _ in found.files]
    assert len(names) == 6 and not any("link" in name or "9.jpg" in name or "pipe" in name for name in names)
    notes = " | ".join(found.notes())
    assert "2 symbolic links were not followed: ant/link.jpg, linked-class" in notes
    assert (
        "2 hidden files were left out" in notes
        and "notes.pdf" in notes
        and "special files were left out: pipe.jpg" in notes
    )


def test_a_name_that_is_not_utf_8_becomes_safe_and_is_reported(photos, tmp_path):
    Path(os.fsdecode(os.fsencode(photos / "bee") + b"/caf\xe9.jpg")).write_bytes(b"x")
    found = dataset.survey(photos)
    assert "bee/caf%E9.jpg" in [name for name, _ in found.files]
    assert found.notes() == ["1 names that are not UTF-8 were percent-encoded: bee/caf%E9.jpg"]
    dataset.pack(found, tmp_path / "a.zip")
    assert "bee/caf%E9.jpg" in zipfile.ZipFile(tmp_path / "a.zip").namelist()


@pytest.mark.parametrize("make", ["absent", "file", "empty", "no photo"])
def test_a_folder_that_cannot_be_used_is_refused_by_name(tmp_path, make):
    folder = tmp_path / "photos"
    if make == "file":
        folder.write_text("x")
    elif make != "absent":
        folder.mkdir()
    if make == "no photo":
        (folder / "readme.txt").write_text("x")
    expected = {"absent": "no such folder", "file": "is a file", "empty": "no photo in it", "no photo": "readme.txt"}[
        make
    ]
    with pytest.raises(DarkroomError, match=expected) as refused:
        dataset.survey(folder)
    assert str(folder) in str(refused.value) and refused.value.advice


@pytest.mark.parametrize(
    ("name", "short"), [("My Phötos", "my-photos"), ("写真", "photos"), ("-A_b--c-", "a-b-c"), ("x" * 99, "x" * 30)]
)
def test_a_folder_name_becomes_a_short_safe_name(name, short):
    assert dataset.slug(name) == short
