"""What a state transition costs in the local cloud, beside the least that it can: two rows of history, written one by one.

    .venv/bin/python benchmarks/state_transitions.py [--states 2000] [--rounds 7] [--json FILE]

A machine of `states` states runs from end to end in the interpreter, its history in a database file of its own; a transition is
one state entered and left. Told is processor time, which a busy machine does not change as it changes the wall's: median and
slowest round. `bare` writes the two rows of a transition, of the same length, with nothing around them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_cloud.persistence.database import Database
from local_cloud.stepfunctions.history import History
from local_cloud.stepfunctions.interpreter import Branch
from local_cloud.stepfunctions.scope import Context, Scope

GIVEN = {"n": 1, "list": [1, 2, 3], "name": "a transition"}
STATES: dict[str, dict[str, Any]] = {
    "Pass": {"Type": "Pass"},
    "Pass with Parameters": {"Type": "Pass", "Parameters": {"n.$": "$.n", "list.$": "$.list", "name.$": "$.name"}},
    "Pass with intrinsic functions": {
        "Type": "Pass",
        "Parameters": {"n.$": "States.MathAdd($.n, 1)", "list.$": "$.list", "name.$": "States.Format('{}', $.name)"},
    },
    "Choice": {"Type": "Choice", "Choices": [{"Variable": "$.n", "NumericGreaterThan": 1}]},
    "Pass in JSONata": {
        "Type": "Pass", "QueryLanguage": "JSONata",
        "Output": {"n": "{% $states.input.n + 1 %}", "list": "{% $states.input.list %}", "name": "{% $states.input.name %}"},
    },
}  # fmt: skip


def machine(state: dict[str, Any], count: int) -> dict[str, Any]:
    """`count` copies of a state, one after the other."""
    states = {}
    for number in range(count):
        following = f"s{number + 1}"
        if state["Type"] == "Choice":
            rules = [{**rule, "Next": following} for rule in state["Choices"]]
            states[f"s{number}"] = {**state, "Choices": rules, "Default": following}
        else:
            states[f"s{number}"] = {**state, "Next": following}
    states[f"s{count}"] = {"Type": "Pass", "End": True}
    return {"StartAt": "s0", "States": states}


def milliseconds(work: Callable[[Database], None], count: int) -> float:
    """Processor time of one transition."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "rows.sqlite")
        began = time.process_time()
        work(database)
        took = time.process_time() - began
        database.close()
    return took / count * 1000


def run(state: dict[str, Any], count: int) -> Callable[[Database], None]:
    """Run such a machine."""
    definition = machine(state, count)

    def work(database: Database) -> None:
        context = Context({"Execution": {"Id": "arn", "Input": GIVEN}, "StateMachine": {"Id": "arn"}, "State": {}})
        Branch(History(database, "arn"), None, Scope(), context).run(definition, GIVEN)

    return work


def bare(count: int) -> Callable[[Database], None]:
    """Write what a transition writes."""
    entered = {"timestamp": 0.0, "type": "PassStateEntered", "previousEventId": 1, "id": 2, "stateEnteredEventDetails": {
        "name": "s1", "input": json.dumps(GIVEN), "inputDetails": {"truncated": False}}}  # fmt: skip

    def work(database: Database) -> None:
        for number in range(2 * count):
            row = ("arn", number, json.dumps(entered))
            database.write("INSERT INTO execution_event VALUES (?,?,?)", row)

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    works = {name: run(state, options.states) for name, state in STATES.items()} | {"bare": bare(options.states)}
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.rounds):
        for name, work in works.items():
            times[name].append(milliseconds(work, options.states))
    least = statistics.median(times["bare"])
    print("| transition | ms, median | slowest of the rounds | of the bare rows |\n| --- | --: | --: | --: |")
    for name, measured in times.items():
        median = statistics.median(measured)
        print(f"| {name} | {median:.3f} | {max(measured):.3f} | {median / least:.1f} × |")
    if options.json:
        options.json.write_text(json.dumps(times, indent=1))


if __name__ == "__main__":
    main()
