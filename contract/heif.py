"""A look at the boxes of a HEIC file before its library sees them.

pi-heif takes the type of each item for text; a type that is none ends its process with a segmentation fault (found by
tests/inference_code/fuzz). ISO/IEC 14496-12, 8.11.6 (ItemInfoEntry).
"""

import re
import struct
from typing import Final

from contract.unreadable import UnreadablePhoto

_MOST_BOXES: Final = 1000
_ENTRY: Final = re.compile(rb"infe([\x02\x03])", re.DOTALL)


def check(data: bytes) -> None:
    """Raise UnreadablePhoto where the list of items is damaged."""
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        if size == 1 and at + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, at + 8)
        end = len(data) if size == 0 else at + size
        if kind == b"meta":
            _check_items(bytes(data[at:end]))
        if size and size < 8:
            return
        at = end


def _check_items(meta: bytes) -> None:
    for entry in _ENTRY.finditer(meta):
        number = 2 if entry[1] == b"\x02" else 4  # bytes of the item's number; two more say how it is protected
        kind = meta[entry.end() + 3 + number + 2 :][:4]
        if not (kind.isascii() and kind.decode("ascii").isprintable()):
            raise UnreadablePhoto("corrupt", f"the HEIC picture is damaged: it has an item of type {kind!r}")
