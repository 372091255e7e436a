"""summary.json: what came out of an execution, from the execution's history, SageMaker and the files in S3.

Its fields are declared in `darkroom/summary_fields.py`; a field whose step did not run is null, never a made-up value.
"""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from contract import sheet
from contract.state_file import read_state_file
from contract.validation import InvalidField
from contract.whole_file import write_text
from darkroom import executions, failures, jobs
from darkroom.failure import DarkroomError
from darkroom.history import Step, failed_state, orchestration_seconds, read, summarised
from darkroom.target import Target

DATA_REPORT = "data_report.html"


class Results:
    """Reads what one execution left behind."""

    def __init__(self, target: Target, arn: str):
        self.target, self.arn = target, arn
        self.described = executions.describe(target, arn)
        self.events = executions.history(target, arn)
        self.steps = read(self.events)
        self.name = self.described["name"]
        self.folder = target.home.run(self.name)

    def summary(self) -> dict[str, Any]:
        """Everything but the endpoint, which `run` adds when it has asked it."""
        stopped = self.described.get("stopDate") or datetime.now(UTC)
        evaluation, outcome = self._json("evaluation/evaluation.json"), self.outcome()
        report = self._download("report/")
        self._fetch_data_report()
        return {
            "status": self.described["status"],
            "execution_arn": self.arn,
            "seconds": round(executions.elapsed(self.described), 3),
            "orchestration_seconds": round(orchestration_seconds(self.steps, self.described["startDate"], stopped), 3),
            "steps": summarised(self.steps, stopped),
            "tuning": self._tuning(outcome),
            "test": _test(evaluation),
            "warnings": (self._json("prepared/data_report.json") or {}).get("warnings", []),
            "bias": bias_metrics(self._json("bias/analysis.json")),
            "endpoint": None,
            "target_model": (outcome.get("published") or {}).get("target_model"),
            "model_package_arn": (outcome.get("registered") or {}).get("arn"),
            "report": str(self.folder / "report" / "index.html") if "index.html" in report else None,
            "error": failure(self.described, self.events),
        }

    def outcome(self) -> dict[str, Any]:
        """What the state machine knew at its end; empty where it did not get so far."""
        return self._json("outcome/outcome.json") or {}

    def write(self, summary: dict[str, Any]) -> Path:
        """Write summary.json into the execution's folder."""
        path = self.folder / "summary.json"
        write_text(path, json.dumps(summary, indent=2, default=str) + "\n")
        return path

    def failed_step(self) -> Step | None:
        """The step at which the execution failed."""
        return next((step for step in reversed(self.steps) if step.status not in ("Succeeded", "Running")), None)

    @property
    def resumable(self) -> bool:
        """Whether a redrive has something to try again: a state that ends the execution on purpose would end it again."""
        ends = [event["type"] for event in self.events if event["type"].endswith("StateEntered")]
        return self.described.get("redriveStatus") == "REDRIVABLE" and ends[-1:] != ["FailStateEntered"]

    def test_photos(self, count: int) -> list[tuple[Path, str]]:
        """A few photos of the test split, spread over it, downloaded, with what the user's data set calls them."""
        bucket, prefix = executions.folder(self.target, self.name)
        kinds = (".jpg", ".jpeg", ".png")
        names = [key for key in self._keys("test/") if key.lower().endswith(kinds)]
        chosen = [names[index * len(names) // count] for index in range(min(count, len(names)))]
        place = self.folder / "photos"
        place.mkdir(exist_ok=True)
        photos, called = [], self._photo_names()
        for key in dict.fromkeys(chosen):
            name = key.removeprefix(f"{prefix}test/")
            path = place / name.replace("/", "_")
            self.target.client("s3").download_file(bucket, key, str(path))
            photos.append((path, called.get(name, name)))
        return photos

    def _photo_names(self) -> dict[str, str]:
        """By object below `test/`, from the manifest of `prepare`."""
        bucket, prefix = executions.folder(self.target, self.name)
        body = self.target.client("s3").get_object(Bucket=bucket, Key=f"{prefix}prepared/manifest.csv")["Body"].read()
        rows = sheet.read_rows(io.StringIO(body.decode(), newline=""))
        return {row["object"]: row["path"] for row in rows if row["object"]}

    def _tuning(self, outcome: dict[str, Any]) -> dict[str, Any] | None:
        tuning_jobs = [
            step.job for step in self.steps if step.job and step.resource.startswith("createHyperParameterTuningJob")
        ]
        if tuning_jobs:
            return jobs.best_trial(self.target, tuning_jobs[-1])
        best = self._json("tuning/best.json")  # all trials in one training job
        if best is None:
            return None
        return {
            "trials": best.get("trials", ((outcome.get("plan") or {}).get("tuning") or {}).get("max_jobs")),
            "best_hyperparameters": best["hyperparameters"],
            "best_objective": best.get("objective"),
        }

    def _keys(self, folder: str) -> list[str]:
        bucket, prefix = executions.folder(self.target, self.name)
        pages = (
            self.target.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + folder)
        )
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def _json(self, name: str) -> dict[str, Any] | None:
        bucket, prefix = executions.folder(self.target, self.name)
        try:
            body = self.target.client("s3").get_object(Bucket=bucket, Key=prefix + name)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404", "AccessDenied"):
                return None
            raise
        try:
            return read_state_file(f"s3://{bucket}/{prefix}{name}", body)
        except InvalidField as error:
            raise DarkroomError(str(error), f"What is there: aws s3 ls s3://{bucket}/{prefix}") from None

    def _fetch_data_report(self) -> None:
        """What was found in the photos, where a report would link to it: a failed execution may have left this page only."""
        bucket, prefix = executions.folder(self.target, self.name)
        key = f"{prefix}prepared/{DATA_REPORT}"
        if key in self._keys(f"prepared/{DATA_REPORT}"):
            (self.folder / "report").mkdir(exist_ok=True)
            self.target.client("s3").download_file(bucket, key, str(self.folder / "report" / DATA_REPORT))

    def _download(self, folder: str) -> list[str]:
        """Copy a folder of the execution beside summary.json; relative names."""
        bucket, prefix = executions.folder(self.target, self.name)
        names = []
        for key in self._keys(folder):
            relative = key.removeprefix(prefix)
            path = (self.folder / relative).resolve()
            if not path.is_relative_to(self.folder.resolve()):
                raise DarkroomError(
                    f"The object {key!r} would be written outside {self.folder}.", "Look at the report in S3."
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            self.target.client("s3").download_file(bucket, key, str(path))
            names.append(relative.removeprefix(folder))
        return names


def _test(evaluation: dict[str, Any] | None) -> dict[str, Any] | None:
    if evaluation is None:
        return None
    return {name: evaluation.get(name) for name in ("accuracy", "balanced_accuracy", "n")}


def bias_metrics(analysis: dict[str, Any] | None) -> dict[str, Any] | None:
    """Facets and metrics of Clarify's analysis.json as {facet: {value: {metric: number}}}."""
    if analysis is None:
        return None
    by_facet: dict[str, dict[str, dict[str, float]]] = {}
    for phase in ("pre_training_bias_metrics", "post_training_bias_metrics"):
        for facet, groups in (analysis.get(phase) or {}).get("facets", {}).items():
            for group in groups:
                values = {metric["name"]: metric["value"] for metric in group.get("metrics", [])}
                by_facet.setdefault(facet, {}).setdefault(str(group.get("value_or_threshold")), {}).update(values)
    return by_facet or None


def failure(described: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, str] | None:
    """Why an execution did not succeed, from its end and its history."""
    if described["status"] in ("SUCCEEDED", "RUNNING"):
        return None
    error, cause = described.get("error", described["status"]), described.get("cause", "")
    if described["status"] == "ABORTED":
        return {"name": error, "reason": cause or failures.STOPPED, "log": "", "fix": ""}
    return failures.explained(failed_state(events), error, cause)
