"""The `photos/` output: train and validation photos as a few large objects instead of thousands of small ones.

`photos-00000.zip`, … are ordinary zips without compression, so that any tool opens them; `manifest.csv` says where each photo's
bytes begin, so that a reader needs one seek and no zip library. Test photos are refused: nothing that trains may hold them.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

SHARD_BYTES = 256 * 1024 * 1024
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
    unfinished = folder / ".manifest.csv.part"
    with unfinished.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows([getattr(photo, column) for column in COLUMNS] for photo in packed)
    unfinished.replace(folder / "manifest.csv")
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
                for row in csv.DictReader(stream)
            ]

    def read(self, photo: PackedPhoto) -> bytes:
        """The photo's bytes as they were in the data set."""
        with (self.folder / photo.shard).open("rb") as stream:
            stream.seek(photo.offset)
            return stream.read(photo.length)
