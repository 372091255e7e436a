"""Updates that a kill cut off are brought to an end when the cloud starts again: taken back, or cleaned up after. And
ContinueUpdateRollback: what could not be taken back is taken back once more.

AWS's CloudFormation does not die in the middle of an update. A client that finds a template which it has deployed already
deploys nothing, so a stack must never be left between two templates.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from local_cloud.access.authority import acting
from local_cloud.cloudformation.engine import SESSION, Deployment
from local_cloud.cloudformation.plan import Plan
from local_cloud.cloudformation.planning import Planner
from local_cloud.cloudformation.resources import Aws
from local_cloud.cloudformation.stack import STOPPED_REASON, TAKEN_BACK, Stack, StackStore
from local_cloud.cloudformation.steps import reason_of

logger = logging.getLogger("local_cloud.cloudformation")


class Resumption:
    """Carries on with stacks, one after the other: one may import what another exports."""

    def __init__(self, store: StackStore, planner: Planner, aws: Aws):
        self._store, self._planner, self._aws = store, planner, aws

    def all_of(self, stacks: Iterable[Stack]) -> None:
        for stack in sorted(stacks, key=lambda stack: stack.created):
            try:
                with acting(stack.role, SESSION):
                    self._carry_on(stack)
            except Exception as fault:
                logger.exception("The update of %s that was cut off could not be carried on", stack.name)
                self._store.set_status(stack, "UPDATE_ROLLBACK_FAILED", f"{STOPPED_REASON} {reason_of(fault)}")

    def _carry_on(self, stack: Stack) -> None:
        work = Deployment(self._store, stack, self._aws)
        if stack.status == "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS":
            work.finish(self._plan(stack))
            return
        if stack.disable_rollback:
            self._store.set_status(stack, "UPDATE_FAILED", STOPPED_REASON)
            return
        for name, value in stack.before.items():
            setattr(stack, name, value)
        self._store.set_status(stack, "UPDATE_ROLLBACK_IN_PROGRESS", TAKEN_BACK)
        work.take_back(self._plan(stack))

    def continued_rollback(self, stack: Stack) -> Callable[[], None]:
        """The work of ContinueUpdateRollback: every resource as the template before the update says. Its cause may be gone now."""
        plan = self._plan(stack)
        self._store.set_status(stack, "UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        return lambda: Deployment(self._store, stack, self._aws).take_back(plan)

    def _plan(self, stack: Stack) -> Plan:
        """The plan of the stack's own template, with the values that its parameters had."""
        previous = [{"ParameterKey": name, "UsePreviousValue": True} for name in stack.parameters]
        asked = {"Parameters": previous, "Capabilities": stack.capabilities}
        plan, _, _ = self._planner.plan(stack, stack.template, asked, seen=stack.resolved)
        return plan
