"""GetMetricData and GetMetricStatistics in the time that their data takes, not their range: moto looks at every period.

A year in periods of a second kept one core busy for ever, and the cloud did not stop any more. Metrics Insights (`SELECT`) is
refused: moto adds up every metric there is. https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

# "Each GetMetricData can retrieve as many as 100,800 data points"; "the maximum number of data points [...] is 1,440".
MOST_DATA = 100_800
MOST_STATISTICS = 1_440


def install() -> None:
    """Take the places of moto's methods."""
    from moto.cloudwatch.exceptions import InvalidParameterCombination
    from moto.cloudwatch.models import CloudWatchBackend

    plain = CloudWatchBackend.get_metric_statistics

    def get_metric_statistics(
        self: Any, namespace: str, metric_name: str, start_time: datetime, end_time: datetime, period: int, *args: Any, **options: Any
    ) -> Any:  # fmt: skip
        points = (end_time - start_time).total_seconds() / max(1, period)
        if points > MOST_STATISTICS:
            raise InvalidParameterCombination(
                f"You have requested up to {int(points):,} datapoints, which exceeds the limit of {MOST_STATISTICS:,}. You may "
                "reduce the datapoints requested by increasing Period, or decreasing the time range."
            )
        return plain(self, namespace, metric_name, start_time, end_time, period, *args, **options)

    CloudWatchBackend.get_metric_data = get_metric_data
    CloudWatchBackend.get_metric_statistics = get_metric_statistics


def get_metric_data(
    self: Any,
    queries: list[dict[str, Any]],
    start_time: datetime,
    end_time: datetime,
    scan_by: str = "TimestampAscending",
) -> list[dict[str, Any]]:
    """The answers to metric queries and to the expressions over them."""
    from moto.cloudwatch.exceptions import ValidationError
    from moto.cloudwatch.metric_data_expression_parser import parse_expression

    start, end = start_time.replace(microsecond=0), end_time.replace(microsecond=0)
    if start >= end:
        wrong = "must not equal parameter EndTime" if start == end else "must be less than the parameter EndTime"
        raise ValidationError(f"The parameter StartTime {wrong}.")
    data = [datum for datum in self.get_all_metrics() if start <= datum.timestamp < end]
    answers, returned = [], []
    for query in queries:
        if "MetricStat" in query:
            answer = _answer(query, data, start, scan_by == "TimestampDescending")
            answers.append(answer)
        elif query.get("Expression", "").lstrip().upper().startswith("SELECT"):
            raise ValidationError(
                "The local cloud does not support Metrics Insights queries (SELECT); name the metric in MetricStat."
            )
        else:
            continue
        if query.get("ReturnData", True) not in (False, "false"):
            returned.append(answer)
    for query in queries:
        if "MetricStat" not in query:
            values, timestamps = parse_expression(query["Expression"], answers)
            returned.append(_told(query, query.get("Label") or query["Id"], values, timestamps))
    if sum(len(answer["values"]) for answer in returned) > MOST_DATA:
        raise ValidationError(
            f"The request has more than {MOST_DATA:,} data points. Choose a longer Period or a shorter range: the local cloud "
            "gives them in one page."
        )
    return returned


def _answer(query: dict[str, Any], data: list[Any], start: datetime, newest_first: bool) -> dict[str, Any]:
    from moto.cloudwatch.models import Statistics

    asked = query["MetricStat"]
    metric, statistic, period = asked["Metric"], asked["Stat"], max(1, int(asked["Period"]))
    dimensions = {(one["Name"], one["Value"]) for one in metric.get("Dimensions", [])}
    found: dict[int, Any] = {}
    for datum in data:
        if (datum.namespace, datum.name) != (metric["Namespace"], metric["MetricName"]):
            continue
        if {(one.name, one.value) for one in datum.dimensions} != dimensions or asked.get("Unit") not in (
            None,
            datum.unit,
        ):
            continue
        number = int((datum.timestamp - start).total_seconds() // period)
        if number not in found:
            found[number] = Statistics([statistic], start + timedelta(seconds=number * period))
        found[number].metric_data.append(datum)
    ordered = [found[number] for number in sorted(found, reverse=newest_first)]
    values = [statistics.get_statistics_for_type(statistic) for statistics in ordered]
    label = query.get("Label") or f"{metric['MetricName']} {statistic}"
    return _told(query, label, values, [statistics.timestamp for statistics in ordered])


def _told(query: dict[str, Any], label: str, values: list[Any], timestamps: list[datetime]) -> dict[str, Any]:
    return {"id": query["Id"], "label": label, "values": values, "timestamps": timestamps, "status_code": "Complete"}
