"""The event bus of this cloud: moto keeps rules and targets, this fires them.

What a client puts is delivered before PutEvents answers. What the cloud's own services tell (a job that ended, an alarm) and
what a schedule brings is delivered by one thread, in order.
"""

from __future__ import annotations

import copy
import json
import logging
import queue
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from local_cloud.clock import Clock
from local_cloud.errors import AwsError
from local_cloud.events import pattern, schedule
from local_cloud.events.delivery import Delivery

logger = logging.getLogger("local_cloud.events")
DEFAULT_BUS = "default"
# How long a stop waits for what is being delivered.
STOP_SECONDS = 5
CHANGES = ("put_rule", "put_targets", "enable_rule", "disable_rule", "delete_rule")
# moto's own methods, before the first bus took their places.
PLAIN: dict[str, Callable[..., Any]] = {}
SCHEDULED = ("aws.events", "Scheduled Event")


class EventBus:
    """Rules that fire."""

    def __init__(self, account_id: str, region: str, clients: Callable[[str], Any], clock: Clock):
        self._account_id, self._region, self._clock = account_id, region, clock
        self._delivery = Delivery(clients, clock)
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)
        self._scheduler = threading.Thread(target=self._keep_time, name="schedules", daemon=True)
        self._changed, self._stopping = threading.Event(), False
        # When each scheduled rule is due next, by its ARN and expression.
        self._due: dict[tuple[str, str], float] = {}
        _install(self)

    def start(self) -> None:
        """Deliver and keep time."""
        self._thread.start()
        self._scheduler.start()

    def stop(self) -> None:
        """Deliver what waits, then end."""
        self._stopping = True
        self._waiting.put(None)
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def emit(self, source: str, detail_type: str, detail: dict[str, Any], resources: list[str]) -> None:
        """An event of one of this cloud's services; returns at once."""
        if self._stopping or not any(_is_on(rule) and rule.targets for rule in self._rules()):
            return
        event = self._event(source, detail_type, detail, resources)
        self._waiting.put(lambda: self._offer(event))

    def fire(self, rule: Any, event: dict[str, Any]) -> None:
        """Deliver an event to the targets of a rule."""
        for target in list(rule.targets):
            self._delivery.send(rule.arn, target, event)

    def received(self, rule: Any, message: dict[str, Any]) -> None:
        """What a client put, as moto hands it to each rule."""
        if not _is_on(rule):
            return
        event = {name: value for name, value in message.items() if name != "ingestion-time"}
        event = {"version": "0", **event, "time": _moment(event["time"])}
        if pattern.matches(rule.event_pattern.get_pattern(), event):
            self.fire(rule, event)

    def add_way(self, service: str, way: Callable[[str, str, str], None]) -> None:
        """Deliver to targets of a service: `way` gets the rule's ARN, the target's and the text."""
        self._delivery.add_way(service, way)

    def check_targets(self, targets: list[dict[str, Any]]) -> None:
        """Raise for a target that nothing here can deliver to."""
        for target in targets:
            self._delivery.check(target)

    def rules_changed(self) -> None:
        """A schedule may be due earlier than was known."""
        self._changed.set()

    def tick(self) -> float | None:
        """Fire the schedules that are due; seconds until the next one, None when there is none."""
        now, due = self._clock.now(), {}
        for rule in self._rules():
            if rule.state != "ENABLED" or not rule.scheduled_expression:
                continue
            plan, key = schedule.parsed(rule.scheduled_expression), (rule.arn, rule.scheduled_expression)
            moment = self._due.get(key) or plan.after(now)
            if moment is not None and moment <= now:
                event = self._event(*SCHEDULED, {}, [rule.arn], moment)
                self._waiting.put(lambda rule=rule, event=event: self.fire(rule, event))
                moment = plan.after(now)
            if moment is not None:
                due[key] = moment
        self._due = due
        return max(0.0, min(due.values()) - now) if due else None

    def _keep_time(self) -> None:
        while not self._stopping:
            try:
                seconds = self.tick()
            except Exception:
                logger.exception("The schedules could not be looked at")
                seconds = 60
            self._clock.wait(self._changed, seconds)
            self._changed.clear()

    def deliver(self) -> None:
        """Deliver what waits now."""
        while not self._waiting.empty():
            self._deliver(self._waiting.get())

    def _work(self) -> None:
        while (step := self._waiting.get()) is not None:
            self._deliver(step)

    @staticmethod
    def _deliver(step: Callable[[], None] | None) -> None:
        try:
            if step is not None:
                step()
        except Exception:
            logger.exception("An event could not be delivered")

    def _offer(self, event: dict[str, Any]) -> None:
        for rule in self._rules():
            if _is_on(rule) and pattern.matches(rule.event_pattern.get_pattern(), event):
                self.fire(rule, event)

    def _rules(self) -> list[Any]:
        from moto.events.models import events_backends

        bus = events_backends[self._account_id][self._region].event_buses.get(DEFAULT_BUS)
        return list(bus.rules.values()) if bus else []

    def _event(
        self, source: str, detail_type: str, detail: dict[str, Any], resources: list[str], moment: float | None = None
    ) -> dict[str, Any]:
        return {
            "version": "0", "id": str(uuid.uuid4()), "detail-type": detail_type, "source": source,
            "account": self._account_id, "time": _moment(moment or self._clock.now()), "region": self._region,
            "resources": resources, "detail": json.loads(json.dumps(detail, default=_written)),
        }  # fmt: skip


