"""The rules between rooms (docs/architecture.md, "Rooms"), read from the import statements themselves."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {
    room: ROOT / room for room in ("contract", "infra", "training_code", "inference_code", "analysis_code", "darkroom")
} | {"local_cloud": ROOT / "packages" / "local-cloud"}
MAY_IMPORT = {
    "contract": (),
    "infra": ("contract",),
    "training_code": ("contract",),
    "inference_code": ("contract",),
    "analysis_code": ("contract",),
    "local_cloud": (),
    "darkroom": ("contract", "local_cloud"),
}


def imports_of(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def trespasses(room: str, source: str) -> list[str]:
    allowed = (room, *MAY_IMPORT[room])
    return [
        name
        for name in imports_of(source)
        if name.split(".")[0] in ROOMS and not any(name == a or name.startswith(a + ".") for a in allowed)
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_the_architecture_allows(room):
    found = {
        str(path.relative_to(ROOT)): bad
        for path in sorted(ROOMS[room].rglob("*.py"))
        if (bad := trespasses(room, path.read_text()))
    }
    assert not found


def test_a_trespass_is_found():
    assert trespasses("training_code", "from infra.settings import Settings") == ["infra.settings.Settings"]
    assert trespasses("analysis_code", "import inference_code.server") == ["inference_code.server"]
    assert trespasses("local_cloud", "from contract.names import Names") == ["contract.names.Names"]
    assert trespasses("training_code", "from contract.decode import decode") == []


def test_the_local_cloud_does_not_know_who_uses_it():
    written = [path for kind in ("*.py", "*.md", "*.toml") for path in ROOMS["local_cloud"].rglob(kind)]
    assert len(written) > 100
    named = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted(written)
        for line in path.read_text(encoding="utf-8").splitlines()
        if "darkroom" in line.lower()
    ]
    assert not named


def test_every_room_is_described_in_the_architecture_page():
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert [room for room, folder in ROOMS.items() if f"`{folder.relative_to(ROOT)}/`" not in page] == []


@pytest.mark.parametrize("folder", [ROOT, ROOMS["local_cloud"]], ids=["ours", "local-cloud"])
def test_tests_are_those_of_the_folder_one_stands_in_whatever_packages_bring(folder):
    """smdebug-rulesconfig installs a package `tests`, which a folder without `__init__.py` would lose to."""
    asked = [sys.executable, "-c", "import tests; print(tests.__file__)"]
    said = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.strip() == str(folder / "tests" / "__init__.py")


def names_in(source: str) -> set[str]:
    """What a module defines or imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


def missing(source: str) -> list[str]:
    """Names that are imported from the contract, or from the image's own room, and are not there."""
    gone = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.ImportFrom) and node.module and not node.level):
            continue
        place = ROOT / node.module.replace(".", "/")
        if node.module.split(".")[0] not in ("contract", *IMAGES):
            continue
        file = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
        there = names_in(file.read_text(encoding="utf-8"))
        gone += [
            f"{node.module}.{alias.name}" for alias in node.names
            if alias.name not in there and not list(place.glob(f"{alias.name}*"))
        ]  # fmt: skip
    return gone


IMAGES = ("training_code", "inference_code", "analysis_code")


@pytest.mark.parametrize("room", [*IMAGES, "tests", "benchmarks"])
def test_what_a_room_imports_is_there_though_no_type_checker_reads_the_images(room):
    """Their packages are not installed here, and a job imports most modules when it comes to them."""
    for path in sorted((ROOT / room).rglob("*.py")):
        assert not missing(path.read_text(encoding="utf-8")), path.relative_to(ROOT)


def test_a_name_that_is_gone_is_found():
    assert missing("def f():\n    from contract.instances import an_instance_tipe") == [
        "contract.instances.an_instance_tipe"
    ]
    assert missing("from contract import names\nfrom contract.names import Names") == []
