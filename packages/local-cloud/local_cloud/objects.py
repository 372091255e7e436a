"""S3 for the cloud's own parts: objects are files on disk, read and written in process.

Jobs read through `link` or `fetch` (a hard link or one copy) and write through `store`; the S3 API sees the same
objects. Refuses buckets and keys that do not exist with AWS's own error codes.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_cloud.access.actions import Needed
from local_cloud.access.authority import Authority
from local_cloud.errors import AwsError
from local_cloud.persistence.disk import explained, require_size
from local_cloud.s3.content import ContentStore, StoredContent
from local_cloud.s3.rows import ObjectRows

ConditionKeys = dict[str, list[str]]


@dataclass(frozen=True)
class ObjectInfo:
    """One current object as ListObjectsV2 shows it."""

    bucket: str
    key: str
    size: int
    etag: str
    last_modified: datetime


class Objects:
    """The buckets of this account; every method names a bucket and raises NoSuchBucket or NoSuchKey.

    A part of the cloud that works in the name of a role (`access.authority.acting`) is judged by that role's permissions.
    """

    def __init__(self, account_id: str, content: ContentStore, rows: ObjectRows, authority: Authority):
        self._authority = authority
        self._account_id = account_id
        self._content = content
        self._rows = rows

    def list(self, bucket: str, prefix: str = "") -> list[ObjectInfo]:
        """Current objects whose key starts with `prefix`, in key order (UTF-8 binary order, as S3 lists)."""
        self._permit("s3:ListBucket", bucket, "", {"s3:prefix": [prefix]})
        self.require_bucket(bucket)
        store = self._backend.buckets[bucket].keys
        found = ((name, store.get(name)) for name in store.names.starting_with(prefix))
        return [self._info(bucket, name, key) for name, key in found if hasattr(key, "content")]

    def info(self, bucket: str, key: str) -> ObjectInfo | None:
        """One current object; None when it is not there."""
        self._permit("s3:GetObject", bucket, key)
        self.require_bucket(bucket)
        found = self._backend.buckets[bucket].keys.get(key)
        return self._info(bucket, key, found) if hasattr(found, "content") else None

    def read(self, bucket: str, key: str) -> bytes:
        """The bytes of one object."""
        with self._file(bucket, key) as content:
            return content.path.read_bytes()

    def fetch(self, bucket: str, key: str, dest: str | Path) -> Path:
        """Copy one object to `dest`, making its folders; `dest` is the caller's own file and may be changed."""
        return self._place(bucket, key, dest, shutil.copyfile)

    def link(self, bucket: str, key: str, dest: str | Path) -> Path:
        """Put one object at `dest` without copying where the file system allows it; `dest` must not be written to."""
        return self._place(bucket, key, dest, _hard_link_or_copy)

    def store(
        self, bucket: str, key: str, path: str | Path, content_type: str | None = None, consume: bool = False
    ) -> None:
        """Make the file at `path` the object's new content; with `consume` the file is moved, not copied."""
        self._permit("s3:PutObject", bucket, key)
        self.require_bucket(bucket)
        adopt = self._content.adopt if consume else self._content.copy
        self._write(bucket, key, adopt(Path(path)), content_type)

    def put(self, bucket: str, key: str, data: bytes, content_type: str | None = None) -> None:
        """Make `data` the object's new content."""
        self._permit("s3:PutObject", bucket, key)
        self.require_bucket(bucket)
        self._write(bucket, key, self._content.write(data), content_type)

    def delete(self, bucket: str, key: str) -> None:
        """Delete the object as DeleteObject does: no error when it is not there."""
        self._permit("s3:DeleteObject", bucket, key)
        self.require_bucket(bucket)
        with self._rows.change():
            self._backend.delete_object(bucket, key)

    def require_bucket(self, bucket: str) -> None:
        """Raise NoSuchBucket unless the bucket exists."""
        if bucket not in self._backend.buckets:
            raise AwsError("NoSuchBucket", f"The specified bucket does not exist: {bucket}", 404)

    def _permit(self, action: str, bucket: str, key: str, context: ConditionKeys | None = None) -> None:
        resource = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
        self._authority.check_here("s3", [Needed(action, resource, context or {})])

    @property
    def _backend(self) -> Any:
        from moto.s3.models import s3_backends

        return s3_backends[self._account_id]["aws"]

    def _write(self, bucket: str, key: str, content: StoredContent, content_type: str | None) -> None:
        try:
            with self._rows.change():
                self.require_bucket(bucket)
                new = self._backend.put_object(bucket, key, content, etag=content.md5)
                new.set_metadata({"Content-Type": content_type or "binary/octet-stream"})
        except BaseException:
            content.path.unlink(missing_ok=True)
            raise

    @contextmanager
    def _file(self, bucket: str, key: str) -> Iterator[StoredContent]:
        """The content of an object, which stays until the block ends, whoever overwrites the object meanwhile."""
        self._permit("s3:GetObject", bucket, key)
        with self._content.reading():
            self.require_bucket(bucket)
            found = self._backend.buckets[bucket].keys.get(key)
            if found is None or not hasattr(found, "content"):
                raise AwsError("NoSuchKey", f"The specified key does not exist: s3://{bucket}/{key}", 404)
            found.require_whole()
            yield found.content

    def _place(self, bucket: str, key: str, dest: str | Path, place: Any) -> Path:
        target = Path(dest)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{uuid.uuid4().hex}")
        with self._file(bucket, key) as content:
            try:
                with explained(f"A copy of s3://{bucket}/{key}", target.parent, content.size):
                    place(content.path, partial)
                    if place is not _hard_link_or_copy:
                        partial.chmod(0o644)
                    require_size(partial, content.size)
                    os.replace(partial, target)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        return target

    @staticmethod
    def _info(bucket: str, name: str, key: Any) -> ObjectInfo:
        return ObjectInfo(bucket, name, key.size, key.etag.strip('"'), key.last_modified.replace(tzinfo=UTC))


def _hard_link_or_copy(source: Path, dest: Path) -> None:
    try:
        os.link(source, dest)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or too many links
        shutil.copyfile(source, dest)
