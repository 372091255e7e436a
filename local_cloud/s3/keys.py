"""moto's S3 objects with their bytes on disk: the same class to moto's S3, a content file underneath.

`install` must run before the first bucket is made. Object rows are written through by `ObjectRows`; what changed is told
by the key stores themselves, so that no S3 operation can forget it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from typing import Any

import moto.s3.models as s3_models
import moto.s3.responses as s3_responses
from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, FakeMultipart, S3Backend
from moto.s3.utils import _VersionedKeyStore

from local_cloud.s3.checksums import composite_checksum, file_checksum
from local_cloud.s3.content import ContentStore, StoredContent
from local_cloud.s3.rows import ObjectRows

MINIMUM_PART_BYTES = 5 * 1024 * 1024

_content: ContentStore
_rows: ObjectRows


class DiskKey(FakeKey):
    """One object version whose bytes are a content file."""

    def __init__(self, name: Any, value: Any, **options: Any):
        self.content: StoredContent | None = None
        super().__init__(name, value, **options)
        self._value_buffer.close()
        del self._value_buffer  # moto's temporary file: never used, and it cannot be pickled

    @property
    def value(self) -> bytes:
        return self.content.path.read_bytes()

    @value.setter
    def value(self, new: Any) -> None:
        if isinstance(new, str):
            new = new.encode()
        replaced, self.content = self.content, new if isinstance(new, StoredContent) else _content.write(new)
        self.contentsize = self.content.size
        if self._etag is None:
            self._etag = self.content.md5
        if replaced:
            replaced.path.unlink(missing_ok=True)

    @property
    def etag(self) -> str:
        return f'"{self._etag}"'

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state.pop("lock", None)
        state["multipart"] = None  # the parts are gone once the object is complete
        state["content"] = (_content.relative(self.content.path), self.content.size, self.content.md5)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        name, size, md5 = state["content"]
        self.content = StoredContent(_content.absolute(name), size, md5)
        self.lock = threading.Lock()

    def __copy__(self) -> DiskKey:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> DiskKey:
        # ListObjectVersions copies every version to set `is_latest`; the bytes need no copy.
        copied = object.__new__(DiskKey)
        copied.__dict__.update(self.__dict__)
        return copied

    def dispose(self, garbage: bool = False) -> None:
        if not garbage and not self.disposed:
            self.disposed = True
            self.content.path.unlink(missing_ok=True)
            if self.multipart:
                self.multipart.dispose()

    def __del__(self) -> None:  # content goes when the object is deleted, not when Python forgets about it
        return


class DiskMultipart(FakeMultipart):
    """A multipart upload that is put together by the kernel, not in memory."""

    def complete(self, body: Iterator[tuple[int, str]]) -> tuple[Any, str, tuple[str, str, int] | None]:
        parts = [self._part(number, etag) for number, etag in body]
        if not parts:
            raise MalformedXML
        if any(part.contentsize < MINIMUM_PART_BYTES for part in parts[:-1]):
            raise EntityTooSmall
        whole = _content.concatenate(part.content.path for part in parts)
        digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
        etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
        checksum = self._checksum(parts, whole)
        self.dispose()
        return whole, etag, checksum

    def _part(self, number: int, etag: str) -> DiskKey:
        part = self.parts.get(number)
        if part is None or part.etag.strip('"') != etag.strip('"'):
            raise InvalidPart
        return part

    def _checksum(self, parts: list[DiskKey], whole: StoredContent) -> tuple[str, str, int] | None:
        algorithm = self.metadata.get("x-amz-checksum-algorithm")
        if algorithm is None:
            return None
        kind = self.metadata.get("x-amz-checksum-type") or ("FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE")
        if kind == "FULL_OBJECT":
            return kind, file_checksum(whole.path, algorithm), 1
        return kind, composite_checksum([part.content.path for part in parts], algorithm), len(parts)


class RecordedKeyStore(_VersionedKeyStore):
    """A bucket's objects, telling `ObjectRows` which names changed."""

    bucket = ""

    def pop(self, key: str) -> None:
        super().pop(key)
        _rows.touch(self.bucket, key)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        _rows.touch(self.bucket, key)

    def setlist(self, key: Any, list_: Any) -> None:
        super().setlist(key, list_)
        _rows.touch(self.bucket, key)

    def load(self, key: str, versions: list[Any]) -> None:
        """Put back what a row holds."""
        dict.__setitem__(self, key, versions)

    def __reduce__(self) -> tuple:
        # The rows hold the objects; a snapshot of the bucket holds an empty store.
        return _empty_store, (self.bucket,)


def _empty_store(bucket: str) -> RecordedKeyStore:
    store = RecordedKeyStore()
    store.bucket = bucket
    return store


def _make_bucket(self: FakeBucket, name: str, *args: Any, **options: Any) -> None:
    _plain_bucket(self, name, *args, **options)
    self.keys = _empty_store(name)


_plain_bucket = FakeBucket.__init__


def _marker_copy(self: FakeDeleteMarker, memo: dict[int, Any]) -> FakeDeleteMarker:
    copied = object.__new__(FakeDeleteMarker)
    copied.__dict__.update(self.__dict__)
    return copied


def _abort(self: S3Backend, bucket_name: str, multipart_id: str) -> None:
    upload = self.get_bucket(bucket_name).multiparts.get(multipart_id)
    _plain_abort(self, bucket_name, multipart_id)
    upload.dispose()  # moto forgets the parts and leaves their bytes


_plain_abort = S3Backend.abort_multipart_upload


def install(content: ContentStore, rows: ObjectRows) -> None:
    """Make moto's S3 keep its bytes in `content` and tell `rows` what changed."""
    global _content, _rows
    _content, _rows = content, rows
    for module in (s3_models, s3_responses):
        if hasattr(module, "FakeKey"):
            module.FakeKey = DiskKey
        if hasattr(module, "FakeMultipart"):
            module.FakeMultipart = DiskMultipart
    FakeBucket.__init__ = _make_bucket
    FakeDeleteMarker.__deepcopy__ = _marker_copy
    S3Backend.abort_multipart_upload = _abort


def content_of(version: Any) -> StoredContent | None:
    """The content file of an object version; None for a delete marker."""
    return getattr(version, "content", None)
