"""How people's sets of photos are read: each test is a rule of docs/data.md, with what is asked about or refused."""

import json
import unicodedata

import pytest

from contract.failure import JobFailure
from contract.photo_set import names
from contract.photo_set.questions import TwoReadings
from contract.photo_set.words import split_of
from tests.photo_trees import photos, placed, read, write_tree


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set/training_set", "test_set/test_set"), ("train_images", "test_images"), ("trainset", "testset"),
        ("Train Images", "Test Images"), ("train_data", "test_data"), ("seg_train/seg_train", "seg_test/seg_test"),
        ("train2017", "test2017"), ("TRAIN", "Holdout"), ("flowers_train", "flowers_test"), ("train/images", "test/images"),
    ],
)  # fmt: skip
def test_splits_are_found_as_public_sets_name_them(tmp_path, train, test):
    layout = read(write_tree(tmp_path, photos(f"{train}/cat", f"{train}/dog", f"{test}/cat", f"{test}/dog")))
    assert placed(layout) == {(part, label): 4 for part in ("train", "test") for label in ("cat", "dog")}


def test_splits_may_lie_below_the_classes(tmp_path):
    layout = read(write_tree(tmp_path, photos("cat/train", "dog/train", "cat/test", "dog/test")))
    assert placed(layout) == {(part, label): 4 for part in ("train", "test") for label in ("cat", "dog")}


@pytest.mark.parametrize(
    "classes", [("bus", "car", "train"), ("valid", "invalid"), ("test", "control"), ("dev", "prod")]
)
def test_a_class_may_be_called_like_a_split_where_photos_lie_directly_in_every_folder(tmp_path, classes):
    assert read(write_tree(tmp_path, photos(*classes))).classes == sorted(classes)


def test_a_class_called_train_inside_splits_is_a_class(tmp_path):
    layout = read(write_tree(tmp_path, photos("train/train", "train/bus", "test/train", "test/bus")))
    assert layout.classes == ["bus", "train"] and len(layout.photos) == 16


def test_one_split_beside_classes_is_asked_about_and_the_field_settles_it(tmp_path):
    write_tree(tmp_path, photos("bus", "car", "train/red", "train/blue"))
    with pytest.raises(TwoReadings, match=r'"layout": "class" if .*"layout": "split/class"'):
        read(tmp_path)
    assert read(tmp_path, layout="class").classes == ["bus", "car", "train"]


def test_a_folder_beside_the_splits_with_the_same_classes_is_asked_about(tmp_path):
    write_tree(tmp_path, photos("train/a", "train/b", "test/a", "test/b", "extra/a", "extra/b"))
    with pytest.raises(TwoReadings, match="extra lies beside") as asked:
        read(tmp_path)
    assert asked.value.settled(next(iter(asked.value.answers))) == {"extra": "train"}
    assert placed(read(tmp_path, splits={"extra": "train"}))["train", "a"] == 8
    assert placed(read(tmp_path, splits={"extra": "ignore"}))["train", "a"] == 4


def test_two_levels_of_telling_folders_are_asked_about(tmp_path):
    write_tree(tmp_path, photos("indoor/cat", "indoor/dog", "outdoor/cat", "outdoor/dog"))
    with pytest.raises(TwoReadings, match="two folders deep"):
        read(tmp_path)
    assert read(tmp_path, layout="class").classes == ["indoor", "outdoor"]
    assert read(tmp_path, layout="-/class").classes == ["cat", "dog"]


def test_numbers_and_dates_below_a_class_are_groups_of_it(tmp_path):
    assert read(write_tree(tmp_path, photos("sick/patient_1", "sick/2024-01-02", "well/S7"))).classes == [
        "sick",
        "well",
    ]


def test_a_copy_of_the_set_inside_itself_counts_once_and_other_photos_there_are_refused(tmp_path):
    same = photos("flowers/rose", "flowers/daisy")
    copy = {name.replace("flowers/", "flowers/flowers/"): data for name, data in same.items()}
    layout = read(write_tree(tmp_path / "copy", same | copy))
    assert placed(layout) == {(None, "rose"): 4, (None, "daisy"): 4} and "the same 8 files" in " ".join(layout.notices)
    other = {name: data[::-1] for name, data in copy.items()}
    with pytest.raises(JobFailure, match="a second set, or a copy that differs"):
        read(write_tree(tmp_path / "other", same | other))


