"""The demo's photos: published sizes, stratified, the same on every machine."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from darkroom import demo_data


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """A small package of the same form: 80 cells of two types and four probabilities."""
    source = tmp_path / "data"
    (source / "images").mkdir(parents=True)
    lines = []
    for number in range(80):
        name = f"images/cell{number:04}.png"
        (source / name).write_bytes(str(number).encode())
        probability = ("0.0", "0.3333333333333333", "0.6666666666666666", "1.0")[number % 4]
        lines.append(f"{name}  {probability}   {'mono' if number % 8 < 4 else 'poly'}")
    (source / "labels.csv").write_text("\n".join(lines) + "\n")
    return source


def test_a_quarter_of_each_group_is_for_the_test_and_every_cell_has_its_type(cells, tmp_path):
    target = tmp_path / "out"
    demo_data.write(cells, target)
    with (target / "metadata.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 80 and all((target / row["file_name"]).is_file() for row in rows)
    places = Counter(tuple(row["file_name"].split("/")[:2]) for row in rows)
    assert places == {
        ("train", "functional"): 30, ("train", "defective"): 30, ("test", "functional"): 10, ("test", "defective"): 10,
    }  # fmt: skip
    tested = Counter(row["cell_type"] for row in rows if row["file_name"].startswith("test/"))
    assert abs(tested["mono"] - tested["poly"]) <= 2
    kinds = {row["file_name"].split("/")[2]: row["cell_type"] for row in rows}
    assert kinds["cell0000.png"] == "mono" and kinds["cell0004.png"] == "poly"


def test_the_split_is_the_same_every_time(cells, tmp_path):
    for name in ("a", "b"):
        demo_data.write(cells, tmp_path / name)
    assert (tmp_path / "a" / "metadata.csv").read_text() == (tmp_path / "b" / "metadata.csv").read_text()
