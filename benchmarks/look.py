"""How long the look before an upload takes: `python -m benchmarks.look [FILES] [ROUNDS]`.

A folder per class with a table of facets, the same as a zip, and what costs most: one heap of photos without endings, each of which is
looked into, whose classes are in a table of ids. It prints how busy the machine was: on a busy one only the processor time says something.
"""

import io
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from rich.console import Console

from darkroom import look

JPEG = b"\xff\xd8\xff photo"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    print(f"{count:,} files, n = {rounds}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as scratch:
        for name, data in _sets(Path(scratch), count):
            walls, own = zip(*(_look(data) for _ in range(rounds)), strict=True)
            print(
                f"{name:24}  {median(walls):5.2f} s ({min(walls):.2f} to {max(walls):.2f})   "
                f"processor {median(own):5.2f} s ({min(own):.2f} to {max(own):.2f})"
            )


def _look(data: Path) -> tuple[float, float]:
    start, busy = time.perf_counter(), time.process_time()
    look.look(Console(file=io.StringIO()), str(data), {}, True)
    return time.perf_counter() - start, time.process_time() - busy


def _sets(scratch: Path, count: int) -> Iterator[tuple[str, Path]]:
    folders = _written(scratch / "folders", (f"class {n % 100}/{n}.jpg" for n in range(count)))
    rows = (f"class {n % 100}/{n}.jpg,{n % 3}" for n in range(count))
    (folders / "metadata.csv").write_text("\n".join(["file_name,camera", *rows]))
    yield "class folders, facets", folders
    packed = scratch / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folders.rglob("*.*")):
            archive.write(path, path.relative_to(folders))
    yield "the same as a zip", packed
    heap = _written(scratch / "heap", (f"images/{n:08x}" for n in range(count)))
    (heap / "labels.csv").write_text("\n".join(["id,breed", *(f"{n:08x},breed {n % 100}" for n in range(count))]))
    yield "ids without endings", heap


def _written(root: Path, names: Iterator[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG)
    return root


if __name__ == "__main__":
    main()
