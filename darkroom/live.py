"""Follows an execution: a live view on a terminal, one line per event elsewhere. Ctrl-C leaves the execution running."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from contract.execution_input import defaults
from darkroom import executions, jobs
from darkroom.history import Step, read
from darkroom.target import Target

LOCAL_INTERVAL = 0.5
AWS_INTERVAL = 5.0


@dataclass
class Snapshot:
    """An execution at one moment."""

    described: dict[str, Any]
    steps: list[Step]
    job: jobs.JobView | None = None
    trials: list[dict[str, Any]] = field(default_factory=list)
    following: str = ""
    progress: str = ""

    @property
    def current(self) -> Step | None:
        return next((step for step in reversed(self.steps) if step.exited is None), None)

    @property
    def over(self) -> bool:
        return self.described["status"] in executions.FINAL


class Watch:
    """Asks for an execution again and again until it is over."""

    def __init__(self, target: Target, arn: str):
        self.target, self.arn = target, arn
        described = executions.describe(target, arn)
        machine = target.client("stepfunctions").describe_state_machine(stateMachineArn=described["stateMachineArn"])
        self.states = json.loads(machine["definition"])["States"]
        self.planned = planned(described.get("input") or "{}")
        self._trials: list[dict[str, Any]] = []
        self._searched = False

    def snapshots(self) -> Iterator[Snapshot]:
        """One snapshot per interval; the last one is of the finished execution."""
        interval = LOCAL_INTERVAL if self.target.is_local else AWS_INTERVAL
        while True:
            snapshot = self._snapshot()
            yield snapshot
            if snapshot.over:
                return
            time.sleep(interval)

    def _snapshot(self) -> Snapshot:
        described = executions.describe(self.target, self.arn)
        snapshot = Snapshot(described, read(executions.history(self.target, self.arn)))
        searches = [
            step for step in snapshot.steps if step.resource.startswith("createHyperParameterTuningJob") and step.job
        ]
        if searches and searches[-1].exited and not self._searched:
            # The last trials end between two looks: once more, when the search is over.
            self._searched, over = True, jobs.look(self.target, searches[-1])
            self._trials = (over.trials if over else []) or self._trials
        if step := snapshot.current:
            snapshot.job = jobs.look(self.target, step)
            self._trials = (snapshot.job.trials if snapshot.job else []) or self._trials
            snapshot.following = next_job_state(self.states, step.name, self.planned)
            snapshot.progress = _progress(self.target, step)
        snapshot.trials = self._trials
        return snapshot


PROGRESS = re.compile(r"[a-z ]+: [\d,]+ of [\d,]+ \(\d+%\), .*")


def _progress(target: Target, step: Step) -> str:
    """What a processing job said last of how far it is; other jobs tell by their metrics."""
    if not step.resource.startswith("createProcessingJob"):
        return ""
    last = jobs.last_lines(target, step, 1)
    return last[0] if last and PROGRESS.fullmatch(last[0]) else ""


def planned(text: str) -> dict[str, Any]:
    """The execution's input over the defaults, in the plan's own paths: which ways it will go."""
    try:
        document = json.loads(text)
    except ValueError:
        document = {}
    merged = dict(defaults())
    for name, value in (document if isinstance(document, dict) else {}).items():
        old = merged.get(name)
        merged[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return {"plan": merged, "input": merged}


def next_job_state(states: dict[str, Any], name: str, known: dict[str, Any] | None = None) -> str:
    """The nearest state after `name` that runs a job, along the ways that are no failures; empty if none follows.

    A choice goes where `known` sends it; what is not known yet leaves every way open.
    """
    queue, seen = _successors(states.get(name, {}), known or {}), {name}
    while queue:
        current = queue.pop(0)
        if current in seen or current not in states:
            continue
        seen.add(current)
        if str(states[current].get("Resource", "")).endswith(".sync"):
            return current
        queue += _successors(states[current], known or {})
    return ""


def _successors(state: dict[str, Any], known: dict[str, Any]) -> list[str]:
    for choice in state.get("Choices", []):
        answer = _holds(choice, known)
        if answer:
            return [choice["Next"]]
        if answer is None:
            break
    else:
        return [name for name in [state.get("Next"), state.get("Default")] if name]
    choices = [choice["Next"] for choice in state["Choices"] if _holds(choice, known) is not False]
    return [name for name in [state.get("Next"), *choices, state.get("Default")] if name]


def _holds(rule: dict[str, Any], known: dict[str, Any]) -> bool | None:
    """Whether a rule of a choice is true; None where its variable is not known, or its kind not looked into."""
    if "And" in rule:
        answers = [_holds(part, known) for part in rule["And"]]
        return False if False in answers else None if None in answers else True
    if "Or" in rule:
        answers = [_holds(part, known) for part in rule["Or"]]
        return True if True in answers else None if None in answers else False
    if "Not" in rule:
        answer = _holds(rule["Not"], known)
        return None if answer is None else not answer
    value: Any = known
    for part in str(rule.get("Variable", "")).removeprefix("$.").split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    for kind in ("StringEquals", "BooleanEquals", "NumericEquals"):
        if kind in rule:
            return value == rule[kind]
    return None


def follow(target: Target, arn: str, console: Console) -> Snapshot:
    """Show an execution until it is over."""
    watch = Watch(target, arn)
    return _on_terminal(watch, console) if console.is_terminal else _in_lines(watch, console)


def _on_terminal(watch: Watch, console: Console) -> Snapshot:
    trials: list[dict[str, Any]] = []
    with Live(console=console, refresh_per_second=4) as live:
        for snapshot in watch.snapshots():
            trials = snapshot.trials or trials
            live.update(_view(snapshot))
    return snapshot


def _view(snapshot: Snapshot) -> Group:
    now = datetime.now(snapshot.described["startDate"].tzinfo)
    table = Table(box=None, show_header=False, padding=(0, 1))
    for step in snapshot.steps:
        mark = {"Succeeded": "[green]✓[/green]", "Running": "[cyan]▶[/cyan]"}.get(step.status, "[red]✗[/red]")
        table.add_row(
            mark, step.name, f"{step.seconds(now):.1f} s", _detail(snapshot) if step is snapshot.current else ""
        )
    rows: list[Any] = [table]
    if snapshot.trials:
        rows.append(trial_table(snapshot.trials))
    following = f" · next: {snapshot.following}" if snapshot.following else ""
    rows.append(
        Text(f"{snapshot.described['status']} · {executions.elapsed(snapshot.described):.0f} s{following}", style="dim")
    )
    return Group(*rows)


def _detail(snapshot: Snapshot) -> str:
    if not snapshot.job:
        return ""
    metrics = "  ".join(f"{name} {value:.4g}" for name, value in snapshot.job.metrics.items())
    return escape(f"{snapshot.job.name} {snapshot.job.status}  {snapshot.progress or metrics}")


def trial_table(trials: list[dict[str, Any]]) -> Table:
    """Trials with their hyperparameters and objective."""
    names = sorted({name for trial in trials for name in trial["hyperparameters"]})
    metric = next((trial["metric"] for trial in trials if trial["metric"]), "objective")
    table = Table("trial", "status", *names, metric, box=None, padding=(0, 1), header_style="dim")
    for number, trial in enumerate(trials, 1):
        values = [short(trial["hyperparameters"].get(name, "")) for name in names]
        objective = "" if trial["objective"] is None else f"{trial['objective']:.4f}"
        table.add_row(str(number), trial["status"], *values, objective)
    return table


def short(value: str) -> str:
    """A number with four digits; all else as it is."""
    try:
        return value if value.isdigit() else f"{float(value):.4g}"
    except ValueError:
        return value


def _in_lines(watch: Watch, console: Console) -> Snapshot:
    said: set[tuple[object, ...]] = set()

    def say(key: tuple[object, ...], text: str) -> None:
        if key not in said:
            said.add(key)
            console.print(f"[{executions.elapsed(snapshot.described):6.1f} s] {text}", markup=False, soft_wrap=True)

    for snapshot in watch.snapshots():
        for number, step in enumerate(snapshot.steps):
            say((number, "begun"), f"{step.name}: begun")
            if step.job:
                say((number, step.job), f"{step.name}: job {step.job}")
            if step is snapshot.current and snapshot.progress:
                say((number, snapshot.progress), f"{step.name}: {snapshot.progress}")
            if step.resource.startswith("createHyperParameterTuningJob"):
                for trial in snapshot.trials:
                    if trial["objective"] is not None:
                        say(
                            (trial["name"],),
                            f"{trial['name']}: {trial['metric']} {trial['objective']:.4f} {trial['hyperparameters']}",
                        )
            if step.exited:
                say((number, "over"), f"{step.name}: {step.status.lower()} after {step.seconds(step.exited):.1f} s")
    console.print(f"[{executions.elapsed(snapshot.described):6.1f} s] {snapshot.described['status']}", markup=False)
    return snapshot
