"""What moto's services do under several clients at once, and with requests that would keep them busy for ever."""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from botocore.exceptions import ClientError

from local_cloud.testing import RunningCloud

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


def test_clients_that_change_a_service_at_once_do_not_trip_over_each_other(cloud):
    def one(number: int) -> None:
        iam, logs = cloud.client("iam"), cloud.client("logs")
        for turn in range(12):
            name = f"race-{number}-{turn}"
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
            iam.attach_role_policy(RoleName=name, PolicyArn=READ_ONLY)
            iam.list_roles()
            logs.create_log_group(logGroupName=name)
            logs.describe_log_groups()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, range(6)))
    roles = [
        role["RoleName"]
        for page in cloud.client("iam").get_paginator("list_roles").paginate()
        for role in page["Roles"]
    ]
    assert len([name for name in roles if name.startswith("race-")]) == 72


def test_a_cloud_that_has_just_started_takes_less_than_150_megabytes(tmp_path):
    alone = RunningCloud(
        tmp_path / "cloud", region="eu-west-1"
    )  # a process from its first line on, not forked from another
    alone.start()
    try:
        assert isinstance(alone.process, subprocess.Popen)
        assert psutil.Process(alone.process.pid).memory_info().rss < 150_000_000
    finally:
        alone.stop()


def query(name: str, period: int = 1, **metric) -> dict:
    asked = {"Namespace": "manners", "MetricName": name, **metric}
    return {"Id": "q", "MetricStat": {"Metric": asked, "Period": period, "Stat": "Sum"}}


def test_metric_data_of_ten_years_in_seconds_takes_the_time_of_its_values(cloud):
    watch, now = cloud.client("cloudwatch"), datetime.now(UTC).replace(microsecond=0)
    moments = [now - timedelta(days=days) for days in (13, 5, 1)]
    data = [{"MetricName": "m", "Value": n + 1, "Timestamp": moment} for n, moment in enumerate(moments)]
    other = {"MetricName": "m", "Value": 50, "Timestamp": now, "Dimensions": [{"Name": "d", "Value": "v"}]}
    watch.put_metric_data(Namespace="manners", MetricData=[*data, other])
    watch.put_metric_data(Namespace="elsewhere", MetricData=[other])
    began = time.monotonic()
    span = {"StartTime": now - timedelta(days=3650), "EndTime": now + timedelta(seconds=1)}
    answer = watch.get_metric_data(MetricDataQueries=[query("m")], **span)["MetricDataResults"][0]
    assert time.monotonic() - began < 60
    assert (answer["Values"], [moment.astimezone(UTC) for moment in answer["Timestamps"]]) == ([3, 2, 1], moments[::-1])
    days = watch.get_metric_data(MetricDataQueries=[query("m", 86400)], ScanBy="TimestampAscending", **span)[
        "MetricDataResults"
    ][0]
    assert days["Values"] == [1, 2, 3]
    named = query("m", Dimensions=[{"Name": "d", "Value": "v"}])
    assert watch.get_metric_data(MetricDataQueries=[named], **span)["MetricDataResults"][0]["Values"] == [50]
    with pytest.raises(ClientError, match="exceeds the limit of 1,440"):
        watch.get_metric_statistics(Namespace="manners", MetricName="m", Period=60, Statistics=["Sum"], **span)
    with pytest.raises(ClientError, match="Metrics Insights"):
        watch.get_metric_data(
            MetricDataQueries=[{"Id": "q", "Expression": "SELECT SUM(m) FROM manners", "Period": 60}], **span
        )
