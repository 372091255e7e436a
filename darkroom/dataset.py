"""A folder of photos becomes one object in the data bucket: a stored zip, named by its content.

One PUT instead of thousands, none when it is already there. The same files give the same bytes: names are sorted, times
fixed. Links are not followed, hidden files are left out, names that are not UTF-8 are percent-encoded; all are reported.
"""

import hashlib
import os
import re
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from darkroom.failure import DarkroomError

PHOTOS = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jp2"})
TABLES = frozenset({"metadata.csv"})
LISTS = frozenset({".manifest", ".jsonl", ".lst"})  # which photo has which label: augmented manifests, MXNet's lists
EPOCH = (1980, 1, 1, 0, 0, 0)
SHOWN = 5


@dataclass
class Survey:
    """What a folder holds: `files` as (name in the zip, path), and what was left out, by reason."""

    root: Path
    files: list[tuple[str, Path]] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    @property
    def photos(self) -> int:
        return sum(Path(name).suffix.lower() in PHOTOS for name, _ in self.files)

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for _, path in self.files)

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
    """Walk a folder; of a manifest or list, its folder without other ones. Raises DarkroomError where there is no photo in it."""
    if folder.is_file() and folder.suffix.lower() in LISTS:
        chosen, folder = folder, folder.parent
    else:
        chosen = None
    if not folder.exists():
        raise DarkroomError(
            f"--data {folder}: there is no such folder.", "Give a folder with one sub-folder of photos per class."
        )
    if not folder.is_dir():
        raise DarkroomError(
            f"--data {folder} is a file.",
            "Give a folder with one sub-folder of photos per class, a .zip of it, or a .manifest, .jsonl or .lst beside the photos.",
        )
    found = Survey(folder)
    taken: set[str] = set()
    for path in _walk(folder, found):
        name, safe = _names(path.relative_to(folder))
        if name != safe:
            found._note("names that are not UTF-8 were percent-encoded", safe)
        if chosen and path != chosen and (path.suffix.lower() in LISTS or path.name in TABLES):
            found._note(f"tables beside {chosen.name} were left out", safe)
        elif path.suffix.lower() not in PHOTOS | LISTS and path.name not in TABLES:
            found._note("files that are no photos were left out", safe)
        elif safe in taken:
            raise DarkroomError(f"Two files would both be named {safe!r}.", "Rename one of them.")
        else:
            taken.add(safe)
            found.files.append((safe, path))
    if not found.photos:
        notes = "".join(f" {note}." for note in found.notes())
        raise DarkroomError(
            f"--data {folder}: there is no photo in it ({', '.join(sorted(PHOTOS))}).{notes}",
            "Put photos into one sub-folder per class: photos/ant/1.jpg, photos/bee/2.jpg.",
        )
    found.files.sort()
    return found


def _walk(folder: Path, found: Survey) -> Iterator[Path]:
    for parent, names, files in os.walk(folder):
        place = Path(parent)
        for name in sorted(names + files):
            path = place / name
            safe = _names(path.relative_to(folder))[1]
            mode = path.lstat().st_mode
            if name.startswith(".") or name in ("__MACOSX", "Thumbs.db"):
                found._note("hidden files were left out", safe)
            elif stat.S_ISLNK(mode):
                found._note("symbolic links were not followed", safe)
            elif stat.S_ISREG(mode):
                yield path
            elif not stat.S_ISDIR(mode):
                found._note("special files were left out", safe)
        names[:] = [name for name in names if not name.startswith(".") and name != "__MACOSX"]


def _names(path: Path) -> tuple[str, str]:
    """A relative path as it is, and as UTF-8 with undecodable bytes percent-encoded."""
    text = path.as_posix()
    # os.fsdecode turns an undecodable byte 0xNN into the surrogate U+DCNN.
    return text, re.sub(r"[\udc80-\udcff]", lambda match: f"%{ord(match[0]) - 0xDC00:02X}", text)


def fingerprint(found: Survey, advance: Callable[[int], None] = lambda size: None) -> str:
    """SHA-256 over the sorted names and contents."""
    digest = hashlib.sha256()
    for name, path in found.files:
        with path.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").digest()
        digest.update(name.encode() + b"\0" + content)
        advance(path.stat().st_size)
    return digest.hexdigest()


def pack(found: Survey, target: Path, advance: Callable[[int], None] = lambda size: None) -> None:
    """Write the stored zip, beside first, then renamed."""
    new = target.with_suffix(".new")
    with zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as archive:
        for name, path in found.files:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            # Photos are compressed already: storing them costs nothing, and a reader can map them.
            archive.writestr(entry, path.read_bytes())
            advance(entry.file_size)
    new.replace(target)


def slug(name: str) -> str:
    """A folder's name for S3 keys and execution names: lower case letters, digits and hyphens, at most 30."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:30].strip("-") or "photos"
