"""How a transform job cuts an object into requests and puts the answers together again."""

import gzip
from collections.abc import Iterator

from local_cloud.errors import AwsError
from local_cloud.sagemaker.json_path import Records, join, select
from local_cloud.sagemaker.store import Document

MEGABYTE = 1024 * 1024


def decompress(data: bytes, compression: str) -> bytes:
    return gzip.decompress(data) if compression == "Gzip" else data


def batches(data: bytes, split: str, strategy: str, limit: int) -> Iterator[list[bytes]]:
    """The records of each request; `limit` is in bytes, 0 for none. Raises when one record is larger than that."""
    records = [line for line in data.split(b"\n") if line.strip()] if split == "Line" else [data]
    batch: list[bytes] = []
    size = 0
    for record in records:
        if limit and len(record) > limit:
            raise AwsError(
                "ClientError",
                f"A record of {len(record)} bytes is larger than MaxPayloadInMB allows ({limit} bytes). Raise "
                "MaxPayloadInMB, or split the object.",
            )
        if batch and (strategy == "SingleRecord" or split != "Line" or (limit and size + len(record) + 1 > limit)):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record) + 1
    if batch:
        yield batch


class Filters:
    """InputFilter, OutputFilter and JoinSource of one job."""

    def __init__(self, job: Document):
        processing = job["DataProcessing"]
        self._input, self._output = processing["InputFilter"], processing["OutputFilter"]
        self._join = processing["JoinSource"] == "Input"
        self._read = Records(job["TransformInput"].get("ContentType", "application/octet-stream"))
        self._answer = Records(job["TransformOutput"].get("Accept") or job["TransformInput"].get("ContentType", ""))
        self._lines = job["TransformInput"].get("SplitType") == "Line"

    @property
    def active(self) -> bool:
        return self._join or (self._input, self._output) != ("$", "$")

    def request(self, records: list[bytes]) -> bytes:
        """The body of a request."""
        if self._input != "$":
            records = [self._read.write(select(self._input, self._read.read(record))) for record in records]
        return b"\n".join(records)

    def result(self, records: list[bytes], answer: bytes) -> bytes:
        """What is written for a batch's answer."""
        if not self._join and self._output == "$":
            return answer
        parts = (
            [line for line in answer.split(b"\n") if line.strip()]
            if self._lines and len(records) > 1
            else [answer.strip()]
        )
        if len(parts) != len(records):
            raise AwsError(
                "ClientError",
                f"The model answered {len(parts)} records for {len(records)}; records cannot be "
                "filtered or joined. Use the BatchStrategy SingleRecord.",
            )
        written = []
        for record, part in zip(records, parts, strict=True):
            value = self._answer.read(part)
            if self._join:
                value = join(self._read.read(record), value)
            written.append(self._answer.write(select(self._output, value)))
        return b"\n".join(written)
