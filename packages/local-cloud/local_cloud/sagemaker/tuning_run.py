"""A tuning job while it runs: trials side by side, each a training job, until a limit or a criterion ends it.

With a `RandomSeed` the choice of trials is the same every time, also where trials run side by side and end in another order: they are
taken account of in the order in which they began, so each trial is chosen from the same results. What stops trials early, or the
whole search by time, goes by the clock and can still differ.
"""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_cloud.sagemaker.runs import CloudStopped, JobRun
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.search import Search
from local_cloud.sagemaker.search_space import Parameter
from local_cloud.sagemaker.store import Document
from local_cloud.sagemaker.training_run import TrainingRun

if TYPE_CHECKING:
    from optuna.trial import Trial

# AWS gives up when none of the first five training jobs succeeds.
ATTEMPTS_WITHOUT_SUCCESS = 5
COPIED = (
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "CheckpointConfig",
    "RetryStrategy",
    "Environment",
)

# The SageMaker SDK says by this field what ResourceConfig says.
RESOURCES = "HyperParameterTuningResourceConfig"


def training_request(tuning: Document, name: str, tuned: dict[str, str]) -> Document:
    """The CreateTrainingJob request of one trial."""
    definition = tuning["TrainingJobDefinition"]
    request = {field: definition[field] for field in COPIED if field in definition}
    if RESOURCES in definition:
        request["ResourceConfig"] = _resources(definition[RESOURCES])
    objective = tuning["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    static = definition.get("StaticHyperParameters", {})
    return {
        **request,
        "TrainingJobName": name,
        "HyperParameters": {**static, **tuned, "_tuning_objective_metric": objective},
    }


def _resources(asked: Document) -> Document:
    """A trial's ResourceConfig: the first of several instance configurations, which AWS takes when it has them free."""
    chosen = {**asked, **(asked.get("InstanceConfigs") or [{}])[0]}
    return {
        field: chosen[field]
        for field in ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
        if field in chosen
    }


@dataclass
class Attempt:
    """One trial and its training job."""

    name: str
    trial: "Trial"
    tuned: dict[str, str]
    step: int = 0
    pruned: bool = False
    ended: bool = False


class TuningRun(JobRun):
    """Starts trials, follows their objective, and reports the best."""

    kind = "HyperParameterTuningJob"

    def __init__(self, runtime: Runtime, job: Document, parameters: list[Parameter], maximum_jobs: int):
        super().__init__(runtime, job["HyperParameterTuningJobName"])
        self.job, self.parameters, self.maximum_jobs = job, parameters, maximum_jobs
        self.config = job["HyperParameterTuningJobConfig"]
        self.objective = self.config["HyperParameterTuningJobObjective"]
        self.attempts: list[Attempt] = []
        self._settled: list[Attempt] = []
        self._best: float | None = None
        self._since_best = 0
        self._lock = threading.Lock()

    def execute(self) -> None:
        self.search = Search(self.config, self.parameters, self.maximum_jobs)
        self._learn_from_parents()
        self._take_up_trials()
        try:
            reason = self._search()
        finally:
            self._stop_trials()
        self.check_stop()
        while self._open():
            self._settle()
        self._finish(reason)

    def _search(self) -> str:
        """Runs trials until there is a reason to end; returns it."""
        seconds = self.config["ResourceLimits"].get("MaxRuntimeInSeconds")
        deadline = None if seconds is None else self.clock.ticks() + seconds
        while not (reason := self._reason_to_end(deadline)):
            while self._may_start():
                self._start_trial()
            waiting = self._next_to_settle()
            remaining = None if deadline is None else max(0.01, deadline - self.clock.ticks())
            self.control.wait(lambda w=waiting: self.control.stop_requested or any(a.ended for a in w), remaining)
            self._settle()
        return reason

    def _stop_trials(self) -> None:
        for attempt in self._open():
            if run := self.runtime.runs.find("TrainingJob", attempt.name):
                run.stop()
        self.control.wait(lambda: all(attempt.ended for attempt in self.attempts), None)

    def _take_up_trials(self) -> None:
        """After the end of a process of the cloud: its trials in their order, those that had not ended once more."""
        arn = self.job["HyperParameterTuningJobArn"]
        trials = self.runtime.store.all("TrainingJob", lambda d: d.get("TuningJobArn") == arn)
        for job in sorted(trials, key=lambda d: d["TrainingJobName"]):
            # In the order of before: a seed asks for the same points only after the same answers.
            while not self._has_room() and self._open()[0].ended:
                self._settle()
            tuned = job["_TunedHyperParameters"]
            attempt = Attempt(job["TrainingJobName"], self.search.again(tuned), tuned)
            self.attempts.append(attempt)
            if job["TrainingJobStatus"] != "InProgress":
                attempt.ended = True
                continue
            TrainingRun(self.runtime, job, again=True, **self._listeners(attempt)).start()
        self._settle()

    def _listeners(self, attempt: Attempt) -> dict[str, Callable[..., None]]:
        return {
            "on_metric": lambda metric, value, _: self._follow(attempt, metric, value),
            "on_end": lambda: self._ended(attempt),
        }

    def record_failure(self, reason: str) -> None:
        self.change(
            HyperParameterTuningJobStatus="Failed", HyperParameterTuningEndTime=self.now(), FailureReason=reason
        )

    def _open(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt not in self._settled]

    def _next_to_settle(self) -> list[Attempt]:
        """Trials of which one is waited for: without a seed any, with one the oldest alone."""
        return self._open() if self.config.get("RandomSeed") is None else self._open()[:1]

    def _may_start(self) -> bool:
        return len(self.attempts) < self.maximum_jobs and self._has_room()

    def _has_room(self) -> bool:
        return len(self._open()) < self.config["ResourceLimits"]["MaxParallelTrainingJobs"]

    def _reason_to_end(self, deadline: float | None) -> str:
        """Why no further trial starts, or nothing."""
        if self.runtime.stopping.is_set():
            raise CloudStopped
        if self.control.stop_requested:
            return "stop"
        if len(self._settled) >= self.maximum_jobs:
            return "done"
        if deadline is not None and self.clock.ticks() >= deadline:
            return "done"
        if self._best is None and len(self._settled) >= ATTEMPTS_WITHOUT_SUCCESS:
            return "hopeless"
        criteria = self.config.get("TuningJobCompletionCriteria", {})
        target = criteria.get("TargetObjectiveMetricValue")
        if (
            target is not None
            and self._best is not None
            and (self._best == target or self.search.better(self._best, target))
        ):
            return "done"
        patience = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
        return "done" if patience is not None and self._since_best >= patience else ""

    def _start_trial(self) -> None:
        from local_cloud.sagemaker.training import start_training

        trial, tuned = self.search.ask()
        name = f"{self.name}-{len(self.attempts) + 1:03d}-{secrets.token_hex(4)}"
        attempt = Attempt(name, trial, tuned)
        fields = {
            "TuningJobArn": self.job["HyperParameterTuningJobArn"],
            "_TuningJobName": self.name,
            "_TunedHyperParameters": tuned,
        }
        start_training(
            self.runtime,
            training_request(self.job, name, tuned),
            fields=fields,
            **self._listeners(attempt),
        )
        self.attempts.append(attempt)
        self._count()

    def _follow(self, attempt: Attempt, metric: str, value: float) -> None:
        """An objective value of a running trial; may stop it."""
        if metric != self.objective["MetricName"] or attempt.pruned:
            return
        attempt.step += 1
        if self.search.report(attempt.trial, attempt.step, value):
            attempt.pruned = True
            if run := self.runtime.runs.find("TrainingJob", attempt.name):
                run.stop()

    def _ended(self, attempt: Attempt) -> None:
        with self.control.bell:
            attempt.ended = True
            self.control.bell.notify_all()

    def _settle(self) -> None:
        """Takes account of the trials that have ended."""
        for attempt in [a for a in self._next_to_settle() if a.ended]:
            job = self.runtime.store.get("TrainingJob", attempt.name)
            value = self._objective_of(job)
            counted = value is not None and job["TrainingJobStatus"] in ("Completed", "Stopped")
            # A trial that ended before the stop reached it has a true final value.
            pruned = attempt.pruned and job["TrainingJobStatus"] == "Stopped"
            self.search.tell(attempt.trial, value if counted else None, stopped_early=pruned)
            metric = {"MetricName": self.objective["MetricName"], "Value": value, "Type": self.objective["Type"]}
            self.runtime.store.change(
                "TrainingJob",
                attempt.name,
                _Objective=metric if counted else None,
                _ObjectiveStatus="Succeeded" if counted else "Failed",
            )
            self._since_best += 1
            if counted and value is not None and self.search.better(value, self._best):
                self._best, self._since_best = value, 0
                self._record_best(job, attempt, metric)
            self._settled.append(attempt)
        self._count()

    def _objective_of(self, job: Document) -> float | None:
        for metric in job.get("FinalMetricDataList", []):
            if metric["MetricName"] == self.objective["MetricName"] and metric["Value"] == metric["Value"]:
                return metric["Value"]
        return None

    def _record_best(self, job: Document, attempt: Attempt, metric: Document) -> None:
        best = {
            field: job[field]
            for field in (
                "TrainingJobName",
                "TrainingJobArn",
                "CreationTime",
                "TrainingStartTime",
                "TrainingEndTime",
                "TrainingJobStatus",
            )
            if field in job
        }
        self.change(
            BestTrainingJob={
                **best,
                "TunedHyperParameters": attempt.tuned,
                "ObjectiveStatus": "Succeeded",
                "FinalHyperParameterTuningJobObjectiveMetric": metric,
            }
        )

    def _count(self) -> None:
        counters = dict.fromkeys(("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped"), 0)
        objectives = dict.fromkeys(("Succeeded", "Pending", "Failed"), 0)
        for attempt in self.attempts:
            job = self.runtime.store.get("TrainingJob", attempt.name)
            status = job["TrainingJobStatus"]
            counters[{"Failed": "NonRetryableError", "Stopping": "InProgress"}.get(status, status)] += 1
            objectives[job.get("_ObjectiveStatus", "Pending")] += 1
        self.change(TrainingJobStatusCounters=counters, ObjectiveStatusCounters=objectives)

    def _finish(self, reason: str) -> None:
        if reason == "stop":
            self.change(HyperParameterTuningJobStatus="Stopped", HyperParameterTuningEndTime=self.now())
        elif self._best is None:
            self.record_failure(
                f"No training job succeeded after {len(self._settled)} attempts. For additional details, please take a "
                "look at the training job failures by listing training jobs for the hyperparameter tuning job."
            )
        else:
            self.change(HyperParameterTuningJobStatus="Completed", HyperParameterTuningEndTime=self.now())

    def _learn_from_parents(self) -> None:
        """WarmStartConfig: the parents' trials inside of the ranges are known from the start."""
        for parent in self.job.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", []):
            arn = self.runtime.arn(self.kind, parent["HyperParameterTuningJobName"])
            for job in self.runtime.store.all("TrainingJob", lambda d, a=arn: d.get("TuningJobArn") == a):
                if job.get("_Objective"):
                    self.search.learn(job["HyperParameters"], job["_Objective"]["Value"])
