"""Every layout that people use for labelled photos means what they think it means."""

import io
import json
import os
import stat
import zipfile
from collections import Counter

import pytest

from contract.failure import JobFailure
from contract.photo_set.read import read_set
from contract.photo_set.sources import open_source
from tests.training_code.photo_sets import photo, write, write_set

TINY = photo("ants", 1, size=(16, 16))


def layout_of(folder):
    source = open_source(folder)
    return read_set(source, source.files())


def placed(layout):
    return Counter((photo.split, photo.label) for photo in layout.photos)


def tree(folder, *paths):
    for path in paths:
        write(folder / path, TINY)
    return folder


def test_a_folder_per_class_has_no_splits_yet(tmp_path):
    layout = layout_of(tree(tmp_path, "photos/bees/1.png", "photos/bees/2.JPG", "photos/ants/1.png"))
    assert placed(layout) == {(None, "bees"): 2, (None, "ants"): 1}


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_given_splits_are_kept(tmp_path, name):
    layout = layout_of(tree(tmp_path, "train/a/1.png", "train/b/1.png", f"{name}/a/2.png", "test/b/2.png"))
    assert placed(layout) == {("train", "a"): 1, ("train", "b"): 1, ("validation", "a"): 1, ("test", "b"): 1}


def test_of_two_parts_the_held_out_one_is_the_test_set(tmp_path):
    layout = layout_of(tree(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/2.png", "val/b/2.png"))
    assert placed(layout) == {("train", "a"): 1, ("train", "b"): 1, ("test", "a"): 1, ("test", "b"): 1}
    assert any("test set" in notice for notice in layout.notices)


def test_intel_scenes_layout_and_its_unlabelled_photos(tmp_path):
    layout = layout_of(tree(tmp_path, "seg_train/seg_train/sea/1.png", "seg_train/seg_train/forest/1.png",
                            "seg_test/seg_test/sea/2.png", "seg_pred/seg_pred/3.png"))  # fmt: skip
    assert placed(layout) == {("train", "sea"): 1, ("train", "forest"): 1, ("test", "sea"): 1}
    assert layout.passed_over == [("seg_pred/seg_pred/3.png", "seg_pred holds photos without labels")]


def test_numbers_in_front_of_class_names_are_left_out_only_where_all_have_one(tmp_path):
    numbered = layout_of(tree(tmp_path / "a", "001.Affenpinscher/1.png", "002.Afghan_hound/1.png"))
    assert {photo.label for photo in numbered.photos} == {"Affenpinscher", "Afghan_hound"}
    mixed = layout_of(tree(tmp_path / "b", "2.door/1.png", "sedan/1.png"))
    assert {photo.label for photo in mixed.photos} == {"2.door", "sedan"}
    numbers = layout_of(tree(tmp_path / "c", "0/1.png", "1/1.png"))
    assert {photo.label for photo in numbers.photos} == {"0", "1"}


def test_deeper_folders_belong_to_the_class_of_the_first_one(tmp_path):
    layout = layout_of(tree(tmp_path, "bees/honey/spring/1.png", "bees/2.png", "ants/1.png"))
    assert placed(layout) == {(None, "bees"): 2, (None, "ants"): 1}
    assert any("bees/honey/spring" in notice for notice in layout.notices)


def test_a_test_class_that_is_never_trained_is_refused_with_the_close_name(tmp_path):
    with pytest.raises(JobFailure, match=r"class 'beez' is in test and not in train. Did you mean 'bees'"):
        layout_of(tree(tmp_path, "train/bees/1.png", "train/ants/1.png", "test/beez/1.png"))


def test_parts_without_train_are_refused(tmp_path):
    with pytest.raises(JobFailure, match="no train"):
        layout_of(tree(tmp_path, "val/a/1.png", "test/a/1.png", "test/b/1.png"))


def test_facets_come_from_metadata_beside_the_photos_or_above_them(tmp_path):
    tree(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/1.png")
    write(tmp_path / "metadata.csv", "file_name,camera\ntrain/a/1.png,old\ntest/a/1.png,new\nnowhere.png,new\n")
    layout = layout_of(tmp_path)
    assert {photo.file.name: photo.facets for photo in layout.photos} == {
        "train/a/1.png": {"camera": "old"}, "test/a/1.png": {"camera": "new"}, "train/b/1.png": {"camera": ""},
    }  # fmt: skip
    assert any("1 file(s)" in notice for notice in layout.notices)


def test_labels_come_from_metadata_where_all_photos_lie_in_one_folder(tmp_path):
    tree(tmp_path, "images/1.png", "images/2.png", "images/3.png")
    write(tmp_path / "metadata.csv", "file_name,label,split\n1.png,cat,train\n2.png,dog,train\n3.png,cat,test\n")
    assert placed(layout_of(tmp_path)) == {("train", "cat"): 1, ("train", "dog"): 1, ("test", "cat"): 1}


def test_metadata_without_file_names_is_refused(tmp_path):
    write(tree(tmp_path, "a/1.png", "b/1.png") / "metadata.csv", "photo,camera\nnowhere.png,old\n")
    with pytest.raises(JobFailure, match=r"columns photo, camera; one of them must be file_name"):
        layout_of(tmp_path)


def test_an_augmented_manifest_gives_the_labels(tmp_path):
    tree(tmp_path, "images/1.png", "images/2.png", "images/left.png")
    lines = [
        {"source-ref": "s3://elsewhere/x/images/1.png", "kind": 0, "kind-metadata": {"class-name": "ant"}},
        {"source-ref": "s3://elsewhere/x/images/2.png", "kind": 1, "kind-metadata": {"class-name": "bee"}},
    ]
    write(tmp_path / "photos.manifest", "\n".join(map(json.dumps, lines)))
    layout = layout_of(tmp_path)
    assert placed(layout) == {(None, "ant"): 1, (None, "bee"): 1}
    assert layout.passed_over == [("images/left.png", "not named in photos.manifest")]


def test_a_broken_line_of_a_manifest_is_left_out_and_told_with_its_number(tmp_path):
    tree(tmp_path, "images/1.png", "images/2.png")
    good = [json.dumps({"source-ref": f"images/{n}.png", "kind": kind}) for n, kind in ((1, "a"), (2, "b"))]
    write(tmp_path / "photos.manifest", "\n".join([good[0], "not json", good[1]]))
    layout = layout_of(tmp_path)
    assert placed(layout) == {(None, "a"): 1, (None, "b"): 1}
    assert any("photos.manifest: 1 line(s) left out, for example line 2" in notice for notice in layout.notices)
    write(tmp_path / "photos.manifest", "\n".join([good[0], "not json", "{"]))
    with pytest.raises(JobFailure, match=r"most lines of photos\.manifest cannot be used"):
        layout_of(tmp_path)


def test_lst_files_give_labels_and_splits(tmp_path):
    tree(tmp_path, "ant/1.png", "bee/2.png", "ant/3.png")
    write(tmp_path / "train.lst", "0\t0.000000\tant/1.png\n1\t1.000000\tbee/2.png\n")
    write(tmp_path / "test.lst", "0\t0.000000\tant/3.png\n")
    assert placed(layout_of(tmp_path)) == {("train", "ant"): 1, ("train", "bee"): 1, ("test", "ant"): 1}


def test_classes_of_a_list_without_class_folders_are_its_numbers(tmp_path):
    tree(tmp_path, "all/1.png", "all/2.png")
    write(tmp_path / "photos.lst", "0\t0.000000\tall/1.png\n1\t10.000000\tall/2.png\n")
    assert placed(layout_of(tmp_path)) == {(None, "0"): 1, (None, "10"): 1}


def test_a_zip_is_read_in_place_with_the_same_meaning_as_its_tree(tmp_path):
    write_set(tmp_path / "tree", {"ants": 2, "bees": 3}, "train")
    write_set(tmp_path / "tree", {"ants": 1, "bees": 1}, "test", first=7)
    (tmp_path / "zipped").mkdir()
    with zipfile.ZipFile(tmp_path / "zipped" / "set.zip", "w") as archive:
        for path in sorted((tmp_path / "tree").rglob("*.png")):
            archive.write(path, f"top/{path.relative_to(tmp_path / 'tree')}")
        archive.writestr("__MACOSX/top/train/ants/._000.png", b"junk")
    before = sorted(tmp_path.rglob("*"))
    source = open_source(tmp_path / "zipped")
    layout = read_set(source, source.files())
    assert placed(layout) == placed(layout_of(tmp_path / "tree"))
    first = next(photo for photo in layout.photos if photo.file.name == "top/train/bees/002.png")
    assert source.read(first.file) == (tmp_path / "tree/train/bees/002.png").read_bytes()
    assert sorted(tmp_path.rglob("*")) == before


def zip_of(folder, entries):
    with zipfile.ZipFile(folder / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return folder


def test_a_zip_cannot_reach_outside_itself(tmp_path):
    link = zipfile.ZipInfo("ants/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    entries = [
        ("ants/1.png", TINY),
        ("bees/1.png", TINY),
        ("../evil/2.png", TINY),
        ("/bees/3.png", TINY),
        (link, b"/etc/passwd"),
    ]
    source = open_source(zip_of(tmp_path, entries))
    assert [file.name for file in source.files()] == ["ants/1.png", "bees/1.png"]
    assert [why for _, why in source.passed_over] == ["a path that leads out of the archive"] * 2 + [
        "a symbolic link; put the file itself there"
    ]


def test_a_decompression_bomb_is_refused(tmp_path):
    zip_of(tmp_path, [("a/1.bmp", bytes(1 << 20)), ("b/2.png", TINY)])
    assert len(open_source(tmp_path).files()) == 2
    data = bytearray((tmp_path / "set.zip").read_bytes())
    entry = data.index(b"PK\x01\x02")  # the archive's directory: what the file will unpack to
    data[entry + 24 : entry + 28] = (3 << 30).to_bytes(4, "little")
    (tmp_path / "set.zip").write_bytes(data)
    with pytest.raises(JobFailure, match="decompression bomb"):
        open_source(tmp_path).files()


def test_an_encrypted_or_damaged_zip_is_refused(tmp_path):
    zip_of(tmp_path, [("a/1.png", TINY)])
    data = bytearray((tmp_path / "set.zip").read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    (tmp_path / "set.zip").write_bytes(data)
    with pytest.raises(JobFailure, match="encrypted"):
        open_source(tmp_path).files()
    (tmp_path / "set.zip").write_bytes(b"PK nothing")
    with pytest.raises(JobFailure, match=r"set\.zip is not a zip"):
        open_source(tmp_path)


def test_a_damaged_member_of_a_zip_is_an_unreadable_photo_and_not_the_end(tmp_path):
    zip_of(tmp_path, [("a/1.png", TINY)])
    data = bytearray((tmp_path / "set.zip").read_bytes())
    data[60:80] = bytes(20)
    (tmp_path / "set.zip").write_bytes(data)
    source = open_source(tmp_path)
    with pytest.raises(OSError, match=r"."):
        source.read(source.files()[0])


def test_no_files_no_photos_and_no_class_folders_each_have_their_own_message(tmp_path):
    for name in ("empty", "text", "flat"):
        (tmp_path / name).mkdir()
    write(tmp_path / "text" / "a" / "readme.txt", "hello")
    tree(tmp_path / "flat", "1.png", "2.png")
    for name, words in (
        ("empty", "holds no files"),
        ("text", "no photo was found. It holds 1 .txt"),
        ("flat", "no folder names a class"),
    ):
        with pytest.raises(JobFailure, match=words):
            layout_of(tmp_path / name)
    with pytest.raises(JobFailure, match="not there"):
        open_source(tmp_path / "nowhere")


def test_symbolic_links_are_passed_over_and_listed(tmp_path):
    tree(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a" / "link.png").symlink_to("/etc/passwd")
    (tmp_path / "loop").symlink_to(tmp_path)
    source = open_source(tmp_path)
    assert [file.name for file in source.files()] == ["a/1.png", "b/1.png"]
    assert sorted(name for name, _ in source.passed_over) == ["a/link.png", "loop"]


def test_any_file_name_becomes_text_that_can_be_shown(tmp_path):
    folder = os.fsencode(tmp_path) + b"/bees"
    os.mkdir(folder)
    names = [b'it\'s "mine".png', "🐝 bee.png".encode(), b"caf\xe9.png", b"new\nline.png"]
    for name in names:
        with open(folder + b"/" + name, "wb") as stream:
            stream.write(TINY)
    tree(tmp_path, "ants/1.png")
    source = open_source(tmp_path)
    files = [file for file in source.files() if file.parts[0] == "bees"]
    assert sorted(file.parts[-1] for file in files) == sorted(
        ['it\'s "mine".png', "🐝 bee.png", "caf\\xe9.png", "new\\nline.png"]
    )
    assert all(source.read(file) == TINY for file in files)


def test_names_of_old_zips_are_read_as_utf8_where_they_are(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("bees/bee-XX.png", TINY)
        archive.writestr("ants/1.png", TINY)
    (tmp_path / "set.zip").write_bytes(stream.getvalue().replace(b"bee-XX", "bee-é".encode()))
    assert "bees/bee-é.png" in [file.name for file in open_source(tmp_path).files()]
