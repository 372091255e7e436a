"""The licence of everything that Darkroom's environments and images install: docs/licences.md, made from the packages' own metadata.

    python requirements/licences.py

reads the locked requirements and what is installed in `.venv`, `.venv-<room>`. A package whose metadata names no licence stands in
STATED, with the place that says it. A test holds the page to the locks, so that a new dependency is looked at.
"""

from __future__ import annotations

import re
from email.parser import Parser
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"
# What is locked, by who installs it: the command line, the demo, and the images.
LOCKS = {
    "command line": "requirements/app.txt", "demo": "requirements/demo.txt", "training": "training_code/requirements.txt",
    "training (PyTorch)": "training_code/requirements-torch.txt",
    "analysis": "analysis_code/requirements.txt", "inference": "inference_code/requirements.txt",
    "inference (GPU)": "inference_code/requirements-gpu.txt",
}  # fmt: skip
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?: ; ([^\\\n]+))?", re.MULTILINE)
# Where Darkroom runs: locks with markers name packages of other Pythons and systems, too.
PLACES = [
    {"python_full_version": "3.11.9", "python_version": "3.11", "sys_platform": one} for one in ("linux", "darwin")
]
# What is not installed here (a GPU's image), or says nothing of its licence where a program can read it.
STATED = {
    "nvidia-.*|cuda-.*": "NVIDIA's own, proprietary (https://docs.nvidia.com/cuda/eula/)",
    "onnxruntime-gpu": "MIT License (https://github.com/microsoft/onnxruntime/blob/main/LICENSE)",
}
HEAD = """# Licences

Darkroom is Apache-2.0. It installs these packages and contains none of them. Made by `make licences` from their own metadata, for the
versions that are locked; a test holds the page to the locks.

| package | version | licence | installed by |
|---|---|---|---|
"""


def locked() -> dict[tuple[str, str], list[str]]:
    """Who installs each package and version."""
    found: dict[tuple[str, str], list[str]] = {}
    for user, file in LOCKS.items():
        for name, version, marker in PINNED.findall((ROOT / file).read_text(encoding="utf-8")):
            if not marker or any(Marker(marker).evaluate(place) for place in PLACES):
                found.setdefault((plain(name), version), []).append(user)
    return dict(sorted(found.items()))


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[tuple[str, str], str]:
    """The licence of each package and version that lies in one of the environments; empty where its metadata names none."""
    found = {}
    for file in ROOT.glob(".venv*/lib/python*/site-packages/*.dist-info/METADATA"):
        about = Parser().parsestr(file.read_text(encoding="utf-8"), headersonly=True)
        found[plain(about["Name"]), about["Version"]] = licence(about) or of_file(file.parent)
    return found


def licence(about) -> str:
    """As an SPDX expression where the package has one, else its classifiers, else the first line of what it says."""
    if about["License-Expression"]:
        return about["License-Expression"]
    kinds = [one.rpartition(" :: ")[2] for one in about.get_all("Classifier", []) if one.startswith("License :: ")]
    kinds = [kind for kind in kinds if kind not in ("OSI Approved", "Other/Proprietary License")]
    said = (about["License"] or "").strip().splitlines()
    return ", ".join(kinds) or (said[0].strip() if said and said[0].strip().upper() != "UNKNOWN" else "")


def of_file(folder: Path) -> str:
    """The first line of the licence that lies beside the metadata."""
    for file in sorted(folder.rglob("LICEN[CS]E*")):
        lines = (line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
        return f"{next((line for line in lines if line), '')} (its file)"
    return ""


def page() -> str:
    """Raises KeyError for packages of which nobody says the licence."""
    known, rows, nameless = installed(), [], []
    for (name, version), users in locked().items():
        stated = known.get((name, version)) or next(
            (text for one, text in STATED.items() if re.fullmatch(one, name)), ""
        )
        if not stated:
            nameless.append(f"{name}=={version}")
        rows.append(f"| {name} | {version} | {stated.replace('|', '/')[:120]} | {', '.join(users)} |")
    if nameless:
        raise KeyError(f"no licence is known of {', '.join(nameless)}: look it up and add it to STATED with its source")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
