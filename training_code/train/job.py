"""One training job as SageMaker hands it over: settings, channels, hosts, and where its results go.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from contract.failure import JobFailure, base_directory
from contract.hyperparameters import Hyperparameters
from training_code.features.feature_set import FeatureSet
from training_code.models import ModelSpec
from training_code.models import weights as weight_store
from training_code.train.inputs import Inputs, Together
from training_code.train.photos import PhotoCache

WEIGHTS_URI = "WEIGHTS_URI"


@dataclass(frozen=True)
class Job:
    """`raw`: the strings of hyperparameters.json; `settings`: the same, checked; `inputs`: shared by all jobs made from this one."""

    base: Path
    raw: Mapping[str, str]
    settings: Hyperparameters
    inputs: Inputs
    checkpoints: Path
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
        settings = Hyperparameters.from_strings(raw)
        return cls(base, raw, settings, Inputs(base, settings), base / "checkpoints", hosts, current)

    def with_settings(self, values: Mapping[str, str], checkpoints: str = "") -> Job:
        """The same job with other hyperparameters (all strings), its checkpoints in a folder of their own."""
        raw = {**self.raw, **values}
        settings = Hyperparameters.from_strings(raw)
        return replace(self, raw=raw, settings=settings, checkpoints=self.checkpoints / checkpoints)

    @property
    def refits(self) -> bool:
        """Whether the model that is exported learns from the validation photos too, once they have judged; trials export none."""
        return self.settings.refit and self.settings.export

    def together(self, **settings: str) -> Job:
        """The job of a refit: training photos are all that are not for the test, checkpoints lie apart."""
        other = self.with_settings({**settings, "patience": "0"}, checkpoints="refit")
        return replace(other, inputs=Together(self.inputs))

    def channel(self, name: str) -> Path | None:
        return self.inputs.channel(name)

    @property
    def features(self) -> FeatureSet:
        return self.inputs.features

    @property
    def spec(self) -> ModelSpec:
        return self.inputs.spec

    @property
    def photos(self) -> PhotoCache:
        return self.inputs.photos

    def close(self) -> None:
        self.inputs.close()

    def weights(self) -> weight_store.Weights | None:
        """The checked weight file; none when the training starts from random weights."""
        if not self.settings.pretrained:
            return None
        cache = Path(tempfile.gettempdir()) / "darkroom-weights"
        return weight_store.resolve(
            self.settings.model, self.channel("weights"), os.environ.get(WEIGHTS_URI, ""), cache
        )

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
