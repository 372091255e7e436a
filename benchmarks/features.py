"""How much of the machine does feature extraction use? `python -m benchmarks.features FOLDER [--model NAME] [--rounds 5]`

Run it with the training image's environment. Compares, in one run on the same photos and cores, and alternating:

- bare, one after the other: all photos decoded and normalised on all cores into memory, then the engine alone on those tensors;
- bare, overlapped: the same work with the engine fed while the next photos are decoded, tensors in memory set aside beforehand;
- ours: `extract_features` from the files, as `prepare` does it beyond its pixel store;
- prepare's way: the look at every photo (checks, hashes, duplicates' thumbnails) that also keeps the pixels, then extraction.

Target: ours ≥ 0.85 of the bare limit, which is the faster of both bare ways in each round. Also shown: eager
PyTorch on the same tensors, and float32 against bfloat16.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from contract.decode import decode
from contract.photo_set.read import read_set
from contract.photo_set.sources import open_source
from contract.preprocessing import to_tensor
from training_code.features.cache import FeatureCache
from training_code.features.engine import BATCH, OpenVinoEngine
from training_code.features.extraction import Sample, extract_features
from training_code.features.pixel_store import PixelStore
from training_code.models import backbone, catalogue, weights
from training_code.models.staging import traced_backbone
from training_code.prepare.inspection import inspect_all


def request_queue(engine: OpenVinoEngine) -> Any:
    import openvino  # behind our own packages, which keep its telemetry away

    return openvino.AsyncInferQueue(engine._model)


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def bare_engine(engine: OpenVinoEngine, tensors: np.ndarray) -> None:
    queue = request_queue(engine)
    for begin in range(0, len(tensors) - BATCH + 1, BATCH):
        queue.start_async([tensors[begin : begin + BATCH]], share_inputs=True)
    queue.wait_all()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", type=int, default=1000)
    given = parser.parse_args()
    if not given.folder.is_dir():
        print(f"SKIPPED: {given.folder} is not a folder of photos; nothing was measured.", file=sys.stderr)
        return 2
    cv2.setNumThreads(1)
    spec = catalogue.resolve(given.model)
    found = weights.resolve(given.model)
    module, _ = backbone.load(spec, found.path)
    source = open_source(given.folder)
    placed = read_set(source, source.files()).photos[: given.photos // BATCH * BATCH]
    n = len(placed)
    samples = [
        Sample(i, str(i), f"{i:064x}", "a" if i % 2 else "b", "validation" if i % 5 == 0 else "train") for i in range(n)
    ]
    plain = {"train": ("plain",), "validation": ("plain",)}

    def read(index: int) -> np.ndarray:
        return decode(source.read(placed[index].file))

    def ours(engine: OpenVinoEngine, pixels: Callable[[int], np.ndarray]) -> None:
        extract_features(samples, ["a", "b"], plain, FeatureCache(None, ""), lambda: engine, pixels, "", {})

    with tempfile.TemporaryDirectory() as scratch:
        traced = traced_backbone(spec, found, Path(scratch))
        engines = {name: OpenVinoEngine(traced, spec.preprocessing, name) for name in ("float32", "bfloat16")}
    tensors = np.empty((n, 3, *spec.preprocessing.input_size), np.float32)

    def fill(index: int) -> None:
        tensors[index] = to_tensor(read(index), spec.preprocessing)

    def decode_all() -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(fill, range(n)))

    def bare_overlapped(engine: OpenVinoEngine) -> None:
        queue = request_queue(engine)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            batches = [
                [pool.submit(fill, index) for index in range(begin, begin + BATCH)] for begin in range(0, n, BATCH)
            ]
            for place, batch in enumerate(batches):
                for one in batch:
                    one.result()
                queue.start_async([tensors[place * BATCH : (place + 1) * BATCH]], share_inputs=True)
        queue.wait_all()

    def with_checks(engine: OpenVinoEngine) -> None:
        with PixelStore(range(n), spec.preprocessing, read) as store:
            inspect_all(placed, source, store.keep)
            ours(engine, store.load)

    decode_all()  # warm the file cache
    times: dict[str, list[float]] = {}
    for _ in range(given.rounds):
        times.setdefault("decode", []).append(seconds(decode_all))
        for name, engine in engines.items():
            bare = seconds(lambda engine=engine: bare_engine(engine, tensors))
            times.setdefault(f"{name}: bare engine", []).append(bare)
            both = seconds(lambda engine=engine: bare_overlapped(engine))
            times.setdefault(f"{name}: bare, overlapped", []).append(both)
            with PixelStore((), spec.preprocessing, read) as store:
                took = seconds(lambda engine=engine, store=store: ours(engine, store.load))
                times.setdefault(f"{name}: ours from files", []).append(took)
            times.setdefault(f"{name}: prepare's way", []).append(seconds(lambda engine=engine: with_checks(engine)))
    times["eager PyTorch, per photo on 64"] = [eager(module, tensors[:64]) * n / 64]
    report(times, engines, n)
    return 0


def eager(module, tensors: np.ndarray) -> float:
    import torch

    with torch.inference_mode():
        module(torch.from_numpy(tensors[:16]))
        return seconds(lambda: [module(torch.from_numpy(tensors[i : i + 16])) for i in range(0, len(tensors), 16)])


def report(times: dict[str, list[float]], engines: dict[str, OpenVinoEngine], n: int) -> None:
    cores, load, rounds = os.cpu_count(), os.getloadavg()[0], len(times["decode"])
    print(f"{n} photos, {cores} cores, load {load:.1f}; median of {rounds} rounds (fastest, slowest)")
    for name, values in times.items():
        middle, fastest, slowest = (n / of(values) for of in (statistics.median, min, max))
        print(f"{name:32} {middle:8.1f} photos/s  ({fastest:.1f}, {slowest:.1f})")
    for name in engines:
        alone, both, mine = (times[f"{name}: {way}"] for way in ("bare engine", "bare, overlapped", "ours from files"))
        limits = [min(one + two, three) for one, two, three in zip(times["decode"], alone, both, strict=True)]
        ratios = [limit / ours for limit, ours in zip(limits, mine, strict=True)]
        print(
            f"{name}: ours / bare limit = {statistics.median(ratios):.2f} (n = {rounds}: {min(ratios):.2f} to {max(ratios):.2f}); "
            f"of the fastest rounds {min(limits) / min(mine):.2f}"
        )


if __name__ == "__main__":
    sys.exit(main())
