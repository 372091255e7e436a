"""The whole of `prepare`, now and at an earlier commit, in pairs: one after the other on the same zip, nothing cached.

    git worktree add /tmp/before COMMIT
    python -m benchmarks.prepare FOLDER --before /tmp/before [--pairs 5] [--photos 600]

with the training image's environment. A machine that others use slows both sides of a pair alike, so the ratio is taken pair by pair, in
wall time and in processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--photos", type=int, default=600)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        archive, count = _packed(given.folder, Path(scratch, "photos.zip"), given.photos)
        runs = []
        for number in range(given.pairs):
            order = (given.before, HERE) if number % 2 else (HERE, given.before)
            found = {checkout: _run(checkout, archive) for checkout in order}
            runs.append((found[given.before], found[HERE]))
            print(f"pair {number + 1}: before {runs[-1][0][0]:.1f} s, now {runs[-1][1][0]:.1f} s", flush=True)
    print(f"{count} photos of {given.folder.name}, n = {len(runs)} pairs")
    print("| | before | now | now / before, by pair |\n| --- | --- | --- | --- |")
    for at, name in ((0, "wall time, s"), (1, "processor time, s")):
        before, now = [run[0][at] for run in runs], [run[1][at] for run in runs]
        print(
            f"| {name} | {_spread(before)} | {_spread(now)} | {_spread([b / a for a, b in zip(before, now, strict=True)], 2)} |"
        )


def _packed(folder: Path, target: Path, most: int) -> tuple[Path, int]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    chosen = sorted(random.Random(0).sample(files, min(most, len(files))))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in chosen:
            archive.write(path, path.relative_to(folder))
    return target, len(chosen)


def _run(checkout: Path, archive: Path) -> tuple[float, float]:
    """Seconds by the clock and of processors, from the process's start to its end."""
    with tempfile.TemporaryDirectory() as base:
        inputs = Path(base, "processing", "input")
        (inputs / "dataset").mkdir(parents=True)
        (inputs / "request").mkdir()
        shutil.copy(archive, inputs / "dataset")
        (inputs / "request" / "input.json").write_text(json.dumps({"dataset": "s3://bucket/photos.zip"}))
        environment = {**os.environ, "SAGEMAKER_BASE_DIR": base, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": ""}
        before, start = os.times(), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "training_code", "prepare"],
            cwd=checkout,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds, after = time.perf_counter() - start, os.times()
    used = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    return seconds, used


def _spread(values: list[float], digits: int = 1) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
