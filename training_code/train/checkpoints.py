"""Checkpoints that are there whole or not at all, and only ever continue the training that wrote them.

A checkpoint carries the identity of its training (settings, data, hosts). Another identity is not continued: the training
starts afresh and says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from contract.whole_file import whole_file


def identity_of(facts: Mapping[str, Any]) -> str:
    """A digest of everything that decides the course of a training."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write under another name, bring it to disk, rename: a kill at any moment leaves the old file or the new one."""
    try:
        # SageMaker uploads /opt/ml/checkpoints as it changes, half-written files too; their dot marks what is not to be read.
        with whole_file(path, on_disk=True) as unfinished:
            write(unfinished)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


class ArrayCheckpoint:
    """Named arrays and plain facts in one .npz, read without unpickling."""

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self._identity = path, identity

    def save(self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        text = json.dumps({"identity": self._identity, **facts})

        def write(target: Path) -> None:
            with target.open("wb") as stream:
                np.savez(stream, __facts__=np.array(text), **arrays)

        write_whole(self.path, write)

    def load(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Arrays and facts of this very training, or None."""
        if not self.path.is_file():
            return None
        with np.load(self.path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        facts = json.loads(str(arrays.pop("__facts__")))
        return (arrays, facts) if _same(facts.pop("identity"), self._identity, self.path) else None


class TensorCheckpoint:
    """A nest of tensors and plain values, read by torch with weights_only."""

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self._identity = path, identity

    def save(self, state: Mapping[str, Any]) -> None:
        import torch

        def write(target: Path) -> None:
            # Through a stream: given a name, torch says "unexpected pos" where the disk is full.
            with target.open("wb") as stream:
                torch.save({"identity": self._identity, **state}, stream)

        write_whole(self.path, write)

    def load(self) -> dict[str, Any] | None:
        import torch

        if not self.path.is_file():
            return None
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        return state if _same(state.pop("identity"), self._identity, self.path) else None


def _same(found: str, wanted: str, path: Path) -> bool:
    if found != wanted:
        print(f"{path.name} is of a training with other settings or data: starting afresh.", flush=True)
    return found == wanted
