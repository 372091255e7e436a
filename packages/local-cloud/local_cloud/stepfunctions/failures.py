"""The one error that flows through an execution: AWS's error name and a cause for a person."""

from __future__ import annotations


class StateFailure(Exception):
    """A state failed with an error that Retry and Catch may match by name.

    `inside`: it happened in a branch or an iteration, or while items were read, not in the fields of the state itself.
    """

    def __init__(self, error: str, cause: str | None = None, inside: bool = False):
        super().__init__(f"{error}: {cause}" if cause else error)
        self.error = error
        self.cause = cause
        self.inside = inside
        self.last_event = 0
        self._framed = False

    def frame(self, state: str, entered: int) -> None:
        """Say where it happened, as AWS does for faults of the definition itself; once, where it is deepest."""
        if self.error in ("States.Runtime", "States.QueryEvaluationError") and not self._framed:
            where = f"An error occurred while executing the state '{state}' (entered at the event id #{entered})."
            self.cause = f"{where} {self.cause}"
            self._framed = True


class HeartbeatMissed(StateFailure):
    """No heartbeat came in time: shown as States.Timeout, caught by States.HeartbeatTimeout as well."""


class QueryFailed(StateFailure):
    """A JSONata expression failed. `location`: the field; `beside`: its event follows what the state's own event follows."""

    def __init__(self, cause: str, location: str | None = None, beside: bool = True):
        super().__init__("States.QueryEvaluationError", cause)
        self.location, self.beside, self.told = location, beside, False


class PathMissing(StateFailure):
    """A path led nowhere. `path` as it stands in the definition."""

    def __init__(self, path: str, reason: str):
        super().__init__("States.Runtime", f"Invalid path '{path}' : {reason}")
        self.path = path


def outcome_of(error: str | None, cause: str | None) -> dict[str, str]:
    """Error and cause as AWS shows them: what is not there is left out."""
    return {name: text for name, text in (("error", error), ("cause", cause)) if text is not None}


class ExecutionCancelled(BaseException):
    """The execution was stopped, timed out, or a sibling branch failed: no Catch may see it."""


class ExecutionSuspended(BaseException):
    """The cloud stops: nothing more is done nor written, and the execution goes on at the next start."""


class TaskAnswered(BaseException):
    """Somebody answered the token of a task that waits for a job: the job goes on, the task does not wait for it."""


# Never retried nor caught by States.ALL or States.TaskFailed:
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
UNCATCHABLE_BY_WILDCARD = {"States.Runtime", "States.DataLimitExceeded"}


def matches(wanted: list[str], failure: StateFailure) -> bool:
    """Whether an ErrorEquals list catches this failure."""
    if failure.error in wanted or (isinstance(failure, HeartbeatMissed) and "States.HeartbeatTimeout" in wanted):
        return True
    if failure.error in UNCATCHABLE_BY_WILDCARD:
        return False
    if "States.ALL" in wanted:
        return True
    return "States.TaskFailed" in wanted and failure.error != "States.Timeout"
