"""Reads an execution's history: its steps with their times and jobs, and how long no job ran.

Both come from GetExecutionHistory alone, which AWS and the local cloud give in the same form.
https://docs.aws.amazon.com/step-functions/latest/apireference/API_GetExecutionHistory.html
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# The field of a request that names its job, by the resource that the state calls.
JOB_NAMES = {
    "createProcessingJob": "ProcessingJobName",
    "createTrainingJob": "TrainingJobName",
    "createHyperParameterTuningJob": "HyperParameterTuningJobName",
    "createTransformJob": "TransformJobName",
}


@dataclass
class Step:
    """One visit of a Task state. Times are timezone-aware; `exited` is None while it runs."""

    name: str
    entered: datetime
    exited: datetime | None = None
    status: str = "Running"
    resource: str = ""
    job: str | None = None
    begun: datetime | None = None
    ended: datetime | None = None
    error: str = ""

    def seconds(self, now: datetime) -> float:
        """How long it took, or has taken so far."""
        return ((self.exited or now) - self.entered).total_seconds()


def read(events: list[dict[str, Any]]) -> list[Step]:
    """The Task steps of a history in order. A retried state stays one step, with its last job."""
    steps: list[Step] = []
    by_event: dict[int, Step] = {}
    for event in events:
        kind, previous = event["type"], by_event.get(event.get("previousEventId", 0))
        step = previous
        if kind == "TaskStateEntered":
            step = Step(event["stateEnteredEventDetails"]["name"], event["timestamp"])
            steps.append(step)
        elif kind == "TaskScheduled" and previous:
            _scheduled(previous, event)
        elif (
            kind in ("TaskSucceeded", "TaskFailed", "TaskTimedOut", "TaskSubmitFailed", "TaskStartFailed") and previous
        ):
            previous.ended = event["timestamp"]
            previous.status = "Succeeded" if kind == "TaskSucceeded" else "Failed"
            details = event.get(f"{kind[0].lower()}{kind[1:]}EventDetails") or {}
            previous.error = details.get("error", "")
        elif kind == "TaskStateExited" and previous:
            # A state that fails and has a Catch is exited, too.
            previous.exited = event["timestamp"]
        elif kind == "ExecutionRedriven":
            step = _begin_again(steps)
        elif kind in ("ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut"):
            _end_open(steps, event["timestamp"], kind)
        if step is not None and not kind.endswith("StateExited"):
            by_event[event["id"]] = step
    return steps


def _scheduled(step: Step, event: dict[str, Any]) -> None:
    details = event["taskScheduledEventDetails"]
    step.resource, step.begun, step.ended, step.status = (
        details.get("resource", ""),
        event["timestamp"],
        None,
        "Running",
    )
    name = JOB_NAMES.get(step.resource.removesuffix(".sync"))
    if name:
        step.job = json.loads(details.get("parameters") or "{}").get(name)


def _begin_again(steps: list[Step]) -> Step | None:
    """A redrive goes on with the step that did not succeed: the events that follow are its."""
    step = next((step for step in reversed(steps) if step.status != "Succeeded"), None)
    if step:
        step.exited, step.status, step.error = None, "Running", ""
    return step


def failed_state(events: list[dict[str, Any]]) -> str:
    """The state that an execution was in last: entered, and not left since."""
    entered: dict[str, None] = {}
    for event in events:
        if event["type"].endswith("StateEntered"):
            name = event["stateEnteredEventDetails"]["name"]
            entered.pop(name, None)
            entered[name] = None
        elif event["type"].endswith("StateExited"):
            entered.pop(event["stateExitedEventDetails"]["name"], None)
    return next(reversed(entered), "")


def _end_open(steps: list[Step], when: datetime, kind: str) -> None:
    for step in steps:
        if step.exited is None:
            step.exited = when
            step.status = "Failed" if step.status == "Failed" else kind.removeprefix("Execution")


def orchestration_seconds(steps: list[Step], started: datetime, stopped: datetime) -> float:
    """Seconds of an execution in which no job ran: its length less the union of its jobs' intervals.

    A job's interval goes from the scheduling of its `.sync` task to that task's end, so a slow start of a job counts as
    the job's and not as orchestration's.
    """
    intervals = sorted(
        (step.begun, step.ended or stopped)
        for step in steps
        if step.job and step.begun and step.resource.endswith(".sync")
    )
    busy, reached = 0.0, started
    for begin, end in intervals:
        begin, end = max(begin, reached), min(end, stopped)
        if end > begin:
            busy += (end - begin).total_seconds()
            reached = end
    return max(0.0, (stopped - started).total_seconds() - busy)


def summarised(steps: list[Step], now: datetime) -> list[dict[str, Any]]:
    """The `steps` of summary.json."""
    return [{"name": step.name, "status": step.status, "seconds": round(step.seconds(now), 3)} for step in steps]
