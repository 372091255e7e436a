"""The fastest engine at hand for a frozen backbone: OpenVINO on a CPU, PyTorch on a GPU.

Photos stream through: while the engine computes, other threads normalise (and, beyond the pixel store, decode) what comes next.
Measured on 2 cores with EfficientNet-Lite0, 224 px (benchmarks/features.py): eager PyTorch, OpenVINO float32 and bfloat16 differ
by an order of magnitude together. Here `auto` is float32, which agrees with the served model to 1e-5; `engine_choice` tries bfloat16.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from contract.failure import JobFailure
from contract.machine import usable_cores
from contract.preprocessing import Preprocessing, normalize
from training_code.models.catalogue import ModelSpec
from training_code.pytorch import has_torch, require_torch

BATCH = 4  # of the CPU engine: larger batches leave the cache of a core
GPU_BATCH = 256
VIEWS = ("plain", "flipped")
PRECISIONS = {"auto": "float32", "float32": "float32", "bfloat16": "bfloat16", "float16": "float16"}
Work = tuple[int, str]  # index of a photo, view


class Engine(Protocol):
    """`identity` is part of the key under which features are cached: other arithmetic, other features."""

    identity: str
    width: int

    def extract(self, work: Sequence[Work], pixels: Callable[[int], np.ndarray]) -> np.ndarray:
        """Features (len(work) × width, float32) in the order of `work`; `pixels` gives uint8 of the input size."""


def identity_of(precision: str) -> str:
    """The engine that `open_engine` would choose on this machine, without loading it."""
    engine = "torch-cuda" if has_gpu() else "openvino"
    return f"{engine}-{PRECISIONS[precision]}"


def open_engine(spec: ModelSpec, weights: Path | None, precision: str, seed: int, traced: Path | None = None) -> Engine:
    """`traced`: the backbone as ONNX, which spares a CPU the import of PyTorch."""
    if traced is not None and not has_gpu():
        return OpenVinoEngine(traced, spec.preprocessing, PRECISIONS[precision])
    require_torch(f"to run {spec.name}, which is not there as ONNX")
    from training_code.models import backbone

    module, width = backbone.load(spec, weights, seed)
    if has_gpu():
        return TorchEngine(module, width, spec.preprocessing, PRECISIONS[precision], "cuda")
    return OpenVinoEngine(module, spec.preprocessing, PRECISIONS[precision])


def has_gpu_device() -> bool:
    """The driver's device file: a look at it spares the import of PyTorch where there is no GPU."""
    return Path("/dev/nvidiactl").exists()


def has_gpu() -> bool:
    """Whether PyTorch can use one; never in the image without PyTorch."""
    if not has_gpu_device() or not has_torch():
        return False
    import torch

    return torch.cuda.is_available()


class OpenVinoEngine:
    """Asynchronous requests, one a core, each with a small batch. `source`: an ONNX file, or a module to be traced."""

    def __init__(self, source: Path | Any, preprocessing: Preprocessing, precision: str) -> None:
        import openvino

        if precision == "float16":
            raise JobFailure(
                "hyperparameters.precision: received 'float16'; allowed on a CPU: auto, float32, bfloat16."
            )
        self.identity, self._preprocessing = f"openvino-{precision}", preprocessing
        hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
        core = openvino.Core()
        model = core.read_model(str(source)) if isinstance(source, Path) else _converted(source, preprocessing)
        model.reshape([BATCH, 3, *preprocessing.input_size])
        self.width = int(np.prod(list(model.output(0).shape)[1:]))
        self._model = core.compile_model(
            model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": hint}
        )

    def extract(self, work: Sequence[Work], pixels: Callable[[int], np.ndarray]) -> np.ndarray:
        # No callbacks: the thread that runs the last one may drop the last reference to the model, and OpenVINO then
        # waits for that very thread ("Resource deadlock avoided", seen in one of three runs with AsyncInferQueue).
        features = np.empty((len(work), self.width), dtype=np.float32)
        count = self._model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        idle = [self._model.create_infer_request() for _ in range(count)]
        running: deque[tuple[Any, int, np.ndarray]] = deque()

        def collect() -> None:
            request, begin, _ = running.popleft()
            request.wait()
            found = min(BATCH, len(work) - begin)
            features[begin : begin + found] = request.get_output_tensor(0).data.reshape(BATCH, self.width)[:found]
            idle.append(request)

        for begin, batch in _batches(work, pixels, self._preprocessing, BATCH):
            if not idle:
                collect()
            request = idle.pop()
            request.start_async({0: batch}, share_inputs=True)
            running.append((request, begin, batch))  # the batch must live until it has been computed
        while running:
            collect()
        return features


class TorchEngine:
    """PyTorch on a GPU: channels_last, large batches, copies that overlap with the computation."""

    def __init__(self, module, width: int, preprocessing: Preprocessing, precision: str, device: str) -> None:
        import torch

        self.identity, self.width, self._preprocessing = f"torch-{device}-{precision}", width, preprocessing
        self._dtype = getattr(torch, precision)
        self._device = torch.device(device)
        self._module = module.to(self._device, self._dtype, memory_format=torch.channels_last)

    def extract(self, work: Sequence[Work], pixels: Callable[[int], np.ndarray]) -> np.ndarray:
        import torch

        features = torch.empty((len(work), self.width), dtype=torch.float32, device=self._device)
        with torch.inference_mode():
            for begin, batch in _batches(work, pixels, self._preprocessing, GPU_BATCH):
                on_device = torch.from_numpy(batch).to(self._device, self._dtype, non_blocking=True)
                found = self._module(on_device.contiguous(memory_format=torch.channels_last)).float()
                features[begin : begin + GPU_BATCH] = found[: len(work) - begin]
        return features.cpu().numpy()


def _converted(module, preprocessing: Preprocessing):
    """The module as an OpenVINO model."""
    import warnings

    import openvino
    import torch

    shape = (BATCH, 3, *preprocessing.input_size)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter(
            "ignore"
        )  # PyTorch's tracer warns about every shape that it makes constant, which is meant here
        # The tracer's own check runs the module three times more; the features are compared in tests and where it matters.
        traced = torch.jit.trace(module, torch.zeros(shape), check_trace=False)
        return openvino.convert_model(traced, example_input=torch.zeros(shape))


def _batches(
    work: Sequence[Work], pixels: Callable[[int], np.ndarray], preprocessing: Preprocessing, size: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Full batches (the last one padded with zeros) and where each begins, made a few ahead of their use."""
    threads = usable_cores()

    def make(begin: int) -> np.ndarray:
        batch = np.zeros((size, 3, *preprocessing.input_size), dtype=np.float32)
        held, tensor = None, batch[0]
        for place, (index, view) in enumerate(work[begin : begin + size]):
            if index != held:  # both views of a photo follow each other: it is decoded and normalised once
                held, tensor = index, normalize(pixels(index), preprocessing)
            batch[place] = tensor[:, :, ::-1] if view == "flipped" else tensor
        return batch

    with ThreadPoolExecutor(threads) as pool:
        ahead: list[tuple[int, Future[np.ndarray]]] = []
        for begin in range(0, len(work), size):
            ahead.append((begin, pool.submit(make, begin)))
            if len(ahead) > 2 * threads:
                first, made = ahead.pop(0)
                yield first, made.result()
        for first, made in ahead:
            yield first, made.result()
