"""What the channels of a training job hold: each is opened when it is first asked for, and once for all trainings of the job.

A search changes neither model nor photos, and a refit reads the same ones split differently: their jobs share what is open.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from contract.failure import JobFailure
from contract.hyperparameters import Hyperparameters
from training_code.features.feature_set import FeatureSet
from training_code.models import ModelSpec, resolve
from training_code.train.photos import PhotoCache, worker_count


class Inputs:
    """`settings`: those that the job was started with; what they say of model, image size and workers holds for all its trainings."""

    def __init__(self, base: Path, settings: Hyperparameters) -> None:
        self.base, self.settings = base, settings

    def channel(self, name: str) -> Path | None:
        folder = self.base / "input" / "data" / name
        return folder if folder.is_dir() else None

    def required_channel(self, name: str) -> Path:
        folder = self.channel(name)
        if folder is None:
            raise JobFailure(
                f"channel {name!r}: received none; fine_tune={self.settings.fine_tune} needs it. Give the training job "
                f"an input channel of this name, made by `prepare`."
            )
        return folder

    @cached_property
    def features(self) -> FeatureSet:
        return FeatureSet.read(self.required_channel("features"))

    @cached_property
    def spec(self) -> ModelSpec:
        return resolve(self.settings.model, self.settings.image_size)

    @cached_property
    def photos(self) -> PhotoCache:
        """Decoded photos; `close` removes them."""
        classes = self.features.classes if self.channel("features") else ()
        workers = worker_count(self.settings.workers)
        return PhotoCache(self.required_channel("photos"), self.spec.preprocessing, workers, classes)

    def close(self) -> None:
        if "photos" in self.__dict__:
            self.photos.close()


class Together(Inputs):
    """The same photos and features with all that are not for the test as training photos. Closing is the first one's."""

    def __init__(self, first: Inputs) -> None:
        super().__init__(first.base, first.settings)
        self.first = first

    @cached_property
    def features(self) -> FeatureSet:
        return self.first.features.together()

    @property
    def spec(self) -> ModelSpec:  # type: ignore[override]
        return self.first.spec

    @cached_property
    def photos(self) -> PhotoCache:
        return self.first.photos.together()

    def close(self) -> None:
        pass
