"""`rate(5 minutes)` and `cron(0 12 ? * MON-FRI *)`: when a rule is due next, in UTC.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from local_cloud.errors import AwsError

RATE = re.compile(r"rate\((\d+) (minute|minutes|hour|hours|day|days)\)")
CRON = re.compile(r"cron\((.+)\)")
SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
DAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2199))
NAMES: tuple[dict[str, int], ...] = ({}, {}, {}, MONTHS, DAYS, {})
LAST_YEAR = 2199


@dataclass(frozen=True)
class Schedule:
    """A schedule expression that was understood."""

    seconds: int = 0
    fields: tuple[str, ...] = ()

    def after(self, moment: float) -> float | None:
        """The first time after `moment` (seconds since the epoch) that this is due; None when there is none."""
        if self.seconds:
            return moment + self.seconds
        start = datetime.fromtimestamp(moment, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        minutes, hours = _values(0, self.fields[0]), _values(1, self.fields[1])
        day = start.date()
        while day.year <= LAST_YEAR:
            if day.year not in _values(5, self.fields[5]):
                day = date(day.year + 1, 1, 1)
                continue
            if day.month not in _values(3, self.fields[3]):
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
                continue
            if self._on(day):
                for hour in sorted(hours):
                    for minute in sorted(minutes):
                        found = datetime.combine(day, time(hour, minute), UTC)
                        if found >= start:
                            return found.timestamp()
            day += timedelta(days=1)
        return None

    def _on(self, day: date) -> bool:
        in_month, in_week = self.fields[2], self.fields[4]
        return _on_day_of_week(day, in_week) if in_month == "?" else _on_day_of_month(day, in_month)


def parsed(expression: str) -> Schedule:
    """A schedule; raises what PutRule raises."""
    try:
        if found := RATE.fullmatch(expression):
            count, unit = int(found[1]), found[2]
            if count < 1 or (count == 1) is unit.endswith("s"):
                raise ValueError(expression)
            return Schedule(seconds=count * SECONDS[unit.rstrip("s")])
        if found := CRON.fullmatch(expression):
            fields = tuple(found[1].upper().split())
            _check(fields)
            return Schedule(fields=fields)
        raise ValueError(expression)
    except ValueError:
        raise AwsError("ValidationException", "Parameter ScheduleExpression is not valid.") from None


def _check(fields: tuple[str, ...]) -> None:
    # One of the two days must be "?", and only one of them.
    if len(fields) != 6 or (fields[2] == "?") is (fields[4] == "?"):
        raise ValueError(fields)
    for position in (0, 1, 3, 5):
        _values(position, fields[position])
    if fields[2] != "?":
        _on_day_of_month(date(2024, 1, 1), fields[2])
    else:
        _on_day_of_week(date(2024, 1, 1), fields[4])


def _values(position: int, text: str) -> set[int]:
    """The values of a field: `*`, `5`, `1-5`, `1,3`, `0/15`, names of months and days."""
    least, most = RANGES[position]
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if span == "*":
            first, last = least, most
        else:
            low, dash, high = span.partition("-")
            first = _number(position, low)
            last = _number(position, high) if dash else most if slash else first
        if slash and (not step.isdecimal() or int(step) < 1):
            raise ValueError(text)
        values = range(first, last + 1, int(step) if slash else 1)
        if not values:
            raise ValueError(text)
        found |= set(values)
    return found


def _number(position: int, text: str) -> int:
    value = NAMES[position].get(text) or int(text)
    least, most = RANGES[position]
    if not least <= value <= most:
        raise ValueError(text)
    return value


def _on_day_of_month(day: date, text: str) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if text == "L":
        return day.day == last
    if text.endswith("W"):
        return day == _nearest_weekday(day.replace(day=min(last, last if text == "LW" else _number(2, text[:-1]))))
    return day.day in _values(2, text)


def _nearest_weekday(day: date) -> date:
    """The weekday nearest to a day, within its month."""
    for step in (0, -1, 1, -2, 2):
        found = day + timedelta(days=step)
        if found.month == day.month and found.weekday() < 5:
            return found
    raise AssertionError("unreachable")


def _on_day_of_week(day: date, text: str) -> bool:
    number = day.isoweekday() % 7 + 1
    if text == "L":
        return number == 7
    if text.endswith("L"):
        return number == _number(4, text[:-1]) and day.day > calendar.monthrange(day.year, day.month)[1] - 7
    if "#" in text:
        wanted, _, which = text.partition("#")
        if which not in "12345" or not which:
            raise ValueError(text)
        return number == _number(4, wanted) and (day.day - 1) // 7 + 1 == int(which)
    return number in _values(4, text)
