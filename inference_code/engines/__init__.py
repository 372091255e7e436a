"""Engines that run `model.onnx`; which one is decided by what the image holds (docs/serving.md has the measurement).

The seam is one protocol (`engine.py`): dynamic batching and int8 will be engines, and the server will not notice.
"""

import importlib.util
from pathlib import Path

from inference_code.engines.engine import Engine, EngineUnavailable, UnusableModel

__all__ = ["Engine", "EngineUnavailable", "UnusableModel", "open_engine"]


def open_engine(model: Path, cores: int, kind: str = "auto") -> Engine:
    """Load the model with the engine asked for; `auto`: the one this image was built with."""
    if kind in ("auto", "openvino") and importlib.util.find_spec("openvino"):
        from inference_code.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(model, cores)
    if kind in ("auto", "onnxruntime") and importlib.util.find_spec("onnxruntime"):
        from inference_code.engines.onnxruntime import OnnxRuntimeEngine

        return OnnxRuntimeEngine(model, cores, need_gpu=kind == "auto")
    raise EngineUnavailable(f"engine {kind!r} is not installed in this image; DARKROOM_ENGINE=auto takes what is there")
