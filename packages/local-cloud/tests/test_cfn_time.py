"""What CloudFormation says about time, on a clock that the test moves: TimeoutInMinutes, and the stamps of a stack."""

from __future__ import annotations

import pytest

from local_cloud.cloudformation.engine import Deployment
from local_cloud.cloudformation.evaluate import Evaluator
from local_cloud.cloudformation.plan import Plan
from local_cloud.cloudformation.resources import Aws
from local_cloud.cloudformation.stack import Stack, StackStore
from local_cloud.persistence.database import Database
from local_cloud.testing import ManualClock

ARN = "arn:aws:cloudformation:us-east-1:000000000000:stack/s/1"
TEMPLATE = {"Resources": {"M": {"Type": "AWS::CDK::Metadata", "Properties": {}}}}


def unasked(*_: object) -> str:
    raise AssertionError("nothing is looked up here")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(tmp_path, clock):
    database = Database(tmp_path / "rows.sqlite")
    made = StackStore(database, clock)
    yield made
    database.close()


def deployed(store: StackStore, clock: ManualClock, *, seconds: float | None, taking: float) -> Stack:
    """A stack whose resources are begun so long after the request."""
    stack = Stack(ARN, "s", "CREATE_IN_PROGRESS", clock.now())
    store.resources[ARN] = {}
    store.add(stack)
    evaluator = Evaluator(TEMPLATE, {}, {}, unasked, unasked, unasked, unasked)
    plan = Plan(TEMPLATE, TEMPLATE["Resources"], evaluator, {"M": ("Delete", "Delete")}, set())
    work = Deployment(store, stack, Aws(unasked, "000000000000", "us-east-1"), seconds=seconds)
    clock.advance(taking)
    work.deploy(plan, "CREATE")
    return stack


@pytest.mark.parametrize("taking", [0, 59, 60])
def test_a_stack_that_is_made_in_its_time_is_made(store, clock, taking):
    assert deployed(store, clock, seconds=60, taking=taking).status == "CREATE_COMPLETE"


# "The amount of time that can pass before the stack status becomes CREATE_FAILED; if DisableRollback is not set or is set to
# false, the stack will be rolled back": https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
def test_a_stack_that_takes_longer_than_its_time_is_rolled_back(store, clock):
    stack = deployed(store, clock, seconds=60, taking=61)
    assert stack.status == "ROLLBACK_COMPLETE"
    assert any(
        "exceeded the specified timeout" in event.get("ResourceStatusReason", "") for event in store.events(stack)
    )


def test_without_a_limit_a_stack_may_take_a_day(store, clock):
    assert deployed(store, clock, seconds=None, taking=86400).status == "CREATE_COMPLETE"


def test_events_are_stamped_by_the_clock(store, clock):
    began = clock.now()
    stack = deployed(store, clock, seconds=None, taking=120)
    assert {event["Timestamp"] - began for event in store.events(stack)} == {120}
