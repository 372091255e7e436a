"""A container's lines on their way to CloudWatch Logs, and the metrics that regular expressions find in them."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from local_cloud.access.actions import Needed
from local_cloud.sagemaker.store import Document
from local_cloud.sagemaker.support import invalid

if TYPE_CHECKING:
    from local_cloud.context import CloudContext
    from local_cloud.logs import LogStream

MetricSink = Callable[[str, float, float], None]


@dataclass(frozen=True)
class MetricPattern:
    """One entry of MetricDefinitions."""

    name: str
    regex: re.Pattern[str]


def metric_patterns(definitions: list[dict[str, str]]) -> list[MetricPattern]:
    """Compiled metric definitions; refuses what cannot be one."""
    patterns = []
    for definition in definitions:
        try:
            regex = re.compile(definition["Regex"])
        except re.error as error:
            raise invalid(
                f"The regular expression {definition['Regex']!r} of metric {definition['Name']!r} is not valid: "
                f"{error}."
            ) from error
        patterns.append(MetricPattern(definition["Name"], regex))
    return patterns


@dataclass
class JobLog:
    """One log stream of one container; lines are written as they come."""

    context: "CloudContext"
    group: str
    stream_name: str
    patterns: list[MetricPattern] = field(default_factory=list)
    on_metric: MetricSink = lambda name, value, moment: None
    _stream: "LogStream | None" = None

    def __post_init__(self) -> None:
        place = self.context.authority.place
        stream = place.arn("logs", f"log-group:{self.group}:log-stream:{self.stream_name}")
        needs = [Needed(f"logs:{action}", stream) for action in ("CreateLogStream", "PutLogEvents")]
        self.context.authority.note_here(needs)

    def write(self, lines: list[str]) -> None:
        moment = self.context.clock.now()
        if self._stream is None:
            self._stream = self.context.logs.stream(self.group, self.stream_name)
        self._stream.write([(int(moment * 1000), line) for line in lines])
        for line in lines:
            for pattern in self.patterns:
                for match in pattern.regex.finditer(line):
                    self._metric(pattern.name, match, moment)

    def _metric(self, name: str, match: re.Match[str], moment: float) -> None:
        try:
            value = float(match.group(1) if match.re.groups else match.group(0))
        except (TypeError, ValueError):
            return  # AWS skips matches that are no number, too
        self.on_metric(name, value, moment)


class FinalMetrics:
    """The last value of each metric, as DescribeTrainingJob reports them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, float]] = {}

    def note(self, name: str, value: float, moment: float) -> None:
        with self._lock:
            self._last[name] = (value, moment)

    def value(self, name: str) -> float | None:
        with self._lock:
            return self._last[name][0] if name in self._last else None

    def document(self) -> list[Document]:
        with self._lock:
            return [
                {"MetricName": name, "Value": value, "Timestamp": datetime.fromtimestamp(int(moment), UTC)}
                for name, (value, moment) in self._last.items()
            ]


def stream_name(job: str, now: float, host: str = "algo-1") -> str:
    """The name AWS gives a log stream."""
    return f"{job}/{host}-{int(now)}"
