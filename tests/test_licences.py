"""What is installed, and under what: the list of licences is that of the locks, and nobody gets the demo's photos unasked."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

import darkroom

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "requirements"))
licences = pytest.importorskip("licences")
sys.path.pop(0)
# Of packages that only the demo installs, or that only a GPU's image holds.
NOT_FREE = re.compile(r"NC\b|Proprietary|proprietary", re.IGNORECASE)


def rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][1:]


def test_the_list_of_licences_is_that_of_the_locks():
    listed = {(name, version): users for name, version, _, users in rows()}
    assert listed == {key: ", ".join(users) for key, users in licences.locked().items()}, "run `make licences`"


def test_every_package_says_its_licence():
    assert len(rows()) > 100
    assert [name for name, _, licence, _ in rows() if not licence] == []


def test_what_forbids_commercial_use_comes_with_the_demo_alone_and_what_is_not_free_is_nvidias():
    special = [(name, users) for name, _, licence, users in rows() if NOT_FREE.search(licence)]
    assert ("elpv-dataset", "demo") in special
    assert {name for name, users in special if name.split("-")[0] not in ("nvidia", "cuda")} == {"elpv-dataset"}
    assert not [name for name, users in special if "command line" in users]


def test_make_install_brings_no_photos():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (needed,) = re.findall(r"^install: (.*?) ##", text, re.MULTILINE)
    assert needed.split() == [".venv/.installed", "node_modules/.installed"]
    (base,) = re.findall(r"^\.venv/\.installed: .*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert "requirements/app.txt" in base and "demo" not in base
    assert "elpv" not in (ROOT / "requirements/app.txt").read_text(encoding="utf-8")


def test_no_message_recommends_a_package_name_that_is_somebody_elses():
    said = [path for path in (ROOT / "darkroom").rglob("*.py") if "darkroom[" in path.read_text(encoding="utf-8")]
    assert said == []


def test_the_version_is_one_number_in_one_place_and_the_changelog_has_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "darkroom.__version__"}
    changes = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert re.match(rf"{re.escape(darkroom.__version__)}\b", next(one for one in changes if one != "Unreleased"))
