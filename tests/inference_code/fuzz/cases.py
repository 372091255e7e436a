"""Case number N of the fuzzer: the same bytes on every machine, by mutation of a seed or made from the format's own parts."""

import random
import struct
import zlib

from tests.inference_code.fuzz.seeds import chunk, seeds

_NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    16,
    127,
    128,
    255,
    256,
    4095,
    32767,
    32768,
    65535,
    65536,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
)
_GENERATED = 0.15  # of the cases
_MARK = 12  # bytes


class Cases:
    """All cases of one number that the whole run depends on."""

    def __init__(self, seed: int) -> None:
        self._seed, self._corpus = seed, seeds()
        self._by_kind: dict[str, list[bytes]] = {}
        for kind, data in self._corpus:
            self._by_kind.setdefault(kind, []).append(data)

    def case(self, number: int) -> tuple[str, bytes]:
        """The format it was made of, and the bytes."""
        chance = random.Random(f"{self._seed}/{number}")
        if chance.random() < _GENERATED:
            kind, make = chance.choice(
                [("JPEG", _jpeg), ("PNG", _png), ("GIF", _gif), ("TIFF", _tiff), ("WEBP", _webp)]
            )
            return kind, make(chance)
        kind = chance.choice(list(self._by_kind))
        data = bytearray(chance.choice(self._by_kind[kind]))
        if kind == "PNG" and chance.random() < 0.6:
            return kind, _within_chunks(bytes(data), chance)
        for _ in range(chance.choice((1, 1, 1, 1, 1, 2, 3, 6))):
            chance.choice(_MUTATIONS)(data, chance)
            if chance.random() < 0.1:
                _splice(data, chance.choice(self._by_kind[kind]), chance)
        if kind == "PNG" and chance.random() < 0.7:  # else nearly all of them would end at their checksums
            _mend_checksums(data)
        return kind, bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    """Anywhere, more often near the beginning, where the headers are; seldom in the mark that says the format."""
    end = max(1, len(data))
    at = chance.randrange(min(end, chance.choice((64, 256, end, end, end))))
    return at if at >= _MARK or chance.random() < 0.05 else min(end - 1, at + _MARK)


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 8)):
        if data:
            data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _set(data: bytearray, chance: random.Random) -> None:
    if data:
        data[_place(data, chance)] = chance.choice((0, 1, 127, 128, 254, 255, chance.randrange(256)))


def _number(data: bytearray, chance: random.Random) -> None:
    form = chance.choice(("<H", ">H", "<I", ">I"))
    at, size = _place(data, chance), struct.calcsize(form)
    data[at : at + size] = struct.pack(form, chance.choice(_NUMBERS) & ((1 << 8 * size) - 1))


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[_place(data, chance) :]


def _remove(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance)
    del data[at : at + chance.randint(1, 64)]


def _repeat(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance)
    part = bytes(data[at : at + chance.randint(1, 200)])
    data[at:at] = part * chance.choice((1, 2, 10, 400))


def _insert(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance)
    data[at:at] = chance.randbytes(chance.randint(1, 40))


def _splice(data: bytearray, other: bytes, chance: random.Random) -> None:
    at, begin = _place(data, chance), chance.randrange(len(other))
    length = chance.randint(1, len(other))
    data[at : at + length] = other[begin : begin + length]


_MUTATIONS = (_flip, _flip, _set, _number, _number, _cut, _remove, _repeat, _insert)


def _mend_checksums(data: bytearray) -> None:
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + struct.unpack_from(">I", data, at)[0]
        if end + 4 > len(data):
            return
        struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4


def _within_chunks(data: bytes, chance: random.Random) -> bytes:
    """A PNG whose chunks are whole and their checksums right: what is damaged lies deeper."""
    at, parts = 8, []
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        parts.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    for number in chance.sample(range(len(parts)), chance.choice((1, 1, 2))):
        kind, content = parts[number]
        packed = kind == b"IDAT" and chance.random() < 0.7
        changed = bytearray(zlib.decompress(content) if packed else content)
        chance.choice(_MUTATIONS)(changed, chance)
        parts[number] = (kind, zlib.compress(changed) if packed else bytes(changed))
    if chance.random() < 0.2:
        parts.insert(chance.randint(1, len(parts)), chance.choice(parts))
    return data[:8] + b"".join(chunk(*part) for part in parts)


def _sides(chance: random.Random) -> tuple[int, int]:
    return chance.choice(_NUMBERS[1:12]), chance.choice((1, 8, 33, 4095, 65535))


def _jpeg(chance: random.Random) -> bytes:
    """Segments in any order, with right and wrong lengths."""
    width, height = _sides(chance)
    parts = [b"\xff\xd8"]
    for _ in range(chance.randint(1, 12)):
        marker = chance.choice(
            (0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC9, 0xDA, 0xDB, 0xDD, 0xE0, 0xE1, 0xEE, 0xFE, 0xD9, 0xDC)
        )
        if 0xC0 <= marker <= 0xC3 or marker == 0xC9:
            count = chance.choice((1, 3, 4))
            body = struct.pack(">BHHB", chance.choice((8, 8, 8, 12, 16)), height & 0xFFFF, width & 0xFFFF, count)
            body += b"".join(bytes([n + 1, chance.choice((0x11, 0x22, 0x44, 0)), 0]) for n in range(count))
        elif marker == 0xDA:
            body = bytes([1, 1, 0, 0, chance.choice((0, 63)), chance.choice((0, 0x10))])
        elif marker == 0xDB:
            body = b"\0" + bytes(chance.randrange(1, 256) for _ in range(64))
        elif marker == 0xC4:
            body = bytes([chance.choice((0, 0x10)), 0, 1, 5, 1, *[0] * 12]) + bytes(range(7))
        else:
            body = chance.choice((b"", b"Exif\0\0II*\0", b"JFIF\0\1\1\0", b"Adobe\0")) + chance.randbytes(
                chance.randint(0, 40)
            )
        length = len(body) + 2 if chance.random() < 0.9 else chance.randrange(65536)
        parts.append(bytes([0xFF, marker]) + struct.pack(">H", length) + body)
        if marker == 0xDA:
            parts.append(chance.randbytes(chance.randint(0, 300)).replace(b"\xff", b"\xff\0"))
    return b"".join(parts) + chance.choice((b"", b"\xff\xd9"))


