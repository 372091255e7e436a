"""The photos that a candidate is judged on, with their labels as indices into its classes, and what it scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contract import sheet
from contract.measures import balanced_accuracy, log_loss


@dataclass(frozen=True)
class PhotoSet:
    """`labels` int64 (N,); `read(i)` gives the bytes of the i-th photo. `left_out`: photos of other classes."""

    ids: list[str]
    labels: np.ndarray
    read: Callable[[int], bytes]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.ids)


def from_tree(folder: Path, manifest: Path, classes: Sequence[str]) -> PhotoSet:
    """The test photos: files named by photo id anywhere below `folder`, labels from the manifest of `prepare`."""
    with manifest.open(newline="", encoding="utf-8") as stream:
        labels = {row["photo_id"]: row["label"] for row in sheet.read_rows(stream)}
    index = {name: i for i, name in enumerate(classes)}
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.stem in labels)
    chosen = [p for p in files if labels[p.stem] in index]
    return PhotoSet(
        ids=[str(p.relative_to(folder)) for p in chosen],
        labels=np.array([index[labels[p.stem]] for p in chosen], np.int64),
        read=lambda i: chosen[i].read_bytes(),
        left_out=len(files) - len(chosen),
    )


def from_pack(folder: Path, classes: Sequence[str]) -> PhotoSet:
    """The validation photos of the packed `photos/` output of `prepare`: byte ranges of a few stored zips."""
    index = {name: i for i, name in enumerate(classes)}
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in sheet.read_rows(stream) if row["split"] == "validation"]
    chosen = [row for row in rows if row["label"] in index]

    def read(i: int) -> bytes:
        with (folder / chosen[i]["shard"]).open("rb") as stream:
            stream.seek(int(chosen[i]["offset"]))
            return stream.read(int(chosen[i]["length"]))

    return PhotoSet(
        ids=[row["photo_id"] for row in chosen],
        labels=np.array([index[row["label"]] for row in chosen], np.int64),
        read=read,
        left_out=len(rows) - len(chosen),
    )


def judge(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Accuracy, balanced accuracy (mean recall of the classes present) and mean log loss; None without photos."""
    n = len(labels)
    if n == 0:
        return {"n": 0, "accuracy": None, "balanced_accuracy": None, "loss": None}
    predicted = probabilities.argmax(axis=1)
    return {
        "n": n,
        "accuracy": float(np.mean(predicted == labels)),
        "balanced_accuracy": balanced_accuracy(labels, predicted),
        "loss": log_loss(labels, probabilities),
    }
