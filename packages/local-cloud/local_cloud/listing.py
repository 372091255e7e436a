"""Pages of list operations: a token names where the next page begins, in a form that nobody makes up by hand."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from local_cloud.errors import AwsError


def page(
    name: str,
    items: list[Any],
    request: dict[str, Any],
    default: int,
    token: str = "nextToken",
    limit: str = "maxResults",
) -> dict[str, Any]:
    """One page of `items` under `name`, with a token when there is more."""
    start = start_of(request.get(token))
    end = start + (request.get(limit) or default)
    return {name: items[start:end], **({token: token_for(end)} if end < len(items) else {})}


def token_for(start: int) -> str:
    """The token of the page that begins at item `start`."""
    return base64.urlsafe_b64encode(f"{start}:{_seal(start)}".encode()).decode()


def start_of(token: str | None) -> int:
    """Where the page of a token begins; InvalidToken for one that this cloud did not make."""
    if not token:
        return 0
    try:
        number, _, seal = base64.urlsafe_b64decode(token).decode().partition(":")
        start = int(number)
    except ValueError:
        start, seal = 0, ""
    if seal != _seal(start):
        raise AwsError("InvalidToken", "Invalid Token: 'Invalid token'")
    return start


def _seal(start: int) -> str:
    return hashlib.sha256(f"local cloud page {start}".encode()).hexdigest()