def _png(chance: random.Random) -> bytes:
    """Right checksums around any header, filter bytes and chunks."""
    width, height = _sides(chance)
    depth, colour = chance.choice((1, 2, 4, 8, 16, 3)), chance.choice((0, 2, 3, 4, 6, 5))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, chance.choice((0, 0, 1)))
    raw = chance.choice((bytes, chance.randbytes))(chance.choice((0, 10, 1000, 100_000)))
    parts = [chunk(b"IHDR", header)]
    for _ in range(chance.randint(0, 5)):
        kind = chance.choice(
            (b"PLTE", b"tRNS", b"gAMA", b"pHYs", b"eXIf", b"zTXt", b"iCCP", b"acTL", b"fcTL", b"fdAT", b"sBIT")
        )
        parts.append(chunk(kind, chance.randbytes(chance.choice((0, 3, 8, 26, 300)))))
    packed = zlib.compress(raw)
    cut = chance.randint(0, len(packed))
    parts += [chunk(b"IDAT", packed[:cut]), chunk(b"IDAT", packed[cut:]), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _gif(chance: random.Random) -> bytes:
    width, height = _sides(chance)
    size = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
    data = (
        b"GIF89a" + size + bytes([chance.choice((0, 0x80, 0xF7)), 0, 0]) + chance.randbytes(chance.choice((0, 6, 768)))
    )
    for _ in range(chance.randint(1, 6)):
        if chance.random() < 0.5:
            blocks = b"".join(bytes([len(b)]) + b for b in (chance.randbytes(chance.randint(1, 255)) for _ in range(3)))
            data += b"\x21" + chance.choice((b"\xf9", b"\xfe", b"\xff")) + blocks + b"\0"
        else:
            place = struct.pack("<HHHH", *(chance.choice((0, 1, 8, 300, 65535)) for _ in range(4)))
            data += b"," + place + bytes([chance.choice((0, 0x40, 0x87)), chance.choice((2, 8, 12, 0))])
            data += b"\xff" + chance.randbytes(255) + chance.choice((b"\0", b""))
    return data + b";"


def _tiff(chance: random.Random) -> bytes:
    """One directory of usual tags with usual and absurd values."""
    order = chance.choice("<>")
    tags = [(256, _sides(chance)[0]), (257, _sides(chance)[1]), (258, chance.choice((1, 8, 16, 32))), (274, chance.randrange(10)),
            (259, chance.choice((1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000, 50001))), (262, chance.randrange(9)),
            (273, 8), (277, chance.choice((1, 3, 4, 5))), (278, chance.choice(_NUMBERS)), (279, chance.choice((0, 200, 1 << 31))),
            (284, chance.choice((1, 2))), (317, chance.choice((1, 2, 3))), (339, chance.choice((1, 2, 3)))]  # fmt: skip
    if chance.random() < 0.4:
        tags += [(322, chance.choice(_NUMBERS)), (323, chance.choice(_NUMBERS)), (324, 8), (325, 200)]
    tags = sorted(tag for tag in tags if chance.random() < 0.95)
    pixels = chance.randbytes(200)
    kinds = [(chance.choice((3, 4, 4, 4, 1, 5, 12)), chance.choice((1, 1, 1, 1, 2, 3, 65535, 1 << 28))) for _ in tags]
    entries = b"".join(
        struct.pack(f"{order}HHII", tag, *kind, value) for (tag, value), kind in zip(tags, kinds, strict=True)
    )
    mark = b"II*\0" if order == "<" else b"MM\0*"
    following = chance.choice((0, 0, 208, 1 << 31))
    return (
        mark
        + struct.pack(f"{order}I", 208)
        + pixels
        + struct.pack(f"{order}H", len(tags))
        + entries
        + struct.pack(f"{order}I", following)
    )


def _webp(chance: random.Random) -> bytes:
    width, height = _sides(chance)
    body = b""
    for _ in range(chance.randint(1, 5)):
        kind = chance.choice((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"ICCP"))
        data = chance.randbytes(chance.choice((6, 10, 16, 100)))
        if kind == b"VP8 ":
            data = b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width & 0x3FFF, height & 0x3FFF) + data
        elif kind == b"VP8L":
            data = b"\x2f" + struct.pack("<I", (width - 1 & 0x3FFF) | (height - 1 & 0x3FFF) << 14) + data
        elif kind == b"VP8X":
            data = (
                bytes([chance.randrange(256), 0, 0, 0])
                + struct.pack("<I", width & 0xFFFFFF)[:3]
                + struct.pack("<I", height)[:3]
            )
        length = len(data) if chance.random() < 0.9 else chance.choice(_NUMBERS)
        body += kind + struct.pack("<I", length) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
