"""The orientation and the time that a camera noted, read without a general EXIF parser.

Pillow's reads each entry's value into memory; 65,535 entries may all point to the same 20 MB. Only one small number and one
text of 19 characters are wanted here.
"""

import re
import struct
from typing import Final

_ORIENTATION: Final = 0x0112
_DIRECTORY: Final = 0x8769  # where the directory of the photo itself begins
_TAKEN: Final = 0x9003  # DateTimeOriginal
_HEAD: Final = 128 * 1024  # bytes of a file among which the block begins; cameras write it first
_MOST_ENTRIES: Final = 1000
_SHORT, _LONG = 3, 4


def orientation(tiff: bytes) -> int:
    """1 to 8; 1 where there is none or where the block is damaged (the pixels may still be fine)."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(tiff[:4]))
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, at)
        for entry in range(min(entries, _MOST_ENTRIES)):
            where = at + 2 + 12 * entry
            tag, kind, count = struct.unpack_from(f"{order}HHI", tiff, where)
            if tag == _ORIENTATION:
                form = {_SHORT: "H", _LONG: "I"}.get(kind)
                if form is None or count != 1:
                    return 1
                (value,) = struct.unpack_from(order + form, tiff, where + 8)
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def taken(data: bytes) -> str:
    """When a photo was taken, as `2026:01:31 10:00:00`, which sorts as text; empty where the file does not say."""
    marked = data.find(b"Exif\0\0", 0, _HEAD)
    tiff = data[marked + 6 : marked + 6 + 65_536] if marked >= 0 else data[:_HEAD]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(tiff[:4]))
    if order is None:
        return ""
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        directory = _value(tiff, order, at, _DIRECTORY)
        where = _value(tiff, order, directory, _TAKEN) if directory else 0
    except struct.error:
        return ""
    text = bytes(tiff[where : where + 19]).decode("ascii", "replace") if where else ""
    return text if re.fullmatch(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d", text) and text > "0001" else ""


def _value(tiff: bytes, order: str, at: int, wanted: int) -> int:
    """The number, or the place of the text, of an entry of the directory at `at`; 0 where there is none."""
    (entries,) = struct.unpack_from(f"{order}H", tiff, at)
    for entry in range(min(entries, _MOST_ENTRIES)):
        tag, _, _, value = struct.unpack_from(f"{order}HHII", tiff, at + 2 + 12 * entry)
        if tag == wanted:
            return value
    return 0
