"""What an execution has done, read from its history: where each line of control stands, for it to go on there.

A line of control is the execution itself, a branch of a Parallel state or an iteration of a Map state. Every event is
written together with the line that it belongs to, in the field `_line` that no answer shows: AWS's numbers alone do not
say which of two iterations an event belongs to.

A redrive does again what did not succeed. After a kill an execution goes on instead (`goes_on`): the attempt that ran is
taken up where its events end, and the notes tell what no event says (retries, the end of a wait).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

# The fields of an event that are ours.
LINE, NEXT, TOKEN, BESIDE = "_line", "_next", "_token", "_beside"
ENDS = {
    "ExecutionSucceeded": "SUCCEEDED", "ExecutionFailed": "FAILED", "ExecutionAborted": "ABORTED",
    "ExecutionTimedOut": "TIMED_OUT",
}  # fmt: skip
BEGINNINGS = (
    "TaskScheduled",
    "ActivityScheduled",
    "LambdaFunctionScheduled",
    "MapStateStarted",
    "ParallelStateStarted",
)


@dataclass
class Line:
    """Where one line of control stands: in a state that it entered, or behind one that it left."""

    state: str = ""
    entered: int = 0
    entered_at: float = 0.0
    given: str = "null"
    left: bool = False
    output: str = "null"
    following: str | None = None
    # The event with which the branches or iterations of that state began, and the map run that it made.
    visit: int | None = None
    map_run: str | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    # The event that the next one follows, and the events of the attempt that runs, by type.
    last: int = 0
    attempt: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the line came to its end, with `output`."""
        return self.left and self.following is None

    def note(self, event: dict[str, Any]) -> None:
        """Go on by one event of this line."""
        kind = event["type"]
        if BESIDE not in event:
            self.last = 0 if kind == "ExecutionStarted" else event["id"]
        if kind.endswith("StateEntered") or kind in BEGINNINGS:
            self.attempt = {}
        self.attempt[kind] = event
        if kind.endswith("StateEntered"):
            details = event["stateEnteredEventDetails"]
            self.state, self.entered, self.given = details["name"], event["id"], details["input"]
            self.left, self.visit, self.map_run, self.entered_at = False, None, None, event["timestamp"]
        elif kind.endswith("StateExited"):
            details = event["stateExitedEventDetails"]
            self.left, self.output, self.following = True, details["output"], event.get(NEXT)
            for name, text in details.get("assignedVariables", {}).items():
                self.variables[name] = json.loads(text)
        elif kind in ("MapStateStarted", "ParallelStateStarted"):
            self.visit, self.map_run = event["id"], None
        elif kind == "MapRunStarted":
            self.map_run = event["mapRunStartedEventDetails"]["mapRunArn"]

    def begin_again(self) -> None:
        """A redrive: the attempt that ran is over, and what comes next follows what its parent says."""
        self.attempt, self.last = {}, 0


class Past:
    """All lines of one execution."""

    def __init__(
        self, events: Iterable[dict[str, Any]], notes: dict[str, dict[str, Any]] | None = None, goes_on: bool = False
    ):
        self.lines: dict[str, Line] = {}
        self.notes, self.goes_on = notes or {}, goes_on
        self.map_runs: set[str] = set()
        # The event with which the execution ended: it may be there although its record does not tell.
        self.end: dict[str, Any] | None = None
        for event in events:
            if event["type"] == "ExecutionRedriven":
                for line in self.lines.values():
                    line.begin_again()
            if event["type"] == "MapRunStarted":
                self.map_runs.add(event["mapRunStartedEventDetails"]["mapRunArn"])
            self.lines.setdefault(event.get(LINE, ""), Line()).note(event)
            self.end = event if event["type"] in ENDS else None

    def line(self, name: str) -> Line | None:
        """Where a line of control stands, or None when it has not entered a state."""
        found = self.lines.get(name)
        return found if found and found.state else None

    def told(self, name: str, kind: str) -> dict[str, Any] | None:
        """The event of that type in the attempt that a line goes on with."""
        found = self.lines.get(name) if self.goes_on else None
        return found.attempt.get(kind) if found else None

    def note(self, name: str) -> dict[str, Any]:
        """What is noted about the state in which a line stands."""
        noted, line = self.notes.get(name, {}), self.lines.get(name)
        return noted if self.goes_on and line and noted.get("entered") == line.entered else {}

    def tokens(self) -> set[str]:
        """The task tokens that are waited for."""
        return {
            event[TOKEN] for line in self.lines.values() if not line.left for event in line.attempt.values() if TOKEN in event
        }  # fmt: skip
