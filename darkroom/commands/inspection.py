"""logs: what a job or an endpoint has printed."""

import click

from darkroom import jobs
from darkroom.commands.shared import Context


@click.command()
@click.argument("job")
@click.option("-f", "--follow", is_flag=True, help="Wait for further lines until Ctrl-C.")
@click.pass_obj
def logs(context: Context, job: str, follow: bool) -> None:
    """Print the log of a JOB (processing, training, transform) or an endpoint.

    \b
    darkroom logs darkroom-dev-1a2b3c4d-train-0-0
    darkroom logs darkroom-dev-cpu --follow
    """
    for line in jobs.read_log(context.target, job, follow):
        click.echo(line)


COMMANDS = [logs]
