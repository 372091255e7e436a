"""CloudWatch Logs for the cloud's own parts: a job's lines appear under its log group as they are printed.

Groups and streams are made when first written to, as SageMaker does on AWS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from local_cloud.turns import turn

# PutLogEvents refuses a longer message: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
MAXIMUM_MESSAGE_BYTES = 1024 * 1024


class LogStream:
    """One log stream, ready to be written."""

    def __init__(self, logs: Logs, group: str, name: str):
        self._logs, self._group, self._name = logs, group, name

    def write(self, lines: Iterable[tuple[int, str]]) -> None:
        """Append (milliseconds since the epoch, line) pairs; they are on disk when this returns."""
        events = [
            {"timestamp": int(moment), "message": _fit(line)}
            for moment, line in lines
            if line  # CloudWatch Logs refuses empty messages
        ]
        if events:
            self._logs.append(self._group, self._name, events)


class Logs:
    """The log groups of this account and region."""

    def __init__(self, account_id: str, region: str, on_new_stream: Callable[[], None]):
        self._account_id = account_id
        self._region = region
        self._on_new_stream = on_new_stream
        # The service's own: a request must not meet a stream that is being made.
        self._lock = turn("logs")

    def has_group(self, name: str) -> bool:
        """Whether there is a log group of that name."""
        from moto.logs.models import logs_backends

        return name in logs_backends[self._account_id][self._region].groups

    def stream(self, group: str, stream: str) -> LogStream:
        """The stream of that name, made with its group when it is not there."""
        with self._lock:
            known = self._known(group, stream)
            if not known:
                self._backend.ensure_log_group(group)
                self._backend.ensure_log_stream(group, stream)
        if not known:
            self._on_new_stream()
        return LogStream(self, group, stream)

    def append(self, group: str, stream: str, events: list[dict[str, Any]]) -> None:
        """Append lines to a stream, looked up each time: moto's object changes when a full disk undoes something."""
        self.stream(group, stream)
        with self._lock:
            self._backend.groups[group].streams[stream].put_log_events(events)

    def _known(self, group: str, stream: str) -> bool:
        return group in self._backend.groups and stream in self._backend.groups[group].streams

    @property
    def _backend(self) -> Any:
        from moto.logs.models import logs_backends

        return logs_backends[self._account_id][self._region]


def _fit(line: str) -> str:
    encoded = line.encode("utf-8", "replace")
    if len(encoded) <= MAXIMUM_MESSAGE_BYTES:
        return encoded.decode()
    return encoded[:MAXIMUM_MESSAGE_BYTES].decode("utf-8", "ignore")
