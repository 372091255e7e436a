"""up, down, status, env: the local cloud, and the way of other AWS tools to it."""

import json
import os
import shlex
from typing import Any

import click
from botocore.exceptions import ClientError

from contract.names import APPROVED_PACKAGE, NOTHING
from contract.photo_set.questions import some
from contract.validation import did_you_mean
from darkroom import local, stacks
from darkroom.commands.shared import Context, json_option
from darkroom.executions import describe, recent
from darkroom.failure import DarkroomError
from darkroom.target import Target, leading, tool_folders
from darkroom.terminal import plain


def only_local(context: Context, command: str) -> None:
    """Refuses a command that has no meaning on AWS."""
    if not context.target.is_local:
        raise DarkroomError(
            f"{command} is about the local cloud; an AWS account needs nothing started.", "Leave out --target aws."
        )


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option(
    "--cloud-region", default="us-east-1", show_default=True, help="The region that the local cloud calls itself."
)
@json_option
@click.pass_obj
def up(context: Context, port: int, cloud_region: str, as_json: bool) -> None:
    """Start the local cloud, unless it runs.

    \b
    darkroom up
    darkroom up --port 4566
    """
    only_local(context, "up")
    context.speak_json(as_json)
    cloud, started = local.start(context.target.home, port, cloud_region)
    context.console.print(f"The local cloud {'is up' if started else 'already runs'} at {cloud.endpoint}")
    if as_json:
        context.print_json({"endpoint": cloud.endpoint, "pid": cloud.pid, "region": cloud.region, "started": started})


@click.command()
@click.pass_obj
def down(context: Context) -> None:
    """Stop the local cloud. Its state stays: `darkroom up` continues where it was."""
    only_local(context, "down")
    stopped = local.stop(context.target.home)
    context.console.print("The local cloud has stopped; its state stays." if stopped else "No local cloud ran.")


@click.command()
@click.option("--notebook", is_flag=True, help="Be a SageMaker notebook: its role's keys, for get_execution_role().")
@click.pass_obj
def env(context: Context, notebook: bool) -> None:
    """Print exports, so that aws, boto3 and cdk reach the local cloud and nothing else. Where none runs, the shell is told to fail.

    \b
    eval "$(darkroom env)"
    aws sagemaker list-training-jobs
    cdk diff
    """
    only_local(context, "env")
    exports = context.target.shell_exports(
        notebook
    )  # first of all: a shell that gets half of this would reach another account
    lines = [f"unset {name}" for name in leading(os.environ) if name.isidentifier()]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in exports.items()]
    lines.append(f'export PATH={shlex.quote(":".join(tool_folders()))}:"$PATH"')
    click.echo("\n".join(lines))


@click.command()
@click.argument("job")
@click.pass_obj
def interrupt(context: Context, job: str) -> None:
    """Take the spot instance away from a training job, to see it start again from its checkpoints.

    \b
    darkroom deploy -c spot_training=true
    darkroom interrupt darkroom-dev-0f3a-training-0-0
    """
    only_local(context, "interrupt")
    try:
        local.interrupt(context.target.home, job)
    except DarkroomError as error:
        if "not found" in str(error):
            raise _no_such_job(context.target, job) from None
        named = str(error) if job in str(error) else f"{job!r}: {error}"
        raise DarkroomError(named, error.advice) from None
    context.console.print(f"{job} has lost its instance; it starts again from its checkpoints.", markup=False)


def _no_such_job(target: Target, job: str) -> DarkroomError:
    pages = target.client("sagemaker").get_paginator("list_training_jobs").paginate(StatusEquals="InProgress")
    running = [one["TrainingJobName"] for page in pages for one in page["TrainingJobSummaries"]]
    hint = did_you_mean(job, running)
    return DarkroomError(
        f"There is no training job {job!r}.", f"{hint} Running now: {some(running) or 'none'}.".strip()
    )


