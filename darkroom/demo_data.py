"""The demo's photos: solar cells by electroluminescence, from PyPI's `elpv-dataset`, as a folder per class.

The published task is functional against defective, defective meaning a defect probability of at least 0.5, with a
stratified 25 % test split (Deitsch et al. 2019, https://doi.org/10.1016/j.solener.2019.02.067). The published split itself
is not part of the package; ours has the same sizes, is stratified by probability and cell type, and seeded.
"""

import csv
import hashlib
import importlib.util
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

from rich.console import Console

from darkroom.failure import DarkroomError
from darkroom.home import Home

DEFECTIVE_FROM = 0.5
TEST_SHARE = 0.25
SEED = "elpv-2019"
NOTICE = (
    "2,624 photographs of solar cells (elpv-dataset, licence CC BY-NC-SA 4.0: not for commercial use). Please cite:",
    "  Buerhop-Lutz et al. (2018), A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence",
    "  Imagery, EU PVSEC; Deitsch et al. (2019), Solar Energy 185:455-468; Deitsch et al. (2021), Machine Vision and",
    "  Applications 32(4).",
)


def provide(home: Home, console: Console) -> Path:
    """The folder with the demo's photos, written once; prints licence and citation."""
    for line in NOTICE:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    folder = home.folder("demo-data") / "solar-cells"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            cells = Path(scratch, "solar-cells")
            write(_package() / "data", cells)
            cells.rename(folder)
    console.print(f"  in {folder}", markup=False, soft_wrap=True)
    return folder


def _package() -> Path:
    # Found, not imported: the package's own loader would decode all photos.
    package = importlib.util.find_spec("elpv_dataset")
    if package is None or not package.submodule_search_locations:
        raise DarkroomError(
            "The demo's photos are not installed.",
            "Run: make demo, which installs PyPI's elpv-dataset (not for commercial use). Your own photos: darkroom demo --data DIR",
        )
    return Path(package.submodule_search_locations[0])


def write(source: Path, target: Path) -> None:
    """Write `train/` and `test/`, a folder per class in each, and metadata.csv with the cell type."""
    cells = _read(source / "labels.csv")
    test = _test_split(cells)
    target.mkdir()
    with (target / "metadata.csv").open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(["file_name", "cell_type"])
        for path, probability, cell_type in cells:
            label = "defective" if probability >= DEFECTIVE_FROM else "functional"
            place = Path("test" if path in test else "train", label, Path(path).name)
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, target / place)
            table.writerow([place.as_posix(), cell_type])


def _read(labels: Path) -> list[tuple[str, float, str]]:
    lines = labels.read_text(encoding="utf-8").split("\n")
    rows = [line.split() for line in lines if line.strip()]
    return [(path, float(probability), cell_type) for path, probability, cell_type in rows]


def _test_split(cells: list[tuple[str, float, str]]) -> set[str]:
    """A quarter of every group of equal probability and cell type, chosen by a hash: the same on every machine."""
    groups = defaultdict(list)
    for path, probability, cell_type in cells:
        groups[probability, cell_type].append(path)
    chosen: set[str] = set()
    due = 0.0
    for group in sorted(groups):
        members = sorted(groups[group], key=lambda path: hashlib.sha256(f"{SEED}/{path}".encode()).digest())
        due += len(members) * TEST_SHARE
        chosen.update(members[: round(due) - len(chosen)])
    return chosen
