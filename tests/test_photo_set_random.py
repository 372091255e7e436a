"""Trees, tables and names at random, against an oracle that knows what it wrote: the generator never asks the reader's own code.

Each set is drawn as its truth first (photo → class and split), and is then written in one of the ways in which people write sets.
"""

import csv
import io
import json
import random
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from contract.failure import JobFailure
from contract.photo_set.splits import refuse_small
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
    """A folder for each class, in either order with the parts; sometimes around all, with a copy of the whole inside itself."""
    words = {part: draw(st.sampled_from(SPLITS[part])) for part in parts}
    form = draw(st.sampled_from(["NFC", "NFD"]))
    ending = draw(st.sampled_from(["jpg", "JPG", "jpeg", "png", "jfif", "webp"]))
    below = draw(st.booleans()) and bool(parts)
    doubled = draw(st.booleans()) and not below
    around = draw(st.sampled_from(["", "my photos/", "a/b/"]))
    copied = draw(st.booleans()) and around == "my photos/"
    files = {}
    for number, (label, part) in truth.items():
        folder = unicodedata.normalize(form, label)
        if part:
            word = f"{words[part]}/{words[part]}" if doubled else words[part]
            folder = f"{folder}/{word}" if below else f"{word}/{folder}"
        files[f"{around}{folder}/{number}.{ending}"] = f"photo {number}"
        if copied:
            files[f"{around}{around}{folder}/{number}.{ending}"] = f"photo {number}"
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
    columns = [file_name, "camera", label_name, *(["split"] if parts else [])]
    turned = draw(st.sampled_from([list, reversed]))
    above = draw(st.sampled_from(["", "# exported by a tool", f"sep={delimiter}", f"My project{delimiter}"]))
    stream.write(above + end if above else "")
    writer.writerow(turned(columns))
    again = draw(st.integers(0, len(truth)))  # a header that stands twice, after so many rows
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
        if (again := again - 1) == 0:
            writer.writerow(turned(columns))
        cells = [shown, rng.choice(["old", "new"]), unicodedata.normalize(rng.choice(["NFC", "NFD"]), label)]
        writer.writerow(turned([*cells, *([words[part]] if part else [])]))
    name = draw(st.sampled_from(["metadata.csv", "labels.csv", "METADATA.CSV", "tables/all.tsv", "annotations.txt"]))
    return {**files, name: stream.getvalue().encode(encoding)}


def json_files(draw, truth, parts) -> dict[str, str]:
    """The same truth as records, as lines, as labels by path, or as paths by class."""
    files = {f"images/p{number}.jpg": f"photo {number}" for number in truth}
    row = {number: {"image": f"p{number}.jpg", "label": label} | ({"split": part} if part else {})
           for number, (label, part) in truth.items()}  # fmt: skip
    shapes = ["records", "lines", "nested"] + ([] if parts else ["by path", "by class"])
    shape = draw(st.sampled_from(shapes))
    if shape == "records":
        return files | {"labels.json": json.dumps(list(row.values()), ensure_ascii=draw(st.booleans()))}
    if shape == "by path":
        return files | {"labels.json": json.dumps({one["image"]: one["label"] for one in row.values()})}
    if shape == "by class":
        labels = dict.fromkeys(label for label, _ in truth.values())
        by_class = {c: [row[n]["image"] for n, (label, _) in truth.items() if label == c] for c in labels}
        return files | {"labels.json": json.dumps(by_class)}
    if shape == "nested":  # the label is the text of an object
        row = {number: one | {"label": {"id": number, "name": one["label"]}} for number, one in row.items()}
    return files | {"metadata.jsonl": "\n".join(json.dumps(one) for one in row.values())}


def list_files(draw, truth, parts) -> dict[str, str]:
    """Class folders, and beside them lists of the paths of each part, as Food-101 and many others have them."""
    if not parts:
        return folder_files(draw, truth, parts)
    files = {f"images/{label}/{number}.jpg": f"photo {number}" for number, (label, _) in truth.items()}
    ending, before = draw(st.booleans()), draw(st.sampled_from(["", "images/", "./images/"]))
    for part in parts:
        named = [f"{before}{label}/{n}{'.jpg' if ending else ''}" for n, (label, of) in truth.items() if of == part]
        files[f"meta/{draw(st.sampled_from([part, f'my_{part}', part.upper()]))}.txt"] = "\n".join(named)
    return files


