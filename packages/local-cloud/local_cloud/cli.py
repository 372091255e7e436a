"""`local-cloud`: start a cloud, find the way to it, stop it. Everything else is AWS's own tools.

The state lies in `--state`, else where LOCAL_CLOUD_STATE says, else in `.local-cloud/` of the working directory.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from local_cloud import process
from local_cloud.process import LivingCloud, ProcessFault
from local_cloud.settings import Settings

COMMAND = Settings.command
# Variables that lead AWS's tools somewhere: a shell that keeps one of another account would reach it.
LEADING = ("AWS_", "BOTO_", "SAGEMAKER_")


class Failure(click.ClickException):
    """One sentence and what to do next."""

    def __init__(self, said: str, advice: str):
        super().__init__(f"{said}\n{advice}")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="local-cloud")
def cli() -> None:
    """A SageMaker on this machine, with the AWS services around it.

    \b
    local-cloud up
    eval "$(local-cloud env)"
    aws s3 mb s3://mine
    local-cloud down
    """


def _with_state(command: Callable[..., None]) -> Callable[..., None]:
    @click.option(
        "--state", type=click.Path(file_okay=False, path_type=Path), help="Folder of everything the cloud knows."
    )
    @wraps(command)
    def run(state: Path | None, **options: Any) -> None:
        folder = (state or Path(os.environ.get("LOCAL_CLOUD_STATE") or ".local-cloud")).absolute()
        try:
            command(folder, **options)
        except ProcessFault as fault:
            raise Failure(f"{fault}", fault.advice) from None
        except OSError as fault:
            raise Failure(f"{folder} cannot be used: {fault}.", "Choose another --state.") from None

    return run


@cli.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0 takes the last one, or a free one."
)
@click.option("--region", default="us-east-1", show_default=True, help="The one region of this cloud.")
@_with_state
def up(state: Path, port: int, region: str) -> None:
    """Start the cloud in the background, unless it runs."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    cloud, started = process.start(state, state / "cloud.log", port, region, {})
    click.echo(f"The local cloud {'is up' if started else 'already runs'} at {cloud.endpoint}")
    click.echo(
        f'The way to it: eval "$({COMMAND} env{"" if state.name == ".local-cloud" else f" --state {shlex.quote(str(state))}"})"'
    )


@cli.command()
@_with_state
def down(state: Path) -> None:
    """Stop the cloud. Its state stays: `local-cloud up` goes on where it was."""
    click.echo("The local cloud has stopped; its state stays." if process.stop(state) else "No local cloud ran.")


@cli.command()
@_with_state
def status(state: Path) -> None:
    """Say whether the cloud runs, and where."""
    cloud = _running(state)
    click.echo(f"The local cloud runs at {cloud.endpoint} (process {cloud.pid}, region {cloud.region}, state {state})")


@cli.command()
@click.option("--notebook", is_flag=True, help="Be a SageMaker notebook: its role's keys, for get_execution_role().")
@_with_state
def env(state: Path, notebook: bool) -> None:
    """Print exports, so that aws, boto3 and cdk reach the local cloud and nothing else.

    \b
    eval "$(local-cloud env)"
    aws sagemaker list-training-jobs
    """
    cloud = _running(state)  # first of all: a shell that gets half of this would reach another account
    lines = [f"unset {name}" for name in sorted(os.environ) if name.startswith(LEADING) and name.isidentifier()]
    told = _exports(cloud, state) | (process.notebook_variables(cloud) if notebook else {})
    lines += [f"export {name}={shlex.quote(value)}" for name, value in told.items()]
    lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
    click.echo("\n".join(lines))


@cli.command()
@click.option("--mode", type=click.Choice(["report", "enforce", "off"]), help="Judge calls so from now on.")
@click.option("--unused", is_flag=True, help="Add what the roles' policies allow and no call needed.")
@_with_state
def permissions(state: Path, mode: str | None, unused: bool) -> None:
    """Print how IAM judges what was asked in the name of roles, as JSON: what AWS would deny, and what would allow it."""
    click.echo(json.dumps(process.permissions(_running(state), mode, unused), indent=2, default=str))


@cli.command()
def coverage() -> None:
    """Print what the cloud supports, as Markdown."""
    click.echo((Path(__file__).parent / "coverage.md").read_text(encoding="utf-8"), nl=False)


def _running(state: Path) -> LivingCloud:
    cloud = process.find(state)
    if cloud is None:
        raise Failure(f"No local cloud runs in {state}.", f"Start it: {COMMAND} up")
    return cloud


def _exports(cloud: LivingCloud, state: Path) -> dict[str, str]:
    docker = Path(sys.executable).with_name(Settings.docker_command)
    return {
        **cloud.variables(),
        # Neither a profile of the user's nor the metadata of a machine at AWS may stand in.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        **process.shell_variables(cloud, state / "shell", os.environ),
        "CDK_DOCKER": str(docker),
        "LOCAL_CLOUD_STATE": str(state),
    }


def main() -> None:
    """The console script."""
    cli(prog_name=COMMAND)


if __name__ == "__main__":
    main()
