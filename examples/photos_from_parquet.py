"""Write the photos of a set that Hugging Face stores as Parquet into folders that Darkroom reads: OUT/split/class/0.jpg.

    uv run --with pyarrow examples/photos_from_parquet.py DOWNLOADED OUT [--image COLUMN] [--label COLUMN]

Each Parquet file has a column of photos (bytes, or a struct with `bytes`) and one of labels; names of classes are read from what Hugging
Face writes into the file. The split is the first word of a file's name (train-00000-of-00004.parquet). Needs pyarrow.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

ENDINGS = {b"\xff\xd8": "jpg", b"\x89P": "png", b"RI": "webp", b"GI": "gif", b"BM": "bmp", b"II": "tif", b"MM": "tif"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("downloaded", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--image", default="image")
    parser.add_argument("--label", default="label")
    given = parser.parse_args()
    files = sorted(given.downloaded.rglob("*.parquet"))
    if not files:
        sys.exit(f"{given.downloaded} holds no .parquet file.")
    written = sum(_write(file, given.out, given.image, given.label) for file in files)
    print(f"{written:,} photos of {len(files)} file(s) in {given.out}")
    return 0


def _write(file: Path, out: Path, image: str, label: str) -> int:
    table = parquet.ParquetFile(file)
    missing = [name for name in (image, label) if name not in table.schema_arrow.names]
    if missing:
        sys.exit(
            f"{file} has no column {' and '.join(missing)}, but {', '.join(table.schema_arrow.names)}: --image, --label."
        )
    names = _class_names(table.schema_arrow.metadata or {}, label)
    split, count = file.name.split("-")[0].removesuffix(".parquet"), 0
    for batch in table.iter_batches(columns=[image, label], batch_size=256):
        for row in batch.to_pylist():
            data = row[image]["bytes"] if isinstance(row[image], dict) else row[image]
            if not data or row[label] is None:
                sys.exit(f"{file}, photo {count}: no bytes, or no label.")
            folder = out / split / _folder(names[row[label]] if names else str(row[label]))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{file.stem}-{count}.{ENDINGS.get(data[:2], 'jpg')}").write_bytes(data)
            count += 1
    return count


def _class_names(metadata: dict[bytes, bytes], label: str) -> list[str]:
    """What `datasets` writes of a ClassLabel; empty where labels are texts already."""
    described: dict[str, Any] = json.loads(metadata.get(b"huggingface", b"{}"))
    return described.get("info", {}).get("features", {}).get(label, {}).get("names", [])


def _folder(name: str) -> str:
    if name.strip(". ") == "" or "/" in name or "\0" in name:
        sys.exit(f"The class {name!r} cannot be the name of a folder.")
    return name


if __name__ == "__main__":
    sys.exit(main())
