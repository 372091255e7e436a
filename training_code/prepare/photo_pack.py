"""The `photos/` output: train and validation photos as a few large objects instead of thousands of small ones.

`photos-00000.zip`, … are ordinary zips without compression, so that any tool opens them; `manifest.csv` says where each photo's
bytes begin, so that a reader needs one seek and no zip library, and `classes.json` holds the classes in the order of the plan.
Test photos are refused: nothing that trains may hold them.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract import sheet
from contract.failure import JobFailure
from contract.whole_file import whole_file

SHARD_BYTES = 256 * 1024 * 1024
CLASSES_FILE = "classes.json"
COLUMNS = ("photo_id", "label", "split", "shard", "offset", "length")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same photos give the same bytes
_LOCAL_HEADER = 30  # then the name and the extra field: APPNOTE.TXT 4.3.7


@dataclass(frozen=True)
class PackedPhoto:
    """One photo in the pack: `length` bytes at `offset` of the file `shard`."""

    photo_id: str
    label: str
    split: str
    shard: str
    offset: int
    length: int


def write_pack(
    folder: Path,
    photos: Iterable[tuple[str, str, str, str]],
    read: Callable[[str], bytes],
    classes: Sequence[str],
    shard_bytes: int = SHARD_BYTES,
) -> list[PackedPhoto]:
    """Pack (photo_id, label, split, file extension) of train and validation; `read` gives the bytes of a photo id."""
    folder.mkdir(parents=True, exist_ok=True)
    packed: list[PackedPhoto] = []
    shard: zipfile.ZipFile | None = None
    written = 0
    number = 0
    try:
        for photo_id, label, split, extension in photos:
            if split not in ("train", "validation"):
                raise ValueError(f"photo {photo_id} is of split {split!r}; a pack holds train and validation only")
            if shard is None or written >= shard_bytes:
                if shard is not None:
                    shard.close()
                name = f"photos-{number:05d}.zip"
                shard, written, number = zipfile.ZipFile(folder / name, "w", zipfile.ZIP_STORED), 0, number + 1
            data = read(photo_id)
            entry = zipfile.ZipInfo(f"{photo_id}.{extension}", _EPOCH)
            shard.writestr(entry, data)
            offset = entry.header_offset + _LOCAL_HEADER + len(entry.filename.encode()) + len(entry.extra)
            packed.append(PackedPhoto(photo_id, label, split, name, offset, len(data)))
            written += len(data)
    finally:
        if shard is not None:
            shard.close()
    with whole_file(folder / CLASSES_FILE) as path:
        path.write_text(json.dumps(list(classes), ensure_ascii=False) + "\n", encoding="utf-8")
    with whole_file(folder / "manifest.csv") as path, path.open("w", newline="", encoding="utf-8") as stream:
        rows = ([getattr(photo, column) for column in COLUMNS] for photo in packed)
        sheet.write_rows(stream, [COLUMNS, *rows])
    return packed


class PhotoPack:
    """Reads a pack; safe to use from several threads and after a fork (each read opens its own file)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with (folder / "manifest.csv").open(newline="", encoding="utf-8") as stream:
            self.photos = [
                PackedPhoto(
                    row["photo_id"], row["label"], row["split"], row["shard"], int(row["offset"]), int(row["length"])
                )
                for row in sheet.read_rows(stream)
            ]
        if not (folder / CLASSES_FILE).is_file():
            raise JobFailure(f"channel 'photos': {CLASSES_FILE} is missing in {folder}; run `prepare` again.")
        self.classes: list[str] = json.loads((folder / CLASSES_FILE).read_text(encoding="utf-8"))

    def read(self, photo: PackedPhoto) -> bytes:
        """The photo's bytes as they were in the data set."""
        with (self.folder / photo.shard).open("rb") as stream:
            stream.seek(photo.offset)
            return stream.read(photo.length)
