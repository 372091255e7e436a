"""Trees of files with known truth, for tests of how sets of photos are read: nothing here is shared with the reader."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from contract.photo_set.questions import Asked, Layout
from contract.photo_set.read import read_set
from contract.photo_set.sources import open_source


def write_tree(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Files by relative path; a path that ends with / is an empty folder. A photo's bytes are its own path unless given."""
    for name, data in files.items():
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def photos(*places: str, each: int = 4, first: int = 0) -> dict[str, str]:
    """`each` photos in every place."""
    return {f"{place}/{n}.jpg": f"{place} {n}" for place in places for n in range(first, first + each)}


def read(root: Path, **asked) -> Layout:
    source = open_source(root)
    return read_set(source, source.files(), Asked(**asked))


def placed(layout: Layout) -> Counter[tuple[str | None, str]]:
    return Counter((photo.split, photo.label) for photo in layout.photos)


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
