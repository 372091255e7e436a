"""A hyperparameter search inside one training job (`single_job`): for when starting instances would cost more than the search.

Same ranges, strategies and objective as a SageMaker tuning job, by Optuna. Each finished trial is kept under
`/opt/ml/checkpoints`, so that an interrupted search goes on. `best.json` says what won, and no more: it passes through the state machine,
whose whole state is limited to 256 KiB. All trials are in `trials.json`. `minutes` are those of the search over all its interruptions:
no trial starts after them, and the one that runs is cut at the end of its epoch. Refuses a `search` it cannot read.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from contract.failure import JobFailure
from contract.foreign_json import parse
from contract.hyperparameters import RULES, as_string
from contract.metrics import OBJECTIVES
from contract.search_space import STRATEGIES
from training_code.observation import NoObserver, Observer
from training_code.train.artifact import Outcome
from training_code.train.checkpoints import identity_of, write_whole
from training_code.train.job import Job
from training_code.train.record import Watch
from training_code.train.stopping import StopRequest

SEARCH_FILE, BEST_FILE, TRIALS_FILE = "search.json", "best.json", "trials.json"
EVERY = ("ContinuousParameterRanges", "IntegerParameterRanges", "CategoricalParameterRanges")


class Pruned(Exception):
    """This trial is not worth finishing."""


class OutOfTime(Exception):
    """The minutes of the search are over."""


@dataclass(frozen=True)
class Search:
    """The hyperparameter `search`, read; `ranges` in the shape of the SageMaker API."""

    strategy: str
    max_jobs: int
    early_stopping: bool
    objective: str
    maximize: bool
    ranges: dict[str, list[dict[str, Any]]]
    minutes: float | None = None

    @classmethod
    def read(cls, text: str) -> Search:
        try:
            raw = parse(text)
            search = cls(
                strategy=raw["strategy"],
                max_jobs=int(raw["max_jobs"]),
                early_stopping=raw["early_stopping"] == "Auto",
                objective=raw["objective"]["MetricName"],
                maximize=raw["objective"]["Type"] == "Maximize",
                ranges={kind: list(raw["parameter_ranges"].get(kind, [])) for kind in EVERY},
                minutes=None if raw.get("minutes") is None else float(raw["minutes"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise JobFailure(
                f"hyperparameters.search: received {text[:120]!r} ({type(error).__name__}: {error}); allowed: JSON with "
                "strategy, max_jobs, early_stopping, objective and parameter_ranges, as `prepare` writes it into plan.json."
            ) from None
        search.check()
        return search

    def check(self) -> None:
        if self.strategy not in STRATEGIES:
            raise JobFailure(f"search.strategy: received {self.strategy!r}; allowed: {', '.join(STRATEGIES)}.")
        if self.objective not in OBJECTIVES:
            raise JobFailure(f"search.objective: received {self.objective!r}; allowed: {', '.join(OBJECTIVES)}.")
        if self.max_jobs < 1:
            raise JobFailure(f"search.max_jobs: received {self.max_jobs}; allowed: a whole number of at least 1.")
        if self.minutes is not None and not self.minutes > 0:
            raise JobFailure(f"search.minutes: received {self.minutes}; allowed: a number above 0.")
        names = [entry["Name"] for kind in EVERY for entry in self.ranges[kind]]
        unknown = [name for name in names if name not in RULES]
        if unknown or not names:
            raise JobFailure(f"search.parameter_ranges: received {names}; allowed: ranges of {', '.join(RULES)}.")

    def distributions(self) -> dict[str, Any]:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        found: dict[str, Any] = {}
        for entry in self.ranges["ContinuousParameterRanges"]:
            low, high = float(entry["MinValue"]), float(entry["MaxValue"])
            if entry.get("ScalingType") == "ReverseLogarithmic":
                # SageMaker samples log(1 - value): fine steps near 1. Optuna has no such scale, so 1 - value is searched.
                found[entry["Name"]] = FloatDistribution(1 - high, 1 - low, log=high < 1)
            else:
                found[entry["Name"]] = FloatDistribution(low, high, log=_logarithmic(entry, low, high))
        for entry in self.ranges["IntegerParameterRanges"]:
            low, high = int(entry["MinValue"]), int(entry["MaxValue"])
            found[entry["Name"]] = IntDistribution(low, high, log=_logarithmic(entry, low, high))
        for entry in self.ranges["CategoricalParameterRanges"]:
            found[entry["Name"]] = CategoricalDistribution(entry["Values"])
        return found

    def as_strings(self, values: dict[str, Any]) -> dict[str, str]:
        """Suggested values as hyperparameters."""
        reverse = {
            e["Name"] for e in self.ranges["ContinuousParameterRanges"] if e.get("ScalingType") == "ReverseLogarithmic"
        }
        return {name: as_string(1 - value if name in reverse else value) for name, value in values.items()}


def _logarithmic(entry: dict[str, Any], low: float, high: float) -> bool:
    """`Auto` is logarithmic, as SageMaker chooses for ranges over orders of magnitude."""
    kind = entry.get("ScalingType", "Auto")
    return low > 0 and (kind == "Logarithmic" or (kind == "Auto" and high / low >= 100))


class TrialLog:
    """Finished trials of this very search on disk."""

    def __init__(self, job: Job, search: Search) -> None:
        self._path = job.checkpoints / SEARCH_FILE
        self._identity = identity_of({"settings": job.settings.course(), "search": vars(search)})
        self.trials: list[dict[str, Any]] = []
        self.seconds: list[float] = []  # apart from the trials, which come out the same however often a search is cut
        if self._path.is_file():
            stored = json.loads(self._path.read_text(encoding="utf-8"))
            if stored["identity"] == self._identity:
                self.trials = stored["trials"]
                self.seconds = [*stored.get("seconds", []), *([0.0] * len(self.trials))][: len(self.trials)]

    def add(self, trial: dict[str, Any], seconds: float) -> None:
        self.trials.append(trial)
        self.seconds.append(seconds)
        text = json.dumps({"identity": self._identity, "trials": self.trials, "seconds": self.seconds}, indent=2)
        write_whole(self._path, lambda target: target.write_text(text, encoding="utf-8") and None)

    def timed(self) -> list[dict[str, Any]]:
        return [{**trial, "seconds": seconds} for trial, seconds in zip(self.trials, self.seconds, strict=True)]


class Budget:
    """The seconds that a search may take; `used`: those of the trials that ended before it was interrupted."""

    def __init__(self, search: Search, used: float, clock: Callable[[], float]) -> None:
        self._limit = math.inf if search.minutes is None else search.minutes * 60
        self._clock, self._began = clock, clock() - used

    def is_over(self) -> bool:
        return self._clock() - self._began >= self._limit


class Train(Protocol):
    """One training, as `run.train` carries it out: handed in, because a search is itself a part of a run."""

    def __call__(
        self, job: Job, stop: StopRequest, observer: Observer, watch: Watch | None = None
    ) -> Outcome | None: ...


def best_of_search(job: Job, stop: StopRequest, train: Train, clock: Callable[[], float] = time.perf_counter) -> Job:
    """Run (or go on with) the search; the job with the best trial's hyperparameters, both files beside the checkpoints."""
    search = Search.read(job.settings.search)
    if job.settings.fine_tune == "head" and job.rank > 0:
        return job.with_settings({"search": ""})
    log = TrialLog(job, search)
    if log.trials:
        print(f"search: going on after {len(log.trials)} finished trials", flush=True)
    _run_trials(job, search, log, stop, train, clock)
    finished = [trial for trial in log.trials if trial["objective"] is not None]
    if not finished:
        raise JobFailure(
            f"search: none of {len(log.trials)} trials gave a {search.objective}; the last one failed with: "
            f"{log.trials[-1].get('reason', 'no reason')} Narrow tuning.ranges (a lower learning_rate first)."
        )
    best = (max if search.maximize else min)(finished, key=lambda trial: trial["objective"])
    seconds = sum(log.seconds)
    answer = {"hyperparameters": best["hyperparameters"], "objective": best["objective"]}
    everything = {
        "objective": search.objective, "maximize": search.maximize, "seconds": seconds, "best": best["number"],
        "trials": log.timed(),
    }  # fmt: skip
    files = {BEST_FILE: {**answer, "trials": len(log.trials), "seconds": seconds}, TRIALS_FILE: everything}
    for name, content in files.items():
        text = json.dumps(content, indent=2) + "\n"
        for folder in (job.checkpoints, job.output_data):
            write_whole(folder / name, lambda target, text=text: target.write_text(text, encoding="utf-8") and None)
    print(f"search: best trial {best['number']} of {len(log.trials)}: {best['hyperparameters']}", flush=True)
    return job.with_settings({**best["hyperparameters"], "search": ""}, checkpoints="best")


