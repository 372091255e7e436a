"""How long the look before an upload takes: `python -m benchmarks.look [FILES]`, a folder per class and a table, then the same as a zip."""

import io
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from rich.console import Console

from darkroom import look


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as scratch:
        root, lines = Path(scratch, "set"), ["file_name,camera"]
        for number in range(count):
            path = root / f"class {number % 100}" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\xff\xd8\xff photo")
            lines.append(f"class {number % 100}/{number}.jpg,{number % 3}")
        (root / "metadata.csv").write_text("\n".join(lines))
        with zipfile.ZipFile(Path(scratch, "set.zip"), "w") as archive:
            for path in sorted(root.rglob("*.*")):
                archive.write(path, path.relative_to(root))
        for data in (root, Path(scratch, "set.zip")):
            start, busy = time.perf_counter(), time.process_time()
            look.look(Console(file=io.StringIO()), str(data), {}, True)
            wall, own = time.perf_counter() - start, time.process_time() - busy
            print(f"{data.name}: {count:,} files in {wall:.2f} s ({own:.2f} s of processor time)")


if __name__ == "__main__":
    main()
