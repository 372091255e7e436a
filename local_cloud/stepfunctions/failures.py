"""The one error that flows through an execution: AWS's error name and a cause for a person."""

from __future__ import annotations


class StateFailure(Exception):
    """A state failed with an error that Retry and Catch may match by name."""

    def __init__(self, error: str, cause: str = ""):
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


class ExecutionCancelled(BaseException):
    """The execution was stopped, timed out, or a sibling branch failed: no Catch may see it."""


# Never retried nor caught by States.ALL or States.TaskFailed:
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
UNCATCHABLE_BY_WILDCARD = {"States.Runtime", "States.DataLimitExceeded"}


def matches(wanted: list[str], failure: StateFailure) -> bool:
    """Whether an ErrorEquals list catches this failure."""
    if failure.error in wanted:
        return True
    if failure.error in UNCATCHABLE_BY_WILDCARD:
        return False
    if "States.ALL" in wanted:
        return True
    return (
        "States.TaskFailed" in wanted
        and failure.error != "States.Timeout"
        and failure.error != "States.HeartbeatTimeout"
    )
