"""A crash of training as a message for a person: the cause, and the hyperparameter or setting to change."""

from __future__ import annotations

import errno
import re

from contract.failure import JobFailure
from contract.hyperparameters import Hyperparameters

# NumPy raises MemoryError; torch, CUDA's libraries, OpenVINO and threads say it in their own words. oneDNN says only what it could not
# create: a primitive descriptor is one that it does not support, the others are memory that it did not get.
_MEMORY = re.compile(
    "out of memory|can't allocate memory|cannot allocate memory|bad_alloc|_alloc_failed|can't start new thread"
    "|could not create a primitive(?! descriptor)|could not create a memory object"
)


class NonFiniteLoss(JobFailure):
    """The loss became NaN or infinite."""

    def __init__(self, loss: float, epoch: int, step: int, settings: Hyperparameters) -> None:
        low_precision = settings.precision != "float32" and settings.fine_tune != "head"
        also = " or precision (float32)" if low_precision else ""
        super().__init__(
            f"the loss became {loss} in epoch {epoch}, step {step}, with learning_rate={settings.learning_rate:g} and "
            f"optimizer={settings.optimizer}. Lower learning_rate (try {settings.learning_rate / 10:g}){also}."
        )


def explained(error: BaseException, settings: Hyperparameters | None) -> BaseException:
    """The failure that says what to change, where the cause is known; else the error as it is."""
    if isinstance(error, JobFailure):
        return error
    batch = (
        f"batch_size={settings.batch_size}, image_size={settings.image_size or 'native'}" if settings else "this input"
    )
    if isinstance(error, MemoryError) or _MEMORY.search(str(error).lower()):
        smaller = max(1, settings.batch_size // 2) if settings else 1
        return JobFailure(
            f"out of memory with {batch}. Lower batch_size (try {smaller}) or image_size, or take a larger instance. "
            f"({_short(error)})"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return JobFailure(
            f"the disk is full while writing {error.filename or 'a file'}. Raise the job's VolumeSizeInGB; fewer checkpoints "
            "(checkpoint_steps=0) and a smaller image_size need less."
        )
    return error


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
