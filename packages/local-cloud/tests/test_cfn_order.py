"""In which order a stack's resources are made and deleted."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_cloud.cloudformation.engine import _deletion_order
from local_cloud.cloudformation.evaluate import creation_order, in_order
from local_cloud.errors import AwsError


def resource(*needs: str) -> dict:
    return {"Type": "AWS::SNS::Topic", "DependsOn": list(needs)}


def test_what_depends_on_nothing_is_made_in_the_order_of_the_template():
    assert creation_order({"C": resource(), "A": resource("B"), "B": resource(), "D": resource("C")}) == [
        "C", "B", "A", "D",
    ]  # fmt: skip


def test_a_circle_is_refused_with_all_that_waits_for_it():
    with pytest.raises(AwsError, match=r"Circular dependency between resources: \[A, B, C\]"):
        creation_order({"A": resource("B"), "B": resource("A"), "C": resource("A"), "D": resource()})


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.sets(st.sampled_from("abcdefgh"))))
def test_each_comes_after_what_it_needs_whatever_the_circles(needs):
    needs = {name: {one for one in of if one in needs} for name, of in needs.items()}
    ordered = in_order(needs)
    assert all(needs[name] <= set(ordered[: ordered.index(name)]) for name in ordered)
    left = set(needs) - set(ordered)
    assert all(needs[name] & left for name in left), "what is left waits for something in a circle"


def deleted(**needs: list[str]) -> list[str]:
    stack = [SimpleNamespace(logical_id=name, depends_on=of) for name, of in needs.items()]
    return [one.logical_id for one in _deletion_order(stack)]


def test_users_are_deleted_before_what_they_use():
    assert deleted(A=[], B=["A"], C=["B", "gone"]) == ["C", "B", "A"]


def test_two_that_name_each_other_are_deleted_all_the_same():
    assert deleted(A=["B"], B=["A"], C=["A"], D=[]) == ["C", "D", "A", "B"]
