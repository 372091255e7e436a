"""One training job as SageMaker hands it over: settings, channels, hosts, and where its results go.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from contract.failure import JobFailure, base_directory
from contract.hyperparameters import Hyperparameters
from training_code.features.feature_set import FeatureSet
from training_code.models import ModelSpec, resolve
from training_code.models import weights as weight_store
from training_code.train.photos import PhotoCache, worker_count

WEIGHTS_URI = "WEIGHTS_URI"


@dataclass(frozen=True)
class Job:
    """`raw`: the strings of hyperparameters.json; `settings`: the same, checked."""

    base: Path
    raw: Mapping[str, str]
    settings: Hyperparameters
    hosts: tuple[str, ...] = ("algo-1",)
    current_host: str = "algo-1"

    @classmethod
    def read(cls, base: Path | None = None) -> Job:
        base = base or base_directory()
        config = base / "input" / "config"
        raw = _json(config / "hyperparameters.json")
        resources = _json(config / "resourceconfig.json")
        hosts = tuple(resources.get("hosts") or ["algo-1"])
        current = resources.get("current_host", hosts[0])
        if current not in hosts:
            raise JobFailure(f"resourceconfig.json: current_host is {current!r}; allowed: {', '.join(hosts)}.")
        return cls(base, raw, Hyperparameters.from_strings(raw), hosts, current)

    def with_settings(self, values: Mapping[str, str], checkpoints: str = "") -> Job:
        """The same job with other hyperparameters (all strings), its checkpoints in a folder of their own."""
        raw = {**self.raw, **values}
        other = replace(self, raw=raw, settings=Hyperparameters.from_strings(raw))
        if checkpoints:
            object.__setattr__(other, "checkpoints", self.checkpoints / checkpoints)
        # A search changes neither model nor photos: they are opened once.
        for name in ("features", "spec", "photos"):
            if name in self.__dict__:
                object.__setattr__(other, name, self.__dict__[name])
        return other

    @property
    def refits(self) -> bool:
        """Whether the model that is exported learns from the validation photos too, once they have judged; trials export none."""
        return self.settings.refit and self.settings.export

    def together(self, **settings: str) -> Job:
        """The job of a refit: training photos are all that are not for the test, checkpoints lie apart."""
        other = self.with_settings({**settings, "patience": "0"}, checkpoints="refit")
        if self.channel("features"):
            object.__setattr__(other, "features", self.features.together())
        if self.settings.fine_tune != "head":
            object.__setattr__(other, "photos", self.photos.together())
        return other

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

    def weights(self) -> weight_store.Weights | None:
        """The checked weight file; none when the training starts from random weights."""
        if not self.settings.pretrained:
            return None
        cache = Path(tempfile.gettempdir()) / "darkroom-weights"
        return weight_store.resolve(
            self.settings.model, self.channel("weights"), os.environ.get(WEIGHTS_URI, ""), cache
        )

    @cached_property
    def checkpoints(self) -> Path:
        return self.base / "checkpoints"

    @property
    def model_dir(self) -> Path:
        return self.base / "model"

    @property
    def output_data(self) -> Path:
        return self.base / "output" / "data"

    @property
    def rank(self) -> int:
        return self.hosts.index(self.current_host)


def _json(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise JobFailure(f"{path} is not valid JSON ({error}).") from None
