"""up, down, status, env: the local cloud, and the way of other AWS tools to it."""

import shlex

import click
from rich.table import Table

from contract.names import APPROVED_PACKAGE, NOTHING
from darkroom import local
from darkroom.commands.shared import Context, json_option
from darkroom.executions import recent
from darkroom.failure import DarkroomError
from darkroom.target import FOREIGN, tool_folders


def _only_local(context: Context, command: str) -> None:
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
    _only_local(context, "up")
    context.speak_json(as_json)
    cloud, started = local.start(context.target.home, port, cloud_region)
    context.console.print(f"The local cloud {'is up' if started else 'already runs'} at {cloud.endpoint}")
    if as_json:
        context.print_json({"endpoint": cloud.endpoint, "pid": cloud.pid, "region": cloud.region, "started": started})


@click.command()
@click.pass_obj
def down(context: Context) -> None:
    """Stop the local cloud. Its state stays: `darkroom up` continues where it was."""
    _only_local(context, "down")
    stopped = local.stop(context.target.home)
    context.console.print("The local cloud has stopped; its state stays." if stopped else "No local cloud ran.")


@click.command()
@click.pass_obj
def env(context: Context) -> None:
    """Print exports, so that aws, boto3 and cdk reach the local cloud and nothing else.

    \b
    eval "$(darkroom env)"
    aws sagemaker list-training-jobs
    cdk diff
    """
    _only_local(context, "env")
    for name in FOREIGN:
        click.echo(f"unset {name}")
    for name, value in context.target.exports().items():
        click.echo(f"export {name}={shlex.quote(value)}")
    click.echo(f'export PATH={shlex.quote(":".join(tool_folders()))}:"$PATH"')


@click.command()
@click.argument("job")
@click.pass_obj
def interrupt(context: Context, job: str) -> None:
    """Take the spot instance away from a training job, to see it start again from its checkpoints.

    \b
    darkroom deploy -c spot_training=true
    darkroom interrupt darkroom-dev-0f3a-training-0-0
    """
    _only_local(context, "interrupt")
    local.interrupt(context.target.cloud, job)
    context.console.print(f"{job} has lost its instance; it starts again from its checkpoints.", markup=False)


@click.command()
@json_option
@click.pass_obj
def status(context: Context, as_json: bool) -> None:
    """Show the cloud, its stacks, endpoints and last executions."""
    context.speak_json(as_json)
    target = context.target
    described = {"target": target.kind, "environment": target.environment, "home": str(target.home.path)}
    if target.is_local:
        cloud = local.find(target.home)
        described["cloud"] = {"endpoint": cloud.endpoint, "pid": cloud.pid, "region": cloud.region} if cloud else None
    if not target.is_local or described["cloud"]:
        described |= _parts(context)
    if as_json:
        context.print_json(described)
        return
    _show(context, described)


def _parts(context: Context) -> dict:
    target = context.target
    stacks = target.client("cloudformation").describe_stacks()["Stacks"]
    endpoints = target.client("sagemaker").list_endpoints(MaxResults=50)["Endpoints"]
    return {
        "stacks": [{"name": stack["StackName"], "status": stack["StackStatus"]} for stack in stacks],
        "endpoints": [{"name": made["EndpointName"], "status": made["EndpointStatus"]} for made in endpoints],
        "executions": [
            {"name": run["name"], "status": run["status"], "started": run["startDate"].isoformat()}
            for run in recent(target, 5)
        ],
        "approved_model_package": target.parameters.get(APPROVED_PACKAGE, NOTHING),
    }


def _show(context: Context, described: dict) -> None:
    console = context.console
    if context.target.is_local:
        cloud = described["cloud"]
        console.print(
            f"Local cloud  {cloud['endpoint']} (process {cloud['pid']})" if cloud else "Local cloud  not running"
        )
    for title in ("stacks", "endpoints", "executions"):
        rows = described.get(title)
        if rows is None:
            continue
        console.print(title.capitalize() if rows else f"{title.capitalize()}  none")
        table = Table(box=None, show_header=False, padding=(0, 2))
        for row in rows:
            table.add_row(*row.values())
        if rows:
            console.print(table)


COMMANDS = [up, down, status, env, interrupt]
