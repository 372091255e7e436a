"""Connects states in their order, and gives each that may fail its way to a description of the failure."""

from __future__ import annotations

from itertools import pairwise

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.workflow.describe_failure import DescribeFailure


class Wiring:
    """One per state machine: all failures end in its one description."""

    def __init__(self, scope: Construct) -> None:
        self._failure = DescribeFailure(scope)
        self._caught: set[str] = set()

    def chain(self, *states: sfn.IChainable) -> sfn.IChainable:
        """Connect in this order and return the first; a state that calls a service gets its Catch here."""
        for state, following in pairwise(states):
            state.next(following)
        for state in states:
            if isinstance(state, sfn.CustomState | sfn.Map) and state.node.id not in self._caught:
                self._caught.add(state.node.id)
                state.add_catch(self._failure.handler(state.node.id), errors=["States.ALL"], result_path="$.failure")
        return states[0]
