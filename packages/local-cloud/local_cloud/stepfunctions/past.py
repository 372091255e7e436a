"""What an execution has done, read from its history: where each line of control stands, for a redrive to go on there.

A line of control is the execution itself, a branch of a Parallel state or an iteration of a Map state. Every event is
written together with the line that it belongs to, in the field `_line` that no answer shows: AWS's numbers alone do not
say which of two iterations an event belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

# The fields of an event that are ours.
LINE, NEXT = "_line", "_next"


@dataclass
class Line:
    """Where one line of control stands: in a state that it entered, or behind one that it left."""

    state: str = ""
    entered: int = 0
    given: str = "null"
    left: bool = False
    output: str = "null"
    following: str | None = None
    # The event with which the branches or iterations of that state began, and the map run that it made.
    visit: int | None = None
    map_run: str | None = None
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the line came to its end, with `output`."""
        return self.left and self.following is None

    def note(self, event: dict[str, Any]) -> None:
        """Go on by one event of this line."""
        kind = event["type"]
        if kind.endswith("StateEntered"):
            details = event["stateEnteredEventDetails"]
            self.state, self.entered, self.given = details["name"], event["id"], details["input"]
            self.left, self.visit, self.map_run = False, None, None
        elif kind.endswith("StateExited"):
            details = event["stateExitedEventDetails"]
            self.left, self.output, self.following = True, details["output"], event.get(NEXT)
            for name, text in details.get("assignedVariables", {}).items():
                self.variables[name] = json.loads(text)
        elif kind in ("MapStateStarted", "ParallelStateStarted"):
            self.visit, self.map_run = event["id"], None
        elif kind == "MapRunStarted":
            self.map_run = event["mapRunStartedEventDetails"]["mapRunArn"]


class Past:
    """All lines of one execution."""

    def __init__(self, events: Iterable[dict[str, Any]]):
        self.lines: dict[str, Line] = {}
        for event in events:
            self.lines.setdefault(event.get(LINE, ""), Line()).note(event)

    def line(self, name: str) -> Line | None:
        """Where a line of control stands, or None when it has not entered a state."""
        found = self.lines.get(name)
        return found if found and found.state else None
