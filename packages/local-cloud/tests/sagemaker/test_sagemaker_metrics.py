"""What endpoints tell CloudWatch of their calls, without an endpoint and on a clock that stands.

"ModelLatency: the interval of time taken by a model to respond … Units: Microseconds", and "Invocations", in
https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from local_cloud.sagemaker.invocation import Meter
from local_cloud.testing import ManualClock


@pytest.fixture
def told() -> list[tuple]:
    return []


def meter(told: list[tuple]) -> Meter:
    metrics = SimpleNamespace(put=lambda *arguments: told.append(arguments))
    return Meter(SimpleNamespace(context=SimpleNamespace(metrics=metrics, clock=ManualClock(1000.0))))


def test_calls_of_a_variant_are_counted_and_their_time_is_the_mean_in_microseconds(told):
    one = meter(told)
    for seconds in (0.002, 0.004):
        one.note("e", "v", seconds)
    one.note("e", "w", 0.5)
    one.close()
    of_v, of_w = ({"EndpointName": "e", "VariantName": name} for name in ("v", "w"))
    assert told == [
        ("AWS/SageMaker", "Invocations", 2, 1000.0, of_v),
        ("AWS/SageMaker", "ModelLatency", pytest.approx(3000.0), 1000.0, of_v),
        ("AWS/SageMaker", "Invocations", 1, 1000.0, of_w),
        ("AWS/SageMaker", "ModelLatency", pytest.approx(500_000.0), 1000.0, of_w),
    ]


def test_without_a_call_nothing_is_told(told):
    meter(told).close()
    assert told == []