def test_what_systems_and_tools_leave_behind_is_told_and_no_class(tmp_path):
    left = ["__MACOSX/ant/._0.jpg", "ant/Thumbs.db", "@eaDir/ant/0.jpg", "lost+found/0.jpg", ".ipynb_checkpoints/0.jpg", 
            "$RECYCLE.BIN/1.jpg", ".AppleDouble/0.jpg", "~$labels.xlsx", ".git/1.jpg", "ant/desktop.ini"]  # fmt: skip
    layout = read(write_tree(tmp_path, photos("ant", "bee") | dict.fromkeys(left, "x")))
    assert placed(layout) == {(None, "ant"): 4, (None, "bee"): 4}
    assert any(
        notice.startswith("10 file(s) or folder(s) that systems and tools leave behind") for notice in layout.notices
    )


def test_an_empty_class_folder_is_told_and_doubted(tmp_path):
    layout = read(write_tree(tmp_path, photos("ant", "bee") | {"wasp/": ""}))
    assert any("wasp" in doubt for doubt in layout.doubts) and any("wasp" in notice for notice in layout.notices)


def test_a_photo_without_ending_is_found_by_its_content(tmp_path):
    jpeg, text = b"\xff\xd8\xff\xe0 and more", b"a note"
    layout = read(write_tree(tmp_path, {"ant/0a1b": jpeg, "ant/0a1c.image": jpeg, "bee/2": jpeg, "bee/notes": text}))
    assert placed(layout) == {(None, "ant"): 2, (None, "bee"): 1}


ROWS = [(f"c{n}.jpg", "cat") for n in range(6)] + [(f"d{n}.jpg", "dog") for n in range(6)]
IMAGES = {f"images/{name}": name for name, _ in ROWS}


