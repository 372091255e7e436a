"""S3 says of each checksum whether it is of the whole object or of its parts' checksums; moto mostly does not.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

import re

from local_cloud.wire import Answer, Request

HEADER = "x-amz-checksum-type"
WHOLE, PARTS = "FULL_OBJECT", "COMPOSITE"
# A checksum of checksums ends with the number of parts.
OF_PARTS = re.compile(r"-\d+$")
IN_A_COPY = re.compile(
    rb"(<Checksum(?:CRC32|SHA1|SHA256)>([^<]*)</Checksum[A-Z0-9]+>)(?=.*</CopyObjectResult>)", re.DOTALL
)


def with_type(request: Request, operation: str, answer: Answer) -> Answer:
    """The answer, with the type of the checksum that it names."""
    names = {name.lower(): value for name, value in answer.headers.items()}
    if not 200 <= answer.status < 300 or HEADER in names:
        return answer
    if operation == "CreateMultipartUpload":
        if request.header("x-amz-checksum-algorithm"):
            answer.headers[HEADER] = request.header(HEADER) or PARTS
        return answer
    if operation == "UploadPart":
        return answer  # a part's checksum has none
    for name, value in names.items():
        if name.startswith("x-amz-checksum-") and name != "x-amz-checksum-algorithm":
            answer.headers[HEADER] = _type_of(str(value))
            return answer
    if operation == "CopyObject" and isinstance(answer.body, bytes) and b"ChecksumType" not in answer.body:
        answer.body = IN_A_COPY.sub(_said, answer.body)
        answer.headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
    return answer


def _said(found: re.Match[bytes]) -> bytes:
    return found.group(1) + f"<ChecksumType>{_type_of(found.group(2).decode())}</ChecksumType>".encode()


def _type_of(checksum: str) -> str:
    return PARTS if OF_PARTS.search(checksum) else WHOLE