@click.command()
@json_option
@click.pass_obj
def status(context: Context, as_json: bool) -> None:
    """Show the cloud, and of one deployment the stacks, endpoints, approved model and last executions.

    \b
    darkroom status
    darkroom status --environment prod
    darkroom status --target aws --json
    """
    context.speak_json(as_json)
    target = context.target
    described: dict[str, Any] = {"target": target.kind, "home": str(target.home.path)}
    if target.is_local:
        cloud = local.find(target.home)
        described["cloud"] = {"endpoint": cloud.endpoint, "pid": cloud.pid, "region": cloud.region} if cloud else None
    if target.is_local and not described["cloud"]:
        described |= {"project": target.project, "environment": target.environment}
    else:
        described |= _parts(target)
        context.mention_found()
    if as_json:
        context.print_json(described)
        return
    _show(context, described)


def _parts(target: Target) -> dict[str, Any]:
    names, all_stacks = target.names, stacks.standing(target)
    pages = target.client("sagemaker").get_paginator("list_endpoints").paginate(NameContains=names.prefix)
    endpoints = [
        endpoint
        for page in pages
        for endpoint in page["Endpoints"]
        if endpoint["EndpointName"].startswith(f"{names.prefix}-")
    ]
    return {
        "project": names.project,
        "environment": names.environment,
        "stacks": [{"name": stack.name, "status": stack.status} for stack in all_stacks if stack.names == names],
        "endpoints": [
            {"name": endpoint["EndpointName"], "status": endpoint["EndpointStatus"]} for endpoint in endpoints
        ],
        "executions": [_execution(target, run) for run in recent(target, 5)],
        "approved_model_package": target.parameters.get(APPROVED_PACKAGE, NOTHING),
        "approved_model": _approved(target),
        "other_deployments": [
            {"project": other.project, "environment": other.environment}
            for other in stacks.deployments(all_stacks)
            if other != names
        ],
    }


def _execution(target: Target, run: dict[str, Any]) -> dict[str, Any]:
    try:
        data = json.loads(describe(target, run["executionArn"]).get("input", "{}")).get("dataset")
    except (ValueError, AttributeError):
        data = None
    return {
        "name": run["name"],
        "status": run["status"],
        "started": run["startDate"].isoformat(timespec="seconds"),
        "dataset": data,
    }


def _approved(target: Target) -> dict[str, Any] | None:
    """The approved model with what it was trained on and how good it is."""
    package = target.parameters.get(APPROVED_PACKAGE, NOTHING)
    if package == NOTHING:
        return None
    try:
        said = target.client("sagemaker").describe_model_package(ModelPackageName=package)
    except ClientError as error:
        return {"package": package, "missing": error.response["Error"]["Message"]}
    properties = said.get("CustomerMetadataProperties", {})
    return {
        "package": package,
        "execution": properties.get("execution", "").rpartition(":")[2] or None,
        "dataset": properties.get("dataset"),
        "accuracy": properties.get("accuracy"),
        "balanced_accuracy": properties.get("balanced_accuracy"),
    }


def _show(context: Context, described: dict[str, Any]) -> None:
    def say(text: str) -> None:
        context.console.print(plain(text), markup=False, soft_wrap=True)

    if context.target.is_local:
        cloud = described["cloud"]
        say(f"Local cloud  {cloud['endpoint']} (process {cloud['pid']})" if cloud else "Local cloud  not running")
    if "stacks" not in described:
        return
    say(f"Deployment  project {described['project']}, environment {described['environment']}")
    for title in ("stacks", "endpoints", "executions"):
        rows = described[title]
        say(title.capitalize() if rows else f"{title.capitalize()}  none")
        for line in aligned([[str(value or "") for value in row.values()] for row in rows]):
            say(line)
    model = described["approved_model"]
    say("Approved model" if model else "Approved model  none")
    for line in aligned([[key.replace("_", " "), str(value)] for key, value in (model or {}).items() if value]):
        say(line)
    if others := described["other_deployments"]:
        say("Also here  " + "; ".join(f"project {one['project']}, environment {one['environment']}" for one in others))


def aligned(rows: list[list[str]]) -> list[str]:
    """Columns side by side, nothing cut: a name that is cut cannot be typed again."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        ("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))).rstrip() for row in rows
    ]


COMMANDS = [up, down, status, env, interrupt]
