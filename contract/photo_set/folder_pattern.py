"""Which level of folders is the class and which the split.

What can be read in two ways is asked about (`layout`, `splits`): a class that is called like a split, folders in folders of which either
may be the class, a folder beside the splits that holds the same classes. Refused: a second set inside of the set.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from contract.failure import JobFailure
from contract.photo_set.files import File
from contract.photo_set.path_index import stem
from contract.photo_set.questions import Layout, TwoReadings, some
from contract.photo_set.words import WORDS, is_unlabelled, part_of_list, says_nothing, split_of, tokens

_GROUP = re.compile(r"^[^\W\d_]{0,12}[\s_.-]*\d[\d\s_.:TZ-]*$")  # 2024-01-03, patient_12, S3: a group, not a class
_HEAP = re.compile(
    r"^(?:.*[\s_-])?(?:images?|imgs?|photos?|pictures?|pics?|jpe?gs?|pngs?|batch|chunk|data|files?|folder|dcim)[\s_.-]*"
    r"(?:part[\s_.-]*)?\d+$", re.IGNORECASE,
)  # fmt: skip
Folders = Sequence[str]


class NoClasses(JobFailure):
    """The folders name no class; a table may."""


def pattern_of(inside: Mapping[File, Folders], settled: Mapping[str, str], layout: Layout) -> list[str]:
    tops = {folders[0] for folders in inside.values() if folders}
    direct = {folders[0] for folders in inside.values() if len(folders) == 1}
    deep = {folders[0] for folders in inside.values() if len(folders) > 1}
    if not tops:
        raise NoClasses(no_class(list(inside)))
    splits = parts_among(tops, settled)
    if splits:
        return _with_splits(inside, tops, direct, deep, splits, layout)
    second = {folders[1] for folders in inside.values() if len(folders) > 1}
    below = parts_among(second, settled)
    if "train" in below.values() and not direct and len(tops) > 1:
        return _splits_below(inside, below, second)
    if "train" in below.values() and len(set(below.values())) > 1 and direct - deep:
        _ask_about_parts_of_some(inside, below, direct - deep)
    if len(tops) > 1 and not direct:
        return _spoken(inside, tops, layout) or _nested(inside, layout)
    _refuse_second_sets(inside, deep - direct, tops)
    return ["class"]


def parts_among(names: Iterable[str], settled: Mapping[str, str]) -> dict[str, str]:
    """The split of each folder that names one: train, validation, test, or ignore where the input says so."""
    names = sorted(set(names))
    found = {name: split for name in names if (split := settled.get(name) or split_of(name))}
    shared: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name in names:  # flowers_train, flowers_test
        words = [token for token in tokens(name) if token in WORDS]
        rest = tuple(token for token in tokens(name) if token not in WORDS)
        if len(words) == 1 and rest and name not in found:
            shared[rest][name] = WORDS[words[0]]
    whole = [group for group in shared.values() if len(set(group.values())) > 1 and "train" in group.values()]
    if len(whole) > 1:
        raise JobFailure(
            f"dataset: the folders {some(name for group in whole for name in group)} name class and split at once; "
            f"allowed: a folder for each "
            "class in a folder for each split (train/CLASS, test/CLASS), or a metadata.csv with file_name, label "
            "and split."
        )
    return found | (whole[0] if whole else {})


def _ask_about_parts_of_some(inside: Mapping[File, Folders], below: Mapping[str, str], flat: set[str]) -> None:
    """`cat/train`, `cat/test` beside a `dog` whose photos lie directly in it: parts of the set, or folders that do not count?"""
    divided = sorted({folders[0] for folders in inside.values() if len(folders) > 1 and folders[1] in below})
    raise TwoReadings(
        "layout",
        f"the folders {some(sorted(below))} below {some(divided)} are called like splits, and {some(sorted(flat))} has none.",
        {
            "class": "they do not count: all photos below a class belong to it, and the splits are drawn",
            "class/split": "they are the splits, and photos outside of them are for training",
        },
    )


def spoken_parts(names: Iterable[str]) -> dict[str, str]:
    """`train-synthetic`, `test-real`: each name says one part beside other words; empty where one says none, or none says train."""
    found = {name: part_of_list(name) for name in names}
    parts = set(found.values())
    return (
        {name: part for name, part in found.items() if part}
        if None not in parts and len(parts) > 1 and "train" in parts
        else {}
    )


def _spoken(inside: Mapping[File, Folders], tops: set[str], layout: Layout) -> list[str]:
    splits = spoken_parts(tops)
    below: dict[str, set[str]] = defaultdict(set)
    for folders in inside.values():
        if len(folders) > 1 and folders[0] in splits:
            below[splits[folders[0]]].add(folders[1])
    held_out = set().union(*(names for part, names in below.items() if part != "train"))
    if not splits or not below["train"] & held_out:
        return []
    told = "; ".join(f"{name} is {part}" for name, part in sorted(splits.items()))
    layout.notices.append(f"The folders are read as parts by a word of their names: {told}.")
    layout.doubt(layout.notices[-1])
    return ["split", "class"]


def heaps(labels: Iterable[str]) -> bool:
    """Folders that only hold photos, as `images_001` and `images_002` or `batch1`: no classes, as far as one can see."""
    return all(_HEAP.match(label) for label in labels)


def _with_splits(
    inside: Mapping[File, Folders],
    tops: set[str],
    direct: set[str],
    deep: set[str],
    splits: Mapping[str, str],
    layout: Layout,
) -> list[str]:
    others = {name for name in tops if name not in splits and not is_unlabelled(name)}
    if not deep & set(splits):
        if others:
            named = some(sorted(splits))
            layout.notices.append(
                f"Photos lie directly in every folder, so {named} is read as a class like the others, not as a split."
            )
            return ["class"]
        raise NoClasses(_only_parts(inside, tops))
    children = {folders[1] for folders in inside.values() if len(folders) > 1 and folders[0] in splits}
    if len(set(splits.values())) == 1 and others:
        split = some(sorted(splits))
        raise TwoReadings(
            "layout",
            f"the folder {split} beside {some(sorted(others))} may be a class or a split (it holds {some(sorted(children))}).",
            {"class": f"{some(sorted(tops))} are the classes",
             "split/class": f"{split} is a split, its folders are the classes, and the folders beside it are not used"},
        )  # fmt: skip
    _refuse_second_sets(inside, others, tops)
    for name in sorted(others):
        same = {folders[1] for folders in inside.values() if len(folders) > 1 and folders[0] == name} & children
        if same:
            answers = {json.dumps({name: part}, ensure_ascii=False): f"{name} is {what}" for part, what in (
                ("train", "for training"), ("test", "for the test"), ("validation", "for validation"), ("ignore", "not used"))}  # fmt: skip
            raise TwoReadings(
                "splits",
                f"the folder {name} lies beside {some(sorted(splits))} and holds the same classes "
                f"({some(sorted(same))}).",
                answers,
            )
    return ["split", "class"]


def _refuse_second_sets(inside: Mapping[File, Folders], suspects: set[str], tops: set[str]) -> None:
    """A folder that holds folders of the same names as those beside it is a second set, not a class."""
    for name in sorted(suspects):
        children = {folders[1] for folders in inside.values() if len(folders) > 1 and folders[0] == name}
        if again := children & (tops - {name}):
            raise JobFailure(
                f"dataset: the folder {name} lies beside {some(sorted(again))} and holds folders of the same names "
                f"with other photos: a second set, "
                'or a copy that differs. Move it out, or merge it with the folders beside it; "layout": "class" '
                "takes it as a class."
            )


def _splits_below(inside: Mapping[File, Folders], below: Mapping[str, str], second: set[str]) -> list[str]:
    unknown = sorted(second - set(below))
    if unknown:
        answers = {json.dumps({name: "test"}, ensure_ascii=False): f"{name} is the test part" for name in unknown[:3]}
        raise TwoReadings(
            "splits",
            f"the folders {some(sorted(below))} are splits; {some(unknown)} beside them says no split.",
            answers,
        )
    third = [folders for folders in inside.values() if len(folders) > 2]
    if len(third) == len(inside) and len({folders[2] for folders in third}) > 1:
        tops, leaves = sorted({f[0] for f in third}), sorted({f[2] for f in third})
        answers = {"class/split": f"the classes are {some(tops)}", "-/split/class": f"the classes are {some(leaves)}"}
        raise TwoReadings("layout", "there are folders above and below those of the splits.", answers)
    return ["class", "split"]


def _nested(inside: Mapping[File, Folders], layout: Layout) -> list[str]:
    """Every photo lies at least two folders deep: the class may be the first folder or the second."""
    children: dict[str, set[str]] = defaultdict(set)
    for folders in inside.values():
        if len(folders) > 1:
            children[folders[0]].add(folders[1])
    kids = set().union(*children.values())
    single = all(len(names) == 1 for names in children.values())
    if single and (
        len(kids) == 1 or all(k.casefold() == top.casefold() for top, names in children.items() for k in names)
    ):
        return ["class"]
    if all(_GROUP.match(name) or says_nothing(name) for name in kids):
        return ["class"]
    answers = {
        "class": f"the classes are {some(sorted(children))}, and the folders below belong to them",
        "-/class": f"the classes are {some(sorted(kids))}",
    }
    raise TwoReadings(
        "layout", f"all photos lie two folders deep ({_deep(inside)}): either folder may be the class.", answers
    )


def _deep(inside: Mapping[File, Folders]) -> str:
    return some(sorted({"/".join(folders[:2]) for folders in inside.values() if len(folders) > 1}), 3)


def _only_parts(inside: Mapping[File, Folders], tops: set[str]) -> str:
    text = (
        f"dataset: photos lie directly in the folders {some(sorted(tops))}, which are read as splits; no folder "
        f"names a class. Put the photos of each "
        "class into a folder of its own below them (train/bees/1.jpg), add a metadata.csv with file_name and label, "
        'or set "layout": "class" '
        "if these folders are the classes."
    )
    learnt = [file for file, folders in inside.items() if folders and split_of(folders[0]) == "train"]
    if found := names_in_files(learnt or list(inside)):
        text += f' The file names seem to name classes ({some(found)}): if so, set "layout": "split/name".'
    return text


def class_in_name(name: str) -> str:
    """`cat` of cat.12.jpg, `Maine_Coon` of Maine_Coon_7.jpg: the name without its number."""
    return re.sub(r"[\s_.\-()]*\d*[\s_.\-()]*$", "", stem(name)).strip()


def names_in_files(photos: Sequence[File]) -> list[str]:
    """Classes that the file names seem to give, where these repeat."""
    counts = Counter(class_in_name(file.parts[-1]) for file in photos)
    counts.pop("", None)
    good = [name for name, count in counts.items() if count > 1]
    whole = sum(counts[name] for name in good) >= 0.9 * len(photos)
    return sorted(good) if 2 <= len(good) <= len(photos) // 2 and whole else []


def no_class(photos: Sequence[File]) -> str:
    text = (
        "dataset: no folder names a class. Put the photos of each class into a folder of its own "
        "(bees/1.jpg, ants/2.jpg), or add a metadata.csv with the columns file_name and label."
    )
    if found := names_in_files(photos):
        text += f' The file names seem to name classes ({some(found)}): if so, set "layout": "name".'
    return text
