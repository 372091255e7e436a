"""Trees, tables and names at random, against an oracle that knows what it wrote: the generator never asks the reader's own code.

Each set is drawn as its truth first (photo → class and split), and is then written in one of the ways in which people write sets.
"""

import csv
import io
import random
import tempfile
import unicodedata
from pathlib import Path

from hypothesis import given, note, settings
from hypothesis import strategies as st

from contract.failure import JobFailure
from tests.photo_trees import nfc, read, write_tree

WORDS = (
    "ant",
    "Bee",
    "wasp",
    "Käfer",
    "蜂",
    "été rouge",
    "Ñandú",
    "new york",
    "sedan 2.0",
    "=1+1",
    "@home",
    "-minus",
    "café",
    "no tumor",
)
SPLITS = {
    "train": ("train", "training", "Train", "train_images", "trainset", "Train Images", "training_set"),
    "validation": ("val", "valid", "validation", "Validation", "val_data", "dev"),
    "test": ("test", "testing", "TEST", "test_images", "test set", "holdout"),
}
JUNK = (
    "Thumbs.db",
    ".DS_Store",
    "desktop.ini",
    "__MACOSX/._x.jpg",
    "@eaDir/x.jpg",
    "lost+found/y.jpg",
    "._0.jpg",
    ".ipynb_checkpoints/c.jpg",
)
HEADERS = (
    ("file_name", "label"),
    ("filename", "class"),
    ("Image", "Category"),
    ("id", "target"),
    ("image_path", "class_name"),
    ("path", "Label"),
)


@st.composite
def sets(draw):
    """(truth, files): truth by a photo's own number; files by relative path, whose content is that number."""
    classes = draw(st.lists(st.sampled_from(WORDS), min_size=2, max_size=5, unique_by=lambda w: w.casefold()))
    given_parts = draw(st.sampled_from([(), ("train", "test"), ("train", "validation", "test")]))
    each = draw(st.integers(2, 4))
    truth = {}
    for part in given_parts or (None,):
        for label in classes:
            for _ in range(each):
                truth[len(truth)] = (label, part)
    return truth, given_parts


def folder_files(draw, truth, parts) -> dict[str, str]:
    words = {part: draw(st.sampled_from(SPLITS[part])) for part in parts}
    form = draw(st.sampled_from(["NFC", "NFD"]))
    ending = draw(st.sampled_from(["jpg", "JPG", "jpeg", "png", "jfif", "webp"]))
    below = draw(st.booleans()) and bool(parts)
    doubled = draw(st.booleans()) and not below
    around = draw(st.sampled_from(["", "my photos/", "a/b/"]))
    files = {}
    for number, (label, part) in truth.items():
        folder = unicodedata.normalize(form, label)
        if part:
            word = f"{words[part]}/{words[part]}" if doubled else words[part]
            folder = f"{folder}/{word}" if below else f"{word}/{folder}"
        files[f"{around}{folder}/{number}.{ending}"] = f"photo {number}"
    return files


def table_files(draw, truth, parts) -> dict[str, bytes]:
    """One table with the labels; the photos lie anywhere: flat, by date, or in folders that say nothing."""
    rng = random.Random(draw(st.integers(0, 99)))
    folders = draw(st.sampled_from([["images"], ["2024-01", "2024-02"], ["x/y"], ["camera_1", "camera_2"]]))
    file_name, label_name = draw(st.sampled_from(HEADERS))
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    style = draw(st.sampled_from(["name", "stem", "path", "backslash", "uri"]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    words = {part: draw(st.sampled_from(SPLITS[part])) for part in parts}
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=end)
    writer.writerow([file_name, "camera", label_name, *(["split"] if parts else [])])
    files: dict[str, bytes] = {}
    order = list(truth)
    rng.shuffle(order)
    for number in order:
        label, part = truth[number]
        folder = rng.choice(folders)
        files[f"{folder}/p{number}.jpg"] = f"photo {number}".encode()
        shown = {"name": f"p{number}.jpg", "stem": f"p{number}", "path": f"{folder}/p{number}.jpg",
                 "backslash": f"{folder}/p{number}.jpg".replace("/", "\\"),
                 "uri": f"s3://some/where/{folder}/p{number}.jpg"}[style]  # fmt: skip
        writer.writerow(
            [
                shown,
                rng.choice(["old", "new"]),
                unicodedata.normalize(rng.choice(["NFC", "NFD"]), label),
                *([words[part]] if part else []),
            ]
        )
    name = draw(st.sampled_from(["metadata.csv", "labels.csv", "METADATA.CSV", "tables/all.tsv", "annotations.txt"]))
    return {**files, name: stream.getvalue().encode(encoding)}


def expected(truth, parts):
    """With two parts the held-out one is the test set; here it always is one already."""
    return {f"photo {number}": (nfc(label), part) for number, (label, part) in truth.items()}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_way_of_writing_a_set_is_read_as_what_was_written(data):
    truth, parts = data.draw(sets())
    write = data.draw(st.sampled_from([folder_files, table_files]))
    files = write(data.draw, truth, parts)
    junk = {name: "junk" for name in data.draw(st.lists(st.sampled_from(JUNK), max_size=3, unique=True))}
    note(f"{sorted(files)[:6]}")
    with tempfile.TemporaryDirectory() as scratch:
        root = write_tree(Path(scratch), files | junk)
        layout = read(root)
        numbers = {Path(photo.file.handle).read_text(): (photo.label, photo.split) for photo in layout.photos}
    assert numbers == expected(truth, parts)
    assert not layout.alike
    for name in junk:
        assert any("leave behind" in notice for notice in layout.notices), name


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_set_with_a_fault_is_never_read_in_silence(data):
    """A photo that nobody labelled, a line without its photo, a conflict, a stray folder: refused, or told with its name."""
    truth, parts = data.draw(sets())
    fault = data.draw(st.sampled_from(["unlabelled", "missing", "loose", "empty", "other"]))
    files = (table_files if fault in ("unlabelled", "missing") else folder_files)(data.draw, truth, parts)
    name = "stranger-77"
    if fault == "missing":
        table = next(name for name in files if not name.endswith(".jpg"))
        encoding = "utf-16" if files[table].startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
        text = files[table].decode(encoding)
        end = "\r\n" if "\r\n" in text else "\r" if "\r" in text else "\n"
        last = text.rstrip(end).split(end)[-1]
        number = max(truth)
        files[table] = (text + last.replace(f"p{number}", name) if f"p{number}" in last else text + last).encode(
            encoding
        )
        if name not in files[table].decode(encoding):
            return
    else:
        added = {
            "unlabelled": f"images/{name}.jpg",
            "loose": f"{name}.jpg",
            "empty": f"{name}/",
            "other": f"{name}.pdf",
        }[fault]
        top = (
            next(iter(files)).split("/")[0]
            if fault == "empty" and next(iter(files)).startswith(("my photos", "a/"))
            else ""
        )
        files[f"{top}/{added}" if top == "my photos" else "a/b/" + added if top == "a" else added] = "a stranger"
    with tempfile.TemporaryDirectory() as scratch:
        root = write_tree(Path(scratch), files)
        try:
            layout = read(root)
        except JobFailure as failure:
            assert "dataset:" in str(failure)
            return
    assert not any(name in photo.file.name for photo in layout.photos)
    assert any(name in notice for notice in layout.notices), layout.notices
