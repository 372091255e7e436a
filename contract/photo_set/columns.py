"""Which column of a table holds the photo, which the class, which the split; what is not a classification is refused by what it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from contract.failure import JobFailure
from contract.foreign_json import parse
from contract.photo_set.files import PHOTO_ENDINGS, File, ending
from contract.photo_set.questions import TwoReadings, some
from contract.photo_set.words import split_of

FILE_NAMES = (
    "filename", "file", "filepath", "path", "image", "imagename", "imagefile", "imagepath", "imageid", "img", "imgname",
    "imgpath", "imgid", "photo", "photoname", "picture", "name", "id", "idcode", "sourceref", "uri", "url", "key", "x", "fname",
    "images", "filenames", "filepaths", "files", "imageids", "imageindex", "imageurl", "fullpath", "relativepath", "relpath", "location",
    "imagegcsuri", "gcsuri", "isicid", "dateiname", "datei", "fichier", "archivo", "nomefile", "arquivo", "bestand", "文件名", "ファイル名",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "classname", "classlabel", "labelname", "category", "categoryname", "classes", "target", "species",
    "breed", "y", "diagnosis", "dx", "disease", "groundtruth", "tag", "tags", "annotation", "finegrainedlabel", "truth",
    "klasse", "kategorie", "categorie", "clase", "etiqueta", "etiquette", "classe", "targetclass", "finding", "labelstr",
    "displayname", "etichetta", "categoria", "rotulo", "klass", "klasa", "choice", "标签", "类别", "ラベル", "クラス", "метка", "класс",
)  # fmt: skip
NUMBER_NAMES = (
    "classid",
    "labelid",
    "classindex",
    "categoryid",
    "classnumber",
    "labelindex",
    "classidx",
    "labelidx",
    "targetid",
)
SURELY_LABEL = frozenset(
    {"label", "labels", "class", "classname", "classlabel", "labelname", "category", "categoryname", "classes", "target",
     "groundtruth", "classid", "labelid", "classindex", "categoryid", "targetid", "labelidx", "classidx"}
)  # fmt: skip
SPLIT_NAMES = (
    "split",
    "subset",
    "partition",
    "phase",
    "datasplit",
    "usage",
    "fold",
    "set",
    "dataset",
    "part",
    "settype",
    "datatype",
    "mluse",
)
_NO_PHOTOS = frozenset({*LABEL_NAMES, *NUMBER_NAMES, *SPLIT_NAMES})
SURELY_SPLIT = ("split", "subset", "partition", "datasplit", "phase")
CLASS_NAMES = frozenset({*LABEL_NAMES, *NUMBER_NAMES})
_BOXES = ("xmin", "ymin", "xmax", "ymax", "x1", "y1", "x2", "y2", "bbox", "boundingbox", "bboxes", "bboxx1", "bboxy1",
          "bboxx2", "bboxy2", "objects", "boxes")  # fmt: skip
_MASKS = ("encodedpixels", "rle", "segmentation", "mask", "maskpath", "maskname", "polygon", "segmentationmask")
_LIST = re.compile(r"^\s*[\[({].*[\])}]\s*$", re.DOTALL)


def plain(name: str) -> str:
    """A column's name without case, spaces and marks: `File_Name`, ` file name` and `filename` are one."""
    return re.sub(r"[\W_]+", "", name).lower()


def refuse_other_tasks(name: str, header: Sequence[str]) -> None:
    """Boxes and masks are other tasks than classification."""
    known = {plain(column): column for column in header}
    boxes = [known[word] for word in _BOXES if word in known]
    if len(boxes) >= 3 or any(
        plain(column) in ("bbox", "boundingbox", "bboxes", "objects", "boxes") for column in boxes
    ):
        raise JobFailure(
            f"dataset: {name} has boxes (the columns {some(boxes)}): that is object detection. Darkroom learns one "
            f"class for a whole "
            'photo. To go on without the boxes, set "labels" to the column that names the class of a photo '
            f'("labels": "{name}:COLUMN"), or to "folders"; or cut the boxes out into photos of their own.'
        )
    masks = [known[word] for word in _MASKS if word in known]
    if masks:
        raise JobFailure(
            f"dataset: {name} has masks (the column {masks[0]}): that is segmentation. Darkroom learns one class for "
            f"a whole "
            f'photo. To go on without the masks, set "labels": "{name}:COLUMN" or "labels": "folders".'
        )


