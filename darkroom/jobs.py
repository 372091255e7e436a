"""What a job is doing, asked of SageMaker: its status, latest metrics, a tuning's trials, and its log lines."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from contract.names import PROCESSING_LOGS, TRAINING_LOGS, TRANSFORM_LOGS, log_group_of_endpoint
from darkroom.failure import DarkroomError
from darkroom.history import Step
from darkroom.target import Target
from darkroom.terminal import plain

LOG_GROUPS = {
    "createProcessingJob": PROCESSING_LOGS,
    "createTrainingJob": TRAINING_LOGS,
    "createHyperParameterTuningJob": TRAINING_LOGS,
    "createTransformJob": TRANSFORM_LOGS,
}


@dataclass
class JobView:
    """One job at one moment."""

    name: str
    status: str
    metrics: dict[str, float] = field(default_factory=dict)
    trials: list[dict[str, Any]] = field(default_factory=list)
    failure: str = ""


def look(target: Target, step: Step) -> JobView | None:
    """The job of a step as it is now; None while it has none."""
    if not step.job:
        return None
    client, kind = target.client("sagemaker"), step.resource.removesuffix(".sync")
    try:
        if kind == "createTrainingJob":
            return _training(client.describe_training_job(TrainingJobName=step.job))
        if kind == "createHyperParameterTuningJob":
            return _tuning(client, step.job)
        if kind == "createProcessingJob":
            said = client.describe_processing_job(ProcessingJobName=step.job)
            return JobView(
                step.job, said["ProcessingJobStatus"], failure=said.get("ExitMessage") or said.get("FailureReason", "")
            )
        said = client.describe_transform_job(TransformJobName=step.job)
        return JobView(step.job, said["TransformJobStatus"], failure=said.get("FailureReason", ""))
    except ClientError:
        return None  # scheduled, but not yet created


def _training(said: dict[str, Any]) -> JobView:
    metrics = {metric["MetricName"]: metric["Value"] for metric in said.get("FinalMetricDataList", [])}
    status = said["TrainingJobStatus"]
    detail = said.get("SecondaryStatus", status)
    shown = status if detail == status else f"{status} ({detail})"
    return JobView(said["TrainingJobName"], shown, metrics, failure=said.get("FailureReason", ""))


def _tuning(client: Any, name: str) -> JobView:
    said = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    pages = client.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName=name
    )
    trials = [_trial(item) for page in pages for item in page["TrainingJobSummaries"]]
    status = said["HyperParameterTuningJobStatus"]
    return JobView(
        name, status, trials=sorted(trials, key=lambda trial: trial["name"]), failure=said.get("FailureReason", "")
    )


def _trial(item: dict[str, Any]) -> dict[str, Any]:
    objective = item.get("FinalHyperParameterTuningJobObjectiveMetric") or {}
    return {
        "name": item["TrainingJobName"],
        "status": item["TrainingJobStatus"],
        "hyperparameters": item.get("TunedHyperParameters", {}),
        "metric": objective.get("MetricName"),
        "objective": objective.get("Value"),
    }


def best_trial(target: Target, tuning_job: str) -> dict[str, Any]:
    """The `tuning` of summary.json from a tuning job."""
    client = target.client("sagemaker")
    said = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=tuning_job)
    best = said.get("BestTrainingJob", {})
    return {
        "trials": sum(said["TrainingJobStatusCounters"].values()),
        "best_hyperparameters": best.get("TunedHyperParameters", {}),
        "best_objective": (best.get("FinalHyperParameterTuningJobObjectiveMetric") or {}).get("Value"),
    }


def last_lines(target: Target, step: Step, count: int) -> list[str]:
    """The last log lines of a step's job; a tuning job has none of its own."""
    group = LOG_GROUPS.get(step.resource.removesuffix(".sync"))
    if not step.job or not group:
        return []
    return [message for _, message in list(_lines(target, group, f"{step.job}/", 0))[-count:]]


def find_group(target: Target, job: str) -> str:
    """The log group in which a job, or an endpoint, has written."""
    groups = [*dict.fromkeys(LOG_GROUPS.values()), log_group_of_endpoint(job)]
    for group in groups:
        if any(_streams(target, group, _streams_of(job, group))):
            return group
    raise DarkroomError(
        f"No log of {job!r} was found in {', '.join(groups)}.",
        "Names of jobs: darkroom follow shows them; aws sagemaker list-training-jobs lists them.",
    )


def read_log(target: Target, job: str, follow: bool) -> Iterator[str]:
    """The lines of a job, in order of time; with `follow`, further ones until interrupted."""
    group, since = find_group(target, job), 0
    prefix = _streams_of(job, group)
    seen: set[str] = set()
    while True:
        for event_id, message in _lines(target, group, prefix, since):
            if event_id not in seen:
                seen.add(event_id)
                yield message
        if not follow:
            return
        time.sleep(1)


def _streams_of(job: str, group: str) -> str:
    """What its streams begin with: all of an endpoint's own group; `<job>/` of a job, or `train-0-1` would be `train-0-10`, too."""
    return "" if group.endswith(f"/{job}") else f"{job}/"


def _streams(target: Target, group: str, prefix: str) -> list[str]:
    options = {"logStreamNamePrefix": prefix} if prefix else {}
    try:
        pages = target.client("logs").get_paginator("describe_log_streams").paginate(logGroupName=group, **options)
        return [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return []
        raise


def _lines(target: Target, group: str, prefix: str, since: int) -> list[tuple[str, str]]:
    """(id, text) of all events of the streams that begin with a prefix, sorted by time."""
    events = []
    for stream in _streams(target, group, prefix):
        pages = target.client("logs").get_paginator("filter_log_events")
        for page in pages.paginate(logGroupName=group, logStreamNames=[stream], startTime=since):
            events += [
                (event["timestamp"], event["eventId"], plain(event["message"]).rstrip()) for event in page["events"]
            ]
    return [(event_id, message) for _, event_id, message in sorted(events, key=lambda event: event[0])]
