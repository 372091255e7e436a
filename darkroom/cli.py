"""The entry point `darkroom`: options that all commands share, and errors as sentences instead of tracebacks."""

import sys

import click
from rich.console import Console
from rich.markup import escape

from darkroom import __version__
from darkroom.commands import cloud, comparison, demo, deployment, execution, inspection, prediction, weights
from darkroom.commands.shared import Context
from darkroom.failure import DarkroomError
from darkroom.home import Home
from darkroom.target import Target


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="darkroom")
@click.option(
    "--target", "kind", type=click.Choice(["local", "aws"]), default="local", envvar="DARKROOM_TARGET",
    help="Where to work: the local cloud (default) or your AWS account.",
)  # fmt: skip
@click.option(
    "--environment", default="dev", envvar="DARKROOM_ENVIRONMENT", show_default=True, help="Which deployment."
)
@click.option("--profile", help="AWS profile, with --target aws.")
@click.option("--region", help="AWS region, with --target aws.")
@click.option("--home", envvar="DARKROOM_HOME", help="Folder for state and results.  [default: .darkroom]")
@click.pass_context
def darkroom(
    context: click.Context, kind: str, environment: str, profile: str | None, region: str | None, home
) -> None:
    """From a folder of photos to an answering endpoint: on this machine first, on AWS with the same commands.

    \b
    A first session:
      darkroom up                          start the local cloud
      darkroom deploy                      cdk deploy of all stacks to it
      darkroom run --data photos/          upload, tune, train, explain, evaluate, register
      darkroom predict photos/ant/1.jpg    ask the endpoint
      darkroom report                      where the last report lies
      darkroom down                        stop; the state stays
    \b
    The same on AWS:
      darkroom --target aws --profile mine deploy
    \b
    Any AWS tool on the local cloud:
      eval "$(darkroom env)"; aws stepfunctions list-state-machines
    """
    if kind == "local" and (profile or region):
        raise DarkroomError(
            "--profile and --region belong to --target aws; the local cloud uses neither.", "Add --target aws."
        )
    context.obj = Context(
        Target(kind, Home(home), environment, profile=profile, region=region), Console(stderr=False, highlight=False)
    )


for module in (cloud, deployment, execution, comparison, prediction, inspection, weights, demo):
    for command in module.COMMANDS:
        darkroom.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; the exit code is 1 for an error, 130 after Ctrl-C."""
    errors = Console(stderr=True, highlight=False)
    try:
        code = darkroom.main(arguments, prog_name="darkroom", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except DarkroomError as error:
        errors.print(f"[red]{escape(str(error))}[/red]", soft_wrap=True)
        if error.advice:
            errors.print(escape(error.advice), soft_wrap=True)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if not type(error).__module__.startswith("botocore"):
            raise
        errors.print(f"[red]AWS answered: {escape(str(error))}[/red]", soft_wrap=True)
        errors.print("If the local cloud is meant, darkroom status says whether it runs.", soft_wrap=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
