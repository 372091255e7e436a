"""The models of a multi-model endpoint: loaded, listed, unloaded as SageMaker asks, within a memory limit.

Refused: a name loaded already (409), a model that does not fit (507: SageMaker then unloads others and asks again), a
folder outside the platform's own tree (400). https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
"""

import threading
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from contract.manifest import MODEL_FILE, InvalidManifest
from contract.memory_budget import available_memory, photo_budget
from inference_code.answers import Refused
from inference_code.classifier import Classifier
from inference_code.engines import UnusableModel
from inference_code.settings import MEGABYTE, Settings

# Two compiled forms with their repacked weights, the file's own pages, and working memory for the activations.
# An estimate on the safe side, not a measurement: docs/serving.md.
WEIGHT_COPIES: Final = 4
WORKING_MEMORY: Final = 48 * MEGABYTE


@dataclass(frozen=True)
class LoadedModel:
    """A model as SageMaker names it, where it came from, what it is counted for."""

    name: str
    url: str
    memory_bytes: int
    classifier: Classifier


class ModelStore:
    """Loaded models by name; every method may be called from many threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._models: dict[str, LoadedModel] = {}
        self._loading: dict[str, int] = {}
        self._lock = threading.Lock()

    def load(self, name: str, url: str) -> LoadedModel:
        """Load the artifact in the folder `url` under this name."""
        directory = self._directory(url)
        memory = self._reserve(name, directory)
        try:
            classifier = Classifier.load(directory, self._settings.cores, self._settings.engine)
            model = LoadedModel(name, url, memory, classifier)
            with self._lock:
                self._models[name] = model
            return model
        except (InvalidManifest, UnusableModel) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "unusable_model", f"model {name!r}: {error}") from None
        finally:
            with self._lock:
                del self._loading[name]

    def get(self, name: str) -> LoadedModel:
        """The model of this name; 404 where it is not loaded."""
        model = self._models.get(name)
        if model is None:
            raise Refused(
                HTTPStatus.NOT_FOUND,
                "model_not_loaded",
                f"model {name!r} is not loaded; loaded: {sorted(self._models)}",
            )
        return model

    def unload(self, name: str) -> None:
        """Forget the model; calls that are using it finish first, since they hold it."""
        with self._lock:
            self.get(name)
            del self._models[name]

    def all(self) -> list[LoadedModel]:
        """Every loaded model, by name."""
        with self._lock:
            return sorted(self._models.values(), key=lambda model: model.name)

    def _directory(self, url: str) -> Path:
        directory = Path(url.removeprefix("file://"))
        if not directory.is_absolute():
            directory = Path("/") / directory  # AWS's own examples write "opt/ml/models/…"
        base = self._settings.base.resolve()
        try:
            inside, there = directory.resolve().is_relative_to(base), directory.is_dir()
        except (OSError, ValueError):  # too long, or with characters that no path has
            inside, there = True, False
        if not inside:
            raise Refused(HTTPStatus.BAD_REQUEST, "bad_url", f"url is {url!r}; allowed: a folder below {base}")
        if not there:
            raise Refused(HTTPStatus.BAD_REQUEST, "bad_url", f"url is {url[:200]!r}; there is no such folder")
        return directory

    def _reserve(self, name: str, directory: Path) -> int:
        model = directory / MODEL_FILE
        needed = WORKING_MEMORY + WEIGHT_COPIES * (model.stat().st_size if model.is_file() else 0)
        with self._lock:
            if name in self._models or name in self._loading:
                raise Refused(HTTPStatus.CONFLICT, "already_loaded", f"model {name!r} is already loaded")
            taken = sum(one.memory_bytes for one in self._models.values()) + sum(self._loading.values())
            limit, why = self._limit(taken)
            if taken + needed > limit:
                raise Refused(
                    HTTPStatus.INSUFFICIENT_STORAGE,
                    "not_enough_memory",
                    f"model {name!r} needs about {needed // MEGABYTE} MB; {max(0, limit - taken) // MEGABYTE} MB of "
                    f"{limit // MEGABYTE} MB are free ({why}): unload a model, or raise DARKROOM_MODEL_MEMORY_MB",
                )
            self._loading[name] = needed
        return needed

    def _limit(self, taken: int) -> tuple[int, str]:
        if self._settings.model_memory_bytes:
            return self._settings.model_memory_bytes, "DARKROOM_MODEL_MEMORY_MB"
        # Memory that photos may still take while they are decoded is not there for models.
        return taken + max(0, available_memory() - photo_budget().free), "the machine's available memory"
