"""JSON that a client wrote, read as strictly as AWS does: no NaN, no half surrogates, and no nesting that ends Python."""

from __future__ import annotations

import json
from typing import Any


def parse(text: str | bytes) -> Any:
    """The value. Raises ValueError with a sentence for the client."""
    try:
        value = json.loads(text, parse_constant=_refuse)
        if b"\\u" in text if isinstance(text, bytes) else "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeError:
        raise ValueError("it holds half a surrogate pair, or is not UTF-8") from None
    except json.JSONDecodeError:
        raise
    except ValueError:
        raise ValueError("it holds a number of more digits than any reader takes, or NaN or Infinity") from None
    return value


def _refuse(name: str) -> None:
    raise ValueError(name)
