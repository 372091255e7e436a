"""The XML of ListObjectsV2. moto builds it through a general serializer, which took four fifths of a listing's time.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, quote
from xml.sax.saxutils import escape

from moto.s3.models import FakeBucket

from local_cloud.errors import AwsError
from local_cloud.s3.listing import MOST_ENTRIES, incorrect_token, list_objects_v2
from local_cloud.wire import Answer, Request

# Whom moto names as the owner of everything.
OWNER = "75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a"
QUOTE = '"'
# Marks that XML would read as something else, or not at all.
ENTITIES = {'"': "&quot;", "\r": "&#13;"}


def answer(request: Request, backend: Any) -> Answer:
    """One page. The numbers of the query string have been checked (`entry.py`)."""
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    name = request.raw_path.strip("/")
    bucket = backend.buckets.get(name)
    if bucket is None:
        raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
    if query.get("continuation-token") == "":
        raise incorrect_token()
    limit = min(int(query.get("max-keys", MOST_ENTRIES)), MOST_ENTRIES)
    given = [query.get(word) or None for word in ("prefix", "delimiter", "continuation-token", "start-after")]
    entries, more, token = list_objects_v2(backend, bucket, *given, limit)
    body = "".join(_document(bucket, query, limit, entries, more, token))
    return Answer(200, {"Content-Type": "application/xml", "x-amz-bucket-region": bucket.region_name}, body.encode())


def _document(
    bucket: FakeBucket, query: dict[str, str], limit: int, entries: list[Any], more: bool, token: str | None
) -> Iterator[str]:
    text = _encoded if query.get("encoding-type") == "url" else _escaped
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    yield f"<Name>{bucket.name}</Name><Prefix>{text(query.get('prefix', ''))}</Prefix>"
    for word, tag, form in (
        ("delimiter", "Delimiter", text),
        ("start-after", "StartAfter", text),
        ("continuation-token", "ContinuationToken", _escaped),
        ("encoding-type", "EncodingType", _escaped),
    ):
        if query.get(word):
            yield f"<{tag}>{form(query[word])}</{tag}>"
    yield f"<KeyCount>{len(entries)}</KeyCount><MaxKeys>{limit}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>"
    if token:
        yield f"<NextContinuationToken>{token}</NextContinuationToken>"
    owner = f"<Owner><ID>{OWNER}</ID></Owner>" if query.get("fetch-owner") == "true" else ""
    for entry in entries:
        if isinstance(entry, str):
            yield f"<CommonPrefixes><Prefix>{text(str(entry))}</Prefix></CommonPrefixes>"
        else:
            yield _contents(entry, text, owner)
    yield "</ListBucketResult>"


def _contents(version: Any, text: Callable[[str], str], owner: str) -> str:
    checksum = version.checksum_algorithm
    return (
        f"<Contents><Key>{text(version.name)}</Key><LastModified>{version.last_modified_ISO8601}</LastModified>"
        f"<ETag>&quot;{version.etag.strip(QUOTE)}&quot;</ETag>"
        + (
            f"<ChecksumAlgorithm>{checksum}</ChecksumAlgorithm><ChecksumType>{version.checksum_type}</ChecksumType>"
            if checksum
            else ""
        )
        + f"<Size>{version.size}</Size>{owner}<StorageClass>{version.storage_class}</StorageClass></Contents>"
    )


def _escaped(text: str) -> str:
    return escape(text, ENTITIES)


def _encoded(text: str) -> str:
    return quote(text, safe="/")