def file_column(
    header: Sequence[str], sample: Sequence[Sequence[str]], find: Callable[[str], list[File]]
) -> int | None:
    """The column whose cells are photos of the set: paths before bare names, of several the one with the better name.

    Bare numbers (a class number, a count) may be the names of photos by chance: they count where each means one photo.
    """
    rank = {word: place for place, word in enumerate(FILE_NAMES)}
    good: list[tuple[int, bool, int, int]] = []
    for at in range(max((len(row) for row in sample), default=0)):
        found = [(row[at], find(row[at])) for row in sample if at < len(row) and row[at]]
        hits = sum(bool(files) for _, files in found)
        spelled = sum(bool(files) and _is_path(cell) for cell, files in found) * 2 > hits
        name = plain(header[at]) if at < len(header) else ""
        bare = name not in _NO_PHOTOS and hits * 2 > len(found) and (name in rank or _tell_apart(found, hits))
        if hits and (spelled or bare):
            good.append((hits, not spelled, rank.get(name, len(rank)), at))
    if not good:
        return None
    most = max(hits for hits, *_ in good)
    return min(one[1:] for one in good if one[0] >= 0.9 * most)[-1]


def _is_path(cell: str) -> bool:
    return ending(cell) in PHOTO_ENDINGS or "/" in cell or "\\" in cell


def _tell_apart(found: Sequence[tuple[str, list[File]]], hits: int) -> bool:
    return sum(len(files) == 1 for _, files in found) * 2 > hits


def split_column(header: Sequence[str], cells: Sequence[Sequence[str]], at_file: int) -> int | None:
    """The column that says which part a photo belongs to: by its name, or because all that it says are words for parts."""
    for word in SPLIT_NAMES:
        for at, column in enumerate(header):
            if plain(column) != word:
                continue
            values = {row[at] for row in cells if at < len(row) and row[at]}
            known = [value for value in values if split_of(value)]
            if word in SURELY_SPLIT or (known and len(known) * 2 >= len(values)):
                return at
    for at, column in enumerate(header):
        if plain(column) in ("istrain", "istraining", "istest", "istrainingimage", "isvalid", "isval", "isvalidation"):
            return at
    for at in range(max((len(row) for row in cells[:100]), default=0)):
        values = {row[at] for row in cells if at < len(row) and row[at]} if at != at_file else set()
        parts = {split_of(value) for value in values} if 2 <= len(values) <= 12 else set()
        if None not in parts and "train" in parts and len(parts) > 1:
            return at
    return None


def split_value(table: str, column: str, value: str, settled: dict[str, str]) -> str | None:
    """train, validation, test, ignore, or None for an empty cell. Raises ValueError for a word that says none of them."""
    if value in settled:
        return settled[value]
    if not value:
        return None
    word = plain(column)
    if word.startswith("is") and value.lower() in ("0", "1", "true", "false", "yes", "no", "0.0", "1.0"):
        yes = value.lower() in ("1", "true", "yes", "1.0")
        held_out = "validation" if "val" in word else "test"
        return ("train" if yes else "test") if "train" in word else (held_out if yes else "train")
    if word == "partition" and value in ("0", "1", "2"):  # CelebA's list_eval_partition
        return ("train", "validation", "test")[int(value)]
    if found := split_of(value):
        return found
    raise ValueError(value)


def label_column(
    table: str, header: Sequence[str], free: Sequence[int], cells: Sequence[Sequence[str]], needed: bool
) -> int | None:
    """The column of the class. `needed`: folders name no class, so that a column without a telling name will do."""
    by_name = {plain(header[at]): at for at in reversed(free) if at < len(header)}
    named = [by_name[word] for word in LABEL_NAMES if word in by_name]
    if len(named) > 1:
        named = _one_of_several(table, header, named, cells)
    if named:
        return named[0]
    numbered = [by_name[word] for word in NUMBER_NAMES if word in by_name]
    if numbered:
        return numbered[0]
    if spoken := [at for word, at in by_name.items() if word.endswith(("label", "labels")) or word.startswith("label")]:
        return _one_of_several(table, header, sorted(spoken), cells)[0]
    if not needed and header:
        return None
    telling = [at for at in free if _may_be_classes(at, cells)]
    words = [at for at in telling if not _all_numbers(at, cells)]
    telling = words if len(words) == 1 else telling
    if not needed:  # one further column without a name: it may be the class, and is asked about where it differs
        return telling[0] if len(telling) == 1 else None
    if len(telling) > 1:
        names = {f"{table}:{header[at] if header else at + 1}": _example(at, cells) for at in telling[:6]}
        raise TwoReadings("labels", f"{table} has several columns that may be the class of a photo.", names)
    return telling[0] if telling else None


