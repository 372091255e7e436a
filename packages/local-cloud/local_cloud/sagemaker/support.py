"""Refuses, by name, the fields of a request that the local cloud would otherwise ignore in silence."""

from collections.abc import Iterable, Mapping
from typing import Any

from local_cloud.errors import AwsError


def invalid(message: str) -> AwsError:
    """AWS's code for a request that is well formed but wrong."""
    return AwsError("ValidationException", message)


def refuse_unsupported(
    where: str, block: Mapping[str, Any], supported: Iterable[str], reasons: Mapping[str, str] | None = None
) -> None:
    """Raises for the first field of `block` that is not in `supported`, with the reason if one is known."""
    for field, value in block.items():
        if field in supported or value in (None, False, [], {}):
            continue
        reason = (reasons or {}).get(field, "It has no local counterpart yet.")
        raise invalid(
            f"The local cloud does not support {field} in {where}. {reason} Leave {field} out; "
            f"supported here: {', '.join(sorted(supported))}."
        )
