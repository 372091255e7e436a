"""What a JPEG says about itself before it is decoded: size, scans, orientation, and whether its end is there.

A progressive JPEG may hold any number of scans, and each costs a walk over the whole picture: 32 bytes of file become 40 ms
of work at 16 megapixels. libjpeg's own script writes 10 scans, and libtiff stops at 100; so does this.
"""

import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from contract import exif
from contract.unreadable import UnreadablePhoto

MOST_SCANS: Final = 100
MOST_SEGMENTS: Final = 4096  # before the first scan; large metadata comes in parts of 64 kB
_SOS, _EOI = 0xDA, 0xD9
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start of frame, of any process
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_FILLING: Final = re.compile(rb"\xff+")  # any number of them may stand before a marker
_MARKER: Final = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)  # not stuffing, not a restart, not filling


class JpegHeader(NamedTuple):
    """`coefficients`: bytes that decoding holds beside the pixels; `first_scan`: where its marker stands."""

    width: int
    height: int
    components: int
    precision: int
    coefficients: int
    scans: int
    orientation: int
    whole: bool
    first_scan: int

    @property
    def is_usual(self) -> bool:
        """Grey or colour of 8 bits: what libjpeg-turbo's own interface decodes."""
        return self.components in (1, 3) and self.precision == 8

    @property
    def notes(self) -> list[str]:
        return (["grey"] if self.components == 1 else []) + ([] if self.whole else ["without_end"])


def read_header(data: bytes) -> JpegHeader | None:
    """None where the header cannot be followed; raise UnreadablePhoto where decoding would cost too much."""
    at, frame, turned = 2, None, 1
    for _ in range(MOST_SEGMENTS):
        found = _FILLING.search(data, at)
        at = found.end() - 1 if found else len(data)
        if at + 4 > len(data):
            return None
        marker = data[at + 1]
        if marker == _SOS:
            return _with_scans(data, at, marker, frame, turned) if frame else None
        if marker == _EOI:
            return None
        if marker in _ALONE or marker == 0:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker in _FRAMES:
            frame = (marker, bytes(data[at + 4 : at + 2 + length]))
        elif marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0" and turned == 1:
            turned = exif.orientation(bytes(data[at + 10 : at + 2 + length]))
        at += 2 + max(length, 2)
    raise UnreadablePhoto(
        "too_costly", f"the JPEG picture holds more than {MOST_SEGMENTS:,} segments before its pixels"
    )


def _with_scans(data: bytes, at: int, marker: int, frame: tuple[int, bytes], turned: int) -> JpegHeader | None:
    process, body = frame
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        return None
    precision, height, width, components = struct.unpack_from(">BHHB", body)
    # A decoder reads one scan where that holds all components, unless the process is progressive.
    single = process not in _PROGRESSIVE and data[at + 4 : at + 5] == bytes([components])
    scans = 1 if single else data.count(b"\xff\xda", at)  # also those of what follows the end, such as a second picture
    if scans > MOST_SCANS:
        scans = _count(data, at)
        if scans > MOST_SCANS:
            allowed = f"at most {MOST_SCANS} are allowed; save it again as a baseline JPEG"
            raise UnreadablePhoto("too_costly", f"the JPEG picture holds more than {MOST_SCANS} scans; {allowed}")
    samplings = [(body[7 + 3 * i] >> 4 or 1, body[7 + 3 * i] & 15 or 1) for i in range(components)]
    highest = max((h for h, _ in samplings), default=1) * max((v for _, v in samplings), default=1)
    held = 0
    if process in _PROGRESSIVE or scans > 1:
        held = 2 * width * height * sum(h * v for h, v in samplings) // highest
    whole = data.rfind(b"\xff\xd9", at) >= 0
    return JpegHeader(width, height, components, precision, held, scans, turned, whole, at)


def _segments(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Marker and place of each segment from the first scan on, to the end of the picture."""
    while found := _MARKER.search(data, at):
        marker = found[1][0]
        yield marker, found.end()
        if marker == _EOI or found.end() + 2 > len(data):
            return
        at = found.end()
        if marker not in _ALONE:
            at += max(2, struct.unpack_from(">H", data, at)[0])


def _count(data: bytes, at: int) -> int:
    scans = 0
    for other, (marker, _) in enumerate(_segments(data, at)):
        scans += marker == _SOS
        if scans > MOST_SCANS or other > MOST_SEGMENTS:
            return MOST_SCANS + 1
    return scans


def is_complete(data: bytes, header: JpegHeader) -> bool:
    """Whether the scans bring every coefficient to its last bit: a progressive JPEG may be cut between two of them."""
    missing: dict[int, list[int]] = {}
    for marker, at in _segments(data, header.first_scan):
        if marker != _SOS:
            continue
        count = data[at + 2] if at + 2 < len(data) else 0
        if not 1 <= count <= 4 or at + 6 + 2 * count > len(data):
            return False
        first, last, bits = data[at + 3 + 2 * count : at + 6 + 2 * count]
        for component in data[at + 3 : at + 3 + 2 * count : 2]:
            left = missing.setdefault(component, [16] * 64)
            for coefficient in range(first, min(last, 63) + 1):
                left[coefficient] = bits & 15
    return len(missing) == header.components and not any(any(left) for left in missing.values())
