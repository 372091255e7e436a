"""Trials and the final training, asked from SageMaker where the job may ask, else from what the state machine noted."""

import io
import json
import tarfile
from dataclasses import dataclass
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from analysis_code import aws
from analysis_code.report.inputs import Missing
from contract.foreign_json import parse
from contract.state_file import read_state_file
from contract.validation import InvalidField

_QUICK = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2, "mode": "standard"})


@dataclass(frozen=True)
class Trial:
    """One training job of a search; objective None: it reported none."""

    name: str
    status: str
    hyperparameters: dict[str, str]
    objective: float | None
    seconds: float | None


@dataclass(frozen=True)
class Tuning:
    """A search; `chosen` is the trial that was trained, as the search itself said. Equal objectives are common."""

    job: str
    objective_name: str
    higher_is_better: bool
    trials: list[Trial]
    chosen: str = ""

    @property
    def best(self) -> Trial | None:
        """The trial whose hyperparameters were trained; None where the search named none."""
        return next((trial for trial in self.trials if trial.name == self.chosen), None)

    def results(self) -> dict[str, Any]:
        """For programs."""
        best = self.best
        return {
            "job": self.job,
            "trials": len(self.trials),
            "objective": self.objective_name,
            "best_trial": best.name if best else None,
            "best_hyperparameters": best.hyperparameters if best else None,
            "best_objective": best.objective if best else None,
            "all_trials": [vars(trial) for trial in self.trials],
        }


def client(service: str) -> Any:
    """A client that gives up soon: a page with a missing piece is better than none."""
    return aws.client(service, config=_QUICK)


def read_tuning(job: str | None, trained: str | None = None) -> Tuning | Missing:
    """The trials of a tuning job; `trained`: the one that the state machine went on with, else SageMaker is asked for it."""
    if not job or job == "none":
        return Missing("no tuning job belongs to this run")
    try:
        sagemaker = client("sagemaker")
        described = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=job)
        pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
        summaries = [
            summary
            for page in pages.paginate(HyperParameterTuningJobName=job)
            for summary in page["TrainingJobSummaries"]
        ]
    except (ClientError, BotoCoreError) as error:
        return Missing(f"SageMaker did not tell: {error}", failed=True)
    objective = described["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective", {})
    trials = [_trial(summary) for summary in sorted(summaries, key=lambda one: one["CreationTime"])]
    chosen = trained or (described.get("BestTrainingJob") or {}).get("TrainingJobName", "")
    return Tuning(job, objective.get("MetricName", "objective"), objective.get("Type") != "Minimize", trials, chosen)


def _trial(summary: dict[str, Any]) -> Trial:
    begin, end = summary.get("TrainingStartTime"), summary.get("TrainingEndTime")
    metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric") or {}
    value = metric.get("Value")
    return Trial(
        summary["TrainingJobName"],
        summary["TrainingJobStatus"],
        dict(summary.get("TunedHyperParameters") or {}),
        float(value) if value is not None else None,
        (end - begin).total_seconds() if begin and end else None,
    )


def read_training_job(job: str | None) -> dict[str, Any] | Missing:
    """What SageMaker knows about the final training job."""
    if not job or job == "none":
        return Missing("no training job belongs to this run")
    try:
        return client("sagemaker").describe_training_job(TrainingJobName=job)
    except (ClientError, BotoCoreError) as error:
        return Missing(f"SageMaker did not tell: {error}", failed=True)


def read_search(job: str | None, model_data: str | None) -> Tuning | Missing:
    """The trials of a search inside one training job: `trials.json` in its output."""
    text = _from_output(model_data, "trials.json")
    if isinstance(text, Missing):
        return text
    try:
        found = parse(text)
        trials = [
            Trial(
                f"trial {one['number']}",
                one["state"],
                dict(one["hyperparameters"]),
                one["objective"],
                one.get("seconds"),
            )
            for one in found["trials"]
        ]
        return Tuning(
            job or "one training job", found["objective"], bool(found["maximize"]), trials, f"trial {found['best']}"
        )
    except (ValueError, KeyError, TypeError) as error:
        return Missing(f"trials.json of the training cannot be read: {error}", failed=True)


def read_epochs(model_data: str | None) -> list[dict[str, Any]] | Missing:
    """`epochs.jsonl` from the training's output; rows with their metrics."""
    text = _from_output(model_data, "epochs.jsonl")
    if isinstance(text, Missing):
        return text
    try:
        return [json.loads(line) for line in text.splitlines()]
    except ValueError as error:
        return Missing(f"epochs.jsonl of the training cannot be read: {error}", failed=True)


def read_decisions(model_data: str | None) -> dict[str, Any] | Missing:
    """`training.json` from the training's output: what was decided while it ran, such as a refit that was done."""
    text = _from_output(model_data, "training.json")
    if isinstance(text, Missing):
        return text
    try:
        found = read_state_file("training.json of the training", text)
        if "refit" in found and not {"photos", "epochs"} <= set(found["refit"] or ()):
            raise InvalidField("training.json of the training: refit", found["refit"], "photos and epochs")
    except InvalidField as error:
        return Missing(str(error), failed=True)
    return found


def _from_output(model_data: str | None, name: str) -> str | Missing:
    """A file of the `output.tar.gz` that SageMaker stores beside the model."""
    if not model_data or not model_data.startswith("s3://"):
        return Missing("the place of the training's output was not noted")
    bucket, _, key = model_data.removeprefix("s3://").partition("/")
    key = f"{key.rpartition('/')[0]}/output.tar.gz"
    try:
        packed = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            found = [one for one in archive if one.isfile() and one.name.rpartition("/")[2] == name]
            if not found:
                return Missing(f"the training's output.tar.gz holds no {name}")
            shallowest = min(found, key=lambda one: one.name.count("/"))
            return archive.extractfile(shallowest).read().decode("utf-8")
    except (ClientError, BotoCoreError) as error:
        return Missing(f"S3 did not give the training's output.tar.gz: {error}", failed=True)
    except (tarfile.TarError, ValueError, EOFError) as error:
        return Missing(f"the training's output.tar.gz cannot be read: {error}", failed=True)
