"""The `features/` output of `prepare`, which is the `features` channel of `train`: arrays that can be mapped into memory.

    index.json                 key, classes, feature width, model, preprocessing, engine
    train.npy                  photos × width, float32        train_flipped.npy      the mirrored photos, where asked for
    validation.npy             photos × width, float32        validation_flipped.npy where test_time_flip asks for it
    train_labels.npy           index into classes, int64      validation_labels.npy
    train_ids.txt              one photo id a line            validation_ids.txt

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


@dataclass(frozen=True)
class Part:
    """One split: `features` and `flipped` (or None) are photos × width, in the order of `ids`."""

    features: np.ndarray
    labels: np.ndarray
    ids: list[str]
    flipped: np.ndarray | None = None


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
            flipped = folder / f"{split}_flipped.npy"
            part = Part(
                np.load(folder / f"{split}.npy", mmap_mode="r", allow_pickle=False),
                np.load(folder / f"{split}_labels.npy", allow_pickle=False),
                (folder / f"{split}_ids.txt").read_text(encoding="utf-8").split(),
                np.load(flipped, mmap_mode="r", allow_pickle=False) if flipped.is_file() else None,
            )
            lengths = {len(part.features), len(part.labels), len(part.ids)}
            if part.flipped is not None:
                lengths.add(len(part.flipped))
            if len(lengths) != 1 or part.features.shape[1] != index["width"]:
                raise JobFailure(f"channel 'features': the arrays of {split} differ in length or width: {folder}.")
            parts[split] = part
        facts = {name: value for name, value in index.items() if name not in ("key", "classes", "width")}
        return cls(**parts, classes=index["classes"], key=index["key"], facts=facts)
