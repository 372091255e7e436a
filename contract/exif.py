"""The orientation that a camera noted, read without a general EXIF parser.

Pillow's reads each entry's value into memory; 65,535 entries may all point to the same 20 MB. Only one small number is
wanted here, from the first directory.
"""

import struct
from typing import Final

_ORIENTATION: Final = 0x0112
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
