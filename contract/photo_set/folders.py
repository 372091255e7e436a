"""Which class and which split a path means: a folder per class, with or without folders for the splits, in either order.

What can be read in two ways is asked about (`layout`, `splits`): a class that is called like a split, folders in folders of which either
may be the class, a folder beside the splits that holds the same classes. A copy of the set inside itself counts once.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from contract.failure import JobFailure
from contract.photo_set.files import File
from contract.photo_set.path_index import stem
from contract.photo_set.questions import Asked, Layout, Placed, TwoReadings, some
from contract.photo_set.words import WORDS, is_unlabelled, says_nothing, split_of, tokens

_GROUP = re.compile(r"^[^\W\d_]{0,12}[\s_.-]*\d[\d\s_.:TZ-]*$")  # 2024-01-03, patient_12, S3: a group, not a class
COMPARED = 20  # files of a copy that are read, so that equal sizes alone decide nothing
Folders = Sequence[str]
Same = Callable[[File, File], bool]


class NoClasses(JobFailure):
    """The folders name no class; a table may."""


def place_by_folder(photos: Sequence[File], asked: Asked) -> Layout:
    """Label and split of every photo from its path."""
    layout = Layout([])
    skip = common_folders(photos)
    inside = {file: file.parts[skip:-1] for file in photos}
    settled = asked.splits if isinstance(asked.splits, Mapping) else {}
    pattern = asked.layout.split("/") if asked.layout != "auto" else _pattern(inside, settled, layout)
    names = {
        folders[at]
        for at, level in enumerate(pattern)
        if level == "split"
        for folders in inside.values()
        if len(folders) > at
    }
    splits = parts_among(names, settled)
    wrappers = _wrappers(inside, pattern)
    for file, folders in inside.items():
        _place(file, folders, pattern, splits, wrappers, layout)
    if not layout.photos:
        raise NoClasses(_no_class(photos))
    return layout


def common_folders(photos: Sequence[File]) -> int:
    """How many leading folders all photos share, as `dataset/` in `dataset/bees/1.jpg`; a split's folder is not one of them."""
    shared = 0
    while all(len(file.parts) > shared + 2 for file in photos):
        names = {file.parts[shared] for file in photos}
        name = next(iter(names))
        if len(names) > 1 or split_of(name) or is_unlabelled(name):
            break
        shared += 1
    return shared


def without_copies(photos: Sequence[File], layout: Layout, same: Same) -> Sequence[File]:
    """`flowers/rose/1.jpg` and `flowers/flowers/rose/1.jpg`: the same files once more, one folder deeper, count once."""
    by_parts = {file.parts: file for file in photos}
    all_below: Counter[tuple[str, ...]] = Counter()
    pairs: dict[tuple[str, ...], list[tuple[File, File]]] = defaultdict(list)
    for file in photos:
        for at in range(min(4, len(file.parts) - 2)):
            prefix = file.parts[: at + 1]
            all_below[prefix] += 1
            other = by_parts.get((*prefix[:-1], *file.parts[at + 1 :]))
            if other is not None and other.size == file.size:
                pairs[prefix].append((file, other))
    copies = {
        prefix
        for prefix, found in pairs.items()
        if len(found) == all_below[prefix] and all(same(*p) for p in found[:COMPARED])
    }
    kept = (
        [file for file in photos if not any(file.parts[: len(prefix)] == prefix for prefix in copies)]
        if copies
        else photos
    )
    for prefix in sorted(copies):
        folder = "/".join(prefix)
        layout.passed_over += [(file.name, f"{folder} is a copy of the set inside itself") for file, _ in pairs[prefix]]
        layout.notices.append(
            f"{folder} holds the same {len(pairs[prefix]):,} files as the folder above it; one copy counts."
        )
    return kept or photos


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


