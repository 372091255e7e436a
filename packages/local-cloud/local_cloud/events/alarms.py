"""Alarms that look at their metrics: state, history, actions, and the event of each change.

An alarm is evaluated when its metric gets a value, and each minute as on AWS, so that one whose data stops is noticed.
Metric math and composite alarms are not evaluated: their state stays what SetAlarmState says.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

from __future__ import annotations

import json
import logging
import math
import operator
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from local_cloud.clock import Clock
from local_cloud.events.bus import EventBus

logger = logging.getLogger("local_cloud.alarms")
EVERY_SECONDS = 60
COMPARISONS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "Average": lambda values: sum(values) / len(values), "Sum": sum, "Minimum": min, "Maximum": max,
    "SampleCount": lambda values: float(len(values)),
}  # fmt: skip


class Alarms:
    """Evaluates the alarms of this account and region."""

    def __init__(
        self,
        account_id: str,
        region: str,
        clients: Callable[[str], Any],
        bus: EventBus,
        clock: Clock,
        save: Callable[[], None],
    ):
        """`save` writes moto's state."""
        self._account_id, self._region, self._clients = account_id, region, clients
        self._bus, self._clock, self._save = bus, clock, save
        self._changed, self._stopping = threading.Event(), False
        self._thread = threading.Thread(target=self._watch, name="alarms", daemon=True)
        _install(self)

    def start(self) -> None:
        """Watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopping = True
        self._changed.set()

    def metrics_changed(self) -> None:
        """A metric has a new value."""
        self._changed.set()

    def evaluate(self) -> None:
        """Look at every alarm once."""
        for alarm in list(self._backend.alarms.values()):
            if alarm.metric_name and alarm.comparison_operator in COMPARISONS and not alarm.rule:
                state, reason, data = self._state_of(alarm)
                if state and state != alarm.state_value:
                    alarm.update_state(reason, json.dumps(data), state)
                    self._save()

    def changed(self, alarm: Any, before: str) -> None:
        """The state of an alarm is another one than before: its actions, and its event."""
        state = {"value": alarm.state_value, "reason": alarm.state_reason, "timestamp": _moment(self._clock.now())}
        detail = {"alarmName": alarm.name, "state": state, "previousState": {"value": before}}
        self._bus.emit("aws.cloudwatch", "CloudWatch Alarm State Change", detail, [alarm.alarm_arn])
        if alarm.actions_enabled not in (False, "false"):
            for action in self._actions(alarm):
                self._act(alarm, action, before)

    @staticmethod
    def _actions(alarm: Any) -> list[str]:
        return {
            "OK": alarm.ok_actions, "ALARM": alarm.alarm_actions, "INSUFFICIENT_DATA": alarm.insufficient_data_actions
        }[alarm.state_value] or []  # fmt: skip

    def _act(self, alarm: Any, action: str, before: str) -> None:
        if action.split(":")[2:3] != ["sns"]:
            logger.warning(
                "The alarm %s has the action %s; the local cloud notifies SNS topics only", alarm.name, action
            )
            return
        subject = f'{alarm.state_value}: "{alarm.name}" in {self._region}'[:100]
        try:
            self._clients("sns").publish(
                TopicArn=action, Subject=subject, Message=json.dumps(self._told(alarm, before))
            )
        except ClientError as fault:
            logger.warning("The action %s of the alarm %s failed: %s", action, alarm.name, fault)

    def _told(self, alarm: Any, before: str) -> dict[str, Any]:
        dimensions = [{"name": one.name, "value": one.value} for one in alarm.dimensions or []]
        return {
            "AlarmName": alarm.name, "AlarmDescription": alarm.description, "AWSAccountId": self._account_id,
            "NewStateValue": alarm.state_value, "NewStateReason": alarm.state_reason,
            "StateChangeTime": _moment(self._clock.now()), "Region": self._region, "AlarmArn": alarm.alarm_arn,
            "OldStateValue": before, "OKActions": alarm.ok_actions or [], "AlarmActions": alarm.alarm_actions or [],
            "InsufficientDataActions": alarm.insufficient_data_actions or [],
            "Trigger": {
                "MetricName": alarm.metric_name, "Namespace": alarm.namespace, "StatisticType": "Statistic",
                "Statistic": (alarm.statistic or alarm.extended_statistic or "").upper(), "Unit": alarm.unit, "Dimensions": dimensions,
                "Period": int(alarm.period), "EvaluationPeriods": int(alarm.evaluation_periods),
                "ComparisonOperator": alarm.comparison_operator, "Threshold": float(alarm.threshold),
                "TreatMissingData": alarm.treat_missing_data or "missing",
            },
        }  # fmt: skip

    def _state_of(self, alarm: Any) -> tuple[str | None, str, dict[str, Any]]:
        """The state that the data asks for (None: the one that it has), the reason, and the data."""
        periods, period = int(alarm.evaluation_periods), int(alarm.period)
        points = self._points(alarm, periods, period)
        wanted = int(alarm.datapoints_to_alarm or periods)
        compare, words = COMPARISONS[alarm.comparison_operator]
        threshold = float(alarm.threshold)
        there = [point for point in points if point is not None]
        missing = len(points) - len(there)
        breaching = sum(compare(point, threshold) for point in there)
        treatment = alarm.treat_missing_data or "missing"
        data = {"version": "1.0", "period": period, "recentDatapoints": there, "threshold": threshold}
        shown = ", ".join(f"{point:g}" for point in there)
        if breaching + (missing if treatment == "breaching" else 0) >= wanted:
            return (
                "ALARM",
                f"Threshold Crossed: {breaching} of {len(points)} datapoints [{shown}] {words} the threshold ({threshold:g}).",
                data,
            )
        if not there and treatment in ("missing", "ignore"):
            return (
                (None if treatment == "ignore" else "INSUFFICIENT_DATA"),
                "Insufficient Data: no datapoints were received.",
                data,
            )
        if missing and treatment == "ignore" and breaching:
            return None, "", data
        return (
            "OK",
            f"Threshold Crossed: {breaching} of {len(points)} datapoints [{shown}] {words} the threshold ({threshold:g}).",
            data,
        )

    def _points(self, alarm: Any, periods: int, period: int) -> list[float | None]:
        """The statistic of each period, newest last; the one that has just begun counts once it has data."""
        now = self._clock.now()
        end = (math.floor(now / period) + 1) * period
        buckets: dict[int, list[float]] = {}
        named = {(one.name, one.value) for one in alarm.dimensions or []}
        for datum in list(self._backend.metric_data):
            moment = datum.timestamp.replace(tzinfo=UTC).timestamp()
            age = math.floor((end - moment - 1e-9) / period)
            if (
                0 <= age <= periods
                and (datum.namespace, datum.name) == (alarm.namespace, alarm.metric_name)
                and {(one.name, one.value) for one in datum.dimensions} == named
                and alarm.unit in (None, datum.unit)
            ):
                buckets.setdefault(age, []).extend(_values(datum, alarm.statistic))
        newest = 0 if 0 in buckets else 1
        found = [buckets.get(age) for age in range(newest + periods - 1, newest - 1, -1)]
        return [None if values is None else _statistic(alarm, values) for values in found]

    def _watch(self) -> None:
        while not self._stopping:
            try:
                self.evaluate()
            except Exception:
                logger.exception("The alarms could not be evaluated")
            self._clock.wait(self._changed, EVERY_SECONDS if self._backend.alarms else None)
            self._changed.clear()

    @property
    def _backend(self) -> Any:
        from moto.cloudwatch.models import cloudwatch_backends

        return cloudwatch_backends[self._account_id][self._region]


def _values(datum: Any, statistic: str | None) -> list[float]:
    if hasattr(datum, "value"):
        return [float(datum.value)]
    # A statistic set: as many values as it was made of, with its own extremes.
    count = int(datum.sample_count)
    if statistic in ("Minimum", "Maximum"):
        return [float(datum.min), float(datum.max)]
    return [float(datum.sum) / count] * count if count else []


def _statistic(alarm: Any, values: list[float]) -> float | None:
    if not values:
        return None
    if alarm.extended_statistic:
        rank = math.ceil(float(alarm.extended_statistic.removeprefix("p")) / 100 * len(values))
        return sorted(values)[max(0, rank - 1)]
    return STATISTICS[alarm.statistic](values)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


# moto's own methods, before the first of these took their places.
PLAIN: dict[str, Callable[..., Any]] = {}


def _install(alarms: Alarms) -> None:
    from moto.cloudwatch.models import Alarm, CloudWatchBackend

    plain_init = PLAIN.setdefault("__init__", Alarm.__init__)
    plain_update = PLAIN.setdefault("update_state", Alarm.update_state)
    for name in ("put_metric_alarm", "put_metric_data"):
        PLAIN.setdefault(name, getattr(CloudWatchBackend, name))

    def begin(self: Any, *args: Any, **options: Any) -> None:
        plain_init(self, *args, **options)
        # A new alarm knows nothing yet; moto calls that OK.
        self.state_value, self.state_reason = "INSUFFICIENT_DATA", "Unchecked: Initial alarm creation"
        self.state_transitioned_timestamp = self.state_updated_timestamp

    def update_state(self: Any, reason: str, reason_data: str, state_value: str) -> None:
        before = self.state_value
        plain_update(self, reason, reason_data, state_value)
        if before != state_value:
            self.state_transitioned_timestamp = self.state_updated_timestamp
            alarms.changed(self, before)

    def put_metric_alarm(self: Any, *args: Any, **options: Any) -> Any:
        name = options.get("name") or args[0]
        known = self.alarms.get(name)
        made = PLAIN["put_metric_alarm"](self, *args, **options)
        if known is not None:  # "the alarm's state is left unchanged"
            for field in ("state_value", "state_reason", "state_reason_data", "state_updated_timestamp", "history"):
                setattr(made, field, getattr(known, field))
        alarms.metrics_changed()
        return made

    def put_metric_data(self: Any, *args: Any, **options: Any) -> Any:
        try:
            return PLAIN["put_metric_data"](self, *args, **options)
        finally:
            alarms.metrics_changed()

    Alarm.__init__, Alarm.update_state = begin, update_state
    CloudWatchBackend.put_metric_alarm, CloudWatchBackend.put_metric_data = put_metric_alarm, put_metric_data
