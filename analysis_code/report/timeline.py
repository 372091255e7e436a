"""What took the time: the steps of the execution, from Step Functions' own history."""

from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from analysis_code.report.inputs import Missing
from analysis_code.report.training import client

_SHORTEST_SECONDS: Final = 0.05  # choices and passes take no time worth a line


@dataclass(frozen=True)
class Step:
    """One visit to a state, in seconds since the execution began; end None: it is running (the report itself is)."""

    name: str
    begin: float
    end: float | None
    failed: bool = False


def read_timeline(execution_arn: str | None) -> list[Step] | Missing:
    """The steps that took time, in order."""
    if not execution_arn:
        return Missing("the execution's ARN was not given (--execution-arn)")
    try:
        pages = client("stepfunctions").get_paginator("get_execution_history")
        events = [event for page in pages.paginate(executionArn=execution_arn) for event in page["events"]]
    except (ClientError, BotoCoreError) as error:
        return Missing(f"Step Functions did not tell: {error}", failed=True)
    return steps(events) or Missing("the history holds no step that took time")


def steps(events: list[dict[str, Any]]) -> list[Step]:
    """Pair what was entered with what was left; a state that never was left has failed, if the execution went on."""
    if not events:
        return []
    start = min(event["timestamp"] for event in events)
    open_steps: dict[str, list[float]] = {}
    found: list[Step] = []
    for event in sorted(events, key=lambda one: one["id"]):
        at = (event["timestamp"] - start).total_seconds()
        if event["type"].endswith("StateEntered"):
            open_steps.setdefault(event["stateEnteredEventDetails"]["name"], []).append(at)
        elif event["type"].endswith("StateExited"):
            name = event["stateExitedEventDetails"]["name"]
            if open_steps.get(name):
                found.append(Step(name, open_steps[name].pop(), at))
    last = max((event["timestamp"] - start).total_seconds() for event in events)
    found += [
        Step(name, begin, None if begin >= last - 1 else last) for name, left in open_steps.items() for begin in left
    ]
    lasting = [step for step in found if step.end is None or step.end - step.begin >= _SHORTEST_SECONDS]
    return sorted(lasting, key=lambda step: step.begin)
