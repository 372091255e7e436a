"""One change or look at a time for each of moto's services: their dictionaries break when two requests meet in them."""

from __future__ import annotations

import threading
from functools import cache


@cache
def turn(signing_name: str) -> threading.RLock:
    """The lock of a service; whoever holds it may call other services, never the other way round."""
    return threading.RLock()