def _one_of_several(table: str, header: Sequence[str], named: list[int], cells: Sequence[Sequence[str]]) -> list[int]:
    """Columns that say the same with other words (class, class_name) are one; else a person decides."""

    def pairs(one: int, other: int) -> bool:
        both = {(row[one], row[other]) for row in cells if max(one, other) < len(row)}
        return len(both) == len({a for a, _ in both}) == len({b for _, b in both})

    if all(pairs(named[0], other) for other in named[1:]):
        words = [at for at in named if not _all_numbers(at, cells)]
        return words or named
    answers = {f"{table}:{header[at]}": _example(at, cells) for at in named}
    raise TwoReadings("labels", f"{table} has several columns that name a class.", answers)


def _example(at: int, cells: Sequence[Sequence[str]]) -> str:
    values = Counter(row[at] for row in cells if at < len(row))
    return f"the classes are {some([value for value, _ in values.most_common()], 4)}"


def _may_be_classes(at: int, cells: Sequence[Sequence[str]]) -> bool:
    values = [row[at] for row in cells if at < len(row) and row[at]]
    return 2 <= len(set(values)) <= max(2, len(values) // 2)


def _all_numbers(at: int, cells: Sequence[Sequence[str]]) -> bool:
    return all(is_number(row[at]) for row in cells if at < len(row) and row[at])


def is_number(text: str) -> bool:
    try:
        float(text)
        return True
    except ValueError:
        return False


def one_hot(table: str, header: Sequence[str], free: Sequence[int], cells: Sequence[Sequence[str]]) -> list[int] | None:
    """Columns that are all 0 or 1, one for each class (Roboflow's _classes.csv); several ones in a row are several labels."""
    flags = [at for at in free if all(at < len(row) and row[at] in ("0", "1", "0.0", "1.0") for row in cells)]
    if len(flags) < 2 or len(flags) < len(free) - 1:
        return None
    several = [row for row in cells if sum(row[at] in ("1", "1.0") for at in flags) > 1]
    if several:
        raise several_labels(table, len(several), str([header[at] for at in flags if several[0][at] in ("1", "1.0")]))
    return flags


def several_labels(table: str, count: int, example: str) -> JobFailure:
    return JobFailure(
        f"dataset: {table} gives {count:,} photo(s) several labels (multi-label, for example {example[:80]}); allowed: "
        f"one class for each photo. "
        "Leave these photos out of the table, or make a class of each combination."
    )


def single(value: str) -> str | list[str]:
    """A cell as one label; a list where it is written as one: `[0, 1]`, `['cat']`, `{"cat"}`; of `{"name": "cat"}` the text in it."""
    if not _LIST.match(value):
        return value
    if value.lstrip().startswith("{") and (inner := _texts(value)):
        return inner[0] if len(inner) == 1 else inner
    try:
        found = parse(value.replace("'", '"').replace("(", "[").replace(")", "]").replace("{", "[").replace("}", "]"))
    except ValueError:
        found = [part.strip(" '\"") for part in value.strip(" []{}()").split(",") if part.strip(" '\"")]
        if len(found) < 2 and not value.startswith("["):
            return value
    items = [str(item) for item in found] if isinstance(found, list) else [str(found)]
    return items[0] if len(items) == 1 else items


def _texts(value: str) -> list[str]:
    try:
        found = parse(value)
    except ValueError:
        return []
    return [str(inner) for inner in found.values()] if isinstance(found, dict) else []


def looks_multi(values: Counter[str]) -> str | None:
    """A value that is several of the other values together: `cat|dog`, `haze primary` beside `primary`."""
    for separator in ("|", ";", ",", "+", "&", " "):
        many = [value for value in values if separator in value]
        if not many:
            continue
        alone = {value for value in values if separator not in value}
        parts = {value: [part.strip() for part in value.split(separator) if part.strip()] for value in many}
        some_alone = any(part in alone for found in parts.values() for part in found)
        sure = separator in "|;" and all(len(part) > 1 for part in parts.values()) and (_repeats(parts) or some_alone)
        for value, found in parts.items():
            if len(found) > 1 and (all(part in alone for part in found) or (sure and len(set(found)) > 1)):
                return value
    return None


def _repeats(parts: dict[str, list[str]]) -> bool:
    """Whether the same part stands in several combinations, as labels do and names do not."""
    seen = Counter(part for found in parts.values() for part in set(found))
    return any(count > 1 for count in seen.values())
