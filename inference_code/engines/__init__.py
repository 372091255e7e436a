"""Engines that run `model.onnx`; which one is decided by what the image holds (docs/serving.md has the measurement).

The seam is one protocol: dynamic batching and int8 will be engines, and the server will not notice.
"""

import importlib.util
from pathlib import Path
from typing import Protocol

import numpy as np


class EngineUnavailable(RuntimeError):
    """The engine asked for is not in this image."""


class UnusableModel(ValueError):
    """A model file that the engine cannot run, or whose input or output is not the artifact's."""


class Engine(Protocol):
    """Runs a model; safe to call from many threads at once."""

    name: str
    preferred_batch: int

    def warm_up(self, batch: np.ndarray) -> np.ndarray:
        """Pay every first call's cost now; the answer to this batch."""

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, 3, H, W) to float32 probabilities (N, classes)."""


def open_engine(model: Path, cores: int, kind: str = "auto") -> Engine:
    """Load the model with the engine asked for; `auto`: the one this image was built with."""
    if kind in ("auto", "openvino") and importlib.util.find_spec("openvino"):
        from inference_code.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(model, cores)
    if kind in ("auto", "onnxruntime") and importlib.util.find_spec("onnxruntime"):
        from inference_code.engines.onnxruntime import OnnxRuntimeEngine

        return OnnxRuntimeEngine(model, cores, need_gpu=kind == "auto")
    raise EngineUnavailable(f"engine {kind!r} is not installed in this image; DARKROOM_ENGINE=auto takes what is there")
