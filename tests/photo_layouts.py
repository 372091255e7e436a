"""Sets of photos as public sites, tools and people have them, each with what a person would read in it.

`tests/test_photo_set_layouts.py` reads them, and `docs/images/layouts/` draws some of them: a picture shows what a test reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Files = dict[str, Any]


@dataclass(frozen=True)
class Set:
    """`placed`: photos by (split, class); `refused`: words of the refusal; `told`: words of the notes; `doubted`: needs a yes."""

    name: str
    files: Files
    placed: Mapping[tuple[str | None, str], int] = field(default_factory=dict)
    refused: str = ""
    told: tuple[str, ...] = ()
    doubted: bool = False
    asked: Mapping[str, Any] = field(default_factory=dict)
    order: tuple[str, ...] = ()


def photos(*places: str, each: int = 4) -> Files:
    return {f"{place}/{n}.jpg": f"{place} {n}" for place in places for n in range(each)}


def named(pattern: str, count: int, **values: Any) -> Files:
    """Photos whose names are the pattern with `n`."""
    return {(name := pattern.format(n=n, **values)): name for n in range(count)}


def table(*rows: Sequence[Any], between: str = ",") -> str:
    return "".join(between.join(map(str, row)) + "\n" for row in rows)


def drawn(*labels: str, each: int = 4) -> dict[tuple[str | None, str], int]:
    return {(None, label): each for label in labels}


def parts(labels: Iterable[str], **counts: int) -> dict[tuple[str | None, str], int]:
    return {(part, label): count for label in labels for part, count in counts.items()}


TWO = ("cat", "dog")
FLAT = named("im/p{n}.jpg", 8)
ROWS = [(f"p{n}.jpg", TWO[n % 2]) for n in range(8)]
IDS = [f"{n:04x}" for n in range(8)]
BOX = ("Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId", "Path")
PETS = ("Abyssinian", "Maine_Coon", "american_bulldog")

KAGGLE = [
    Set(
        "Kaggle: ids without ending, a test without labels",
        {f"train/{one}.jpg": one for one in IDS}
        | {f"test/t{one}.jpg": one for one in IDS}
        | {
            "labels.csv": table(("id", "breed"), *((one, TWO[n % 2]) for n, one in enumerate(IDS))),
            "sample_submission.csv": table(("id", "cat", "dog"), *(("t" + one, 0.5, 0.5) for one in IDS)),
        },
        drawn(*TWO),
        told=("8 photo(s) not named in labels.csv",),
        doubted=True,
    ),
    Set(
        "Kaggle: the same ids in train and test",
        named("train/{n}.png", 8)
        | named("test/{n}.png", 8)
        | {"trainLabels.csv": table(("id", "label"), *((n, TWO[n % 2]) for n in range(8)))},
        drawn(*TWO),
        doubted=True,
    ),
    Set(
        "Kaggle: ids that lost their zeros",
        named("train/{n:05d}.png", 8) | {"train.csv": table(("id", "label"), *((n, TWO[n % 2]) for n in range(8)))},
        drawn(*TWO),
    ),
    Set(
        "ids that pandas wrote as numbers with a point",
        named("train/{n}.png", 8) | {"train.csv": table(("id", "label"), *((f"{n}.0", TWO[n % 2]) for n in range(8)))},
        drawn(*TWO),
    ),
    Set(
        "Kaggle's cats and dogs: a test1 without classes",
        {f"train/{c}.{n}.jpg": f"{c}{n}" for c in TWO for n in range(6)} | named("test1/{n}.jpg", 6),
        refused='"layout": "split/name"',
    ),
    Set(
        "Kaggle's cats and dogs: classes in the names",
        {f"train/{c}.{n}.jpg": f"{c}{n}" for c in TWO for n in range(6)} | named("test1/{n}.jpg", 6),
        drawn(*TWO, each=6),
        asked={"layout": "split/name"},
        doubted=True,
    ),
    Set(
        "a table of paths with class numbers that are names of photos, too",
        photos("train/cat", "train/dog", "test/cat", "test/dog")
        | {
            "birds.csv": table(
                ("class id", "filepaths", "labels", "data set"),
                *(
                    (k, f"{s}/{c}/{n}.jpg", c, s)
                    for s in ("train", "test")
                    for k, c in enumerate(TWO)
                    for n in range(4)
                ),
            )
        },
        parts(TWO, train=4, test=4),
    ),
    Set(
        "a table of class names beside class folders",
        photos(*TWO) | {"class_dict.csv": table(("class_index", "class", "height"), (0, "cat", 224), (1, "dog", 224))},
        drawn(*TWO),
        told=("class_dict.csv",),
    ),
    Set(
        "lesions in two heaps of photos",
        {f"HAM10000_images_part_{1 + n % 2}/ISIC_{n:07d}.jpg": str(n) for n in range(8)}
        | {
            "HAM10000_metadata.csv": table(
                ("lesion_id", "image_id", "dx", "age"),
                *((n // 2, f"ISIC_{n:07d}", ("nv", "mel")[n % 2], 50) for n in range(8)),
            )
        },
        drawn("mel", "nv"),
    ),
    Set("heaps of photos without a table", photos("images_001", "images_002"), refused="parts of one heap"),
    Set(
        "one-hot columns of lesions",
        named("Training_Input/ISIC_{n:07d}.jpg", 6)
        | {
            "Training_GroundTruth.csv": table(
                ("image", "MEL", "NV", "UNK"),
                *((f"ISIC_{n:07d}", float(n % 2), float(1 - n % 2), 0.0) for n in range(6)),
            )
        },
        drawn("MEL", "NV", each=3),
    ),
    Set(
        "chest photos with several findings",
        {f"images_{k:03d}/images/{k}{n}_000.png": f"{k}{n}" for k in (1, 2) for n in range(4)}
        | {
            "Data_Entry_2017.csv": table(
                ("Image Index", "Finding Labels", "Age"),
                *(
                    (f"{k}{n}_000.png", ("Nothing", "Mass", "Mass|Nodule", "Nodule")[n], 40)
                    for k in (1, 2)
                    for n in range(4)
                ),
            )
        },
        refused="several labels",
    ),
]

PUBLIC = [
    Set(
        "ImageNet: synsets, a test without classes",
        photos("Data/train/n01440764", "Data/train/n01443537")
        | named("Data/test/ILSVRC2012_test_{n:08d}.JPEG", 6)
        | {"LOC_synset_mapping.txt": "n01440764 tench, Tinca tinca\nn01443537 goldfish\n"},
        drawn("n01440764", "n01443537"),
        doubted=True,
    ),
    Set(
        "Tiny ImageNet: classes of val in a list",
        {f"train/n0{k}/images/n0{k}_{n}.JPEG": f"{k}{n}" for k in range(3) for n in range(4)}
        | {
            f"train/n0{k}/n0{k}_boxes.txt": table(*((f"n0{k}_{n}.JPEG", 0, 10, 63, 58) for n in range(4)), between="\t")
            for k in range(3)
        }
        | named("val/images/val_{n}.JPEG", 6)
        | named("test/images/test_{n}.JPEG", 6)
        | {
            "val/val_annotations.txt": table(
                *((f"val_{n}.JPEG", f"n0{n % 3}", n, 32, 44, 62) for n in range(6)), between="\t"
            ),
            "wnids.txt": "n00\nn01\nn02\n",
        },
        parts(("n00", "n01", "n02"), train=4, test=2),
        doubted=True,
    ),
    Set(
        "CIFAR as folders",
        photos("train/airplane", "train/automobile", "test/airplane", "test/automobile")
        | {"labels.txt": "airplane\nautomobile\n"},
        parts(("airplane", "automobile"), train=4, test=4),
    ),
    Set(
        "Oxford pets: one folder, classes in the names",
        {f"images/{breed}_{n}.jpg": f"{breed}{n}" for breed in PETS for n in range(1, 5)},
        refused='"layout": "name"',
    ),
    Set(
        "Oxford pets: trimaps and lists",
        {f"images/{breed}_{n}.jpg": f"{breed}{n}" for breed in PETS for n in range(1, 5)}
        | {f"annotations/trimaps/{breed}_{n}.png": f"mask {breed}{n}" for breed in PETS for n in range(1, 5)}
        | {
            f"annotations/{part}.txt": table(
                *((f"{breed}_{n}", k + 1, 1, k + 1) for k, breed in enumerate(PETS) for n in numbers), between=" "
            )
            for part, numbers in (("trainval", (1, 2, 3)), ("test", (4,)))
        },
        refused="masks|several columns",
    ),
    Set(
        "Food-101: lists of paths without ending",
        {f"images/{c}/{1000 + n}.jpg": f"{c}{n}" for c in ("apple_pie", "baklava") for n in range(6)}
        | {
            "meta/train.txt": "".join(f"{c}/{1000 + n}\n" for c in ("apple_pie", "baklava") for n in range(4)),
            "meta/test.txt": "".join(f"{c}/{1000 + n}\n" for c in ("apple_pie", "baklava") for n in (4, 5)),
            "meta/classes.txt": "apple_pie\nbaklava\n",
        },
        parts(("apple_pie", "baklava"), train=4, test=2),
    ),
    Set(
        "Food-101: the same lists as JSON",
        {f"images/{c}/{1000 + n}.jpg": f"{c}{n}" for c in ("apple_pie", "baklava") for n in range(6)}
        | {
            "meta/train.json": json.dumps({c: [f"{c}/{1000 + n}" for n in range(4)] for c in ("apple_pie", "baklava")}),
            "meta/test.json": json.dumps({c: [f"{c}/{1000 + n}" for n in (4, 5)] for c in ("apple_pie", "baklava")}),
        },
        parts(("apple_pie", "baklava"), train=4, test=2),
    ),
    Set(
        "Stanford dogs",
        photos("Images/n02085620-Chihuahua", "Images/n02085782-Japanese_spaniel")
        | {"Annotation/n02085620-Chihuahua/n02085620_7": "<annotation>"},
        drawn("n02085620-Chihuahua", "n02085782-Japanese_spaniel"),
    ),
    Set(
        "PlantVillage",
        photos("Tomato___Late_blight", "Tomato___healthy", "Apple___healthy"),
        drawn("Tomato___Late_blight", "Tomato___healthy", "Apple___healthy"),
    ),
    Set(
        "PlantVillage: three versions of each photo",
        photos(*(f"{v}/{c}" for v in ("color", "grayscale") for c in TWO)),
        refused="two folders deep",
    ),
    Set(
        "traffic signs: a list for the test, folders for training",
        {f"Train/{k}/{k:05d}_{n}.png": f"{k}{n}" for k in range(3) for n in range(4)}
        | named("Test/{n:05d}.png", 6)
        | {
            "Train.csv": table(
                BOX, *((27, 26, 5, 5, 22, 20, k, f"Train/{k}/{k:05d}_{n}.png") for k in range(3) for n in range(4))
            ),
            "Test.csv": table(BOX, *((27, 26, 5, 5, 22, 20, n % 3, f"Test/{n:05d}.png") for n in range(6))),
        },
        parts("012", train=4, test=2),
        order=("0", "1", "2"),
    ),
    Set(
        "class folders for training, a table for the test",
        photos("train/cat", "train/dog")
        | named("test/t{n}.jpg", 6)
        | {"test_labels.csv": table(("image", "label"), *((f"t{n}.jpg", TWO[n % 2]) for n in range(6)))},
        parts(TWO, train=4, test=3),
        told=("folders with the same names",),
    ),
    Set(
        "weeds: a table with names, lists with numbers",
        named("images/{n}.jpg", 8)
        | {
            "labels/labels.csv": table(
                ("Filename", "Label", "Species"), *((f"{n}.jpg", n % 2, TWO[n % 2]) for n in range(8))
            )
        }
        | {
            f"labels/{part}_subset0.csv": table(("Filename", "Label"), *((f"{n}.jpg", n % 2) for n in numbers))
            for part, numbers in (("train", range(4)), ("val", (4, 5)), ("test", (6, 7)))
        },
        parts(TWO, train=2, validation=1, test=1),
    ),
    Set(
        "lists that begin with the name of the set",
        named("images/{n}.jpg", 8)
        | {
            f"ISIC_2019_{part}_GroundTruth.csv": table(("image", "label"), *((n, TWO[n % 2]) for n in numbers))
            for part, numbers in (("Training", range(6)), ("Test", (6, 7)))
        },
        parts(TWO, train=3, test=1),
    ),
    Set(
        "fastai: a column is_valid",
        {f"train/{one}.jpg": one for one in IDS}
        | {f"valid/v{one}.jpg": one for one in IDS}
        | {
            "train.csv": table(
                ("fname", "label", "is_valid"),
                *((f"train/{one}.jpg", TWO[n % 2], False) for n, one in enumerate(IDS)),
                *((f"valid/v{one}.jpg", TWO[n % 2], True) for n, one in enumerate(IDS)),
            )
        },
        parts(TWO, train=4, test=4),
    ),
    Set(
        "faces: a list for each part, several columns, one chosen",
        named("train/{n}.jpg", 8)
        | named("val/{n}.jpg", 8)
        | {
            f"{s}_labels.csv": table(
                ("file", "age", "gender"),
                *((f"{s}/{n}.jpg", ("0-2", "3-9")[n // 2 % 2], ("F", "M")[n % 2]) for n in range(8)),
            )
            for s in ("train", "val")
        },
        parts("FM", train=4, test=4),
        asked={"labels": "train_labels.csv:gender"},
    ),
    Set(
        "celebrities: attributes of -1 and 1, partitions",
        named("img/{n:06d}.jpg", 12)
        | {
            "list_attr_celeba.csv": table(
                ("image_id", "Male"), *((f"{n:06d}.jpg", 1 if n % 2 else -1) for n in range(12))
            ),
            "list_eval_partition.csv": table(("image_id", "partition"), *((f"{n:06d}.jpg", n // 4) for n in range(12))),
        },
        parts(("-1", "1"), train=2, validation=2, test=2),
        asked={"labels": "list_attr_celeba.csv:Male"},
    ),
]

TOOLS = [
    Set(
        "Roboflow: one-hot _classes.csv in each part",
        {f"{s}/{s}{n}_jpg.rf.0a{n}.jpg": f"{s}{n}" for s in ("train", "valid", "test") for n in range(4)}
        | {
            f"{s}/_classes.csv": table(
                ("filename", " cat", " dog"), *((f"{s}{n}_jpg.rf.0a{n}.jpg", n % 2, 1 - n % 2) for n in range(4))
            )
            for s in ("train", "valid", "test")
        }
        | {"README.roboflow.txt": "pets"},
        parts(TWO, train=2, validation=2, test=2),
    ),
    Set(
        "Roboflow: several labels",
        {f"{s}/{s}{n}.jpg": f"{s}{n}" for s in ("train", "valid") for n in range(4)}
        | {
            f"{s}/_classes.csv": table(("filename", " cat", " dog"), *((f"{s}{n}.jpg", 1, n % 2) for n in range(4)))
            for s in ("train", "valid")
        },
        refused="several labels",
    ),
    Set(
        "Hugging Face: a metadata.csv in each part",
        {f"data/{s}/{s}{n}.png": f"{s}{n}" for s in ("train", "test") for n in range(4)}
        | {
            f"data/{s}/metadata.csv": table(("file_name", "label"), *((f"{s}{n}.png", n % 2) for n in range(4)))
            for s in ("train", "test")
        },
        parts("01", train=2, test=2),
    ),
    Set(
        "Hugging Face: photos inside of Parquet",
        {"data/train-00000-of-00001.parquet": b"PAR1 PAR1"},
        refused="docs/data.md has a program",
    ),
    Set(
        "Parquet beside class folders",
        photos(*TWO) | {"data/train.parquet": b"PAR1 PAR1"},
        drawn(*TWO),
        told=("not read: unpack",),
        doubted=True,
    ),
    Set(
        "a zip beside class folders",
        photos(*TWO) | {"more.zip": b"PK"},
        drawn(*TWO),
        told=("not read: unpack",),
        doubted=True,
    ),
    Set(
        "a table of LibreOffice beside class folders",
        photos(*TWO) | {"labels.ods": b"PK"},
        drawn(*TWO),
        told=("Save as CSV",),
        doubted=True,
    ),
    Set(
        "a table of old Excel beside photos", FLAT | {"labels.xls": b"\xd0\xcf\x11\xe0"}, refused=r"labels\.xls.*as CSV"
    ),
    Set(
        "a workbook under the name of a CSV",
        FLAT | {"labels.csv": b"\xd0\xcf\x11\xe0" + bytes(600)},
        refused="workbook of Excel 97",
    ),
    Set(
        "Ground Truth",
        named("im/{n}.jpg", 8)
        | {
            "output/output.manifest": "".join(
                json.dumps(
                    {
                        "source-ref": f"s3://b/im/{n}.jpg",
                        "pets": n % 2,
                        "pets-metadata": {"class-name": TWO[n % 2], "type": "groundtruth/image-classification"},
                    }
                )
                + "\n"
                for n in range(8)
            )
        },
        drawn(*TWO),
    ),
    Set(
        "Label Studio: CSV",
        {f"images/{n:08x}-x.jpg": str(n) for n in range(8)}
        | {
            "project-1.csv": table(
                ("annotation_id", "choice", "id", "image"),
                *((n, TWO[n % 2], n, f"/data/upload/1/{n:08x}-x.jpg") for n in range(8)),
            )
        },
        drawn(*TWO),
    ),
    Set(
        "Label Studio: JSON",
        {f"images/{n:08x}-x.jpg": str(n) for n in range(8)}
        | {
            "project-1.json": json.dumps(
                [
                    {
                        "id": n,
                        "data": {"image": f"/data/upload/1/{n:08x}-x.jpg"},
                        "annotations": [{"result": [{"value": {"choices": [TWO[n % 2]]}}]}],
                    }
                    for n in range(8)
                ]
            )
        },
        drawn(*TWO),
    ),
    Set("CVAT: ImageNet's form", photos(*TWO) | {"synsets.txt": "cat\ndog\n"}, drawn(*TWO)),
    Set(
        "YOLO's classification",
        photos("train/a", "train/b", "val/a", "val/b") | {"data.yaml": "x"},
        parts("ab", train=4, test=4),
    ),
    Set(
        "YOLO's boxes",
        {f"{s}/images/{n}.jpg": f"{s}{n}" for s in ("train", "valid") for n in range(4)}
        | {f"{s}/labels/{n}.txt": "0 0.5 0.5 0.2 0.2\n" for s in ("train", "valid") for n in range(4)}
        | {"data.yaml": "nc: 2"},
        refused="YOLO",
    ),
    Set(
        "boxes of Labelme beside the photos",
        named("im/{n}.jpg", 8) | {f"im/{n}.json": '{"shapes": [{"label": "cat"}], "imagePath": "x"}' for n in range(8)},
        refused="Labelme",
    ),
    Set(
        "boxes of CreateML",
        FLAT
        | {
            "a.json": json.dumps(
                [{"image": n, "annotations": [{"label": c, "coordinates": {"x": 1}}]} for n, c in ROWS]
            )
        },
        refused="CreateML",
    ),
    Set(
        "VIA's attributes of files",
        FLAT
        | {
            "via.json": json.dumps(
                {f"{n}99": {"filename": n, "size": 99, "regions": [], "file_attributes": {"class": c}} for n, c in ROWS}
            )
        },
        drawn(*TWO),
    ),
    Set(
        "COCO without boxes",
        named("train/{n}.jpg", 8)
        | {
            "train.json": json.dumps(
                {
                    "images": [{"id": n, "file_name": f"{n}.jpg"} for n in range(8)],
                    "annotations": [{"id": n, "image_id": n, "category_id": n % 2} for n in range(8)],
                    "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
                }
            )
        },
        drawn(*TWO),
    ),
    Set(
        "Vertex AI: parts, S3-like paths and classes without a header",
        FLAT
        | {
            "labels.csv": table(
                *((("TRAIN", "TEST")[n // 2 % 2], f"gs://b/im/{name}", label) for n, (name, label) in enumerate(ROWS))
            )
        },
        parts(TWO, train=2, test=2),
    ),
    Set(
        "web addresses with what follows the question mark",
        FLAT
        | {
            "labels.csv": table(
                ("image_url", "label"),
                *((f"https://x.y/o/im%2F{name}?alt=media&token=1", label) for name, label in ROWS),
            )
        },
        drawn(*TWO),
    ),
]

MASKS = [
    Set(
        "photos and masks in folders", named("images/{n}.jpg", 8) | named("masks/{n}.png", 8), refused="look like masks"
    ),
    Set(
        "photos and masks in each part",
        {
            f"{s}/{kind}/{n}.png": f"{s}{kind}{n}"
            for s in ("train", "val")
            for kind in ("images", "masks")
            for n in range(8)
        },
        refused="look like masks",
    ),
    Set(
        "masks beside the photos of a class",
        {
            f"{c}/{c} ({n}){end}.png": f"{c}{n}{end}"
            for c in ("benign", "malignant")
            for n in range(6)
            for end in ("", "_mask")
        },
        drawn("benign", "malignant", each=6),
        told=("12 file(s) look like masks",),
        doubted=True,
    ),
    Set("classes that are called mask", photos("mask", "no_mask"), drawn("mask", "no_mask")),
    Set("classes that are called masked", photos("with_mask", "without_mask"), drawn("with_mask", "without_mask")),
]

SPLIT_NAMES = [
    Set(
        f"parts in other words: {train}",
        photos(*(f"{part}/{c}" for part in (train, test) for c in TWO)),
        parts(TWO, train=4, test=4),
    )
    for train, test in (
        ("Training", "Validierung"),
        ("trainingsdaten", "testdaten"),
        ("entrainement", "test"),
        ("entraînement", "essai"),
        ("apprentissage", "test"),
        ("entrenamiento", "prueba"),
        ("addestramento", "collaudo"),
        ("treino", "teste"),
        ("训练集", "测试集"),
        ("訓練", "テスト"),
        ("обучение", "тест"),
        ("train1", "test1"),
        ("01_train", "02_test"),
        ("1. Training", "3. Test"),
    )
] + [
    Set(
        "parts by a word of their names",
        photos(*(f"{part}/{c}" for part in ("train-synthetic", "test-real") for c in TWO)),
        parts(TWO, train=4, test=4),
        told=("test-real is test; train-synthetic is train",),
        doubted=True,
    ),
    Set(
        "classes that only hold the words of parts",
        photos("toy train/red", "toy train/blue", "test tube/glass", "test tube/plastic"),
        refused="two folders deep",
    ),
    Set(
        "classes in other case in each part",
        photos("train/Cat", "train/Dog", "test/cat", "test/dog"),
        refused='"alike_names": "merge"',
    ),
    Set(
        "classes in other case in each part, merged",
        photos("train/Cat", "train/Dog", "test/cat", "test/dog"),
        parts(("Cat", "Dog"), train=4, test=4),
        asked={"alike_names": "merge"},
    ),
    Set(
        "parts below one class, and none below another", photos("cat/train", "cat/test", "dog"), refused="dog has none"
    ),
    Set(
        "parts below one class, which do not count",
        photos("cat/train", "cat/test", "dog"),
        {(None, "cat"): 8, (None, "dog"): 4},
        asked={"layout": "class"},
    ),
    Set(
        "parts below one class, which are the splits",
        photos("cat/train", "cat/test", "dog"),
        {("train", "cat"): 4, ("test", "cat"): 4, ("train", "dog"): 4},
        asked={"layout": "class/split"},
        doubted=True,
    ),
    Set(
        "lists of the test and the validation alone",
        photos("cat", "dog")
        | {"testing_list.txt": "cat/3.jpg\ndog/3.jpg\n", "validation_list.txt": "cat/2.jpg\ndog/2.jpg\n"},
        parts(TWO, train=2, validation=1, test=1),
        told=("in none of the lists are for training",),
    ),
    Set(
        "labels in two languages",
        FLAT
        | {
            "l.csv": table(
                ("file", "label_en", "label_de"), *((n, c, {"cat": "Katze", "dog": "Hund"}[c]) for n, c in ROWS)
            )
        },
        drawn(*TWO),
    ),
    Set("cyclegan's folders", photos("trainA", "trainB", "testA", "testB"), refused="class and split at once"),
    Set(
        "a column that says parts in German",
        FLAT
        | {
            "daten.csv": table(
                ("Dateiname", "Klasse", "Aufteilung"),
                *((n, c, ("Training", "Test")[k // 4]) for k, (n, c) in enumerate(ROWS)),
                between=";",
            )
        },
        parts(TWO, train=2, test=2),
    ),
    Set(
        "a column that says parts under a name of its own",
        FLAT
        | {
            "data.csv": table(
                ("file", "label", "wofür"), *((n, c, ("train", "test")[k // 4]) for k, (n, c) in enumerate(ROWS))
            )
        },
        parts(TWO, train=2, test=2),
    ),
    Set(
        "letters for parts",
        FLAT
        | {"data.csv": table(("file", "label", "split"), *((n, c, "TV"[k // 4]) for k, (n, c) in enumerate(ROWS)))},
        refused="neither train, validation nor test",
    ),
    Set(
        "lists of paths",
        photos("images/a", "images/b")
        | {"train.txt": "".join(f"{c}/{n}.jpg\n" for c in "ab" for n in range(3)), "val.txt": "a/3.jpg\nb/3.jpg\n"},
        parts("ab", train=3, test=1),
    ),
    Set(
        "lists of paths with class numbers",
        photos("images/a", "images/b")
        | {
            "train.txt": "".join(f"{c}/{n}.jpg {k}\n" for k, c in enumerate("ab") for n in range(3)),
            "val.txt": "a/3.jpg 0\nb/3.jpg 1\n",
        },
        parts("ab", train=3, test=1),
    ),
    Set(
        "lists of names with spaces",
        named("images/my photo {n}.jpg", 8)
        | {
            "train.txt": "".join(f"images/my photo {n}.jpg {n % 2}\n" for n in range(6)),
            "val.txt": "images/my photo 6.jpg 0\nimages/my photo 7.jpg 1\n",
        },
        parts("01", train=3, test=1),
    ),
    Set(
        "lists as JSON",
        photos("images/a", "images/b")
        | {
            "train.json": json.dumps([f"images/{c}/{n}.jpg" for c in "ab" for n in range(3)]),
            "test.json": json.dumps(["a/3.jpg", "b/3.jpg"]),
        },
        parts("ab", train=3, test=1),
    ),
    Set(
        "one JSON for all parts",
        photos("images/a", "images/b")
        | {
            "splits.json": json.dumps(
                {"train": [f"{c}/{n}.jpg" for c in "ab" for n in range(3)], "test": ["a/3.jpg", "b/3.jpg"]}
            )
        },
        parts("ab", train=3, test=1),
    ),
    Set(
        "one JSON for parts and classes",
        {f"images/{c}_{n}.jpg": f"{c}{n}" for c in "ab" for n in range(4)}
        | {
            "split.json": json.dumps(
                {
                    "train": [[f"{c}_{n}.jpg", k, c] for k, c in enumerate("ab") for n in range(3)],
                    "val": [],
                    "test": [["a_3.jpg", 0, "a"], ["b_3.jpg", 1, "b"]],
                }
            )
        },
        parts("ab", train=3, test=1),
    ),
]

TABLES = (
    [
        Set(name, FLAT | files, drawn(*TWO))
        for name, files in {
            "Excel's first line": {"labels.csv": "sep=;\n" + table(("file", "label"), *ROWS, between=";")},
            "a column of row numbers": {
                "labels.csv": table(("", "file", "label"), *((n, *row) for n, row in enumerate(ROWS)))
            },
            "R's table": {"labels.csv": table(("file", "label"), *((n, *row) for n, row in enumerate(ROWS)))},
            "no header": {"labels.csv": table(*ROWS)},
            "no header, class first": {"labels.csv": table(*((label, name) for name, label in ROWS))},
            "titles above the header": {
                "labels.csv": "My project,\nExported 2024-01-01,\n" + table(("file", "label"), *ROWS)
            },
            "commas behind the last cell": {
                "labels.csv": table(("file", "label", "", ""), *((*row, "", "") for row in ROWS))
            },
            "rows that stand twice": {"labels.csv": table(("file", "label"), *ROWS, *ROWS)},
            "two copies of the table": {
                "labels.csv": table(("file", "label"), *ROWS),
                "labels (1).csv": table(("file", "label"), *ROWS),
            },
            "JSON records": {"labels.json": json.dumps([{"image": name, "label": label} for name, label in ROWS])},
            "JSON by path": {"labels.json": json.dumps(dict(ROWS))},
            "JSON by class": {
                "labels.json": json.dumps({c: [name for name, label in ROWS if label == c] for c in TWO})
            },
            "JSON as pandas writes columns": {
                "labels.json": json.dumps(
                    {
                        "file": {str(n): name for n, (name, _) in enumerate(ROWS)},
                        "label": {str(n): label for n, (_, label) in enumerate(ROWS)},
                    }
                )
            },
            "StyleGAN's dataset.json": {"dataset.json": json.dumps({"labels": [list(row) for row in ROWS]})},
            "FiftyOne's labels.json": {
                "labels.json": json.dumps({"classes": TWO, "labels": {name[:-4]: TWO.index(c) for name, c in ROWS}})
            },
            "a column of numbers that is called #": {
                "labels.csv": table(("#", "file", "label"), *((n, *row) for n, row in enumerate(ROWS)))
            },
            "comments": {"labels.csv": "# made by me, 2020\n#later\n" + table(("file", "label"), *ROWS)},
            "each line in quotes": {"labels.csv": "".join(f'"{a},{b}"\n' for a, b in (("file", "label"), *ROWS))},
            "the header again in the middle": {
                "labels.csv": table(("file", "label"), *ROWS[:4], ("file", "label"), *ROWS[4:])
            },
            "an object with the name": {
                "labels.jsonl": "\n".join(json.dumps({"file": name, "label": {"id": 7, "name": c}}) for name, c in ROWS)
            },
            "an object with the name, as text": {
                "labels.csv": "file;label\n" + "".join(f'{name};{{"name": "{c}"}}\n' for name, c in ROWS)
            },
        }.items()
    ]
    + [
        Set(
            "Vertex AI's lines",
            FLAT
            | {
                "data.jsonl": "\n".join(
                    json.dumps(
                        {
                            "imageGcsUri": f"gs://bucket/im/{name}",
                            "classificationAnnotation": {"displayName": c},
                            "dataItemResourceLabels": {
                                "aiplatform.googleapis.com/ml_use": ("training", "test")[n // 4]
                            },
                        }
                    )
                    for n, (name, c) in enumerate(ROWS)
                )
            },
            parts(TWO, train=2, test=2),
        ),
        Set(
            "names of photos that begin with #",
            named("im/#{n}.jpg", 8)
            | {"labels.csv": table(("file", "label"), *((f"#{n}.jpg", TWO[n % 2]) for n in range(8)))},
            drawn(*TWO),
        ),
        Set(
            "macOS's spaces in names of screenshots",
            named("im/Screenshot 1.0{n}\u202fPM.png", 8)
            | {"labels.csv": table(("file", "label"), *((f"Screenshot 1.0{n} PM.png", TWO[n % 2]) for n in range(8)))},
            drawn(*TWO),
        ),
        Set(
            "numbers for parts",
            FLAT
            | {"data.csv": table(("file", "label", "split"), *((n, c, int(k > 5)) for k, (n, c) in enumerate(ROWS)))},
            refused='"splits": {"0": "train", "1": "test"}',
        ),
        Set(
            "a comma too many in every name",
            named("im/a, {n}.jpg", 8)
            | {"labels.csv": table(("file", "label"), *((f"a, {n}.jpg", TWO[n % 2]) for n in range(8)))},
            refused=r"the cells of its line 2: 'a', '0\.jpg'",
        ),
    ]
    + [
        Set(
            f"a table of {who}",
            FLAT
            | {
                "labels.csv": table(("file", "label"), *((n, words[k % 2]) for k, (n, _) in enumerate(ROWS))).encode(
                    encoding
                )
            },
            drawn(*words),
            doubted=guessed,
        )
        for who, encoding, words, guessed in (
            ("Windows in German", "cp1252", ("Käfer", "Mücke"), False),
            ("Windows in French", "cp1252", ("été", "l’hêtre"), False),
            ("Windows with degrees", "cp1252", ("20°C", "30°C"), False),
            ("Windows in Russian", "cp1251", ("Жук", "Муха"), True),
            ("Windows in Polish", "cp1250", ("żółw", "słoń"), True),
            ("Windows in Greek", "cp1253", ("μύγα", "σκαθάρι"), False),
            ("a Mac of old", "mac_roman", ("Käfer", "Mücke"), True),
        )
    ]
    + [
        Set(
            "a table of DOS",
            FLAT
            | {
                "labels.csv": table(
                    ("file", "label"), *((n, ("Käfer", "Mücke")[k % 2]) for k, (n, _) in enumerate(ROWS))
                ).encode("cp850")
            },
            drawn("KÑfer", "MÅcke"),
            told=("not Unicode; how it was written had to be guessed",),
            doubted=True,
        ),
    ]
    + [
        Set(
            "a comma too many in some lines",
            FLAT | {"labels.csv": table(("file", "label"), *ROWS[:7], ("p7.jpg", "dog", " wild"))},
            {(None, "cat"): 4, (None, "dog"): 3},
            told=("3 cells, and the header has 2",),
            doubted=True,
        ),
        Set(
            "a comma too many in every line",
            FLAT | {"labels.csv": table(("file", "label"), *((*row, "x") for row in ROWS))},
            refused="3 cells, and the header has 2",
        ),
        Set(
            "a table of labels and one of cameras",
            FLAT
            | {
                "labels.csv": table(("file", "label"), *ROWS),
                "metadata.csv": table(("file_name", "camera"), *((n, "ab"[k // 4]) for k, (n, _) in enumerate(ROWS))),
            },
            drawn(*TWO),
        ),
        Set(
            "a table of labels and one of species that contradict each other",
            FLAT
            | {
                "labels.csv": table(("file", "label"), *ROWS),
                "metadata.csv": table(("file_name", "species"), *((n, "ab"[k // 4]) for k, (n, _) in enumerate(ROWS))),
            },
            refused='"labels": "labels.csv"',
        ),
        Set(
            "the same names in train and test, told apart by a column",
            {f"{s}/{n}.png": f"{s}{n}" for s in ("train", "test") for n in range(8)}
            | {
                "all.csv": table(
                    ("id", "label", "split"), *((n, TWO[n % 2], s) for s in ("train", "test") for n in range(8))
                )
            },
            parts(TWO, train=4, test=4),
        ),
        Set(
            "the same names in train and test, told apart by nothing",
            {f"{s}/{n}.png": f"{s}{n}" for s in ("train", "test") for n in range(8)}
            | {"all.csv": table(("id", "label"), *((n, TWO[n % 2]) for n in range(8)))},
            refused=r"What all\.csv names may be several photos \(0, 1, 2",
        ),
        Set(
            "one combination of labels beside one of its parts",
            FLAT
            | {
                "labels.csv": table(
                    ("file", "labels"), *((n, ("sun", "sun|sea")[k % 2]) for k, (n, _) in enumerate(ROWS))
                )
            },
            refused="several labels",
        ),
        Set(
            "a table without header that contradicts the folders",
            photos(*TWO)
            | {
                "labels.json": json.dumps(
                    {f"{c}/{n}.jpg": other for c, other in zip(TWO, ("lion", "lion"), strict=True) for n in range(2)}
                    | {f"{c}/3.jpg": "wolf" for c in TWO}
                )
            },
            refused='"labels": "folders"',
        ),
        Set(
            "a table that leaves one class",
            photos(*TWO) | {"labels.csv": table(("file", "label"), ("cat/0.jpg", "lion"))},
            refused="one class, 'lion'",
        ),
    ]
)

WORDS = (
    ("NA", "yes"),
    ("None", "Some"),
    ("null", "x"),
    ("True", "False"),
    ("nan", "a"),
    ("01", "02"),
    ("2021-01-01", "2021-01-02"),
    ("N/A", "ok"),
    ("1e3", "1e4"),
    ("Infinity", "1"),
    ("cat.", "cat"),
    ("कुत्ता", "बिल्ली"),
    ("🐱", "🐶"),
    ("قط", "كلب"),
    ("con", "nul"),
    ("..", "."),
    ("50%", "100%"),
    ("c++", "c#"),
    ("what?", "yes!"),
    ("x" * 300, "y" * 300),
    ("-1", "1"),
    ("=1+1", "@x"),
    ("1/2", "3/4"),
    ("1_000", "2_000"),
    ("²", "³"),
    ("a:b", "a&b"),
)
LABELS = [
    Set(
        f"classes {one[:12]} and {other[:12]}",
        FLAT
        | {"metadata.csv": table(("file_name", "label"), *((n, (one, other)[k % 2]) for k, (n, _) in enumerate(ROWS)))},
        drawn(one, other),
    )
    for one, other in WORDS
]

PEOPLE = [
    Set(
        "an iPhone's photos with their films",
        {f"{c}/IMG_{n}.{end}": f"{c}{n}{end}" for c in TWO for n in range(4) for end in ("HEIC", "MOV", "AAE")},
        drawn(*TWO),
        told=("not used",),
    ),
    Set(
        "a camera's raw files beside its JPEGs",
        photos(*TWO) | {f"cat/{n}.{end}": b"II*\0\x08\0\0\0 a preview" for n, end in enumerate(("NEF", "dng", "cr2"))},
        drawn(*TWO),
        told=("3 picture(s) of kinds that are not read: cat/0.NEF",),
        doubted=True,
    ),
    Set(
        "raw files alone",
        {f"{c}/{n}.nef": b"II*\0\x08\0\0\0 a preview" for c in TWO for n in range(4)},
        refused=r"kinds \.nef are not read: save them as JPEG",
    ),
    Set(
        "photos with an ending of raw files",
        {f"{c}/{n}.raw": b"\xff\xd8\xff\xe0" for c in TWO for n in range(4)},
        drawn(*TWO),
    ),
    Set(
        "names as browsers save them",
        {f"{c}/{n}.jpg?width=200": b"\xff\xd8\xff\xe0" for c in TWO for n in range(4)},
        drawn(*TWO),
    ),
    Set(
        "Google Takeout",
        {f"Takeout/Google Photos/{c}/{n}.jpg": f"{c}{n}" for c in TWO for n in range(4)}
        | {
            f"Takeout/Google Photos/{c}/{n}.jpg{end}.json": "{}"
            for c in TWO
            for n in range(4)
            for end in ("", ".supplemental-metadata")
        }
        | {f"Takeout/Google Photos/{c}/metadata.json": '{"title": "x"}' for c in TWO},
        drawn(*TWO),
    ),
    Set(
        "what systems and tools leave behind",
        photos(*TWO)
        | dict.fromkeys(
            (
                "cat/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg",
                ".picasa.ini",
                "dog/Thumbs.db",
                "__MACOSX/cat/._1.jpg",
                "cat/._1.jpg",
                "cat/1.xmp",
                "dog/~$labels.xlsx",
                ".DS_Store",
                "desktop.ini",
                ".ipynb_checkpoints/1.jpg",
                "$RECYCLE.BIN/1.jpg",
                "cat/1.jpg~",
                "dog/2.jpg.part",
            ),
            "x",
        ),
        drawn(*TWO),
    ),
    Set(
        "copies that a file manager made",
        photos("cat", "cat - Copy", "dog"),
        drawn("cat", "cat - Copy", "dog"),
        told=("the name of a copy",),
        doubted=True,
    ),
    Set(
        "photos that nobody has labelled beside classes",
        photos(*TWO, "unlabeled"),
        drawn(*TWO, "unlabeled"),
        told=("unlabeled",),
        doubted=True,
    ),
    Set(
        "a folder without a name of its own",
        photos(*TWO, "New folder"),
        drawn(*TWO, "New folder"),
        told=("New folder",),
        doubted=True,
    ),
    Set(
        "names that differ by what nobody sees",
        photos("cat", "cat\u200b", "red dog", "red\u00a0dog"),
        drawn("cat", "cat\u200b", "red dog", "red\u00a0dog"),
        told=(r"'cat' and 'cat\u200b'", r"'red dog' and 'red\xa0dog'"),
        doubted=True,
    ),
    Set(
        "names with joiners",
        photos("می\u200cخواهم", "👩\u200d🔬"),
        drawn("می\u200cخواهم", "👩\u200d🔬"),
    ),
    Set(
        "ranges that begin with running numbers",
        photos("1 - 2 rooms", "2 - 3 rooms", "3 - 4 rooms"),
        drawn("1 - 2 rooms", "2 - 3 rooms", "3 - 4 rooms"),
    ),
    Set("previews", photos(*TWO, "thumbnails"), drawn(*TWO, "thumbnails"), told=("thumbnails",), doubted=True),
    Set(
        "folders of a person and a day",
        photos("alice/2020", "alice/2021", "bob/2020"),
        {(None, "alice"): 8, (None, "bob"): 4},
    ),
    Set(
        "numbered classes", photos(*map(str, range(12))), drawn(*map(str, range(12))), order=tuple(map(str, range(12)))
    ),
    Set("dates as classes", photos("2024-01-01", "2024-01-02"), drawn("2024-01-01", "2024-01-02")),
    Set(
        "names that are signs elsewhere",
        photos("c++", "100%", "a?b", "a&b=c", "it's", "a,b", "trailing.", "con", "-rf", "$HOME", "%41", "A"),
        drawn("c++", "100%", "a?b", "a&b=c", "it's", "a,b", "trailing.", "con", "-rf", "$HOME", "%41", "A"),
    ),
]

SETS = [*KAGGLE, *PUBLIC, *TOOLS, *MASKS, *SPLIT_NAMES, *TABLES, *LABELS, *PEOPLE]

BASIC = [
    Set("a folder per class", photos("ant", "bee"), drawn("ant", "bee")),
    Set(
        "splits as given",
        photos("train/ant", "train/bee", "val/ant", "val/bee", "test/ant", "test/bee"),
        parts(("ant", "bee"), train=4, validation=4, test=4),
    ),
    Set("splits below the classes", photos("ant/train", "bee/train", "ant/test", "bee/test"), parts(("ant", "bee"), train=4, test=4)),
    Set(
        "names as public sets have them",
        photos(*(f"{part}/{part}/{label}" for part in ("training_set", "test_set") for label in ("ant", "bee"))),
        parts(("ant", "bee"), train=4, test=4),
    ),
    Set(
        "metadata.csv with classes, splits and a facet",
        FLAT
        | {"metadata.csv": table(("file_name", "label", "split", "camera"), *((n, c, ("train", "test")[k // 4], "ab"[k // 2 % 2])
                                                                              for k, (n, c) in enumerate(ROWS)))},
        parts(TWO, train=2, test=2),
    ),
    Set(
        "MXNet's lists",
        FLAT | {f"{part}.lst": table(*((k, k % 2, f"im/p{k}.jpg") for k in numbers), between="\t")
                for part, numbers in (("train", range(6)), ("test", (6, 7)))},
        parts("01", train=3, test=1), order=("0", "1"),
    ),
]  # fmt: skip
SETS += BASIC
