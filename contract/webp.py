"""The size of a WebP from its first bytes: Pillow's opener takes the memory of the whole picture, which nobody has allowed yet.

https://developers.google.com/speed/webp/docs/riff_container
"""

from contract.unreadable import UnreadablePhoto

_SIDE = 0x3FFF  # 14 bits


def size(data: bytes) -> tuple[int, int]:
    """Width and height; raise UnreadablePhoto where the first chunk is none that begins a picture."""
    kind, body = data[12:16], data[20:30]
    if len(body) == 10:
        if kind == b"VP8X":
            return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
        if kind == b"VP8L" and body[0] == 0x2F:
            bits = int.from_bytes(body[1:5], "little")
            return (bits & _SIDE) + 1, (bits >> 14 & _SIDE) + 1
        if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
            return int.from_bytes(body[6:8], "little") & _SIDE, int.from_bytes(body[8:10], "little") & _SIDE
    raise UnreadablePhoto("corrupt", "the header of the WEBP picture is damaged: it does not begin with a picture")
