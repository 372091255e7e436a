"""Why an execution failed, as a person needs it: what failed, the reason, where the log is, what to do.

The state machine fails with AWS's own error and cause, so that a redrive (`darkroom resume`) goes on at the step that failed; what
they mean is said here, outside its path. The cause of a failed job is the job's description as JSON.
https://docs.aws.amazon.com/step-functions/latest/dg/connect-sagemaker.html
"""

import json
from typing import Any

from contract.names import PROCESSING_LOGS, TRAINING_LOGS, TRANSFORM_LOGS

# Field of the job's name in its description, field of the reason, log group. A processing job's own message is first.
REASONS = (
    ("ProcessingJobName", "ExitMessage", PROCESSING_LOGS),
    ("ProcessingJobName", "FailureReason", PROCESSING_LOGS),
    ("TrainingJobName", "FailureReason", TRAINING_LOGS),
    ("HyperParameterTuningJobName", "FailureReason", TRAINING_LOGS),
    ("TransformJobName", "FailureReason", TRANSFORM_LOGS),
)
# Texts by which a kind of error is known, and what to do about it; the first that fits.
FIXES = (
    (
        ("CapacityError", "InsufficientInstanceCapacity", "nsufficient capacity"),
        "AWS has no such instance free. Go on later, or start again with another type in `instances`, or deploy with "
        "spot_training=false.",
    ),
    (
        ("ResourceLimitExceeded", "service limit", "quota"),
        "The account may not run (that many of) this instance type. Ask for more in Service Quotas (SageMaker, '… for "
        "training/processing/transform job usage'), or choose another type in `instances`.",
    ),
    (
        ("AccessDenied", "not authorized", "is not authorised"),
        "The role of this job may not do that. For photos outside Darkroom's data bucket, deploy with "
        "readable_prefixes=s3://bucket/prefix/.",
    ),
    (
        ("NoSuchBucket", "NoSuchKey", "No S3 objects found", "does not exist"),
        "Check the S3 URI of the data set: aws s3 ls shows what is there.",
    ),
    (
        ("MaxRuntimeExceeded", "MaxWaitTimeExceeded", "exceeded the maximum runtime", "imed out", "States.Timeout"),
        "The job used up its time. Choose a larger instance in `instances`, fewer epochs or photos, or deploy with a "
        "higher max_runtime_minutes.",
    ),
    (
        ("No training job succeeded",),
        "No trial of the search gave a value of its objective. Look at their logs; where `minutes` is given, a trial needs "
        "more of them; lower learning rates in `tuning.ranges` help against losses that are no numbers.",
    ),
    (
        ("OutOfMemory", "ut of memory", "MemoryError"),
        "The job ran out of memory. Choose a larger instance in `instances`; for a training also a smaller "
        "hyperparameters.batch_size or image_size.",
    ),
    (
        # SageMaker and the local cloud say so when memory was the reason; the exit code alone does not tell.
        ("SIGKILL", "exit code 137", "exit code: 137"),
        "The process was killed from outside (SIGKILL), and nothing says that memory was short. Go on from that step; if it "
        "happens again, look at the job's MemoryUtilization and choose a larger instance in `instances`.",
    ),
)
OTHERWISE = "Correct what the reason names and start again; the log has the details."
STOPPED = "It was stopped."


def explained(state: str, error: str, cause: str) -> dict[str, str]:
    """What `state` failed with: the error's name, the reason as a sentence, the log and what to do."""
    if " | What to do: " in cause:
        return _of_an_older_deployment(error, cause)
    reason, log = _reason(error, cause)
    sentence = f"{state} failed: {reason}" if state else reason
    return {"name": error, "reason": sentence, "log": log, "fix": _fix(f"{error} {reason}")}


def _reason(error: str, cause: str) -> tuple[str, str]:
    """The job's own reason and its log where the cause is a job's description, else the cause as it is."""
    job = _job(cause)
    for name, reason, group in REASONS:
        if job.get(name) and job.get(reason):
            return str(job[reason]), f"group {group}, streams that begin with {job[name]}"
    return (f"{cause} ({error})" if cause else error), ""


def _job(cause: str) -> dict[str, Any]:
    try:
        description = json.loads(cause)
    except ValueError:
        return {}
    return description if isinstance(description, dict) else {}


def _fix(failure: str) -> str:
    return next((fix for texts, fix in FIXES if any(text in failure for text in texts)), OTHERWISE)


def _of_an_older_deployment(error: str, cause: str) -> dict[str, str]:
    """Its state machine wrote the sentences itself, joined with ` | `."""
    reason, *parts = cause.split(" | ")
    said = {
        start: next((p.removeprefix(start) for p in parts if p.startswith(start)), "")
        for start in ("Log: ", "What to do: ")
    }
    return {"name": error, "reason": reason, "log": said["Log: "], "fix": said["What to do: "]}
