"""The end of `make coverage`: lines and branches of each room that was measured, held against its floor in pyproject.toml.

A room is judged by the parts that are there for it; `contract/`, which every room uses, only where all parts ran.
"""

from __future__ import annotations

import io
import sys
import tomllib
from pathlib import Path

import coverage
from coverage.exceptions import NoDataError

ROOT = Path(__file__).resolve().parents[1]
# What each part of the tests is there for; jobs and clouds that it starts count, too.
OF_PART = {"local-cloud": ("local_cloud",), "main": ("darkroom", "infra")}
ALL = {"training_code", "inference_code", "analysis_code", "local-cloud", "main"}
FOLDERS = {"local_cloud": "packages/local-cloud/local_cloud"}


def main(parts: list[str]) -> int:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        floors: dict[str, float] = tomllib.load(stream)["tool"]["darkroom"]["coverage_floors"]
    measured = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"))
    measured.load()
    low = []
    rooms = [room for part in parts for room in OF_PART.get(part, (part,))]
    for room in [*rooms, *(["contract"] if set(parts) >= ALL else [])]:
        included = f"{ROOT}/{FOLDERS.get(room, room)}/*"
        try:
            reached = measured.report(include=included, file=io.StringIO())
        except NoDataError:  # no test came near it
            reached = 0.0
        print(f"{room}: {reached:.1f} % of lines and branches; floor {floors[room]:g} %")
        if reached < floors[room]:
            low.append(room)
    if low:
        print(f"Below the floor (tool.darkroom.coverage_floors in pyproject.toml): {', '.join(low)}")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
