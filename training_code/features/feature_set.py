"""The `features/` output of `prepare`, which is the `features` channel of `train`: arrays that can be mapped into memory.

    index.json                 key, classes, feature width, model, preprocessing, engine
    train.npy                  photos × width, float32        train_flipped.npy      the mirrored photos, where asked for
    validation.npy             photos × width, float32        validation_flipped.npy where test_time_flip asks for it
    train_labels.npy           index into classes, int64      validation_labels.npy
    train_ids.txt              one photo id a line            validation_ids.txt
    train_groups.npy           a number for each group of photos that show the same, int64     validation_groups.npy

Refuses a folder whose arrays do not belong together, and there is no place in it for test photos.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from contract.failure import JobFailure
from contract.whole_file import write_json

SPLITS = ("train", "validation")


def depths_to_compare(most: int) -> list[int]:
    """1, 2, 4 and all of them."""
    return sorted({one for one in (1, 2, 4) if one < most} | {most})


@dataclass(frozen=True)
class Part:
    """One split: `features` and `flipped` (or None) are photos × width, in the order of `ids`."""

    features: np.ndarray
    labels: np.ndarray
    ids: list[str]
    flipped: np.ndarray | None = None
    groups: np.ndarray | None = None  # a number for each photo; photos that show the same have the same


@dataclass(frozen=True)
class FeatureSet:
    """Features, labels and what they were made with; `key` is the same if and only if they are comparable."""

    train: Part
    validation: Part
    classes: list[str]
    key: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        return int(self.train.features.shape[1])

    @property
    def widths(self) -> list[int]:
        """Columns up to each depth: features of fewer depths are the first columns."""
        return list(self.facts.get("widths") or [self.width])

    @property
    def depths(self) -> int:
        return len(self.widths)

    def width_at(self, depths: int) -> int:
        return self.widths[depths - 1]

    def some_depths(self) -> list[int]:
        """Numbers of depths that are worth a comparison."""
        return depths_to_compare(self.depths)

    @property
    def validation_is_given(self) -> bool:
        """Whether the user said which photos validate."""
        return self.facts.get("validation") == "given"

    def together(self) -> FeatureSet:
        """The same with the validation photos among the training photos too; where they have no mirrored view, the plain one twice."""
        train, seen = self.train, self.validation
        flipped = None
        if train.flipped is not None:
            flipped = np.concatenate([train.flipped, seen.features if seen.flipped is None else seen.flipped])
        both = Part(
            np.concatenate([train.features, seen.features]), np.concatenate([train.labels, seen.labels]),
            [*train.ids, *seen.ids], flipped,
        )  # fmt: skip
        return replace(self, train=both)

    def write(self, folder: Path) -> None:
        """All files, `index.json` last: a folder without it is unfinished."""
        folder.mkdir(parents=True, exist_ok=True)
        for split in SPLITS:
            part = getattr(self, split)
            np.save(folder / f"{split}.npy", np.ascontiguousarray(part.features, dtype=np.float32))
            np.save(folder / f"{split}_labels.npy", np.asarray(part.labels, dtype=np.int64))
            (folder / f"{split}_ids.txt").write_text("".join(f"{one}\n" for one in part.ids), encoding="utf-8")
            if part.groups is not None:
                np.save(folder / f"{split}_groups.npy", np.asarray(part.groups, dtype=np.int64))
            if part.flipped is not None:
                np.save(folder / f"{split}_flipped.npy", np.ascontiguousarray(part.flipped, dtype=np.float32))
        index = {**self.facts, "key": self.key, "classes": self.classes, "width": self.width}
        write_json(folder / "index.json", index)

    @classmethod
    def read(cls, folder: Path) -> FeatureSet:
        """Map a folder into memory; JobFailure when it is none or its arrays do not belong together."""
        index_file = folder / "index.json"
        if not index_file.is_file():
            raise JobFailure(f"channel 'features': no index.json in {folder}; run the step Prepare dataset again.")
        index = json.loads(index_file.read_text(encoding="utf-8"))
        parts = {}
        for split in SPLITS:
            flipped, groups = folder / f"{split}_flipped.npy", folder / f"{split}_groups.npy"
            part = Part(
                np.load(folder / f"{split}.npy", mmap_mode="r", allow_pickle=False),
                np.load(folder / f"{split}_labels.npy", allow_pickle=False),
                (folder / f"{split}_ids.txt").read_text(encoding="utf-8").split(),
                np.load(flipped, mmap_mode="r", allow_pickle=False) if flipped.is_file() else None,
                np.load(groups, allow_pickle=False) if groups.is_file() else None,
            )
            lengths = {len(part.features), len(part.labels), len(part.ids)}
            lengths |= {len(one) for one in (part.flipped, part.groups) if one is not None}
            if len(lengths) != 1 or part.features.shape[1] != index["width"]:
                raise JobFailure(f"channel 'features': the arrays of {split} differ in length or width: {folder}.")
            parts[split] = part
        facts = {name: value for name, value in index.items() if name not in ("key", "classes", "width")}
        return cls(**parts, classes=index["classes"], key=index["key"], facts=facts)
