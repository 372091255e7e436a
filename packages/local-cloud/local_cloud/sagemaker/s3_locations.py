"""S3 URIs: parsing, and which objects a data source names.

Where a file lands follows AWS: the key less the prefix; for an exact object its base name.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html
"""

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from local_cloud.errors import AwsError
from local_cloud.sagemaker.support import invalid


@dataclass(frozen=True)
class Location:
    """A bucket and a key or key prefix."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> "Location":
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise invalid(f"The S3 URI {uri!r} is not valid: s3://bucket/key is expected.")
        return cls(bucket, key)

    def below(self, relative: str) -> "Location":
        """The location of a relative name under this prefix."""
        prefix = self.key.rstrip("/")
        return Location(self.bucket, f"{prefix}/{relative}" if prefix else relative)

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Source:
    """One object of a data source and the relative path it gets."""

    bucket: str
    key: str
    path: str
    size: int


def relative_path(prefix: str, key: str) -> str:
    """The path of an object below the folder that a prefix names."""
    folder = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
    if key == prefix:
        path = PurePosixPath(key).name
    elif key.startswith(folder):
        path = key[len(folder) :]
    else:
        path = key[prefix.rfind("/") + 1 :]
    if not path or ".." in path.split("/") or path.startswith("/"):
        raise AwsError("ValidationException", f"The object key {key!r} cannot become a file name below a folder.")
    return path


def objects_under(objects: Any, uri: str) -> list[Source]:
    """The objects whose keys start with the URI's key, less folder markers; raises as AWS does when there are none."""
    where = Location.parse(uri)
    try:
        found = [info for info in objects.list(where.bucket, where.key) if not info.key.endswith("/")]
    except AwsError as error:
        raise _nothing_found(uri) from error
    if not found:
        raise _nothing_found(uri)
    return [Source(where.bucket, info.key, relative_path(where.key, info.key), info.size) for info in found]


def objects_in_manifest(objects: Any, uri: str) -> list[Source]:
    """The objects that a manifest names: `[{"prefix": "s3://…"}, "relative/key", …]`."""
    where = Location.parse(uri)
    try:
        entries = json.loads(objects.read(where.bucket, where.key))
        prefix, names = entries[0]["prefix"], entries[1:]
    except AwsError as error:
        raise _nothing_found(uri) from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise invalid(
            f"The manifest {uri} is not valid: a JSON list is expected whose first entry is "
            '{"prefix": "s3://…"} and whose further entries are relative keys.'
        ) from error
    base = Location.parse(prefix)
    try:
        sizes = {info.key: info.size for info in objects.list(base.bucket, base.key)}
    except AwsError as error:
        raise _nothing_found(prefix) from error
    sources = []
    for name in names:
        key = base.key + str(name)
        if key not in sizes:
            raise invalid(f"The manifest {uri} names s3://{base.bucket}/{key}, which does not exist.")
        sources.append(Source(base.bucket, key, relative_path("", str(name)), sizes[key]))
    return sources


def sources_of(objects: Any, data_type: str, uri: str) -> list[Source]:
    """The objects of an S3 data source."""
    if data_type == "S3Prefix":
        return objects_under(objects, uri)
    if data_type == "ManifestFile":
        return objects_in_manifest(objects, uri)
    raise invalid(
        f"The local cloud does not support the S3DataType {data_type}: on AWS it needs Pipe mode, which has no "
        "local counterpart. Use S3Prefix or ManifestFile."
    )


def _nothing_found(uri: str) -> AwsError:
    return invalid(
        f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
        "exists in the selected region, that objects exist under that S3 prefix, and that the role has "
        '"s3:ListBucket" permission on the bucket.'
    )
