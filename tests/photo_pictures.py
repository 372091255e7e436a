"""Draws sets of photos for docs/data.md: the tree as it lies on disk, and what was read of it by the reader itself.

    DARKROOM_DRAW=1 pytest tests/test_photo_set_layouts.py        writes docs/images/layouts/

Without the variable the test compares the files with what is drawn, so that a picture shows what is read today.
"""

from __future__ import annotations

import re
import tempfile
from html import escape
from pathlib import Path

from tests.photo_layouts import SETS, Set
from tests.photo_trees import placed, read, write_tree

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images" / "layouts"
SHOWN = (
    "a folder per class", "splits as given", "splits below the classes", "names as public sets have them",
    "metadata.csv with classes, splits and a facet", "Kaggle: ids without ending, a test without labels", "MXNet's lists", "Ground Truth",
    "Roboflow: one-hot _classes.csv in each part", "lists of paths", "JSON by class", "class folders for training, a table for the test",
)  # fmt: skip
NARROW = "\u00a0"  # spaces at the beginning would be dropped
LINE, LETTER, WIDTH = 17, 7.25, 400
FILES, TABLE_LINES, LONGEST = 2, 3, 47
INK, GREY, CLASS, PART, TABLE = "#1f2328", "#6e7781", "#0969da", "#8250df", "#9a6700"
Line = tuple[str, str, str]  # before, text, colour


def file_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".svg"


def draw(one: Set) -> str:
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder), one.files)
        layout = read(Path(folder), **one.asked)
    classes = {label for _, label in placed(layout)}
    lines = [*_tree(one.files, classes), ("", "", INK), *_read(dict(placed(layout)))]
    height = LINE * (len(lines) + 2)
    text = "".join(
        f'<text x="{12 + LETTER * len(before):.0f}" y="{LINE * (n + 2):.0f}" fill="{colour}">{escape(shown)}</text>'
        + (
            f'<text x="12" y="{LINE * (n + 2):.0f}" fill="{GREY}">{escape(before.replace(" ", NARROW))}</text>'
            if before.strip()
            else ""
        )
        for n, (before, shown, colour) in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12" xml:space="preserve">'
        f"<title>{escape(one.name)}</title>"
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff" stroke="#d0d7de"/>{text}</svg>\n'
    )


def _tree(files: dict[str, str | bytes], classes: set[str]) -> list[Line]:
    root: dict = {}
    for name, data in files.items():
        at = root
        *folders, last = name.split("/")
        for folder in folders:
            at = at.setdefault(folder, {})
        at[last] = data
    return _branch(root, "", classes)


def _branch(folder: dict, before: str, classes: set[str]) -> list[Line]:
    photos = [name for name, inner in folder.items() if not isinstance(inner, dict) and _is_photo(name)]
    shown = [name for name in folder if name not in photos[FILES:]]
    lines: list[Line] = []
    for n, name in enumerate(shown):
        inner, last = folder[name], n == len(shown) - 1
        more = f"  … {len(photos) - FILES} more" if photos[FILES:] and name == photos[FILES - 1] else ""
        colour = CLASS if name in classes else PART if isinstance(inner, dict) else INK if _is_photo(name) else TABLE
        lines.append((before + ("└─ " if last else "├─ "), name + ("/" if isinstance(inner, dict) else more), colour))
        deeper = before + ("   " if last else "│  ")
        if isinstance(inner, dict):
            lines += _branch(inner, deeper, classes)
        elif not _is_photo(name):
            text = inner if isinstance(inner, str) else ""
            rows = text.replace("\t", " ⇥ ").splitlines()[:TABLE_LINES]
            lines += [
                (
                    deeper + "  ",
                    row if len(row) <= LONGEST - len(deeper) else row[: LONGEST - len(deeper) - 1] + "…",
                    GREY,
                )
                for row in rows
            ]
    return lines


def _is_photo(name: str) -> bool:
    return name.endswith((".jpg", ".png"))


def _read(counts: dict[tuple[str | None, str], int]) -> list[Line]:
    lines: list[Line] = [("", "read as", GREY)]
    for part in (None, "train", "validation", "test"):
        told = ", ".join(f"{label} {count}" for (of, label), count in sorted(counts.items(), key=str) if of == part)
        if told:
            lines.append(("", f"{part or 'splits are drawn'}: {told}", INK))
    return lines


def pictures() -> dict[str, str]:
    by_name = {one.name: one for one in SETS}
    return {file_name(name): draw(by_name[name]) for name in SHOWN}


def write() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.svg"):
        old.unlink()
    for name, text in pictures().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
