"""ListObjects, ListObjectsV2 and ListObjectVersions from the ordered names of a bucket.

moto sorts all objects of the bucket for every page, and keeps its continuation tokens in memory. Here a page costs what it
shows, and a token says where the page ended, so that it holds after a restart. Refuses a token that is none.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator
from typing import Any

from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, S3Backend

from local_cloud.errors import AwsError
from local_cloud.s3.names import behind

Entry = Any  # a version, or the text of a common prefix
MOST_ENTRIES = 1000  # of one page, whatever was asked for


def list_objects_v2(
    self: S3Backend,
    bucket: FakeBucket,
    prefix: str | None,
    delimiter: str | None,
    continuation_token: str | None,
    start_after: str | None,
    max_keys: int,
) -> tuple[list[Entry], bool, str | None]:
    """One page in order, whether there are more, and the token of the next page."""
    after = _from_token(continuation_token) if continuation_token else start_after
    entries, more = _page(_current(bucket.keys, prefix or "", delimiter, after), max_keys)
    return entries, more, _token(_name(entries[-1])) if more else None


def list_objects(
    self: S3Backend,
    bucket: FakeBucket,
    prefix: str | None,
    delimiter: str | None,
    marker: str | None,
    max_keys: int | None,
) -> tuple[list[Any], list[str], bool, str | None]:
    """One page, common prefixes apart; a next marker only with a delimiter, as on AWS."""
    entries, more = _page(_current(bucket.keys, prefix or "", delimiter, marker), max_keys)
    folders = [entry for entry in entries if isinstance(entry, str)]
    keys = [entry for entry in entries if not isinstance(entry, str)]
    return keys, folders, more, _name(entries[-1]) if more and delimiter else None


def list_object_versions(
    self: S3Backend,
    bucket_name: str,
    delimiter: str | None = None,
    key_marker: str | None = None,
    max_keys: int | None = 1000,
    prefix: str = "",
    version_id_marker: str | None = None,
) -> tuple[list[Any], list[str], list[Any], str | None, str | None]:
    """One page of versions and delete markers, the newest of a name first."""
    store = self.get_bucket(bucket_name).keys
    entries, more = _page(_versions(store, prefix or "", delimiter, key_marker, version_id_marker), max_keys)
    last = entries[-1] if more else None
    return (
        [entry for entry in entries if isinstance(entry, FakeKey)],
        [entry for entry in entries if isinstance(entry, str)],
        [entry for entry in entries if isinstance(entry, FakeDeleteMarker)],
        None if last is None else _name(last),
        None if last is None or isinstance(last, str) else last.version_id,
    )


def _page(entries: Iterator[Entry], limit: int | None) -> tuple[list[Entry], bool]:
    """The first `limit` entries, and whether another one follows."""
    page: list[Entry] = []
    if limit == 0:
        return page, False
    limit = min(limit or MOST_ENTRIES, MOST_ENTRIES)
    for entry in entries:
        if len(page) == limit:
            return page, True
        page.append(entry)
    return page, False


def _current(store: Any, prefix: str, delimiter: str | None, after: str | None) -> Iterator[Entry]:
    for name in _rolled_up(store, prefix, delimiter, after):
        if isinstance(name, _CommonPrefix):
            yield str(name)
        elif isinstance(version := store.get(name), FakeKey):
            yield version


def _versions(
    store: Any, prefix: str, delimiter: str | None, key_marker: str | None, version_marker: str | None
) -> Iterator[Entry]:
    if key_marker and version_marker and key_marker.startswith(prefix):
        shown = _shown(store, key_marker)
        at = next((i for i, version in enumerate(shown) if version.version_id == version_marker), len(shown))
        yield from shown[at + 1 :]
    for name in _rolled_up(store, prefix, delimiter, key_marker, versions=True):
        if isinstance(name, _CommonPrefix):
            yield str(name)
        else:
            yield from _shown(store, name)


def _shown(store: Any, name: str) -> list[Any]:
    """Copies of a name's versions, the newest first, each told whether it is the latest."""
    versions = []
    for number, version in enumerate(reversed(store.getlist(name, []))):
        shown = copy.copy(version)
        shown.is_latest = number == 0
        versions.append(shown)
    return versions


class _CommonPrefix(str):
    """The part of several names up to the delimiter."""


def _rolled_up(
    store: Any, prefix: str, delimiter: str | None, after: str | None, versions: bool = False
) -> Iterator[str]:
    """Names in order, those below one common prefix as that prefix; only what sorts behind `after`."""
    names = store.names.starting_with(prefix, after)
    while (name := next(names, None)) is not None:
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            yield name
            continue
        if not versions and not isinstance(store.get(name), FakeKey):
            continue  # a delete marker makes no common prefix
        common = _CommonPrefix(name[: cut + len(delimiter)])
        if after is None or common > after:
            yield common
        following = behind(common)
        if following is None:
            return
        names = store.names.starting_with(prefix, from_=following)


def _name(entry: Entry) -> str:
    return str(entry) if isinstance(entry, str) else entry.name


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _from_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except ValueError:
        raise incorrect_token() from None


def incorrect_token() -> AwsError:
    return AwsError("InvalidArgument", "The continuation token provided is incorrect")
