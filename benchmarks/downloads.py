"""Bytes to download for each image and for `make demo`, from the locks: `python -m benchmarks.downloads [--installed DIR …]`.

The package index says the size of every file; of each package the wheel that Linux on x86-64 takes with Python 3.11 counts. What
`pip` or `uv` would fetch into an empty cache is the sum over different files. `--installed` adds what environments take on disk,
files that are hard links of one another counted once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename
from uv import find_uv_bin

REPOSITORY = Path(__file__).resolve().parent.parent
LOCKS = {
    "image training": ["training_code/requirements.txt"],
    "image training-torch": ["training_code/requirements-torch.txt"],
    "image analysis": ["analysis_code/requirements.txt"],
    "image inference": ["inference_code/requirements.txt"],
    "command line (.venv)": ["requirements/bootstrap.txt", "requirements/app.txt"],
    "the demo's photos": ["requirements/demo.txt"],
}
# `make demo` without PyTorch, and as it was, when the one training image had it.
DEMO = [name for name in LOCKS if name != "image training-torch"]
DEMO_WITH_TORCH = [name for name in LOCKS if name != "image training"]
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)] + [
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "linux_x86_64",
]
TAGS = [*cpython_tags((3, 11), platforms=PLATFORMS), *compatible_tags((3, 11), "cp311", PLATFORMS)]
RANKS = {tag: rank for rank, tag in reversed(list(enumerate(TAGS)))}


def files_of(lock: str) -> dict[str, int]:
    """Size by file of what this lock installs."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "pylock.toml")
        subprocess.run(
            [find_uv_bin(), "pip", "compile", "-q", "--no-deps", "--python-version", "3.11", "--python-platform",
             "x86_64-unknown-linux-gnu", "--format", "pylock.toml", "-o", str(out), lock], cwd=REPOSITORY, check=True,
        )  # fmt: skip
        packages = tomllib.loads(out.read_text(encoding="utf-8"))["packages"]
    found = {}
    for package in packages:
        ranked = [(rank, wheel) for wheel in package.get("wheels", []) if (rank := _rank(wheel)) is not None]
        best = min(ranked, key=lambda one: one[0])[1] if ranked else package["sdist"]
        found[Path(best["url"]).name] = best["size"]
    return found


def _rank(wheel: dict) -> int | None:
    ranks = [RANKS[tag] for tag in parse_wheel_filename(Path(wheel["url"]).name)[3] if tag in RANKS]
    return min(ranks, default=None)


def on_disk(folders: list[Path]) -> int:
    seen = {}
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                about = os.lstat(os.path.join(parent, name))
                seen[about.st_dev, about.st_ino] = about.st_blocks * 512
    return sum(seen.values())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.downloads", description=__doc__)
    parser.add_argument("--installed", type=Path, nargs="*", default=[], metavar="DIR")
    asked = parser.parse_args()
    files = {name: dict(item for lock in locks for item in files_of(lock).items()) for name, locks in LOCKS.items()}
    print("| what | packages | MB |\n| --- | ---: | ---: |")
    for name, held in files.items():
        print(f"| {name} | {len(held)} | {sum(held.values()) / 1e6:,.0f} |")
    for title, names in (
        ("`make demo`, each file once", DEMO),
        ("the same with the training image that has PyTorch", DEMO_WITH_TORCH),
    ):
        held = {file: size for name in names for file, size in files[name].items()}
        print(f"| {title} | {len(held)} | {sum(held.values()) / 1e6:,.0f} |")
    for folder in asked.installed:
        print(f"| on disk: {folder} | | {on_disk([folder]) / 1e6:,.0f} |")


if __name__ == "__main__":
    sys.exit(main())
