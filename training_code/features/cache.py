"""Features that were computed before, kept by content: the bytes of the photo and everything that made the features.

    <FEATURE_CACHE_URI>/<key>/<view>/<shard>.digests   32 bytes a photo: the SHA-256 of its bytes
    <FEATURE_CACHE_URI>/<key>/<view>/<shard>.features  width × float32 a photo, in the same order

Shards are only ever added, each named by the SHA-256 of its content, features before digests: what is listed is complete, two
jobs at once do no harm, and a damaged shard is recognised and computed again. A cache that cannot be reached is a warning: it
saves work, nothing depends on it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlparse

import numpy as np

from contract.failure import JobFailure
from contract.whole_file import write_bytes
from training_code.aws import client

VERSION = 2  # raise it when the extraction itself changes. 1 may hold features of timm's weights that were not loaded
DEPTHS_VERSION = 1  # raise it when other depths are chosen, or pooled otherwise
SHARD_PHOTOS = 16_384


def cache_key(weights: str, architecture: str, preprocessing: Mapping[str, Any], engine: str, depths: int = 1) -> str:
    """`weights`: SHA-256 of the file, or what says that they are random. `depths`: of the backbone that the features are of."""
    made_of: dict[str, Any] = {
        "version": VERSION,
        "weights": weights,
        "architecture": architecture,
        "preprocessing": preprocessing,
        "engine": engine,
    }
    if depths > 1:
        made_of["depths"] = f"{DEPTHS_VERSION}/{depths}"
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]


class Store(Protocol):
    """Objects below the cache's address; `list` gives the names below a prefix."""

    def list(self, prefix: str) -> list[str]: ...
    def read(self, name: str) -> bytes: ...
    def write(self, name: str, data: bytes) -> None: ...


def open_store(uri: str) -> Store:
    """s3://bucket/prefix, or file:///folder (a mounted file system)."""
    place = urlparse(uri)
    if place.scheme == "s3" and place.netloc:
        return S3Store(place.netloc, place.path.strip("/"))
    if place.scheme == "file" and place.path:
        return FolderStore(Path(place.path))
    raise JobFailure(f"FEATURE_CACHE_URI: received {uri!r}; allowed: s3://bucket/prefix or file:///folder.")


class S3Store:
    def __init__(self, bucket: str, prefix: str) -> None:
        self._s3, self._bucket = client("s3"), bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def list(self, prefix: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
        return [item["Key"].removeprefix(self._prefix) for page in pages for item in page.get("Contents", [])]

    def read(self, name: str) -> bytes:
        return self._s3.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()

    def write(self, name: str, data: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data)


class FolderStore:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list(self, prefix: str) -> list[str]:
        below = self._folder / prefix
        return [
            path.relative_to(self._folder).as_posix()
            for path in below.rglob("*")
            if path.is_file() and path.name[0] != "."
        ]

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        write_bytes(self._folder / name, data)


class FeatureCache:
    """Features of one key by view and photo; without a store it remembers nothing."""

    def __init__(self, store: Store | None, key: str) -> None:
        self._store, self._key = store, key

    def find(self, view: str, digests: Iterable[str]) -> dict[str, np.ndarray]:
        """What is known of these photos (hex SHA-256 → width, float32)."""
        wanted = set(digests)
        if self._store is None or not wanted:
            return {}
        found: dict[str, np.ndarray] = {}
        try:
            prefix = f"{self._key}/{view}/"
            names = [name[: -len(".digests")] for name in self._store.list(prefix) if name.endswith(".digests")]
            with ThreadPoolExecutor(8) as pool:
                held = list(pool.map(lambda name: _split(self._store.read(f"{name}.digests")), names))
            for name, shard in sorted(
                zip(names, held, strict=True), key=lambda item: -len(wanted.intersection(item[1]))
            ):
                if wanted.intersection(shard):
                    rows = self._read_shard(name, shard)
                    found |= {digest: rows[digest] for digest in wanted.intersection(rows)}
                    wanted -= found.keys()
        except Exception as error:
            _warn(f"the feature cache cannot be read ({error}); features are computed again")
        return found

    def _read_shard(self, name: str, digests: Sequence[str]) -> dict[str, np.ndarray]:
        data = self._store.read(f"{name}.features")
        if name.rpartition("/")[2] != _shard_name(digests, data) or len(data) % (4 * len(digests)):
            _warn(f"the shard {name} of the feature cache is damaged; its photos are computed again")
            return {}
        return dict(zip(digests, np.frombuffer(data, dtype="<f4").reshape(len(digests), -1), strict=True))

    def add(self, view: str, digests: Sequence[str], features: np.ndarray) -> None:
        """Keep new features; the same photo twice in `digests` is kept once."""
        if self._store is None or not len(digests):
            return
        rows = list(dict(zip(digests, range(len(digests)), strict=True)).items())
        try:
            for begin in range(0, len(rows), SHARD_PHOTOS):
                part = rows[begin : begin + SHARD_PHOTOS]
                names = [digest for digest, _ in part]
                data = np.ascontiguousarray(features[[row for _, row in part]], dtype="<f4").tobytes()
                path = f"{self._key}/{view}/{_shard_name(names, data)}"
                self._store.write(f"{path}.features", data)
                self._store.write(f"{path}.digests", bytes.fromhex("".join(names)))
        except Exception as error:
            _warn(f"the feature cache cannot be written ({error}); the next execution computes again")


def _split(data: bytes) -> list[str]:
    return [data[i : i + 32].hex() for i in range(0, len(data) - 31, 32)]


def _shard_name(digests: Sequence[str], data: bytes) -> str:
    return hashlib.sha256("".join(digests).encode() + data).hexdigest()[:32]


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr, flush=True)
