"""What a PNG says about itself, and the chunks of it that make pixels.

Pillow shows damaged pixels without a word, so the checksums of the critical chunks are compared here. Texts and colour
profiles are left out before Pillow sees them: they may unpack to far more than they are, and nobody reads them.
"""

import struct
import zlib
from typing import Final, NamedTuple

from contract import exif
from contract.unreadable import UnreadablePhoto

MOST_CHUNKS: Final = 65_536
_NOT_PIXELS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf"})
_TRUECOLOUR, _GREY_ALPHA, _COLOUR_ALPHA = 2, 4, 6


class PngHeader(NamedTuple):
    """`colour` is the PNG's colour type."""

    width: int
    height: int
    depth: int
    colour: int

    @property
    def bytes_per_pixel(self) -> int:
        """Of the picture as Pillow holds it."""
        if self.colour in (_TRUECOLOUR, _GREY_ALPHA, _COLOUR_ALPHA):
            return 4
        return 2 if self.depth == 16 else 1

    @property
    def deep_colour(self) -> bool:
        """Sixteen bits in several channels, of which Pillow would keep the upper eight."""
        return self.depth == 16 and self.colour in (_TRUECOLOUR, _GREY_ALPHA, _COLOUR_ALPHA)


def read_header(data: bytes) -> PngHeader | None:
    """None where the first chunk is not the header."""
    if len(data) < 26 or data[12:16] != b"IHDR":
        return None
    return PngHeader(*struct.unpack_from(">IIBB", data, 16))


class Chunks(NamedTuple):
    """`data`: the file with what makes pixels and nothing else."""

    data: bytes
    orientation: int
    animated: bool
    colour_key: bool


def check(data: bytes) -> Chunks:
    """Walk all chunks; raise UnreadablePhoto where a critical one is damaged or the end is missing."""
    at, turned, kinds, kept, begin = 8, 1, set(), [], 0
    for _ in range(MOST_CHUNKS):
        if at + 12 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        kinds.add(kind)
        if kind[:1].isupper() and zlib.crc32(memoryview(data)[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            name = kind.decode("latin-1")
            raise UnreadablePhoto("corrupt", f"the PNG picture is damaged: the checksum of its chunk {name} is wrong")
        if kind in _NOT_PIXELS:
            if kind == b"eXIf" and turned == 1:
                turned = exif.orientation(bytes(data[at + 8 : end]))
            kept.append(data[begin:at])
            begin = end + 4
        at = end + 4
        if kind == b"IEND":
            data = b"".join((*kept, data[begin:at])) if kept else data
            return Chunks(data, turned, b"acTL" in kinds, b"tRNS" in kinds)
    else:
        raise UnreadablePhoto("too_costly", f"the PNG picture holds more than {MOST_CHUNKS:,} chunks; save it again")
    raise UnreadablePhoto("truncated", "the PNG picture ends early: its last chunk is not whole")