def _pattern(inside: Mapping[File, Folders], settled: Mapping[str, str], layout: Layout) -> list[str]:
    tops = {folders[0] for folders in inside.values() if folders}
    direct = {folders[0] for folders in inside.values() if len(folders) == 1}
    deep = {folders[0] for folders in inside.values() if len(folders) > 1}
    if not tops:
        raise NoClasses(_no_class(list(inside)))
    splits = parts_among(tops, settled)
    if splits:
        return _with_splits(inside, tops, direct, deep, splits, layout)
    second = {folders[1] for folders in inside.values() if len(folders) > 1}
    below = parts_among(second, settled)
    if "train" in below.values() and not direct and len(tops) > 1:
        return _splits_below(inside, below, second)
    if len(tops) > 1 and not direct:
        return _nested(inside, layout)
    _refuse_second_sets(inside, deep - direct, tops)
    return ["class"]


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


def _place(
    file: File, folders: Folders, pattern: Sequence[str], splits: Mapping[str, str], wrappers: Mapping[tuple[str, ...], int], layout: Layout
) -> None:  # fmt: skip
    at, split, label = 0, None, ""
    for level in pattern:
        if level == "name":
            label = class_in_name(file.parts[-1])
        elif at < len(folders):
            if level == "split":
                split = splits.get(folders[at])
                if split is None or split == "ignore":
                    layout.passed_over.append((file.name, _beside(folders[at], split)))
                    return
                at += wrappers.get(tuple(folders[: at + 1]), 0)
            elif level == "class":
                label = folders[at]
            at += 1
    if not label:
        layout.passed_over.append((file.name, "it lies in no class folder" if folders else "it lies in no folder"))
        return
    if folders[at:] and not any("deeper" in notice for notice in layout.notices):
        layout.notices.append(f"Photos in deeper folders ({'/'.join(folders)}) belong to the class {label}.")
    layout.photos.append(Placed(file, label, split))


def _wrappers(inside: Mapping[File, Folders], pattern: Sequence[str]) -> dict[tuple[str, ...], int]:
    """Folders between a split and its classes that only repeat its name or say nothing: seg_train/seg_train/…, train/images/…"""
    if "split" not in pattern or "class" not in pattern[pattern.index("split") :]:
        return {}
    place = pattern.index("split")
    below: dict[tuple[str, ...], list[Folders]] = defaultdict(list)
    for folders in inside.values():
        if len(folders) > place:
            below[tuple(folders[: place + 1])].append(folders[place + 1 :])
    found = {}
    for prefix, rests in below.items():
        depth = 0
        while all(len(rest) > depth for rest in rests):
            names = {rest[depth] for rest in rests}
            name = next(iter(names))
            alone = not any(len(rest) > depth + 1 for rest in rests)  # then it may be the one class of this part
            if len(names) > 1 or not (_repeats(name, prefix[-1]) or (says_nothing(name) and not alone)):
                break
            depth += 1
        found[prefix] = depth
    return found


def _repeats(name: str, first: str) -> bool:
    return name.casefold() == first.casefold() or (split_of(name) is not None and split_of(name) == split_of(first))


def _beside(name: str, split: str | None) -> str:
    if split == "ignore":
        return f"{name} is not used, as the input says"
    if is_unlabelled(name):
        return f"{name} holds photos without labels"
    return "it lies beside the train and test folders, in none of them"


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


def _no_class(photos: Sequence[File]) -> str:
    text = (
        "dataset: no folder names a class. Put the photos of each class into a folder of its own "
        "(bees/1.jpg, ants/2.jpg), or add a metadata.csv with the columns file_name and label."
    )
    if found := names_in_files(photos):
        text += f' The file names seem to name classes ({some(found)}): if so, set "layout": "name".'
    return text


def _only_parts(inside: Mapping[File, Folders], tops: set[str]) -> str:
    text = (
        f"dataset: photos lie directly in the folders {some(sorted(tops))}, which are read as splits; no folder "
        f"names a class. Put the photos of each "
        "class into a folder of its own below them (train/bees/1.jpg), add a metadata.csv with file_name and label, "
        'or set "layout": "class" '
        "if these folders are the classes."
    )
    if found := names_in_files(list(inside)):
        text += f' The file names seem to name classes ({some(found)}): if so, set "layout": "split/name".'
    return text
