"""CloudWatch Logs for the cloud's own parts: a job's lines appear under its log group as they are printed.

Groups and streams are made when first written to, as SageMaker does on AWS.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

# PutLogEvents refuses a longer message: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
MAXIMUM_MESSAGE_BYTES = 1024 * 1024


class LogStream:
    """One log stream, ready to be written."""

    def __init__(self, stream: Any, lock: threading.Lock):
        self._stream = stream
        self._lock = lock

    def write(self, lines: Iterable[tuple[int, str]]) -> None:
        """Append (milliseconds since the epoch, line) pairs; they are on disk when this returns."""
        events = [
            {"timestamp": int(moment), "message": _fit(line)}
            for moment, line in lines
            if line  # CloudWatch Logs refuses empty messages
        ]
        if events:
            with self._lock:
                self._stream.put_log_events(events)


class Logs:
    """The log groups of this account and region."""

    def __init__(self, account_id: str, region: str, on_new_stream: Callable[[], None]):
        self._account_id = account_id
        self._region = region
        self._on_new_stream = on_new_stream
        self._lock = threading.Lock()

    def has_group(self, name: str) -> bool:
        """Whether there is a log group of that name."""
        from moto.logs.models import logs_backends

        return name in logs_backends[self._account_id][self._region].groups

    def stream(self, group: str, stream: str) -> LogStream:
        """The stream of that name, made with its group when it is not there."""
        from moto.logs.models import logs_backends

        backend = logs_backends[self._account_id][self._region]
        with self._lock:
            known = group in backend.groups and stream in backend.groups[group].streams
            if not known:
                backend.ensure_log_group(group)
                backend.ensure_log_stream(group, stream)
            found = LogStream(backend.groups[group].streams[stream], self._lock)
        if not known:
            self._on_new_stream()
        return found


def _fit(line: str) -> str:
    encoded = line.encode("utf-8", "replace")
    if len(encoded) <= MAXIMUM_MESSAGE_BYTES:
        return encoded.decode()
    return encoded[:MAXIMUM_MESSAGE_BYTES].decode("utf-8", "ignore")
