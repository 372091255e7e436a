"""Masks beside the photos they belong to would be learnt like photos, or look like a class of their own: they are passed over.

They are known by what lies beside them, never by their name alone: `cat_mask.png` beside `cat.png`, and a folder `masks` whose
files are called like those of `images`. Classes such as `mask` and `no_mask` stay classes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from contract.photo_set.files import File
from contract.photo_set.path_index import stem
from contract.photo_set.questions import Layout, some
from contract.photo_set.words import says_nothing, tokens

WHY = "a mask of another photo (segmentation)"
_WORDS = frozenset(
    {"mask", "masks", "trimap", "trimaps", "segmentation", "segmentations", "segmented", "segmentationclass", "segmentationobject", "seg",
     "annotation", "annotations", "label", "labels", "gt", "groundtruth", "matte", "mattes"}
)  # fmt: skip
_BEHIND = re.compile(r"^(.+?)[\s_.-]*(?:mask|segmentation|groundtruth|trimap)s?(?:[\s_.-]?\d+)?$", re.IGNORECASE)
_PHOTOS = frozenset({"jpegimages", "original", "originals", "x", "input", "inputs"})


def without_masks(photos: Sequence[File], layout: Layout) -> list[File]:
    """The photos; masks are told in `layout`, and need a yes."""
    masks = {*_beside_their_photo(photos), *_in_folders_of_their_own(photos)}
    if masks:
        names = [file.name for file in photos if file in masks]
        layout.passed_over += [(name, WHY) for name in names]
        layout.doubt(
            f"{len(names):,} file(s) look like masks of other photos and are left out (Darkroom learns one class for a whole photo): "
            f"{some(names)}."
        )
    return [file for file in photos if file not in masks]


def _beside_their_photo(photos: Sequence[File]) -> set[File]:
    stems = {(*file.parts[:-1], stem(file.parts[-1]).casefold()) for file in photos}
    found = set()
    for file in photos:
        match = _BEHIND.match(stem(file.parts[-1]))
        if match and (*file.parts[:-1], match[1].casefold()) in stems:
            found.add(file)
    return found


def _in_folders_of_their_own(photos: Sequence[File]) -> set[File]:
    folders: dict[tuple[str, ...], list[File]] = defaultdict(list)
    for file in photos:
        folders[file.parts[:-1]].append(file)
    images: set[str] = set()
    for parts, files in folders.items():
        if parts and (says_nothing(parts[-1]) or parts[-1].casefold() in _PHOTOS) and not _is_called_so(parts[-1]):
            images |= {stem(file.parts[-1]).casefold() for file in files}
    found: set[File] = set()
    for parts, files in folders.items():
        if not any(_is_called_so(part) for part in parts):
            continue
        matching = sum(_of_a_photo(file, images) for file in files)
        if matching >= 0.9 * len(files):
            found |= set(files)
    return found


def _is_called_so(folder: str) -> bool:
    return folder.casefold() in _WORDS or (
        set(tokens(folder)) & {"mask", "masks", "trimaps"} != set() and says_nothing_else(folder)
    )


def says_nothing_else(folder: str) -> bool:
    """`train_masks`, `masks_png`: a word for masks beside words that say nothing."""
    rest = [
        token
        for token in tokens(folder)
        if token not in _WORDS and token not in ("train", "test", "val", "training", "validation")
    ]
    return not rest or says_nothing(" ".join(rest))


def _of_a_photo(file: File, images: set[str]) -> bool:
    name = stem(file.parts[-1])
    match = _BEHIND.match(name)
    return name.casefold() in images or bool(match and match[1].casefold() in images)
