"""List operations: filters, order and pages, one rule for all kinds.

The page token is the position (sort value and ARN) after which the next page starts, so that resources created or
deleted in between neither repeat nor hide another.
"""

import base64
import json
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local_cloud.sagemaker.kinds import KINDS
from local_cloud.sagemaker.store import Document, public
from local_cloud.sagemaker.support import invalid

DEFAULT_PAGE = 10


@dataclass(frozen=True)
class Listing:
    """How one kind is listed: the response's key, the summary's fields and AWS's default order."""

    noun: str
    response_key: str
    fields: tuple[str, ...]
    sort_by: str = "CreationTime"
    sort_order: str = "Ascending"

    def answer(self, documents: list[Document], request: Document) -> Document:
        """One page of summaries."""
        status_field = KINDS[self.noun].status_field
        sort_by = request.get("SortBy", self.sort_by)
        keyed = [(self._position(d, sort_by), d) for d in documents if self._matches(d, request, status_field)]
        descending = request.get("SortOrder", self.sort_order) == "Descending"
        keyed.sort(key=lambda pair: pair[0], reverse=descending)
        if token := request.get("NextToken"):
            after = _read_token(token)
            keyed = [pair for pair in keyed if (pair[0] < after if descending else pair[0] > after)]
        size = request.get("MaxResults", DEFAULT_PAGE)
        page = keyed[:size]
        answer: Document = {self.response_key: [self.summary(document) for _, document in page]}
        if len(keyed) > size:
            answer["NextToken"] = _token(page[-1][0])
        return answer

    def summary(self, document: Document) -> Document:
        return {key: value for key, value in public(document).items() if key in self.fields}

    def _position(self, document: Document, sort_by: str) -> tuple[str, str]:
        kind = KINDS[self.noun]
        field = {"Name": kind.name_field, "Status": kind.status_field}.get(sort_by, sort_by)
        value = document.get(field or "CreationTime")
        if sort_by == "FinalObjectiveMetricValue":
            value = document.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value")
        return _sortable(value), document[kind.arn_field]

    def _matches(self, document: Document, request: Document, status_field: str | None) -> bool:
        name = str(document.get(KINDS[self.noun].name_field, ""))
        if request.get("NameContains", "").lower() not in name.lower():
            return False
        if "StatusEquals" in request and document.get(status_field or "") != request["StatusEquals"]:
            return False
        for field in ("CreationTime", "LastModifiedTime"):
            moment = document.get(field)
            if f"{field}After" in request and not (moment and moment > _moment(request[f"{field}After"])):
                return False
            if f"{field}Before" in request and not (moment and moment < _moment(request[f"{field}Before"])):
                return False
        return True


def _moment(value: Any) -> datetime:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _sortable(value: Any) -> str:
    """A text that sorts as the value does: numbers are shifted so that negative ones come first."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, int | float):
        ordinal = int.from_bytes(_ordered_bytes(float(value)), "big")
        return f"{ordinal:020d}"
    return "" if value is None else str(value)


def _ordered_bytes(value: float) -> bytes:
    bits = struct.unpack(">Q", struct.pack(">d", value))[0]
    return ((bits ^ 0xFFFFFFFFFFFFFFFF) if bits >> 63 else bits | 1 << 63).to_bytes(8, "big")


def _token(position: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _read_token(token: str) -> tuple[str, str]:
    try:
        value, arn = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, TypeError) as error:
        raise invalid("Invalid pagination token: pass the NextToken of the previous page unchanged.") from error
    return str(value), str(arn)
