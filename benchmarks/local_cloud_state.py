"""What the local cloud's state costs: a write, a page, memory, idling, with few things in it and with many.

    python benchmarks/local_cloud_state.py [--objects 20000] [--items 0 1000 20000]

A cloud of its own in a temporary folder; times are medians of one client that waits for each answer. Beside a write's time stands the
processor time that the cloud took for it: the other depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from local_cloud.testing import RunningCloud

REPEATS = 30
IDLE_SECONDS = 10


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--items", type=int, nargs="*", default=[0, 1_000, 20_000])
    given = parser.parse_args()
    if given.objects:
        with_cloud(lambda cloud: print_table(["empty", f"{given.objects:,} objects"], measured(cloud, given.objects)))
    if given.items:
        with_cloud(lambda cloud: print_table([f"{n:,}" for n in given.items], by_items(cloud, given.items)))


def with_cloud(work: Callable[[RunningCloud], None]) -> None:
    """Do it with a new cloud."""
    with tempfile.TemporaryDirectory() as folder:
        cloud = RunningCloud(Path(folder) / "state")
        cloud.start()
        try:
            work(cloud)
        finally:
            cloud.stop()


def print_table(columns: list[str], rows: list[tuple[str, ...]]) -> None:
    """A table in Markdown."""
    print(f"| | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def by_items(cloud: RunningCloud, sizes: list[int]) -> list[tuple[str, ...]]:
    """Milliseconds of a write to each service that already has so many of what it makes."""
    calls, there = item_writes(cloud), 0
    cells: dict[str, list[str]] = {name: [] for name in calls}
    for size in sizes:
        for name, write in calls.items():
            for number in range(there, size):
                write(number)
            cells[name].append(costs(cloud, lambda n, write=write, size=size: write(10**6 + size * 100 + n)))
        there = size
    return [(f"`{name}`", *row) for name, row in cells.items()]


def item_writes(cloud: RunningCloud) -> dict[str, Callable[[int], Any]]:
    """A write for each service, which makes one more of something."""
    sqs, ssm, logs = cloud.client("sqs"), cloud.client("ssm"), cloud.client("logs")
    metrics, iam, events = cloud.client("cloudwatch"), cloud.client("iam"), cloud.client("events")
    queue = sqs.create_queue(QueueName="q")["QueueUrl"]
    stream = {"logGroupName": "g", "logStreamName": "s"}
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(**stream)
    trust = '{"Version": "2012-10-17", "Statement": []}'
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust)
    policy = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'

    def line(n: int) -> None:
        event = {"timestamp": int(time.time() * 1000), "message": f"line {n}"}
        logs.put_log_events(logEvents=[event], **stream)

    return {
        "sqs send-message": lambda n: sqs.send_message(QueueUrl=queue, MessageBody=f"message {n}"),
        "ssm put-parameter": lambda n: ssm.put_parameter(Name=f"/p/{n}", Value="v", Type="String", Overwrite=True),
        "logs put-log-events": line,
        "cloudwatch put-metric-data": lambda n: metrics.put_metric_data(
            Namespace="n", MetricData=[{"MetricName": f"m{n % 7}", "Value": 1.0}]
        ),
        "iam put-role-policy": lambda n: iam.put_role_policy(RoleName="r", PolicyName=f"p{n}", PolicyDocument=policy),
        "events put-rule": lambda n: events.put_rule(Name=f"r{n}", EventPattern='{"source": ["x"]}'),
    }


def costs(cloud: RunningCloud, call: Callable[[int], Any]) -> str:
    """The median of a call, and the cloud's processor time for each."""
    began = processor(cloud)
    middle = median(call)
    return f"{middle:.1f} ms ({(processor(cloud) - began) / (REPEATS + 1) * 1000:.1f})"


def measured(cloud: RunningCloud, objects: int) -> list[tuple[str, str, str]]:
    """The rows of the table: what, with an empty cloud, with a full one."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="bucket")
    began, spent = memory(cloud), processor(cloud)
    time.sleep(IDLE_SECONDS)
    idle = (processor(cloud) - spent) / IDLE_SECONDS
    before = writes(cloud, "before")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: s3.put_object(Bucket="bucket", Key=f"k/{n:06}", Body=b"x"), range(objects)))
    grown = (memory(cloud) - began) / objects
    moment = time.perf_counter()
    listed = sum(len(page["Contents"]) for page in s3.get_paginator("list_objects_v2").paginate(Bucket="bucket"))
    listing = time.perf_counter() - moment
    if listed != objects:
        raise AssertionError(f"{listed} objects were listed, not {objects}")
    after = writes(cloud, "after")
    rows = [(name, f"{before[name]:.1f} ms", f"{after[name]:.1f} ms") for name in before]
    return [
        *rows, ("all pages of a listing", "", f"{listing:.1f} s"), ("memory for each object", "", f"{grown:.1f} kB"),
        ("memory, idle", f"{began / 1024:.0f} MB", ""), ("processor, idle", f"{idle:.1%}", ""),
    ]  # fmt: skip


def writes(cloud: RunningCloud, name: str) -> dict[str, float]:
    """Milliseconds of a write to some services, and of a read beside them."""
    sns, ssm, s3 = cloud.client("sns"), cloud.client("ssm"), cloud.client("s3")
    tags = {"TagSet": [{"Key": "a", "Value": name}]}
    put = lambda value: ssm.put_parameter(Name="p", Value=value, Type="String", Overwrite=True)  # noqa: E731
    put("v")
    return {
        "read: `ssm get-parameter`": median(lambda n: ssm.get_parameter(Name="p")),
        "write: `ssm put-parameter`": median(lambda n: put(str(n))),
        "write: `sns create-topic`": median(lambda n: sns.create_topic(Name=f"{name}{n}")),
        "write: `s3api put-bucket-tagging`": median(lambda n: s3.put_bucket_tagging(Bucket="bucket", Tagging=tags)),
    }


def median(call: Callable[[int], Any]) -> float:
    """The median of some calls in milliseconds, after one that does not count."""
    call(-1)
    found = []
    for number in range(REPEATS):
        moment = time.perf_counter()
        call(number)
        found.append((time.perf_counter() - moment) * 1000)
    return statistics.median(found)


def memory(cloud: RunningCloud) -> float:
    """Resident memory of the cloud in kB."""
    lines = Path(f"/proc/{cloud.process.pid}/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("VmRSS:")).split()[1])


def processor(cloud: RunningCloud) -> float:
    """Seconds of processor time that the cloud has used."""
    fields = Path(f"/proc/{cloud.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main()
