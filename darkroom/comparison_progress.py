"""How far a comparison has come: a line when a candidate is trained, measured or has failed, not one for every call.

A job's name has its candidate's place in the plan (contract/names.py), so that the execution's history alone says all that is
shown.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console

from contract.names import JobName
from darkroom import executions, live
from darkroom.history import Step, read
from darkroom.target import Target

_DOING = {"extract": "computing features", "train": "training", "bench": "measuring"}
_OTHERS = {"Prepare photos": "preparing photos", "Prepare both sets": "preparing photos", "Compare": "comparing"}


@dataclass(frozen=True)
class Happening:
    """One thing that a job did or does: `name` of the candidate, `step` (extract, train, bench), `seconds`."""

    name: str
    step: str
    seconds: float
    status: str

    @property
    def line(self) -> str | None:
        """What to say of it, once it is over; features are but a part of training."""
        if self.status == "Running" or (self.step == "extract" and self.status == "Succeeded"):
            return None
        if self.status != "Succeeded":
            word = "failed" if self.status == "Failed" else "stopped"  # with the whole execution
            return f"{word:<8}  {self.name} ({_DOING[self.step]})"
        return f"{'measured' if self.step == 'bench' else 'trained':<8}  {self.name} in {self.seconds:.0f} s"


def happenings(steps: Iterable[Step], candidates: list[str], now: datetime) -> list[Happening]:
    """What the jobs of the candidates did, in the order in which they began."""
    happenings: list[Happening] = []
    for step in steps:
        named = JobName.read(step.job or "")
        if named and named.place is not None and named.step in _DOING:
            index, kind = named.place, named.step
            name = candidates[index] if index < len(candidates) else f"candidate {index}"
            status = "Running" if step.exited is None else step.status
            seconds = step.seconds(now)
            if kind == "train":  # with the features that it learnt from
                seconds += sum(one.seconds for one in happenings if (one.name, one.step) == (name, "extract"))
            happenings.append(Happening(name, kind, seconds, status))
    return happenings


def follow(target: Target, arn: str, plan: dict[str, Any] | None, console: Console) -> None:
    """Show a comparison until it is over: lines that stay, and on a terminal what is being done now."""
    candidates = [one["name"] for one in (plan or {}).get("candidates", [])]
    said: set[str] = set()
    with console.status("starting") as status:
        while True:
            described = executions.describe(target, arn)
            steps = read(executions.history(target, arn))
            now = datetime.now(described["startDate"].tzinfo)
            seen = happenings(steps, candidates, now)
            for line in filter(None, (one.line for one in seen)):
                if line.partition(" in ")[0] not in said:
                    said.add(line.partition(" in ")[0])
                    clock = executions.elapsed(described)
                    console.print(f"  [{clock:6.0f} s] {line}", markup=False, highlight=False, soft_wrap=True)
            if described["status"] in executions.FINAL:
                return
            status.update(_current(steps, seen, len(candidates)))
            time.sleep(live.LOCAL_INTERVAL if target.is_local else live.AWS_INTERVAL)


def _current(steps: list[Step], seen: list[Happening], n: int) -> str:
    running = [one for one in seen if one.status == "Running"]
    if running:
        trained = sum(one.step == "train" and one.status == "Succeeded" for one in seen)
        measured = sum(one.step == "bench" and one.status == "Succeeded" for one in seen)
        doing = ", ".join(f"{_DOING[one.step]} {one.name}" for one in running)
        return f"{doing} ({trained} trained, {measured} measured of {n})"
    last = next((step.name for step in reversed(steps) if step.exited is None), "")
    return _OTHERS.get(last, "looking for what is already finished")
