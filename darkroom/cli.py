"""The entry point `darkroom`: options that all commands share, and errors as sentences instead of tracebacks."""

import sys

import click
from rich.markup import escape

from darkroom import __version__
from darkroom.commands import (
    cloud,
    comparison,
    demo,
    deployment,
    estimate,
    execution,
    inspection,
    permissions,
    prediction,
    weights,
)
from darkroom.commands.shared import NOTED, WHERE, Context, WhereGroup, where_options
from darkroom.failure import DarkroomError
from darkroom.terminal import console, plain


@click.group(
    cls=WhereGroup,
    params=where_options(of_command=False),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="darkroom")
@click.pass_context
def darkroom(context: click.Context) -> None:
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
    The same on AWS (these options may stand before a command or after it):
      darkroom deploy --target aws --profile mine
    \b
    Any AWS tool on the local cloud:
      eval "$(darkroom env)"; aws stepfunctions list-state-machines
    """
    context.obj = Context(context.meta.setdefault(NOTED, {}))


for module in (cloud, deployment, execution, estimate, comparison, prediction, inspection, permissions, weights, demo):
    for command in module.COMMANDS:
        darkroom.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; the exit code is 1 for an error, 130 after Ctrl-C."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        code = run(arguments)
    except BaseException:
        _fail_closed(words)
        raise
    if code:
        _fail_closed(words)
    sys.exit(code)


def _fail_closed(words: list[str]) -> None:
    """`eval` of nothing succeeds: a shell that asked for `darkroom env` in vain is told to fail."""
    if _command(words) == "env":
        sys.stdout.write("false\n")


def _command(words: list[str]) -> str | None:
    """The first word that is neither an option nor an option's value."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            return word
        if word.removeprefix("--") in WHERE:
            next(rest, None)
    return None


def run(arguments: list[str] | None) -> int:
    """A command's exit code; errors are said as sentences."""
    errors = console(stderr=True)
    try:
        code = darkroom.main(arguments, prog_name="darkroom", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except DarkroomError as error:
        errors.print(f"[red]{escape(plain(str(error)))}[/red]", soft_wrap=True)
        if error.advice:
            errors.print(escape(plain(error.advice)), soft_wrap=True)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        return 0
    except Exception as error:
        if not type(error).__module__.startswith("botocore"):
            raise
        errors.print(f"[red]AWS answered: {escape(plain(str(error)))}[/red]", soft_wrap=True)
        errors.print("darkroom status says what is there; with --target aws it asks the account.", soft_wrap=True)
    return 1


if __name__ == "__main__":
    main()
