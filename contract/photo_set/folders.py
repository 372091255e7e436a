"""Which class and which split the path of a photo means, once it is known which level of folders names them.

A photo that lies in no class folder, or beside the splits, is passed over and listed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from contract.photo_set.files import File
from contract.photo_set.folder_pattern import (
    NoClasses,
    class_in_name,
    heaps,
    no_class,
    parts_among,
    pattern_of,
    spoken_parts,
)
from contract.photo_set.questions import Asked, Layout, Placed, some
from contract.photo_set.words import is_unlabelled, says_nothing, split_of

Folders = Sequence[str]


def place_by_folder(photos: Sequence[File], asked: Asked) -> Layout:
    """Label and split of every photo from its path."""
    layout = Layout([])
    skip = common_folders(photos)
    inside = {file: file.parts[skip:-1] for file in photos}
    settled = asked.splits if isinstance(asked.splits, Mapping) else {}
    pattern = asked.layout.split("/") if asked.layout != "auto" else pattern_of(inside, settled, layout)
    names = {
        folders[at]
        for at, level in enumerate(pattern)
        if level == "split"
        for folders in inside.values()
        if len(folders) > at
    }
    splits = parts_among(names, settled) or spoken_parts(names)
    wrappers = _wrappers(inside, pattern)
    for file, folders in inside.items():
        _place(file, folders, pattern, splits, wrappers, layout)
    if asked.layout == "auto":
        _pass_over_unlabelled_parts(layout)
        labels = {photo.label for photo in layout.photos}
        if len(labels) > 1 and heaps(labels):
            raise NoClasses(
                f"dataset: the folders {some(sorted(labels))} look like parts of one heap of photos, not like classes; set "
                '"layout": "class" if they are. ' + no_class(photos).removeprefix("dataset: ")
            )
    if not layout.photos:
        raise NoClasses(no_class(photos))
    return layout


def _pass_over_unlabelled_parts(layout: Layout) -> None:
    """`test/images/1.jpg` beside `train/CLASS/images/1.jpg`: the folder that says nothing is not a class of this part."""
    trained = {photo.label for photo in layout.photos if photo.split == "train"}
    by_split: dict[str | None, set[str]] = defaultdict(set)
    for photo in layout.photos:
        by_split[photo.split].add(photo.label)
    nothing = {
        s
        for s, labels in by_split.items()
        if len(trained) > 1 and not labels & trained and all(map(says_nothing, labels))
    }
    layout.passed_over += [
        (photo.file.name, "it lies in no class folder") for photo in layout.photos if photo.split in nothing
    ]
    layout.photos = [photo for photo in layout.photos if photo.split not in nothing]


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
