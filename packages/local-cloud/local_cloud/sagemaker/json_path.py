"""The JSONPath of transform jobs' DataProcessing filters, on JSON and CSV records.

AWS supports a subset: dot names, quoted names, indexes, slices. https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform-data-processing.html
"""

import csv
import functools
import io
import json
from typing import Any

from jsonpath_ng import JSONPath
from jsonpath_ng import parse as parse_path

from local_cloud.sagemaker.support import invalid


@functools.cache
def _parsed(path: str) -> JSONPath:
    return parse_path(path)


def check_path(path: str, field: str) -> None:
    """Refuses what is no JSONPath."""
    try:
        _parsed(path)
    except Exception as error:
        raise invalid(f"DataProcessing.{field} {path!r} is not a JSONPath that SageMaker knows: {error}") from error


def select(path: str, value: Any) -> Any:
    """What the path selects; several matches become a list."""
    if path == "$":
        return value
    found = [match.value for match in _parsed(path).find(value)]
    return found if len(found) != 1 or any(sign in path for sign in ":*,") else found[0]


class Records:
    """Reads and writes the records of one content type."""

    def __init__(self, content_type: str):
        self.csv = "csv" in content_type
        self.supported = self.csv or "json" in content_type

    def read(self, text: bytes) -> Any:
        if self.csv:
            return next(csv.reader(io.StringIO(text.decode())), [])
        return json.loads(text)

    def write(self, value: Any) -> bytes:
        if not self.csv:
            return json.dumps(value).encode()
        out = io.StringIO()
        csv.writer(out, lineterminator="").writerow(value if isinstance(value, list) else [value])
        return out.getvalue().encode()


def join(source: Any, prediction: Any) -> Any:
    """A record with its prediction, as JoinSource=Input writes it."""
    if isinstance(source, dict):
        return {**source, "SageMakerOutput": prediction}
    if isinstance(source, list):
        return source + (prediction if isinstance(prediction, list) else [prediction])
    return {"SageMakerInput": source, "SageMakerOutput": prediction}