def _run_trials(
    job: Job, search: Search, log: TrialLog, stop: StopRequest, train: Train, clock: Callable[[], float]
) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = search.distributions()
    study = optuna.create_study(direction="maximize" if search.maximize else "minimize", pruner=_pruner(search, job))
    for trial in log.trials:
        study.add_trial(_as_optuna(trial, space))
    count = search.max_jobs
    if search.strategy == "Grid":
        count = math.prod(len(entry["Values"]) for entry in search.ranges["CategoricalParameterRanges"])
    budget = Budget(search, sum(log.seconds), clock)
    for number in range(len(log.trials), count):
        if budget.is_over() and any(trial["objective"] is not None for trial in log.trials):
            print(f"search: its {search.minutes:g} minutes are over after {number} of {count} trials", flush=True)
            break
        # A sampler of its own for each trial: what it draws depends on what has been found, not on where the search was cut.
        study.sampler = _sampler(search, job.settings.seed + number, count)
        asked = study.ask(space)
        values = _grid_cell(search, number) if search.strategy == "Grid" else dict(asked.params)
        started = clock()
        trial = _run_trial(job, search, number, values, asked, study, stop, train, budget)
        log.add(trial, clock() - started)


def _run_trial(
    job: Job, search: Search, number: int, values: dict[str, Any], asked: Any, study: Any, stop: StopRequest,
    train: Train, budget: Budget,
) -> dict[str, Any]:  # fmt: skip
    import optuna

    strings = search.as_strings(values)
    trial = job.with_settings({**strings, "search": "", "export": "false"}, checkpoints=f"trial-{number}")
    entry = {"number": number, "hyperparameters": strings, "values": values, "objective": None, "state": "Failed"}
    seen: list[float] = []

    def watch(epoch: int, metrics: dict[str, float]) -> None:
        seen.append(metrics[search.objective])
        asked.report(metrics[search.objective], epoch)
        if (search.early_stopping or search.strategy == "Hyperband") and asked.should_prune():
            raise Pruned
        if budget.is_over():
            raise OutOfTime

    try:
        outcome = train(trial, stop, NoObserver(), watch=watch)
        entry |= {"objective": outcome.metrics[search.objective], "state": "Completed"}
        study.tell(asked, entry["objective"])
    except (Pruned, OutOfTime) as cut:
        best = (max if search.maximize else min)(seen)
        entry |= {"objective": best, "state": "Stopped", "epochs": len(seen)}
        if isinstance(cut, OutOfTime):
            entry["reason"] = f"The {search.minutes:g} minutes of the search were over after epoch {len(seen)}."
        study.tell(asked, state=optuna.trial.TrialState.PRUNED)
    except JobFailure as error:
        # A learning rate that makes the loss NaN is an answer of the search, not its end.
        entry["reason"] = str(error)
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
    shown = "failed" if entry["objective"] is None else f"{search.objective} {entry['objective']:.4f}"
    print(f"trial {number}: {entry['state']}, {shown}, {strings}", flush=True)
    return entry


