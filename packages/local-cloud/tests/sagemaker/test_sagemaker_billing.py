"""What DescribeTrainingJob says of time: botocore's model has the sentences, a clock that the test moves has the seconds."""

from __future__ import annotations

import re

import botocore.session

from local_cloud.sagemaker.billing import Bill
from local_cloud.testing import ManualClock


def held(bill: Bill, clock: ManualClock, seconds: float) -> None:
    with bill.running():
        clock.advance(seconds)


def test_botocore_still_says_that_the_caller_multiplies_by_the_instances():
    model = botocore.session.get_session().get_service_model("sagemaker")
    said = model.shape_for("DescribeTrainingJobResponse").members["BillableTimeInSeconds"].documentation
    words = " ".join(re.sub("<[^>]*>", " ", said).split())
    assert "absolute wall-clock time" in words
    assert "Multiply BillableTimeInSeconds by the number of instances" in words.replace(" ,", ",")


def test_the_bill_is_the_wall_clock_time_on_instances_and_not_the_pause_between_two_spot_instances():
    clock = ManualClock()
    bill = Bill(clock)
    held(bill, clock, 100)
    clock.advance(3600)  # waiting for another spot instance
    held(bill, clock, 50)
    assert bill.billable == 150


def test_an_attempt_that_failed_is_billed_too():
    clock = ManualClock()
    bill = Bill(clock)
    try:
        with bill.running():
            clock.advance(40)
            raise RuntimeError
    except RuntimeError:
        pass
    assert bill.billable == 40


def test_the_shortest_bill_is_one_second():
    assert Bill(ManualClock()).billable == 1


def test_seconds_are_rounded_to_the_nearest():
    clock = ManualClock()
    bill = Bill(clock)
    held(bill, clock, 10.6)
    assert bill.billable == 11
