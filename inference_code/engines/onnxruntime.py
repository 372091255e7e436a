"""The GPU engine: ONNX Runtime on CUDA, in an image built with `--build-arg VARIANT=gpu`.

It refuses to start where it finds no GPU: answering silently from the CPU of a GPU instance costs money for nothing.
`DARKROOM_ENGINE=onnxruntime` allows the CPU, for tests of this engine.
"""

from pathlib import Path

import numpy as np
import onnxruntime

from contract.manifest import INPUT_NAME, OUTPUT_NAME
from inference_code.engines.engine import EngineUnavailable, UnusableModel


class OnnxRuntimeEngine:
    """One model on the GPU; takes photos in batches."""

    preferred_batch = 32

    def __init__(self, model: Path, cores: int, need_gpu: bool) -> None:
        if hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # CUDA and cuDNN come from PyPI's nvidia packages, not from the base image
        providers = onnxruntime.get_available_providers()
        on_gpu = "CUDAExecutionProvider" in providers
        if need_gpu and not on_gpu:
            raise EngineUnavailable(f"this is the GPU image and ONNX Runtime finds no CUDA device, only {providers}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cores
        # TF32 would answer in other digits than evaluation measured.
        chosen = [("CUDAExecutionProvider", {"use_tf32": 0})] if on_gpu else []
        try:
            self._session = onnxruntime.InferenceSession(model, options, [*chosen, "CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class
            raise UnusableModel(f"{model}: ONNX Runtime cannot read it: {error}") from None
        if on_gpu and self._session.get_providers()[0] != "CUDAExecutionProvider":
            raise EngineUnavailable("ONNX Runtime could not start on the GPU; its reason stands above in this log")
        inputs = [one.name for one in self._session.get_inputs()]
        outputs = [one.name for one in self._session.get_outputs()]
        if inputs != [INPUT_NAME] or outputs != [OUTPUT_NAME]:
            raise UnusableModel(
                f"{model}: input {inputs}, output {outputs}; needed: [{INPUT_NAME!r}], [{OUTPUT_NAME!r}]"
            )
        self.name = f"onnxruntime {onnxruntime.__version__} on {'cuda' if on_gpu else 'cpu'}"

    def warm_up(self, batch: np.ndarray) -> np.ndarray:
        """The first call chooses the kernels."""
        return self.predict(batch)

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, 3, H, W) to float32 probabilities (N, classes)."""
        return self._session.run([OUTPUT_NAME], {INPUT_NAME: batch})[0]
