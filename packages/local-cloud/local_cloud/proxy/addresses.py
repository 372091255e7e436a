"""Which hosts are AWS's, and the bucket that a host of S3 names."""

from __future__ import annotations

import re

AWS_HOST = re.compile(
    r"(?:[a-z0-9_-]+\.)*(?:amazonaws\.com(?:\.cn)?|api\.aws|api\.amazonwebservices\.com\.cn)", re.IGNORECASE
)
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
BUCKET_HOST = re.compile(
    r"(?P<bucket>.+)\.s3(?:[.-](?:dualstack\.|fips\.)?[a-z]{2}(?:-[a-z]+)+-\d)?\.(?:amazonaws\.com(?:\.cn)?)",
    re.IGNORECASE,
)


def is_aws(host: str) -> bool:
    """Whether AWS's services answer under this name."""
    return AWS_HOST.fullmatch(host.rstrip(".")) is not None


def bucket_of(host: str) -> str | None:
    """The bucket in a virtual-hosted address of S3 (`bucket.s3.us-east-1.amazonaws.com`), None in any other."""
    found = BUCKET_HOST.fullmatch(host.rpartition(":")[0] if re.search(r":\d+$", host) else host)
    return found["bucket"] if found else None
