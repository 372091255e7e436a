"""Somebody who wants only this: a wheel, a new virtual environment, and the three programs of the README as they stand there."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.places import ROOT

pytestmark = pytest.mark.slow

# Fenced blocks with a name after their language: files, programs and (text) what a program prints.
BLOCK = re.compile(r"^```(\w+) ([\w.]+)\n(.*?)^```$", re.S | re.M)
README = (ROOT / "README.md").read_text(encoding="utf-8")
PINNED = ROOT.parents[1] / "requirements" / "dev.txt"


def blocks(*languages: str) -> dict[str, str]:
    return {name: text for language, name, text in BLOCK.findall(README) if language in languages}


def ran(*words: str | Path, **options) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=280, **options)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: a build writes into the source tree.
    source = folder / "source"
    names = ("pyproject.toml", "README.md", "LICENSE")
    ran("cp", "-r", *(ROOT / name for name in names), ROOT / "local_cloud", _made(source))
    ran(find_uv_bin(), "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "-o", folder, source)
    (made,) = folder.glob("*.whl")
    return made


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_the_wheel_has_the_package_its_page_and_its_licence_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        points = configparser.ConfigParser()
        points.read_string(next(archive.read(n).decode() for n in names if n.endswith("entry_points.txt")))
    files = [path for path in (ROOT / "local_cloud").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    package = {path.relative_to(ROOT).as_posix() for path in files}
    described = {name for name in names if ".dist-info/" in name}
    assert names - described == package
    assert any(name.endswith("licenses/LICENSE") for name in described)
    assert set(points["console_scripts"]) == {"local-cloud", "local-cloud-docker"}


def test_the_version_is_said_in_one_place(wheel):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert wheel.name.startswith(f"local_cloud-{version}-")
    sources = [path for path in (ROOT / "local_cloud").rglob("*.py") if version in path.read_text()]
    assert not sources


@pytest.fixture(scope="module")
def shell(wheel, tmp_path_factory) -> Iterator:
    """A shell in a folder with the README's files, in a new environment that has this package and the AWS CLI, with a cloud."""
    folder, environment = tmp_path_factory.mktemp("stranger"), tmp_path_factory.mktemp("environment") / "venv"
    ran(find_uv_bin(), "venv", "-q", "--python", sys.executable, environment)
    ran(find_uv_bin(), "pip", "install", "-q", "--python", environment, "-c", PINNED, wheel, "awscli")
    for name, text in blocks("dockerfile", "python", "sh").items():
        (folder / name).write_text(text)
    inherited = {
        n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "LOCAL_CLOUD_", "PYTHON", "VIRTUAL_ENV"))
    }
    variables = inherited | {"PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def run(script: str) -> str:
        return ran("bash", "-euo", "pipefail", "-c", script, cwd=folder, env=variables)

    run("local-cloud up")
    yield run
    run("local-cloud down")


FOREIGN = ("aws_cdk", "docker", "graphql", "sympy", "cfnlint", "rich")


def test_the_package_brings_none_of_what_others_need(shell):
    script = f"import importlib.util as u; print(*[name for name in {FOREIGN} if u.find_spec(name)])"
    assert shell(f'python -c "{script}"').split() == []


def test_the_three_programs_of_the_readme_print_what_it_shows(shell):
    here = 'eval "$(local-cloud env)"; '
    shell(here + "source ./image.sh")
    shown = blocks("text")
    assert list(shown) == ["training.py", "machine.py", "session.sh"]
    for name, expected in shown.items():
        assert shell(here + (f"python {name}" if name.endswith(".py") else f"source ./{name}")) == expected
