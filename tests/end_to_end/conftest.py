"""One local cloud, deployed once by the real CDK CLI, and one run of the pipeline on a small generated photo set."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


class Darkroom:
    """The command line as a user has it, in a home of its own."""

    def __init__(self, home: Path):
        self.home = home
        self.environment = {
            **os.environ,
            "DARKROOM_HOME": str(home),
            # Shared with the developer's own runs: building the images' environments once is enough.
            "DARKROOM_ENVIRONMENTS": str(ROOT / ".darkroom" / "environments"),
            "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
        }

    def __call__(self, *arguments: str, check: bool = True, timeout: float = 420) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["darkroom", *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=timeout
        )
        assert not check or done.returncode == 0, f"darkroom {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self) -> None:
        """A cloud that holds every role to its policies, as AWS does."""
        self("up")
        self("permissions", "--mode", "enforce")

    def shell(self, command: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run `command` in a shell that has taken up `darkroom env`, as the README tells users to."""
        return subprocess.run(
            ["bash", "-c", f'eval "$(darkroom env)" && {command}'],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip


def write_photos(
    folder: Path, per_class: int = 30, seed: int = 0, names: Sequence[str] = ("stripes", "bars", "diagonals")
) -> Path:
    """Three classes that differ in texture, with a facet `camera` in metadata.csv."""
    random = np.random.default_rng(seed)
    rows = ["file_name,camera"]
    textures = (((1, 0), (220, 120, 60)), ((0, 1), (60, 140, 220)), ((1, 1), (90, 200, 90)))
    for label, (direction, colour) in zip(names, textures, strict=True):
        (folder / label).mkdir(parents=True)
        for number in range(per_class):
            y, x = np.mgrid[0:96, 0:128]
            period = random.uniform(6, 14)
            wave = np.sin((direction[0] * y + direction[1] * x) * 2 * np.pi / period + random.uniform(0, 6))
            photo = 128 + 0.5 * wave[..., None] * np.array(colour) + random.normal(0, 18, (96, 128, 3))
            name = f"{label}/photo {number:03d}.jpg"
            Image.fromarray(photo.clip(0, 255).astype(np.uint8)).save(folder / name, quality=92)
            rows.append(f"{name},{'old' if number % 3 else 'new'}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def darkroom(tmp_path_factory):
    command = Darkroom(tmp_path_factory.mktemp("home") / ".darkroom")
    command.start()
    yield command
    command("down", check=False)
    shutil.rmtree(command.home, ignore_errors=True)


@pytest.fixture(scope="module")
def deployed_with(darkroom, tmp_path_factory) -> Iterator[Callable[..., Darkroom]]:
    """Deploys with other settings (`name=value` of the CDK context), in a home of its own that goes with the module."""
    commands = []

    def deploy(*settings: str) -> Darkroom:
        command = type(darkroom)(tmp_path_factory.mktemp("own") / ".darkroom")
        commands.append(command)
        command.start()
        command("deploy", *(word for setting in settings for word in ("-c", setting)))
        return command

    yield deploy
    for command in commands:
        command("down", check=False)
        shutil.rmtree(command.home, ignore_errors=True)


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos") / "textures")


@pytest.fixture(scope="session")
def deployed(darkroom) -> Darkroom:
    darkroom("up")
    darkroom("deploy")
    return darkroom


@pytest.fixture(scope="session")
def summary(deployed, photos, tmp_path_factory) -> dict:
    request = tmp_path_factory.mktemp("input") / "input.json"
    request.write_text(json.dumps({"tuning": {"ranges": {"depths": [1, 2, 3]}}, "quality_gate": {"minimum": 0.5}}))
    return json.loads(deployed("run", "--data", str(photos), "--input", str(request), "--json").stdout)
