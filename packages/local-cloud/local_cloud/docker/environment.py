"""Isolated Python environments of images, content-addressed: the same installs on the same Python exist once.

An environment is built at its final path under a lock and counts only with its `.complete` marker, so an interrupted
build is redone and two builds at the same time make one. Packages come through uv's ordinary configuration; they are
hard links into uv's cache, which is why a job must not write into site-packages.
"""

import collections
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from local_cloud.docker.dockerfile import BuildError, Instruction
from local_cloud.environment import PROXIES


@dataclass(frozen=True)
class Interpreter:
    """A Python on this machine: the one that an image's environment is made from."""

    executable: str
    version: str
    stands_for: str = ""  # the version that was named and is not on this machine


@dataclass(frozen=True)
class Install:
    """One `pip install`: its words, uv's arguments, its folder, the hash of all local files it reads."""

    instruction: Instruction
    words: tuple[str, ...]
    arguments: tuple[str, ...]
    folder: Path
    content: str
    local_sources: tuple[Path, ...] = ()


def _host_environment() -> dict[str, str]:
    hidden = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, **PROXIES, "UV_PYTHON_DOWNLOADS": "never"}


# What a release deprecates the next one still has: https://peps.python.org/pep-0387/ (at least two years of warnings).
NEWER_MINORS = 1


def find_interpreter(version: str, instruction: Instruction) -> Interpreter:
    """The installed Python for `X`, `X.Y` or `X.Y.Z`. Where there is none, the cloud's own stands in for the release before it;
    else a BuildError that says what is there."""
    own = platform.python_version()
    if (own + ".").startswith(version + "."):
        return Interpreter(sys.executable, own)
    found = subprocess.run(
        [find_uv_bin(), "python", "find", "--system", "--no-project", version],
        env=_host_environment(), capture_output=True, text=True, cwd=tempfile.gettempdir(),
    )  # fmt: skip
    if found.returncode == 0:
        executable = found.stdout.strip()
        asked = [executable, "-c", "import platform; print(platform.python_version())"]
        answer = subprocess.run(asked, capture_output=True, text=True)
        if answer.returncode == 0:
            return Interpreter(executable, answer.stdout.strip())
    if _is_next_to(own, version):
        return Interpreter(sys.executable, own, stands_for=version)
    raise instruction.refuse(
        f"Python {version} is not installed on this machine (the cloud itself runs on Python {own}).",
        f"use FROM python:{'.'.join(own.split('.')[:2])}-slim, or run `uv python install {version}`.",
    )


def _is_next_to(own: str, version: str) -> bool:
    major, minor = (int(part) for part in own.split(".")[:2])
    named = [int(part) for part in version.split(".")]
    return len(named) > 1 and named[0] == major and 0 < minor - named[1] <= NEWER_MINORS


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold a file lock across processes."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def content_key(interpreter: Interpreter, installs: list[Install], build_arguments: dict[str, str]) -> str:
    """The address of an environment: Python, platform, installs with the content they read, build arguments."""
    described = {
        "python": [interpreter.version, os.path.realpath(interpreter.executable), platform.platform()],
        "installs": [[*install.words, install.content] for install in installs],
        "build_arguments": build_arguments,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]


def is_complete(environment: Path) -> bool:
    """Whether an environment was built to the end and its Python still exists."""
    return (environment / ".complete").is_file() and (environment / "bin" / "python").exists()


def provide(environment: Path, interpreter: Interpreter, installs: list[Install]) -> None:
    """Build the environment of these installs at its address unless it is there. Safe across processes."""
    folder = environment.parent
    if is_complete(environment):
        return
    with exclusive(folder / f"{environment.name}.lock"):
        if is_complete(environment):
            return
        shutil.rmtree(environment, ignore_errors=True)
        _uv(["venv", "--quiet", "--no-project", "--python", interpreter.executable, str(environment)], folder, None)
        for install in installs:
            _install(environment, install)
        (environment / ".complete").write_text(json.dumps({"python": interpreter.version}), encoding="utf-8")


def _install(environment: Path, install: Install) -> None:
    with tempfile.TemporaryDirectory(prefix="local-cloud-docker-") as scratch:
        arguments = list(install.arguments)
        for index, source in enumerate(install.local_sources):
            # Build backends write into the source tree; the image's files stay as they were copied.
            copy = Path(scratch, str(index), source.name)
            shutil.copytree(source, copy) if source.is_dir() else _copy(source, copy)
            arguments = [
                word.replace(str(source), str(copy), 1) if word.startswith(str(source)) else word for word in arguments
            ]
        python = str(environment / "bin" / "python")
        # Bytecode now, so that no job pays for it: pip does the same.
        command = ["pip", "install", "--python", python, "--compile-bytecode", *arguments]
        _uv(command, install.folder, install.instruction)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True)
    shutil.copy2(source, target)


def _uv(arguments: list[str], folder: Path, instruction: Instruction | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    last: collections.deque[str] = collections.deque(maxlen=30)
    with subprocess.Popen(
        [find_uv_bin(), *arguments],
        env=_host_environment(), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            last.append(line.rstrip())
            print(line, end="", file=sys.stderr, flush=True)
    if process.returncode == 0:
        return
    said = "\n  ".join(last)
    if instruction is None:
        raise BuildError(f"uv {' '.join(arguments)} failed with exit code {process.returncode}:\n  {said}")
    raise instruction.refuse(
        f"The installation failed with exit code {process.returncode}:\n  {said}",
        "correct the requirement, or the package index that uv is configured with, and build again.",
    )
