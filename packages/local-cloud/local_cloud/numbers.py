"""Numbers that a client wrote: ASCII digits, and not more of them than any real number has.

int() takes more than AWS does ("1_000", " 7", "٣"), and fails on others in ways that only Python knows.
"""

from __future__ import annotations

import re

WHOLE = re.compile(r"[0-9]{1,18}")


def whole_number(text: str) -> int | None:
    """The number, 0 or more; None when this is not one."""
    return int(text) if WHOLE.fullmatch(text) else None
