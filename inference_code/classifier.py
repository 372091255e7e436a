"""One model artifact, ready to answer: manifest, engine, and the way from bytes to probabilities.

The four verbs of serving: load, decode, predict, encode (the last in `answers.py`). Nothing is unpickled: the artifact
is JSON and ONNX. A model that does not answer as its manifest says is refused when loaded, not when called.
"""

from pathlib import Path

import numpy as np
import simplejpeg

from contract.abandon import Abandon
from contract.decode import read_photo
from contract.manifest import MODEL_FILE, Manifest
from contract.preprocessing import to_tensor
from inference_code.engines import Engine, UnusableModel, open_engine


class Classifier:
    """A loaded model; every method may be called from many threads."""

    def __init__(self, manifest: Manifest, engine: Engine) -> None:
        self.manifest = manifest
        self.engine = engine

    @classmethod
    def load(cls, directory: Path, cores: int, engine: str = "auto") -> "Classifier":
        """Read `manifest.json` and `model.onnx`; raise InvalidManifest, UnusableModel or EngineUnavailable."""
        manifest = Manifest.read(directory)
        model = directory / MODEL_FILE
        if not model.is_file():
            raise UnusableModel(f"{model}: no such file; a model artifact must hold {MODEL_FILE} beside its manifest")
        classifier = cls(manifest, open_engine(model, cores, engine))
        classifier._answer_once()
        return classifier

    def _answer_once(self) -> None:
        """A grey photo: pays the first call's cost now, and proves that model and manifest belong together."""
        height, width = self.manifest.preprocessing.input_size
        grey = simplejpeg.encode_jpeg(np.full((height, width, 3), 128, dtype=np.uint8))
        try:
            probabilities = self.engine.warm_up(self.decode(grey)[None])
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UnusableModel(f"the model does not run on its input size {height} x {width}: {reason}") from None
        expected = (1, len(self.manifest.classes))
        if probabilities.shape != expected:
            raise UnusableModel(f"the model answers {probabilities.shape}; the manifest's classes need {expected}")
        if not np.isfinite(probabilities).all() or abs(float(probabilities.sum()) - 1) > 1e-3:
            raise UnusableModel(f"the model's output is {probabilities[0].tolist()}, which are no probabilities")

    def decode(self, photo: bytes, abandon: Abandon | None = None) -> np.ndarray:
        """Bytes to the model's input, float32 (3, H, W); raise UnreadablePhoto, or Abandoned where nobody waits any more."""
        return to_tensor(read_photo(photo, abandon=abandon).pixels, self.manifest.preprocessing)

    def predict(self, tensors: list[np.ndarray]) -> np.ndarray:
        """Inputs to probabilities, float32 (N, classes)."""
        return self.engine.predict(tensors[0][None] if len(tensors) == 1 else np.stack(tensors))
