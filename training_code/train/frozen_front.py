"""The frozen part of a backbone, computed once: an epoch of `last_block` then costs only the blocks that learn.

The backbone is cut in front of the first block that learns. What arrives there is computed once for each view of each photo,
by the fastest engine at hand, and kept on disk in 16 bits (EfficientNet-Lite0: 19 kB a view where the pixels are 196 kB). The
cut is tried on real photos before it is used: an architecture that cannot be cut like this (more than one tensor crosses the cut,
a frozen block works behind it) is trained whole, and the record says why.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from contract.failure import JobFailure
from training_code.features.engine import OpenVinoEngine, TorchEngine
from training_code.models.catalogue import ModelSpec
from training_code.train.classifier import blocks_of
from training_code.train.photos import reserved

PIECE = 256  # views between two writes: float32 answers wait in memory until then
TOLERANCE = 1e-2  # of the largest feature: 16 bits round by 5e-4; a wrong cut is off by far more


class CannotCut(Exception):
    """This backbone's frozen part cannot be separated; the text says why."""


class FrozenFront:
    """A backbone cut in front of its first learning block; `cut` makes it start there, `join` makes it whole again."""

    def __init__(self, backbone: nn.Module, frozen: list[nn.Module]) -> None:
        blocks = blocks_of(backbone)
        if not frozen or len(frozen) >= len(blocks):
            raise CannotCut("no block is frozen" if not frozen else "no block of the backbone learns")
        self._backbone, self._frozen, self._first = backbone, frozen, blocks[len(frozen)]
        self._hook: Any = None
        self._given: torch.Tensor | None = None

    def answer(self, images: torch.Tensor) -> torch.Tensor:
        """What arrives at the first learning block."""
        seen: list[torch.Tensor] = []

        def look(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            seen.extend(inputs)

        handle = self._first.register_forward_pre_hook(look)
        try:
            self._backbone(images)
        finally:
            handle.remove()
        if len(seen) != 1 or not isinstance(seen[0], torch.Tensor):
            raise CannotCut(f"{len(seen)} values cross the cut where one tensor is needed")
        return seen[0]

    def cut(self, images: torch.Tensor) -> None:
        """From now on the backbone takes activations. Tried on these normalised photos; CannotCut leaves it whole."""
        with torch.inference_mode():
            whole = self._backbone(images)
            activations = self.answer(images).half()
        reason = ""
        # Frozen blocks are stepped over. Where code between them needs their shapes, a single black photo passes through them.
        for stepped_over in (True, False):
            self._replace(images[:1, :, :32, :32] if stepped_over else images[:1], stepped_over)
            try:
                with torch.inference_mode():
                    found = self._backbone(activations.float())
                difference = (found - whole).abs().max() / whole.abs().max()
                if found.shape == whole.shape and difference <= TOLERANCE:
                    return
                reason = f"behind the cut the features differ by {difference:.2g} of the largest"
            except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
                reason = " ".join(str(error).split())[:160]
            self.join()
        raise CannotCut(reason)

    def _replace(self, photo: torch.Tensor, stepped_over: bool) -> None:
        whole, nothing = self._backbone.forward, torch.zeros_like(photo)

        def give(_: nn.Module, __: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
            return (self._given,)

        def forward(activations: torch.Tensor) -> torch.Tensor:
            self._given = activations
            return whole(nothing)

        self._hook = self._first.register_forward_pre_hook(give)
        self._backbone.forward = forward
        for block in self._frozen if stepped_over else ():
            block.forward = _as_it_is

    def join(self) -> None:
        """The whole backbone again: it takes photos."""
        if self._hook is not None:
            self._hook.remove()
        self._hook = self._given = None
        for module in (self._backbone, *self._frozen):
            module.__dict__.pop("forward", None)


def _as_it_is(value: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return value


class _Flat(nn.Module):
    """What the engines extract: the front's answer as one row a photo."""

    def __init__(self, backbone: nn.Module, front: FrozenFront) -> None:
        super().__init__()
        self.backbone = backbone
        self._front = [front]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self._front[0].answer(image).flatten(1)


def activations_of(
    front: FrozenFront,
    backbone: nn.Module,
    spec: ModelSpec,
    views: dict[str, tuple[int, Callable[[int], np.ndarray]]],
    folder: Path,
    known: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """For each name (how many photos, and their pixels by number) a memory map: photos x the shape in front of the cut.

    `known`: what was answered for the first of them before.
    """
    size = spec.preprocessing.input_size
    device = next(backbone.parameters()).device
    with torch.inference_mode():
        shape = tuple(front.answer(torch.zeros(1, 3, *size, device=device)).shape[1:])
    width = int(np.prod(shape))
    needed, free = 2 * width * sum(count for count, _ in views.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise JobFailure(
            f"the frozen blocks' answers need {needed:,} bytes of disk; {free:,} are free in {folder}. Raise the job's "
            "VolumeSizeInGB, or lower frozen_views or image_size."
        )
    flat = _Flat(backbone, front)
    engine = (
        TorchEngine(flat, width, spec.preprocessing, "float32", "cuda")
        if device.type == "cuda"
        else OpenVinoEngine(flat, spec.preprocessing, "float32")
    )
    none = np.empty((0, *shape), np.float16)
    return {
        name: _computed(engine, folder / f"{name}.npy", known.get(name, none), *given) for name, given in views.items()
    }


def _computed(
    engine: Any, path: Path, known: np.ndarray, count: int, pixels: Callable[[int], np.ndarray]
) -> np.ndarray:
    if len(known) == count:
        return known
    shape = known.shape[1:]
    kept = reserved(path, np.float16, (count, *shape))
    kept[: len(known)] = known
    for begin in range(len(known), count, PIECE):
        numbers = range(begin, min(begin + PIECE, count))
        with np.errstate(over="ignore"):
            kept[begin : numbers.stop] = engine.extract([(i, "plain") for i in numbers], pixels).reshape(-1, *shape)
        if not np.isfinite(kept[begin : numbers.stop]).all():
            raise CannotCut("the frozen blocks' answers exceed what 16 bits hold")
    return kept
