"""Set defaults, Name jobs: the execution input over the defaults, and the names that everything else is made of.

The state machine merges one level deep; `prepare` resolves what lies deeper and refuses what is not allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.execution_input import defaults
from contract.instances import KINDS, decided
from contract.names import execution_key
from infra.workflow.platform import Platform
from infra.workflow.step import call


def check_input(scope: Construct, then: sfn.IChainable, most_minutes: int | None = None) -> sfn.Choice:
    """A missing data set, what the merge below could not take, and more minutes than a search has here, fail with a sentence."""
    dataset = sfn.Fail(
        scope, "No dataset", error="InvalidExecutionInput",
        cause="dataset: nothing was given, or no S3 URI. Give the photos as s3://bucket/photos.zip or "
        's3://bucket/folder/ in the execution input: {"dataset": "s3://…"}. '
        "`darkroom run --data FOLDER` uploads a folder and does this.",
    )  # fmt: skip
    instances = sfn.Fail(
        scope, "Instances not an object", error="InvalidExecutionInput",
        cause='instances: expected an object of instance types by kind of job, such as {"training": "ml.m5.2xlarge"}; '
        f"allowed are {', '.join(KINDS)} and training_count.",
    )  # fmt: skip
    given = sfn.Condition.and_(
        sfn.Condition.is_present("$.dataset"),
        sfn.Condition.is_string("$.dataset"),
        sfn.Condition.string_matches("$.dataset", "s3://*"),
    )
    scalar = sfn.Condition.or_(
        sfn.Condition.is_string("$.instances"), sfn.Condition.is_numeric("$.instances"),
        sfn.Condition.is_boolean("$.instances"), sfn.Condition.is_null("$.instances"),
    )  # fmt: skip
    check = (
        sfn.Choice(scope, "Check input")
        .when(sfn.Condition.not_(given), dataset)
        .when(sfn.Condition.and_(sfn.Condition.is_present("$.instances"), scalar), instances)
    )
    if most_minutes is not None:
        check.when(*_too_many_minutes(scope, most_minutes))
    return check.otherwise(whole_folder(scope, then))


def _too_many_minutes(scope: Construct, most: int) -> tuple[sfn.Condition, sfn.Fail]:
    """The state of the search would time out, and the search with it: only this deployment knows when."""
    more = sfn.Condition.and_(
        sfn.Condition.is_present("$.minutes"),
        sfn.Condition.is_numeric("$.minutes"),
        sfn.Condition.number_greater_than("$.minutes", most),
    )
    cause = (
        f"minutes: more than the {most} that a search may take in this deployment. Ask for fewer, or deploy with a higher "
        "max_runtime_minutes.tuning."
    )
    return more, sfn.Fail(scope, "Too many minutes", error="InvalidExecutionInput", cause=cause)


def whole_folder(scope: Construct, then: sfn.IChainable) -> sfn.Choice:
    """`s3://bucket/sets/pets` as `sets/pets/`: an S3 prefix without its slash matches `sets/pets-old/`, too.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html
    """
    add = sfn.Pass(
        scope, "Name folder",
        parameters={"given.$": "$", "folder": {"dataset.$": "States.Format('{}/', $.dataset)"}},
    )  # fmt: skip
    use = sfn.Pass(
        scope, "Use folder", parameters={"merged.$": "States.JsonMerge($.given, $.folder, false)"},
        output_path="$.merged",
    )  # fmt: skip
    whole = (sfn.Condition.string_matches("$.dataset", end) for end in ("*/", "*.zip", "*.ZIP", "*.Zip"))
    return sfn.Choice(scope, "Zip or folder").when(sfn.Condition.or_(*whole), then).otherwise(add.next(use).next(then))


def set_defaults(scope: Construct, platform: Platform, values: Mapping[str, Any] | None = None) -> sfn.Pass:
    """Beside what was given: `values` (by default those of the execution input), and the deployment's instances."""
    values = {**(defaults() if values is None else values), "instances": {}}
    instances = decided(platform.settings.instances)
    return sfn.Pass(
        scope, "Set defaults", parameters={"defaults": values, "instances": instances, "given.$": "$"}
    )  # fmt: skip


def merge_input(scope: Construct) -> sfn.Pass:
    return sfn.Pass(
        scope,
        "Merge input",
        parameters={"instances.$": "$.instances", "input.$": "States.JsonMerge($.defaults, $.given, false)"},
    )


def name_jobs(scope: Construct, platform: Platform) -> sfn.Pass:
    """`$.instances` complete, and `$.names`."""
    bucket = platform.artifacts_bucket
    return sfn.Pass(
        scope,
        "Name jobs",
        parameters={
            "input.$": "$.input",
            "instances.$": "States.JsonMerge($.instances, $.input.instances, false)",
            "names": {
                "id.$": "States.ArrayGetItem(States.StringSplit(States.UUID(), '-'), 0)",
                "execution.$": "$$.Execution.Name",
                "arn.$": "$$.Execution.Id",
                "key.$": f"States.Format('{execution_key('{}')}', $$.Execution.Name)",
                "uri.$": f"States.Format('s3://{bucket}/{execution_key('{}')}', $$.Execution.Name)",
            },
        },
    )


def use_instances(scope: Construct) -> sfn.Pass:
    """The input says on what the jobs run, not only what was asked for: whoever reads it later prices and starts the same machines."""
    return sfn.Pass(scope, "Use instances", input_path="$.instances", result_path="$.input.instances")


def save_input(scope: Construct, platform: Platform) -> sfn.CustomState:
    """A job's arguments are limited to 256 characters each, so the input travels as a file."""
    return call(
        scope, "Save input", action="aws-sdk:s3:putObject", result=None,
        parameters={
            "Bucket": platform.artifacts_bucket,
            "Key.$": "States.Format('{}/input/input.json', $.names.key)",
            "Body.$": "$.input",
            "ContentType": "application/json",
        },
    )  # fmt: skip
