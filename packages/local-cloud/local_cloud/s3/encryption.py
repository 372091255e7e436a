"""S3 encrypts every object, with AES256 unless told otherwise, and says so in each answer about one.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/default-encryption-faq.html

Refuses keys that come with the request (SSE-C): moto would take them and give the object to whoever has none.
"""

from __future__ import annotations

from local_cloud.errors import AwsError
from local_cloud.wire import Answer, Request

HEADER = "x-amz-server-side-encryption"
ENCRYPTED = {
    "PutObject", "GetObject", "HeadObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy",
    "CompleteMultipartUpload",
}  # fmt: skip


CUSTOMER_KEY = ("x-amz-server-side-encryption-customer-", "x-amz-copy-source-server-side-encryption-customer-")


def refuse_customer_keys(request: Request) -> None:
    """Raise for a request that brings its own key."""
    if any(name.startswith(CUSTOMER_KEY) for name in request.headers()):
        raise AwsError(
            "NotImplemented",
            "The local cloud does not support encryption with a key of the request (SSE-C); use AES256 or a key of KMS.",
            501,
        )


def with_encryption(answer: Answer) -> Answer:
    """The answer, with S3's own encryption where the object has no other."""
    if 200 <= answer.status < 300 and not any(name.lower() == HEADER for name in answer.headers):
        answer.headers[HEADER] = "AES256"
    return answer