def _is_on(rule: Any) -> bool:
    """Whether a rule listens to events; one with a schedule only does not, which moto takes for "to all of them"."""
    return rule.state != "DISABLED" and bool(rule.event_pattern.get_pattern())


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _written(value: Any) -> Any:
    """A time in an event: milliseconds since the epoch, as AWS's own events have it."""
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    raise TypeError(f"{type(value).__name__} is not part of an event")


def _install(bus: EventBus) -> None:
    from moto.events.exceptions import InvalidEventPatternException, ValidationException
    from moto.events.models import EventPatternParser, EventsBackend, Rule
    from moto.events.responses import EventsHandler

    for name in CHANGES:
        PLAIN.setdefault(name, getattr(EventsBackend, name))
    plain_send = PLAIN.setdefault("send_to_targets", Rule.send_to_targets)

    def send_to_targets(self: Any, original_event: dict[str, Any], transform_input: bool = True) -> None:
        archives = [
            target
            for target in self.targets
            if target["Arn"].split(":")[2:3] == ["events"] and target["Arn"].endswith(":::")
        ]
        if archives:  # moto keeps archives through a rule of its own
            kept = copy.copy(self)
            kept.targets = archives
            plain_send(kept, original_event, transform_input)
        else:
            bus.received(self, original_event)

    def parse(self: Any) -> dict[str, Any]:
        return _refused(InvalidEventPatternException, pattern.parsed, self.pattern) if self.pattern else {}

    def put_rule(self: Any, *args: Any, **options: Any) -> Any:
        if expression := options.get("scheduled_expression"):
            _refused(ValidationException, schedule.parsed, expression)
        try:
            return PLAIN["put_rule"](self, *args, **options)
        finally:
            bus.rules_changed()

    def put_targets(self: Any, name: str, event_bus_arn: str | None, targets: list[dict[str, Any]]) -> None:
        archive = all(target["Arn"].endswith(":::") for target in targets)
        if not archive:
            _refused(ValidationException, bus.check_targets, targets)
        PLAIN["put_targets"](self, name, event_bus_arn, targets)
        bus.rules_changed()

    def told(name: str) -> Callable[..., Any]:
        def change(self: Any, *args: Any, **options: Any) -> Any:
            try:
                return PLAIN[name](self, *args, **options)
            finally:
                bus.rules_changed()

        return change

    def test_event_pattern(self: Any) -> str:
        asked = _refused(InvalidEventPatternException, pattern.parsed, self._get_param("EventPattern"))
        return json.dumps({"Result": pattern.matches(asked, _tested(self._get_param("Event"), ValidationException))})

    Rule.send_to_targets = send_to_targets
    EventPatternParser.parse = parse
    EventsBackend.put_rule, EventsBackend.put_targets = put_rule, put_targets
    for name in CHANGES[2:]:
        setattr(EventsBackend, name, told(name))
    EventsHandler.test_event_pattern = test_event_pattern


# The page of TestEventPattern has `resources`, too; AWS's recorded answers are there for events without.
MANDATORY = ("id", "account", "source", "time", "region", "detail-type")


def _tested(text: str, refusal: type[Exception]) -> dict[str, Any]:
    """The event of TestEventPattern, which must be whole."""
    try:
        event = json.loads(text)
    except ValueError:
        event = None
    if not isinstance(event, dict) or not all(name in event for name in MANDATORY):
        raise refusal("Parameter Event is not valid.")
    return event


def _refused(refusal: type[Exception], call: Callable[[Any], Any], argument: Any) -> Any:
    """The result, or this refusal in moto's own class, which its HTTP layer knows."""
    try:
        return call(argument)
    except AwsError as error:
        if refusal.__name__ == "InvalidEventPatternException":
            raise refusal(reason=error.message.partition("Reason: ")[2]) from None
        raise refusal(error.message) from None
