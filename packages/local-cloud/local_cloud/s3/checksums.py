"""S3's additional checksums, computed from files block by block instead of from objects in memory.

Refuses CRC32C and CRC64NVME: Python has no fast implementation of them, and a slow one would hide behind every upload.
No client asks for them unless told to.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from local_cloud.errors import AwsError

BLOCK = 1024 * 1024


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


ALGORITHMS: dict[str, Callable[[], object]] = {
    "CRC32": _Crc32,
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA256": hashlib.sha256,
}


def require_algorithm(algorithm: str) -> None:
    """Raise NotImplemented for a checksum algorithm that the local cloud does not compute."""
    if algorithm not in ALGORITHMS:
        raise AwsError(
            "NotImplemented",
            f"The local cloud does not compute {algorithm} checksums; use one of {', '.join(sorted(ALGORITHMS))}.",
            501,
        )


def _digest(blocks: Iterable[bytes], algorithm: str) -> bytes:
    require_algorithm(algorithm)
    state: Any = ALGORITHMS[algorithm]()
    for block in blocks:
        state.update(block)
    return state.digest()


def _blocks(path: Path) -> Iterable[bytes]:
    with path.open("rb", buffering=0) as stream:
        yield from iter(lambda: stream.read(BLOCK), b"")


def bytes_checksum(data: bytes, algorithm: str) -> str:
    """Base64 checksum of bytes, as in `x-amz-checksum-*`."""
    return base64.b64encode(_digest([data], algorithm)).decode()


def file_checksum(path: Path, algorithm: str) -> str:
    """Base64 checksum of a whole file."""
    return base64.b64encode(_digest(_blocks(path), algorithm)).decode()


def composite_checksum(parts: list[Path], algorithm: str) -> str:
    """Base64 checksum of the parts' checksums; S3 shows it with `-<number of parts>` behind."""
    digests = [_digest(_blocks(part), algorithm) for part in parts]
    return base64.b64encode(_digest(digests, algorithm)).decode()
