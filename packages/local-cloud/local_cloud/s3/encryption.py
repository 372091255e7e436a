"""S3 encrypts every object, with AES256 unless told otherwise, and says so in each answer about one.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/default-encryption-faq.html
"""

from __future__ import annotations

from local_cloud.wire import Answer

HEADER = "x-amz-server-side-encryption"
ENCRYPTED = {
    "PutObject", "GetObject", "HeadObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy",
    "CompleteMultipartUpload",
}  # fmt: skip


def with_encryption(answer: Answer) -> Answer:
    """The answer, with S3's own encryption where the object has no other."""
    if 200 <= answer.status < 300 and not any(name.lower() == HEADER for name in answer.headers):
        answer.headers[HEADER] = "AES256"
    return answer