@pytest.mark.parametrize(
    ("header", "row", "encoding", "end"),
    [
        ("id,breed", "{stem},{label}", "utf-8", "\n"), ("file_name;label", "{name};{label}", "utf-8", "\n"),
        ("file_name, label", "{name}, {label}", "utf-8", "\r\n"), ("File_Name,Label", "{name},{label}", "utf-8-sig", "\n"),
        ("filename\tclass", "{name}\t{label}", "utf-16", "\r"), ("path|category", "images\\{name}|{label}", "utf-16-le", "\n"),
        ("file_name,label", "{stem}.JPG,{label}", "cp1252", "\n"), ('"file_name","label"', '"{name}","{label}"', "utf-8", "\n"),
        ("image,width,label", "s3://bucket/x/images/{name},7,{label}", "utf-8", "\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("table", ["metadata.csv", "LABELS.CSV", "tables/train.tsv"])
def test_tables_are_read_as_people_write_them(tmp_path, header, row, encoding, end, table):
    lines = [header, *(row.format(name=name, stem=name[:-4], label=label) for name, label in ROWS)]
    layout = read(write_tree(tmp_path, IMAGES | {table: end.join(lines).encode(encoding)}))
    assert placed(layout) == {(None, "cat"): 6, (None, "dog"): 6}


def csv_of(*lines: str) -> str:
    return "\n".join(lines)


def test_labels_of_a_table_beat_folders_and_the_conflict_is_told(tmp_path):
    files = {f"2024-0{n % 3 + 1}/{name}": name for n, (name, _) in enumerate(ROWS)}
    layout = read(
        write_tree(tmp_path, files | {"labels.csv": csv_of("file_name,label", *(f"{n},{c}" for n, c in ROWS))})
    )
    assert layout.classes == ["cat", "dog"] and any("not the folders" in notice for notice in layout.notices)
    assert read(tmp_path, labels="folders").classes == ["2024-01", "2024-02", "2024-03"]


def test_a_bad_line_is_left_out_counted_and_not_fatal(tmp_path):
    lines = ["file_name,label", *(f"{n},{c}" for n, c in ROWS), "c1.jpg", "gone.jpg,cat", ",dog"]
    layout = read(write_tree(tmp_path, IMAGES | {"metadata.csv": csv_of(*lines)}))
    assert len(layout.photos) == 12
    told = " ".join(layout.notices)
    assert (
        "2 line(s) left out, for example line 14" in told
        and "1 file(s) that are not among the photos: gone.jpg" in told
    )


def test_splits_of_a_column_are_kept_and_an_unknown_word_is_refused(tmp_path):
    lines = [f"{name},{label},{'holdout' if name[1] > '3' else 'train'}" for name, label in ROWS]
    layout = read(write_tree(tmp_path, IMAGES | {"metadata.csv": csv_of("file_name,label,split", *lines)}))
    assert placed(layout)["test", "cat"] == 2 and placed(layout)["train", "dog"] == 4
    write_tree(tmp_path, {"metadata.csv": csv_of("file_name,label,split", *lines).replace("holdout", "blue")})
    with pytest.raises(JobFailure, match=r"'blue' \(4\).*\"splits\": \{\"blue\": \"test\"\}"):
        read(tmp_path)
    assert placed(read(tmp_path, splits={"blue": "test"}))["test", "cat"] == 2


def test_splits_that_lists_name_are_kept_and_a_photo_in_two_lists_stops_the_run(tmp_path):
    lists = {f"sagemaker_{part}.lst": csv_of(*(f"{i}\t{c == 'dog':d}\timages/{n}" for i, (n, c) in enumerate(ROWS) if (n[1] > "3") == held))
             for part, held in (("train", False), ("validation", True))}  # fmt: skip
    layout = read(write_tree(tmp_path, IMAGES | lists))
    assert placed(layout) == {("train", "0"): 4, ("train", "1"): 4, ("test", "0"): 2, ("test", "1"): 2}
    write_tree(tmp_path, {"sagemaker_train.lst": lists["sagemaker_train.lst"] + "\n99\t0\timages/c5.jpg"})
    with pytest.raises(JobFailure, match=r"1 photo\(s\) are in more than one of the lists"):
        read(tmp_path)


def test_running_numbers_leave_the_names_and_keep_the_order(tmp_path):
    assert read(write_tree(tmp_path, photos("1.zebra", "2.ant", "3.moose"))).classes == ["zebra", "ant", "moose"]


def test_class_numbers_of_a_list_are_the_positions_in_the_answer_even_where_folders_name_them(tmp_path):
    files = photos("zebra", "ant", "moose")
    lines = [
        f"{i}\t{('zebra', 'ant', 'moose').index(name.split('/')[0])}.000000\t{name}" for i, name in enumerate(files)
    ]
    assert read(write_tree(tmp_path, files | {"all.lst": csv_of(*lines)})).classes == ["zebra", "ant", "moose"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("labels.csv", csv_of("file_name,label", *(f"{n},{c}|{'wt' if i % 2 else 'dr'}" for i, (n, c) in enumerate(ROWS))), "multi-label"),
        ("labels.csv", csv_of("file_name,label", *(f'{n},"[0, 1]"' for n, _ in ROWS)), "multi-label"),
        ("_classes.csv", csv_of("filename,cat,dog", *(f"{n},1,1" for n, _ in ROWS)), "multi-label"),
        ("train.csv", csv_of("file_name,class,xmin,ymin,xmax,ymax", *(f"{n},{c},1,2,3,4" for n, c in ROWS)), "object detection"),
        ("train.csv", csv_of("ImageId,EncodedPixels", *(f"{n},1 2 3" for n, _ in ROWS)), "segmentation"),
        ("o.manifest", csv_of(*(json.dumps({"source-ref": n, "b": {"annotations": []}}) for n, _ in ROWS)), "object detection"),
        ("o.manifest", csv_of(*(json.dumps({"source-ref": n, "m-ref": "s3://x/m.png"}) for n, _ in ROWS)), "segmentation"),
        ("all.lst", csv_of(*(f"{i}\t4\t5\t0.1\t0.2\timages/{n}" for i, (n, _) in enumerate(ROWS))), "several numbers"),
    ],
)  # fmt: skip
def test_other_tasks_are_refused_by_what_they_are(tmp_path, name, text, words):
    with pytest.raises(JobFailure, match=words):
        read(write_tree(tmp_path, IMAGES | {name: text}))


def annotated(photo: str, note: str, parts=("train", "val"), text="0 0.5 0.5 0.2 0.2") -> dict[str, str]:
    """Photos and, beside them or in a tree of their own, a note for each."""
    names = [(part, f"{part}{n}") for part in parts for n in range(6)]
    return {photo.format(part=part, name=name): name for part, name in names} | {
        note.format(part=part, name=name): text for part, name in names
    }


COCO = json.dumps({"info": {}, "images": [], "annotations": [], "categories": []})
VOC = annotated("V/JPEGImages/{name}.jpg", "V/Annotations/{name}.xml", text="<annotation/>")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (annotated("images/{part}/{name}.jpg", "labels/{part}/{name}.txt") | {"data.yaml": "names: [a, b]"}, "YOLO"),
        (annotated("{part}/images/{name}.jpg", "{part}/labels/{name}.txt"), "YOLO"),
        (annotated("{name}.jpg", "{name}.txt", ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")), "YOLO"),  # more than 50
        (VOC | {"V/ImageSets/Main/train.txt": "train0\ntrain1"}, "Pascal VOC"),
        (VOC | {f"V/ImageSets/Main/{c}_train.txt": f"train0 {s}\ntrain1 {-s}" for c, s in (("cat", 1), ("dog", -1))}, "Pascal VOC"),
        (VOC | {f"V/SegmentationClass/train{n}.png": f"mask {n}" for n in range(6)}, "Pascal VOC"),
        (annotated("{part}/{name}.jpg", "{part}/{name}.xml", text="<annotation/>"), "Pascal VOC"),
        (annotated("{part}2017/{name}.jpg", "annotations/instances_{part}2017.json", text=COCO), "COCO"),
        (annotated("{part}/{name}.jpg", "{part}/_annotations.coco.json", text=COCO), "COCO"),
        (annotated("images/{name}.jpg", "result.json", text=COCO), "COCO"),
    ],
)  # fmt: skip
def test_annotation_sets_are_refused_by_what_they_are(tmp_path, files, words):
    with pytest.raises(JobFailure, match=f"{words} writes.*object detection") as refused:
        read(write_tree(tmp_path, files))
    assert "one class for a whole photo" in str(refused.value)


def test_json_that_is_not_cocos_is_not_called_so(tmp_path):
    with pytest.raises(JobFailure, match=r"No line of camera\.json names a photo") as refused:
        read(write_tree(tmp_path, IMAGES | {"camera.json": '{"lens": 50}'}))
    assert "COCO" not in str(refused.value)


def test_notes_beside_photos_in_class_folders_are_no_reason_to_stop(tmp_path):
    assert read(write_tree(tmp_path, annotated("{part}/{name}.jpg", "{part}/{name}.txt", ("cat", "dog")))).classes == [
        "cat",
        "dog",
    ]


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [
        ("o.manifest", '{{"source-ref": "images/{n}", "label": {deep}}}', "nested too deeply"),
        ("metadata.jsonl", '{{"file_name": "{n}", "label": {deep}}}', "nested too deeply"),
        ("labels.csv", "{n},{deep}", "multi-label"),
    ],
)  # fmt: skip
def test_deeply_nested_brackets_end_in_a_sentence_and_one_such_line_is_only_left_out(tmp_path, name, line, words):
    header = ["file_name,label"] if name.endswith("csv") else []
    lines = [line.format(n=n, deep=DEEP) for n, _ in ROWS]
    with pytest.raises(JobFailure, match=words) as refused:
        read(write_tree(tmp_path, IMAGES | {name: csv_of(*header, *lines)}))
    assert len(str(refused.value)) < 800
    if not header:
        plain = [line.format(n=n, deep=json.dumps(c)) for n, c in ROWS]
        layout = read(write_tree(tmp_path, {name: csv_of(lines[0], *plain[1:])}))
        assert placed(layout) == {(None, "cat"): 5, (None, "dog"): 6}
        assert any("1 line(s) left out" in notice and "nested too deeply" in notice for notice in layout.notices)


@pytest.mark.parametrize("number", ["nan", "0.5", "inf", "1e400", "1e30", "cat"])
def test_a_class_number_of_a_list_that_is_not_whole_is_a_bad_line(tmp_path, number):
    lines = [f"{i}\t{i % 2}\timages/{n}" for i, (n, _) in enumerate(ROWS)]
    layout = read(write_tree(tmp_path, IMAGES | {"all.lst": csv_of(*lines[1:], f"0\t{number}\timages/c0.jpg")}))
    assert placed(layout) == {(None, "0"): 5, (None, "1"): 6}
    assert any("1 line(s) left out, for example line 12" in notice for notice in layout.notices)


def test_labels_of_thousands_of_digits_are_names_and_not_numbers(tmp_path):
    rows = [f"{n},{i % 2}{'1' * 5000}" for i, (n, _) in enumerate(ROWS)]
    assert len(read(write_tree(tmp_path, IMAGES | {"labels.csv": csv_of("file_name,label", *rows)})).classes) == 2


def test_one_hot_columns_are_classes(tmp_path):
    rows = [f"{n},{c == 'cat':d}, {c == 'dog':d}" for n, c in ROWS]
    assert placed(read(write_tree(tmp_path, IMAGES | {"_classes.csv": csv_of("filename, cat, dog", *rows)}))) == {
        (None, "cat"): 6, (None, "dog"): 6,
    }  # fmt: skip


def test_two_columns_that_may_be_the_class_are_asked_about_and_a_column_settles_it(tmp_path):
    rows = [f"{n},{c},{'wild' if i % 2 else 'tame'}" for i, (n, c) in enumerate(ROWS)]
    write_tree(tmp_path, IMAGES | {"labels.csv": csv_of("id,kind,nature", *rows)})
    with pytest.raises(TwoReadings, match=r'"labels": "labels.csv:kind"'):
        read(tmp_path)
    assert read(tmp_path, labels="labels.csv:nature").classes == ["tame", "wild"]


def test_a_further_column_beside_class_folders_is_a_facet(tmp_path):
    write_tree(
        tmp_path, photos("ant", "bee") | {"metadata.csv": csv_of("file_name,camera", "ant/0.jpg,old", "bee/1.jpg,new")}
    )
    assert {photo.file.name: photo.facets["camera"] for photo in read(tmp_path).photos if photo.facets["camera"]} == {
        "ant/0.jpg": "old", "bee/1.jpg": "new",
    }  # fmt: skip


def test_one_name_in_two_unicode_forms_is_one_class_in_folders_tables_and_splits(tmp_path):
    one, two = (unicodedata.normalize(form, "Käfer") for form in ("NFC", "NFD"))
    layout = read(write_tree(tmp_path, photos(f"train/{one}", "train/ant", f"test/{two}", "test/ant")))
    assert layout.classes == ["Käfer", "ant"] and not layout.alike


def test_names_that_differ_by_case_or_spaces_are_doubted_and_can_be_merged(tmp_path):
    write_tree(tmp_path, photos("Bees", "ants") | photos("bees ", first=9))
    assert any("'Bees' and 'bees '" in doubt for doubt in read(tmp_path).doubts)
    assert placed(read(tmp_path, alike_names="merge")) == {(None, "Bees"): 8, (None, "ants"): 4}


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        (["001.Affenpinscher", "002.Afghan", "003.Airedale"], False), (["0_rose", "1_tulip", "2_daisy"], False),
        (["10 euro", "20 euro", "50 euro"], True), (["1 cent", "2 coins", "3 notes"], True), (["1_star", "2_stars", "3_stars"], True),
        (["2.door", "4.door"], True), (["2.door", "sedan"], True), (["001.a", "003.b"], True), (["0-5 years", "6-9 years"], True),
    ],
)  # fmt: skip
def test_only_running_numbers_are_cut_off_a_class_name(labels, kept):
    assert (names.without_running_numbers(labels) is None) == kept


def test_numbered_classes_are_in_numerical_order():
    assert names.in_order(str(n) for n in range(12)) == [str(n) for n in range(12)]
    assert names.in_order(["class 10", "class 2", "b", "B"]) == ["B", "b", "class 2", "class 10"]


def test_all_classes_that_are_tested_and_never_trained_are_named_together(tmp_path):
    with pytest.raises(JobFailure, match=r"'x' is in test.*'y' is in test"):
        read(write_tree(tmp_path, photos("train/a", "train/b", "test/a", "test/x", "test/y")))


@pytest.mark.parametrize(
    "word", ["station", "trainer", "validity", "contest", "unit_test", "evaluate me", "training wheels"]
)
def test_a_word_that_only_holds_a_split_is_none(word):
    assert split_of(word) is None
