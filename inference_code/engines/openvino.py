"""The CPU engine: OpenVINO, in 32-bit floats, so that serving answers what evaluation measured.

The model is compiled twice. One form splits a photo over all cores (a lone photo is answered soonest: 2.8 ms against
4.6); the other runs one photo per core (many photos: 440/s against 360). A request takes the first when nothing
else is running. Both are compiled at load time: 60 ms and the weights once more, instead of a slow request later.
"""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openvino

from contract.manifest import INPUT_NAME, OUTPUT_NAME
from inference_code.engines.engine import UnusableModel


class OpenVinoEngine:
    """One model on the CPU; a photo at a time, since batches gain nothing over one photo per core."""

    preferred_batch = 1

    def __init__(self, model: Path, cores: int) -> None:
        self.name = f"openvino {openvino.__version__.split('-')[0]}"
        core = openvino.Core()
        try:
            graph = core.read_model(model)
        except RuntimeError as error:
            raise UnusableModel(f"{model}: OpenVINO cannot read it: {str(error).strip().splitlines()[-1]}") from None
        _check_names(model, graph)
        exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": cores}
        lone = core.compile_model(graph, "CPU", {**exact, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1})
        self._lone = lone.create_infer_request()
        self._lone_lock = threading.Lock()
        self._streams: queue.LifoQueue = queue.LifoQueue()
        if cores > 1:
            many = core.compile_model(graph, "CPU", {**exact, "PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": cores})
            for _ in range(cores):
                self._streams.put(many.create_infer_request())
        self._single_core = cores == 1
        self._running = 0
        self._running_lock = threading.Lock()

    def warm_up(self, batch: np.ndarray) -> np.ndarray:
        """Let every request allocate its working memory; call before any other thread predicts."""
        for request in self._streams.queue:
            request.infer({0: batch}, share_inputs=True)
        return self.predict(batch)

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, 3, H, W) to float32 probabilities (N, classes)."""
        with self._request() as request:
            request.infer({0: batch}, share_inputs=True)
            return np.array(request.get_output_tensor(0).data)  # a copy: the tensor is reused by the next photo

    @contextmanager
    def _request(self) -> Iterator["openvino.InferRequest"]:
        with self._running_lock:
            alone = self._running == 0 or self._single_core
            self._running += 1
        try:
            if alone and self._lone_lock.acquire(blocking=self._single_core):
                try:
                    yield self._lone
                finally:
                    self._lone_lock.release()
            else:
                request = self._streams.get()
                try:
                    yield request
                finally:
                    self._streams.put(request)
        finally:
            with self._running_lock:
                self._running -= 1


def _check_names(model: Path, graph: "openvino.Model") -> None:
    inputs = [name for port in graph.inputs for name in port.get_names()]
    outputs = [name for port in graph.outputs for name in port.get_names()]
    if INPUT_NAME not in inputs or OUTPUT_NAME not in outputs or len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise UnusableModel(
            f"{model}: its input is {inputs} and its output {outputs}; "
            f"needed: exactly one input {INPUT_NAME!r} and one output {OUTPUT_NAME!r}"
        )
