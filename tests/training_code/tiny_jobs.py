"""Small training jobs for tests: a folder as SageMaker would lay it out, with features and photos that can be learnt."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from training_code.features.feature_set import FeatureSet, Part
from training_code.prepare.photo_pack import write_pack

CLASSES = ["ant", "bee", "crane fly"]
SIDE = 32


def tiny_features(
    width: int = 12, train: int = 90, validation: int = 45, noise: float = 1.0, seed: int = 0
) -> FeatureSet:
    """Clusters in a few dimensions, and a mirrored view of each."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(len(CLASSES), width)) * 1.5

    def part(count: int, name: str) -> Part:
        labels = np.arange(count) % len(CLASSES)
        features = centres[labels] + noise * random.normal(size=(count, width))
        flipped = features + 0.1 * random.normal(size=features.shape)
        return Part(
            features.astype(np.float32), labels, [f"{name}{i}" for i in range(count)], flipped.astype(np.float32)
        )

    return FeatureSet(part(train, "t"), part(validation, "v"), CLASSES, f"tiny-{seed}", {"data_fingerprint": "abc"})


def photo(label: int, random: np.random.Generator) -> bytes:
    """A noisy photo whose colour is its class."""
    pixels = random.integers(0, 120, (SIDE, SIDE, 3))
    pixels[..., label] += 100
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def tiny_photos(folder: Path, train: int = 24, validation: int = 9) -> None:
    random = np.random.default_rng(7)
    rows, data = [], {}
    for split, count in (("train", train), ("validation", validation)):
        for index in range(count):
            label = index % len(CLASSES)
            rows.append((f"{split}{index}", CLASSES[label], split, "jpg"))
            data[f"{split}{index}"] = photo(label, random)
    write_pack(folder, rows, data.__getitem__, CLASSES)


def job_folder(
    base: Path,
    hyperparameters: dict[str, str],
    *,
    features: FeatureSet | None = None,
    photos: bool = False,
    hosts: tuple[str, ...] = (),
    host: str = "",
) -> Path:
    config, data = base / "input" / "config", base / "input" / "data"
    config.mkdir(parents=True, exist_ok=True)
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    if hosts:
        (config / "resourceconfig.json").write_text(json.dumps({"hosts": hosts, "current_host": host}))
    if features is not None:
        features.write(data / "features")
    if photos:
        tiny_photos(data / "photos")
    return base


def train(base: Path, environment: dict[str, str] | None = None) -> int:
    """The command `train` in this process, for this folder."""
    from training_code.train import main

    before, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    os.environ |= {"SAGEMAKER_BASE_DIR": str(base), **(environment or {})}
    try:
        return main([])
    finally:
        os.environ.clear()
        os.environ |= before
        signal.signal(signal.SIGTERM, handler)


def in_child(work: Callable[[], int], log: Path) -> int:
    """Run in a forked process, so that a test can kill it without paying for a new interpreter; its pid.

    Only before this process has computed anything with torch: its threads do not survive a fork.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        with log.open("a") as stream, contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            code = work()
    finally:
        os._exit(code)


def ended(pid: int, seconds: float) -> int:
    """The exit status of a child; kills it and raises when it takes longer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise TimeoutError(f"the training {pid} did not end within {seconds} s")


def killed_at(pid: int, reached: Callable[[], bool], seconds: float = 180) -> bool:
    """SIGKILL as soon as `reached`; False when the child ended before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, _ = os.waitpid(pid, os.WNOHANG)
        if done:
            return False
        if reached():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return True
        time.sleep(0.001)
    raise TimeoutError(f"the training {pid} never reached that point")


def checkpoints_written(base: Path, more_than: int, pattern: str = "[!.]*") -> Callable[[], bool]:
    """Whether more than so many finished checkpoints of a job have been seen: a moment at which to kill it."""
    seen: set[tuple[str, int]] = set()

    def reached() -> bool:
        found = [path for path in (base / "checkpoints").rglob(pattern) if path.is_file()]
        seen.update((path.name, path.stat().st_mtime_ns) for path in found if path.exists())
        return len(seen) > more_than

    return reached


def wait_for(reached: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError("it never came to that")
        time.sleep(0.002)


def training_json(base: Path) -> dict:
    return json.loads((base / "output/data/training.json").read_text())


def checkpoint_arrays(base: Path, place: str = "") -> dict[str, np.ndarray]:
    """A head's checkpoint; `place`: the folder of a search's best trial, or of a refit."""
    with np.load(base / "checkpoints" / place / "head.npz", allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files if not name.startswith("__")}
