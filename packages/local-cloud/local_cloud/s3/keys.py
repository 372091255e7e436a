"""moto's S3 objects with their bytes on disk: the same class to moto's S3, a content file underneath.

`install` must run before the first bucket is made. Object rows are written through by `ObjectRows`; what changed is told
by the key stores themselves, so that no S3 operation can forget it.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import moto.s3.models as s3_models
import moto.s3.responses as s3_responses
from moto.s3.exceptions import AccessDeniedByLock, EntityTooSmall, InvalidPart, MalformedXML
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, FakeMultipart, S3Backend
from moto.s3.utils import _VersionedKeyStore

from local_cloud.errors import AwsError
from local_cloud.s3 import listing
from local_cloud.s3.checksum_type import WHOLE
from local_cloud.s3.checksums import composite_checksum, file_checksum
from local_cloud.s3.content import ContentStore, StoredContent
from local_cloud.s3.names import NameIndex
from local_cloud.s3.rows import ObjectRows

NULL_VERSION = "null"
# The bytes are gone. No client repeats a request for this status by itself, as it would for 500.
DAMAGED_STATUS = 410
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
    def checksum_type(self) -> str | None:
        """What the checksum is of; moto says it of some multipart uploads only."""
        return self.__dict__.get("checksum_type") or (WHOLE if self.checksum_algorithm else None)

    @checksum_type.setter
    def checksum_type(self, new: str | None) -> None:
        self.__dict__["checksum_type"] = new

    @property
    def value(self) -> bytes:
        self.require_whole()
        return self.content.path.read_bytes()

    @value.setter
    def value(self, new: Any) -> None:
        if isinstance(new, str):
            new = new.encode()
        replaced, self.content = self.content, new if isinstance(new, StoredContent) else _content.write(new)
        self.contentsize = self.content.size
        if self._etag is None:
            self._etag = self.content.md5
        if change := _rows.current():
            change.written.append(self.content.path)
        if replaced:
            _discard(replaced.path)

    def require_whole(self) -> None:
        """Raise an error that names the object when its content file is missing or has another size."""
        if fault := self.content.fault():
            raise damaged(self.bucket_name or "", self.name, self.version_id, fault)

    @property
    def etag(self) -> str:
        return f'"{self._etag}"'

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state.pop("lock", None)
        state["multipart"] = None  # the parts are gone once the object is complete
        state["content"] = (_content.relative(self.content.path), self.content.size, self.content.md5)
        # In the row with the version that they belong to: one commit, or none.
        state["stored_tags"] = _tagger(self).get_tag_dict_for_resource(self.arn)
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
        if garbage or self.disposed:
            return
        if change := _rows.current():
            change.replaced.append(self)  # its row still names the file
        else:
            _content.discard(self.dispose_now())

    def dispose_now(self) -> list[Path]:
        """The files that go with this version, each told once."""
        already, self.disposed = self.disposed, True
        return [] if already else [self.content.path]

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
        for part in parts:
            part.require_whole()
        whole = _content.concatenate([part.content.path for part in parts])
        digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
        etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
        try:
            checksum = self._checksum(parts, whole)
        except BaseException:
            whole.path.unlink(missing_ok=True)
            raise
        return whole, etag, checksum

    def set_part(self, part_id: int, value: Any) -> DiskKey:
        before = self.parts.get(part_id)
        part = super().set_part(part_id, value)
        if change := _rows.current():
            change.undo.append(lambda: self._put_back(part_id, before))
        return part

    def _put_back(self, part_id: int, before: DiskKey | None) -> None:
        if before is not None:
            self.parts[part_id] = before
        else:
            del self.parts[part_id]
            self.partlist.remove(part_id)

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
    """A bucket's objects. What a change sets is seen by its own thread at once, and by all when its row is committed."""

    bucket = ""

    def __init__(self) -> None:
        super().__init__()
        self.names = NameIndex()

    def __sgetitem__(self, key: str) -> list[Any]:
        change = _rows.current()
        if change and (pending := change.pending.get((self.bucket, key))):
            return pending[1]
        return dict.__getitem__(self, key)

    def __contains__(self, key: object) -> bool:
        change = _rows.current()
        if change and (pending := change.pending.get((self.bucket, key))):
            return bool(pending[1])
        return dict.__contains__(self, key)

    def pop(self, key: str) -> None:
        if key not in self and not self._emptied(key):
            raise KeyError(key)
        self._replace(key, [])

    def __setitem__(self, key: str, value: Any) -> None:
        self._replace(key, [*self.getlist(key, []), value])

    def setlist(self, key: Any, list_: Any) -> None:
        versions = list(list_) if isinstance(list_, list | tuple) else [list_]
        before = self.getlist(key, [])
        if len(versions) == 1 and versions[0].version_id == NULL_VERSION and versions[0] not in before:
            # A write without versioning replaces the null version; those of a time with versioning stay.
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/AddingObjectstoVersionSuspendedBuckets.html
            versions = [v for v in before if v.version_id != NULL_VERSION] + versions
        self._replace(key, versions)

    def load(self, key: str, versions: list[Any]) -> None:
        """Put back what a row holds."""
        for version in versions:
            tags = version.__dict__.pop("stored_tags", None)
            if tags is not None:  # rows of earlier versions have none: their tags are in the snapshot
                _set_tags(version, tags)
        self.publish(key, versions)

    def publish(self, key: str, versions: list[Any]) -> None:
        """Let everybody see what is committed."""
        if versions:
            dict.__setitem__(self, key, versions)
            self.names.add(key)
        else:
            dict.pop(self, key, None)
            self.names.discard(key)

    def _emptied(self, key: str) -> bool:
        """Whether this change has taken the last version: moto then takes the name, too."""
        change = _rows.current()
        return change is not None and (self.bucket, key) in change.pending

    def _replace(self, key: str, versions: list[Any]) -> None:
        with _rows.change() as change:
            before = self.getlist(key, [])
            stay, known = {id(v) for v in versions}, {id(v) for v in before}
            for version in before:
                if id(version) not in stay and isinstance(version, DiskKey):
                    version.dispose()
            for version in versions:
                if id(version) not in known and isinstance(version, DiskKey):
                    _set_tags(version, {})  # tags belong to a version; moto keeps them by name
            change.pending[(self.bucket, key)] = (self, versions)
            _rows.touch(self.bucket, key)

    def __reduce__(self) -> tuple[Any, ...]:
        # The rows hold the objects; a snapshot of the bucket holds an empty store.
        return _empty_store, (self.bucket,)


