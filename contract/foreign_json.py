"""JSON that somebody else wrote: whatever is wrong with it is a ValueError.

Python's own raises RecursionError for some thousand brackets, which nobody expects of a parser.
"""

import json
from typing import Any


def parse(text: str | bytes) -> Any:
    """The value; raise ValueError, of which JSONDecodeError and UnicodeDecodeError are kinds."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
