"""Pages of list operations: a token names where the next page begins."""

from __future__ import annotations

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
    try:
        start = int(request.get(token) or 0)
    except ValueError:
        raise AwsError("InvalidToken", f"Invalid Token: '{request[token]}'") from None
    end = start + (request.get(limit) or default)
    return {name: items[start:end], **({token: str(end)} if end < len(items) else {})}