def _as_optuna(trial: dict[str, Any], space: dict[str, Any]) -> Any:
    import optuna

    states = {"Completed": "COMPLETE", "Stopped": "PRUNED", "Failed": "FAIL"}
    return optuna.trial.create_trial(
        params=trial["values"],
        distributions=space,
        value=trial["objective"] if trial["state"] == "Completed" else None,
        state=getattr(optuna.trial.TrialState, states[trial["state"]]),
    )


def _sampler(search: Search, seed: int, count: int) -> Any:
    from optuna import samplers

    if search.strategy in ("Random", "Grid"):
        return samplers.RandomSampler(seed=seed)
    return samplers.TPESampler(seed=seed, n_startup_trials=max(2, count // 3))


def _pruner(search: Search, job: Job) -> Any:
    from optuna import pruners

    if search.strategy == "Hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=job.settings.epochs)
    return pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1) if search.early_stopping else pruners.NopPruner()


def _grid_cell(search: Search, number: int) -> dict[str, Any]:
    """The cell of this number: the last range turns fastest."""
    cell: dict[str, Any] = {}
    for entry in reversed(search.ranges["CategoricalParameterRanges"]):
        number, index = divmod(number, len(entry["Values"]))
        cell[entry["Name"]] = entry["Values"][index]
    return cell