def _empty_store(bucket: str) -> RecordedKeyStore:
    store = RecordedKeyStore()
    store.bucket = bucket
    return store


def damaged(bucket: str, name: str, version: str, fault: str) -> AwsError:
    """The answer for an object whose bytes are not what its row says."""
    which = f"s3://{bucket}/{name}" + ("" if version == NULL_VERSION else f" (version {version})")
    return AwsError(
        "DamagedObject",
        f"The object {which} is damaged: {fault}. Put the object again, or delete it.",
        DAMAGED_STATUS,
    )


def _discard(path: Path) -> None:
    if change := _rows.current():
        change.replaced.append(_Replaced([path]))
    else:
        _content.discard([path])


@dataclass
class _Replaced:
    """A file that goes with the commit, without a version of its own."""

    paths: list[Path]

    def dispose_now(self) -> list[Path]:
        return self.paths


def _tagger(version: FakeKey) -> Any:
    return s3_models.s3_backends[version.account_id][version.partition].tagger


def _set_tags(version: Any, tags: dict[str, str]) -> None:
    if isinstance(version, DiskKey):
        tagger = _tagger(version)
        tagger.delete_all_tags_for_resource(version.arn)
        if tags:
            tagger.tag_resource(version.arn, [{"Key": name, "Value": value} for name, value in tags.items()])


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


def _complete(self: S3Backend, bucket_name: str, multipart_id: str, body: Iterator[tuple[int, str]]) -> Any:
    uploads = self.get_bucket(bucket_name).multiparts
    upload = uploads.get(multipart_id)
    if upload is not None and (change := _rows.current()):
        # A client may try again when the disk was full.
        change.undo.append(lambda: dict.__setitem__(uploads, multipart_id, upload))
    return _plain_complete(self, bucket_name, multipart_id, body)


_plain_complete = S3Backend.complete_multipart_upload


class _CopySource(DiskKey):
    """A source whose bytes the store copies, instead of moto through memory."""

    @property
    def value(self) -> StoredContent:
        self.require_whole()
        return _content.copy(self.content.path)


def _copy(self: S3Backend, src_key: DiskKey, *args: Any, **options: Any) -> None:
    source = copy.copy(src_key)
    source.__class__ = _CopySource
    tags = self.tagger.get_tag_dict_for_resource(
        src_key.arn
    )  # gone with the old version when source and target are one
    _plain_copy(self, source, *args, **options)
    target = self.get_bucket(options["dest_bucket_name"] if "dest_bucket_name" in options else args[0])
    name = options["dest_key_name"] if "dest_key_name" in options else args[1]
    _set_tags(target.keys[name], tags)


_plain_copy = S3Backend.copy_object


def _delete(
    self: S3Backend, bucket_name: str, key_name: str, version_id: str | None = None, bypass: bool = False
) -> tuple[bool, dict[str, Any]]:
    """DeleteObject where versioning is suspended, which moto takes for a bucket that never had any.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeletingObjectsfromVersionSuspendedBuckets.html
    """
    bucket = self.get_bucket(bucket_name)
    if bucket.versioning_status != "Suspended":
        return _plain_delete(self, bucket_name, key_name, version_id, bypass)
    versions = bucket.keys.getlist(key_name, [])
    if version_id is not None:
        going = [v for v in versions if str(v.version_id) == version_id]
        if any(isinstance(v, FakeKey) and v.is_locked(governance_bypass=bypass) for v in going):
            raise AccessDeniedByLock
        told = {"version-id": version_id}
        if any(isinstance(v, FakeDeleteMarker) for v in going):
            told["delete-marker"] = "true"
        if going:
            bucket.keys.setlist(key_name, [v for v in versions if v not in going])
        return bool(going), told
    if not versions:
        return False, {}
    marker = FakeDeleteMarker(versions[-1])
    marker._version_id = NULL_VERSION
    bucket.keys.setlist(key_name, [v for v in versions if v.version_id != NULL_VERSION] + [marker])
    return True, {"version-id": NULL_VERSION, "delete-marker": "true"}


_plain_delete = S3Backend.delete_object


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
    S3Backend.complete_multipart_upload = _complete
    S3Backend.copy_object = _copy
    S3Backend.delete_object = _delete
    S3Backend.list_objects = listing.list_objects
    S3Backend.list_objects_v2 = listing.list_objects_v2
    S3Backend.list_object_versions = listing.list_object_versions


def content_of(version: Any) -> StoredContent | None:
    """The content file of an object version; None for a delete marker."""
    return getattr(version, "content", None)
