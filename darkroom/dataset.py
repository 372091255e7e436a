"""A folder of photos becomes one object in the data bucket: a stored zip, named by its content.

One PUT instead of thousands, none when it is already there. The same files give the same bytes: names are sorted, times
fixed. Links are not followed, hidden files are left out, names that are not UTF-8 are percent-encoded; all are reported.
"""

import hashlib
import re
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from contract.photo_set.files import File, ending, is_table
from contract.photo_set.sources import LEFT_BEHIND, LINK, ODD, TreeSource
from contract.whole_file import whole_file
from darkroom.failure import DarkroomError

CHOSEN = frozenset({"manifest", "jsonl", "ndjson", "lst", "csv", "tsv"})  # tables that --data may name
EPOCH = (1980, 1, 1, 0, 0, 0)
SHOWN = 5
REASONS = {
    LEFT_BEHIND: "hidden files were left out",
    LINK: "symbolic links were not followed",
    ODD: "special files were left out",
}


class FolderSource(TreeSource):
    """A folder as it will be uploaded: with the one table that --data names and no other, where it names one."""

    def __init__(self, folder: Path, chosen: Path | None = None) -> None:
        super().__init__(folder)
        self._chosen = chosen
        self.beside: list[str] = []

    def files(self) -> list[File]:
        files = super().files()
        if self._chosen is None:
            return files
        tables = [
            file
            for file in files
            if not file.is_photo and is_table(file.parts[-1]) and Path(file.handle) != self._chosen
        ]
        self.beside = [file.name for file in tables]
        return [file for file in files if file not in tables]


@dataclass
class Survey:
    """What a folder holds: `files` as (name in the zip, path), empty folders, and what was left out, by reason."""

    root: Path
    source: FolderSource
    read: list[File] = field(default_factory=list)
    files: list[tuple[str, Path]] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    photos: int = 0
    size: int = 0

    def notes(self) -> list[str]:
        """One sentence per reason for which something was left out or renamed."""
        lines = []
        for reason, names in self.left_out.items():
            shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
            lines.append(f"{len(names)} {reason}: {shown}")
        return lines

    def _note(self, reason: str, name: str) -> None:
        self.left_out.setdefault(reason, []).append(name)


def survey(folder: Path) -> Survey:
    """Walk a folder; of a table, its folder without other tables. Raises DarkroomError where there is no photo in it."""
    chosen = None
    if folder.is_file() and ending(folder.name) in CHOSEN:
        chosen, folder = folder, folder.parent
    if not folder.exists():
        raise DarkroomError(
            f"--data {folder}: there is no such folder.", "Give a folder with one sub-folder of photos per class."
        )
    if not folder.is_dir():
        raise DarkroomError(
            f"--data {folder} is a file.",
            "Give a folder with one sub-folder of photos per class, a .zip of it, or a table (.manifest, .jsonl, "
            ".lst, .csv) beside the photos.",
        )
    source = FolderSource(folder, chosen)
    surveyed = Survey(folder, source, source.files())
    for name in source.beside:
        surveyed._note(f"tables beside {chosen.name} were left out", name)  # type: ignore[union-attr]
    for name, why in source.passed_over:
        surveyed._note(REASONS.get(why, why), name)
    taken: set[str] = set()
    for file in surveyed.read:
        path = Path(file.handle)
        name, safe = _names(path.relative_to(folder))
        if name != safe:
            surveyed._note("names that are not UTF-8 were percent-encoded", safe)
        if not file.is_photo and not is_table(file.parts[-1]):
            surveyed._note("files that are not photos were left out", safe)
            continue
        if safe in taken:
            raise DarkroomError(f"Two files would both be named {safe!r}.", "Rename one of them.")
        taken.add(safe)
        surveyed.files.append((safe, path))
        surveyed.photos += file.is_photo
        surveyed.size += file.size
    if not surveyed.photos:
        if surveyed.files:
            surveyed._note("tables were found without photos", surveyed.files[0][0])
        notes = "".join(f" {note}." for note in surveyed.notes())
        raise DarkroomError(
            f"--data {folder}: there is no photo in it.{notes}",
            "Put photos into one sub-folder per class: photos/ant/1.jpg, photos/bee/2.jpg.",
        )
    full = {file.parts[:end] for file in surveyed.read for end in range(1, len(file.parts))}
    surveyed.empty = sorted("/".join(parts) for parts in source.folders - full)
    surveyed.files.sort()
    return surveyed


def _names(path: Path) -> tuple[str, str]:
    """A relative path as it is, and as UTF-8 with undecodable bytes percent-encoded."""
    text = path.as_posix()
    # os.fsdecode turns an undecodable byte 0xNN into the surrogate U+DCNN.
    return text, re.sub(r"[\udc80-\udcff]", lambda match: f"%{ord(match[0]) - 0xDC00:02X}", text)


def fingerprint(surveyed: Survey, advance: Callable[[int], None] = lambda size: None) -> str:
    """SHA-256 over the sorted names and contents."""
    digest = hashlib.sha256()
    for name, path in surveyed.files:
        with path.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").digest()
        digest.update(name.encode() + b"\0" + content)
        advance(path.stat().st_size)
    for name in surveyed.empty:
        digest.update(name.encode("utf-8", "backslashreplace") + b"/\0")
    return digest.hexdigest()


def pack(surveyed: Survey, target: Path, advance: Callable[[int], None] = lambda size: None) -> None:
    """Write the stored zip."""
    with whole_file(target) as new, zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as archive:
        for name, path in surveyed.files:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            # Photos are compressed already: storing them costs nothing, and a reader can map them.
            archive.writestr(entry, path.read_bytes())
            advance(entry.file_size)
        for name in surveyed.empty:  # a class without photos is a thing to tell
            archive.writestr(zipfile.ZipInfo(f"{name}/", EPOCH), b"")


def slug(name: str) -> str:
    """A folder's name for S3 keys and execution names: lower case letters, digits and hyphens, at most 30."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:30].strip("-") or "photos"
