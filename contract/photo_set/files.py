"""What the files of a set are: the one list of photos, tables and what systems leave behind, for upload and for `prepare`.

The content decides whether a photo can be used. A name only decides what is looked at: known endings, and every file without a
known ending that begins like a photo.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 64 * 1024 * 1024  # of one photo
PHOTO_ENDINGS = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "jif", "png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff", "avif", "heic",
     "heif", "hif", "ppm", "pgm", "pbm", "pnm", "jp2", "j2k", "jpx", "jxl"}
)  # fmt: skip
DELIMITED = frozenset({"csv", "tsv", "tab", "txt"})
JSON_LINES = frozenset({"manifest", "jsonl", "ndjson"})
LISTS = frozenset({"lst"})
WORKBOOKS = frozenset({"xlsx", "xlsm"})
JSON = frozenset({"json"})
TABLE_ENDINGS = DELIMITED | JSON_LINES | LISTS | WORKBOOKS | JSON
# Tables and packs that are not read: what they hold would be missed.
UNREAD_TABLES = frozenset({"xls", "xlsb", "ods", "numbers", "gsheet", "parquet", "arrow", "feather", "pkl", "mat", "sqlite", "db3", "rda",
                           "rds",                           "sav", "dta", "dat", "xml"})  # fmt: skip
PACKS = frozenset({"zip", "tar", "tgz", "gz", "bz2", "xz", "7z", "rar", "parquet", "arrow", "tfrecord", "tfrecords", "h5", "hdf5", "npz",
                   "npy",                   "rec", "lmdb", "mdb"})  # fmt: skip
# Photos that nothing here reads: told, with what to do.
RAW_ENDINGS = frozenset(
    {"cr2", "cr3", "crw", "nef", "nrw", "dng", "arw", "srf", "sr2", "orf", "rw2", "raf", "pef", "srw", "x3f", "mrw", "3fr",
     "iiq", "rwl", "raw", "dcm", "dicom", "psd", "svg", "exr", "hdr", "dds", "tga"}
)  # fmt: skip
# Never photos, whatever they begin with: not worth a look into each.
OTHER_ENDINGS = frozenset(
    {"xml", "html", "htm", "md", "pdf", "py", "ipynb", "mat", "npy", "npz", "pkl", "h5", "hdf5", "parquet",
     "yaml", "yml", "zip", "tar", "gz", "7z", "rar", "rec", "idx", "tfrecord", "doc", "docx", "xls", "ods", "ini", "log",
     "mp4", "mov", "avi", "mkv", "wav", "mp3", "db", "js", "css", "sh", "bat", "lnk", "tex", "rst", "r", "rda"}
)  # fmt: skip
_LEFT_BEHIND = frozenset(
    {"__macosx", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "recycler", "recycled",
     "system volume information", "lost+found", "@eadir", "@recycle", "@tmp", "#recycle", "#snapshot", "@recently-snapshot",
     "__pycache__", "network trash folder", "temporary items", "thedbvolume", "thevolumesettingsfolder", "~snapshot",
     "@eadir_tmp", "_vti_cnf", "ipod photo cache", "icon\r", "icon\\r", "picasa.ini", "albumart.xmp",
     "zbthumbnail.info", "photothumb.db", "pspbrwse.jbf", "@synoresource", "@sharebin", "@__thumb",
     "_gsdata_", "ntuser.dat", "found.000", "cvs", "node_modules"}
)  # fmt: skip
_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


@dataclass(frozen=True)
class File:
    """One file: `parts` of its path for people (UTF-8 in NFC, anything else escaped), `handle` for its source."""

    parts: tuple[str, ...]
    size: int
    handle: Any
    is_photo: bool = False

    @property
    def name(self) -> str:
        return "/".join(self.parts)

    @property
    def ending(self) -> str:
        return ending(self.parts[-1])


def ending(name: str) -> str:
    """What follows the last dot, in small letters; empty where there is none."""
    stem, dot, end = name.rpartition(".")
    return end.strip().lower() if dot and stem else ""


def is_table(name: str) -> bool:
    """By its ending; what Google Takeout writes beside each photo (`1.jpg.json`) is about one photo and no table."""
    parts = name.lower().split(".")
    return ending(name) in TABLE_ENDINGS and not (
        parts[-1] in JSON and any(part in PHOTO_ENDINGS for part in parts[1:-1])
    )


def is_left_behind(part: str) -> bool:
    """What file servers, operating systems and tools put beside the files of people; hidden files, too."""
    return part.startswith((".", "~$", "._")) or part.lower() in _LEFT_BEHIND


def readable_name(raw: str) -> str:
    """UTF-8 text of a file name in NFC; bytes that are none, and what would act on a screen instead of standing there, as escapes.

    Any other sign stays: macOS writes U+202F into the names of screenshots, and Persian and emoji need their joiners.
    """
    if raw.isascii() and raw.isprintable():
        return raw
    text = os.fsencode(raw).decode("utf-8", "backslashreplace")
    shown = "".join(c.encode("unicode_escape").decode() if _acts(c) else c for c in text)
    return unicodedata.normalize("NFC", shown)


def _acts(sign: str) -> bool:
    """Control characters, ends of lines, and marks that turn the direction of a text."""
    return unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(sign) in _TURNS


def needs_a_look(name: str) -> bool:
    """Whether only the content can say if this is a photo: `0a1b2c`, `photo.image`."""
    end = ending(name)
    return end not in PHOTO_ENDINGS and end not in TABLE_ENDINGS and end not in OTHER_ENDINGS
