"""Describe failure: whatever fails ends as one sentence that says what failed, why, where the log is and what to do.

Step Functions hands over a failed job as the text of its description. A Catch cannot add which step it belongs to, so
each step has a small state that does.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.names import PROCESSING_LOGS, TRAINING_LOGS, TRANSFORM_LOGS

# Field of the job's name in its description, field of the reason, log group. A processing job's own message is first.
REASONS = (
    ("ProcessingJobName", "ExitMessage", PROCESSING_LOGS),
    ("ProcessingJobName", "FailureReason", PROCESSING_LOGS),
    ("TrainingJobName", "FailureReason", TRAINING_LOGS),
    ("HyperParameterTuningJobName", "FailureReason", TRAINING_LOGS),
    ("TransformJobName", "FailureReason", TRANSFORM_LOGS),
)
# Kind of error, texts by which it is known, and what to do about it.
FIXES = (
    (
        "capacity",
        ("*CapacityError*", "*InsufficientInstanceCapacity*", "*nsufficient capacity*"),
        "AWS has no such instance free. Start again later, choose another type in `instances`, or deploy with "
        "spot_training=false.",
    ),
    (
        "quota",
        ("*ResourceLimitExceeded*", "*service limit*", "*quota*"),
        "The account may not run (that many of) this instance type. Ask for more in Service Quotas (SageMaker, '… for "
        "training/processing/transform job usage'), or choose another type in `instances`.",
    ),
    (
        "permission",
        ("*AccessDenied*", "*not authorized*", "*is not authorised*"),
        "The role of this job may not do that. For photos outside Darkroom's data bucket, deploy with "
        "readable_prefixes=s3://bucket/prefix/.",
    ),
    (
        "location",
        ("*NoSuchBucket*", "*NoSuchKey*", "*No S3 objects found*", "*does not exist*"),
        "Check the S3 URI of the data set: aws s3 ls shows what is there.",
    ),
    (
        "time",
        ("*MaxRuntimeExceeded*", "*MaxWaitTimeExceeded*", "*exceeded the maximum runtime*", "*imed out*"),
        "The job used up its time. Choose a larger instance in `instances`, fewer epochs or photos, or deploy with a "
        "higher max_runtime_minutes.",
    ),
    (
        "trials",
        ("*No training job succeeded*",),
        "No trial of the search gave a value of its objective. Look at their logs; where `minutes` is given, a trial needs "
        "more of them; lower learning rates in `tuning.ranges` help against losses that are not numbers.",
    ),
    (
        "memory",
        ("*OutOfMemory*", "*ut of memory*", "*MemoryError*"),
        "The job ran out of memory. Choose a larger instance in `instances`; for a training also a smaller "
        "hyperparameters.batch_size or image_size.",
    ),
    (
        # SageMaker and the local cloud say so when memory was the reason; the exit code alone does not tell.
        "killed",
        ("*SIGKILL*", "*exit code 137*", "*exit code: 137*"),
        "The process was killed from outside (SIGKILL), and nothing says that memory was short. Start again; if it happens "
        "again, look at the job's MemoryUtilization and choose a larger instance in `instances`.",
    ),
)


def catch_all(scope: Construct, inside: Sequence[Construct] = ()) -> None:
    """Every state below `scope` that calls a service gets its Catch; those below `inside`, a Map's own, see to theirs."""
    own = [f"{one.node.path}/" for one in inside]
    calling = [
        state
        for state in scope.node.find_all()
        if isinstance(state, sfn.CustomState | sfn.TaskStateBase | sfn.Map)
        and not any(state.node.path.startswith(path) for path in own)
    ]
    failure = DescribeFailure(scope)
    for state in calling:
        state.add_catch(failure.handler(state.node.id), errors=["States.ALL"], result_path="$.failure")


class DescribeFailure:
    """`handler(step)` is where a step's Catch goes; all end in the Fail state `Execution failed`."""

    def __init__(self, scope: Construct) -> None:
        self._scope = scope
        described = sfn.Pass(
            scope,
            "Describe failure",
            result_path="$.description",
            parameters={
                "error.$": "$.failure.name",
                "cause.$": "States.Format('{} failed: {} | {} | What to do: {}', $.failure.step, $.reason.text, "
                "$.reason.where, $.fix.text)",
            },
        )
        described.next(
            sfn.Fail(
                scope, "Execution failed", error_path="$.description.error", cause_path="$.description.cause",
            )
        )  # fmt: skip
        fixes = self._suggest_fix(described)
        self._start = self._find_reason(fixes)

    def handler(self, step: str) -> sfn.Pass:
        name = "".join(word.capitalize() for word in step.split())
        known = {"step": step, "name": f"{name}Failed", "error.$": "$.failure.Error", "cause.$": "$.failure.Cause"}
        state = sfn.Pass(self._scope, f"{step} failed", parameters=known, result_path="$.failure")
        state.next(self._start)
        return state

    def _find_reason(self, then: sfn.IChainable) -> sfn.Choice:
        """The job's own reason where the cause is a job's description, else the cause as it is."""
        scope = self._scope
        as_it_is = sfn.Pass(
            scope,
            "Reason is the cause",
            result_path="$.reason",
            parameters={
                "text.$": "States.Format('{} ({})', $.failure.cause, $.failure.error)",
                "where": "No job of this step left a log",
            },
        )
        as_it_is.next(then)
        read = sfn.Pass(
            scope, "Read cause", result_path="$.failed",
            parameters={"job.$": "States.StringToJson($.failure.cause)"},
        )  # fmt: skip
        choice = sfn.Choice(scope, "Find reason")
        for name, reason, logs in REASONS:
            found = sfn.Condition.and_(
                sfn.Condition.is_present(f"$.failed.job.{name}"), sfn.Condition.is_present(f"$.failed.job.{reason}")
            )
            state = sfn.Pass(
                scope,
                f"Reason is {reason} of {name.removesuffix('Name')}",
                result_path="$.reason",
                parameters={
                    "text.$": f"$.failed.job.{reason}",
                    "where.$": f"States.Format('Log: group {logs}, streams that begin with {{}}', $.failed.job.{name})",
                },
            )
            state.next(then)
            choice.when(found, state)
        choice.otherwise(as_it_is)
        read.next(choice)
        return (
            sfn.Choice(scope, "Is the cause a job?")
            .when(sfn.Condition.string_matches("$.failure.cause", "{*}"), read)
            .otherwise(as_it_is)
        )

    def _suggest_fix(self, then: sfn.IChainable) -> sfn.Choice:
        scope = self._scope
        choice = sfn.Choice(scope, "Suggest fix")
        for kind, patterns, text in FIXES:
            known = [sfn.Condition.string_matches("$.reason.text", pattern) for pattern in patterns]
            if kind == "time":
                known.append(sfn.Condition.string_equals("$.failure.error", "States.Timeout"))
            state = sfn.Pass(scope, f"Fix: {kind}", result_path="$.fix", parameters={"text": text})
            state.next(then)
            choice.when(sfn.Condition.or_(*known), state)
        other = sfn.Pass(
            scope, "Fix: as the reason says", result_path="$.fix",
            parameters={"text": "Correct what the reason names and start again; the log has the details."},
        )  # fmt: skip
        other.next(then)
        return choice.otherwise(other)
