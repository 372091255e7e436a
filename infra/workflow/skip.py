"""A step that is not wanted leaves a file that says so, where its results would lie.

The report reads that place in either case: on AWS an S3 input without any object fails the job that names it.
"""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.workflow import step
from infra.workflow.platform import Platform


def skip(scope: Construct, name: str, platform: Platform, *, folder: str, reason: str, result: str) -> sfn.CustomState:
    """Write `skipped.json` into the folder of this execution; `result` notes the object's ETag."""
    return step.call(
        scope, name, action="aws-sdk:s3:putObject", result=result,
        parameters={
            "Bucket": platform.artifacts_bucket,
            "Key.$": f"States.Format('{{}}/{folder}/skipped.json', $.names.key)",
            "Body": {"skipped": True, "reason": reason},
            "ContentType": "application/json",
        },
        selector={"job": "none"},
    )  # fmt: skip