def expected(truth, parts):
    """With two parts the held-out one is the test set; here it always is one already."""
    return {f"photo {number}": (nfc(label), part) for number, (label, part) in truth.items()}


@settings(max_examples=90, deadline=None)
@given(data=st.data())
def test_any_way_of_writing_a_set_is_read_as_what_was_written(data):
    truth, parts = data.draw(sets())
    write = data.draw(st.sampled_from([folder_files, table_files, json_files, list_files]))
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


NUMBERED = ("{place:03d}.{name}", "{place}_{name}", "{place:02d} - {name}")
LIKE_PARTS = ("train", "test", "valid", "dev", "bus", "car", "invalid", "control", "plane")
MEANT = (
    "{number} euro",
    "{number}.door",
    "{number}-{next} years",
    "{number} - {next} rooms",
    "{name} {number}",
    "{name}{number}",
)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_numbers_are_cut_off_where_they_run_and_stay_where_they_mean_something(data):
    plain = data.draw(
        st.lists(
            st.sampled_from(["ape", "bat", "cow", "dog", "eel", "fox", "gnu"]), min_size=3, max_size=7, unique=True
        )
    )
    first = data.draw(st.integers(0, 1))
    runs = data.draw(st.booleans())
    pattern = data.draw(st.sampled_from(NUMBERED if runs else MEANT))
    numbers = data.draw(st.lists(st.integers(1, 99), min_size=len(plain), max_size=len(plain), unique=True))
    shown = [
        pattern.format(place=first + at, name=name if runs else "size", number=number, next=number + 1)
        for at, (name, number) in enumerate(zip(plain, sorted(numbers), strict=True))
    ]
    with tempfile.TemporaryDirectory() as scratch:
        layout = read(write_tree(Path(scratch), {f"{name}/{n}.jpg": f"{name} {n}" for name in shown for n in range(3)}))
    assert layout.classes == (plain if runs else shown)  # in the order of their numbers


@settings(max_examples=40, deadline=None)
@given(
    names=st.lists(st.sampled_from(LIKE_PARTS), min_size=3, max_size=6, unique=True),
    numbers=st.integers(0, 11),
)
def test_classes_may_be_called_like_parts_and_class_numbers_are_places_in_the_answer(names, numbers):
    """Photos directly in every folder, at least one of which names no part; and a list with class numbers in any order."""
    files = {f"{name}/{n}.jpg": f"{name} {n}" for name in [*names, "zebra"] for n in range(3)}
    with tempfile.TemporaryDirectory() as scratch:
        assert set(read(write_tree(Path(scratch), files)).classes) == {*names, "zebra"}
    count = numbers + 2
    rows = [(n, n % count, f"im/p{n}.jpg") for n in range(3 * count)]
    random.Random(numbers).shuffle(rows)
    lines = "".join(f"{at}\t{number}.000000\t{path}\n" for at, number, path in rows)
    with tempfile.TemporaryDirectory() as scratch:
        root = write_tree(Path(scratch), {path: path for _, _, path in rows} | {"all.lst": lines})
        layout = read(root)
    assert layout.classes == [str(number) for number in range(count)]
    assert {photo.file.name: photo.label for photo in layout.photos} == {path: str(number) for _, number, path in rows}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_all_classes_that_cannot_be_learnt_are_named_at_once(data):
    """Too few photos, or tested and never trained: whichever classes were drawn so, each is named, and no other."""
    names = [f"kind{letter}" for letter in "abcdefgh"]
    bad = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=5, unique=True))
    in_parts = data.draw(st.booleans())
    files = {}
    for name in names:
        if in_parts:
            files |= {f"{part}/{name}/{n}.jpg": f"{part} {name} {n}" for part in ("train", "test") for n in range(3)
                      if part == "test" or name not in bad}  # fmt: skip
        else:
            files |= {f"{name}/{n}.jpg": f"{name} {n}" for n in range(2 if name in bad else 5)}
    with tempfile.TemporaryDirectory() as scratch, pytest.raises(JobFailure) as refused:
        refuse_small(read(write_tree(Path(scratch), files)))
    told = str(refused.value).partition("allowed")[0].partition("Give both")[0]
    assert {name for name in names if f"'{name}'" in told.replace("Did you mean", "")} >= set(bad)
    assert in_parts or {name for name in names if f"'{name}'" in told} == set(bad)
