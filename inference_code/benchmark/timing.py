"""Inference time per photo: warmed up, repeated, with its spread; alone on the machine or the numbers mean nothing."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from contract import benchmark as limits
from inference_code.benchmark.photos import PhotoSet
from inference_code.classifier import Classifier

T = TypeVar("T")


def machine(cores: int) -> str:
    """Processor and cores, as a person would name them."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or a processor that does not say
        pass
    return f"{model}, {cores} cores"


def on_all_cores(work: Callable[[int], T], n: int, cores: int) -> list[T]:
    """`work(0) … work(n - 1)` in order of the index, as many at a time as there are cores."""
    with ThreadPoolExecutor(cores) as pool:
        return list(pool.map(work, range(n)))


def latency(classifier: Classifier, test: PhotoSet, cores: int) -> dict[str, Any]:
    """Milliseconds for one photo from bytes to probabilities, and seconds per photo at the best batch size."""
    data = [test.read(i) for i in range(min(len(test), 64))]

    def served(i: int) -> None:
        classifier.predict([classifier.decode(data[i % len(data)])])

    tensor = classifier.decode(data[0])
    return {
        "batch_1": _calls(served),
        "forward_1": _calls(lambda _: classifier.predict([tensor])),
        "best_batch": _best_batch(classifier, tensor, cores),
    }


def _calls(call: Callable[[int], None]) -> dict[str, float | int]:
    for i in range(limits.WARM_UP):
        call(i)
    times, deadline = [], time.perf_counter() + limits.CALLS_SECONDS
    while len(times) < limits.CALLS and (time.perf_counter() < deadline or len(times) < limits.FEWEST_CALLS):
        started = time.perf_counter()
        call(len(times))
        times.append((time.perf_counter() - started) * 1e3)
    quarter = np.percentile(times, [25, 50, 75, 99])
    return {
        "p50_ms": float(quarter[1]),
        "p99_ms": float(quarter[3]),
        "interquartile_ms": float(quarter[2] - quarter[0]),
        "n": len(times),
    }


def _best_batch(classifier: Classifier, tensor: np.ndarray, cores: int) -> dict[str, float | int]:
    """Forward only, with all cores busy: what a batch job or a loaded server reaches. Slow networks try fewer batch sizes."""
    measured: list[tuple[float, int, float]] = []
    for batch in limits.BATCHES:
        stacked = [tensor] * batch

        def work(_: int, photos: list[np.ndarray] = stacked) -> None:
            classifier.predict(photos)

        if measured and not limits.round_calls(measured[-1][0], batch, cores):
            break
        started = time.perf_counter()
        on_all_cores(work, cores, cores)
        calls = limits.round_calls((time.perf_counter() - started) / cores / batch, batch, cores)
        rates = []
        for _ in range(limits.BLOCKS):
            started = time.perf_counter()
            rounds = 0
            while time.perf_counter() - started < limits.BLOCK_SECONDS:
                on_all_cores(work, calls or cores, cores)
                rounds += calls or cores
            rates.append((time.perf_counter() - started) / (rounds * batch))
        measured.append((statistics.median(rates), batch, max(rates) - min(rates)))
    seconds, batch, spread = min(measured)
    return {"batch": batch, "seconds_per_photo": seconds, "spread_seconds": spread, "blocks": limits.BLOCKS}


def parameters(model: Path) -> int | None:
    """Weights stored in the ONNX file (batch norm already folded in); None where no reader is installed."""
    try:
        import openvino
    except ImportError:  # the GPU image
        return None
    graph = openvino.Core().read_model(model)
    constants = (op for op in graph.get_ops() if op.get_type_name() == "Constant")
    return sum(int(np.prod(op.get_output_shape(0))) for op in constants)
