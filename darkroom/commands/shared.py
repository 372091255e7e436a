"""What every command gets: the target, a console that is silent where a program reads JSON, and questions.

The options that say where to work belong to `darkroom` and to each of its commands: they may stand before a command or after it.
"""

import json
import os
import sys
from functools import cached_property
from typing import Any

import click
from click.core import ParameterSource

from contract.names import ENVIRONMENT, PROJECT
from darkroom import terminal
from darkroom.failure import DarkroomError
from darkroom.home import Home
from darkroom.target import Target, project_root

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program; the rest goes to stderr.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Answer every question with yes, as a script must.")

NOTED = "darkroom.where"
WHERE_HINT = (
    "Where to work: --target, --project, --environment, --profile, --region, --home, as darkroom --help describes them."
)
# Name, declaration. Not DARKROOM_PROJECT: that is a folder elsewhere.
WHERE: dict[str, dict[str, Any]] = {
    "target": {"type": click.Choice(["local", "aws"]), "envvar": "DARKROOM_TARGET",
               "help": "Where to work: the local cloud (default) or your AWS account."},
    "project": {"metavar": "NAME", "envvar": "DARKROOM_PROJECT_NAME",
                "help": f"Which deployment.  [default: project in cdk.json, else {PROJECT}]"},
    "environment": {"metavar": "NAME", "envvar": "DARKROOM_ENVIRONMENT",
                    "help": f"Which deployment.  [default: environment in cdk.json, else {ENVIRONMENT}]"},
    "profile": {"metavar": "NAME", "help": "AWS profile, with --target aws."},
    "region": {"metavar": "NAME", "help": "AWS region, with --target aws."},
    "home": {"metavar": "DIR", "envvar": "DARKROOM_HOME", "help": "Folder for state and results.  [default: .darkroom]"},
}  # fmt: skip


def where_options(of_command: bool) -> list[click.Option]:
    """For `darkroom` itself with help and variables; for its commands the options alone."""
    kept = ("type", "metavar") if of_command else ("type", "metavar", "envvar", "help")
    return [
        click.Option(
            [f"--{name}", f"where_{name}"],
            expose_value=False,
            hidden=of_command,
            callback=_note,
            **{key: value for key, value in declared.items() if key in kept},
        )
        for name, declared in WHERE.items()
    ]


def _note(context: click.Context, option: click.Option, value: str | None) -> None:
    if value is None:
        return
    name, noted = option.name.removeprefix("where_"), context.meta.setdefault(NOTED, {})
    typed = context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    before, was_typed = noted.get(name, (None, False))
    if typed and was_typed and before != value:
        raise DarkroomError(f"--{name} is given twice, as {before!r} and as {value!r}.", "Give it once.")
    if typed or not was_typed:
        noted[name] = (value, typed)


class WhereGroup(click.Group):
    """Adds the options to every command, and to the commands of its groups."""

    def add_command(self, command: click.Command, name: str | None = None) -> None:
        for each in [command, *(command.commands.values() if isinstance(command, click.Group) else ())]:
            each.params.extend(where_options(of_command=True))
            each.epilog = each.epilog or WHERE_HINT
        super().add_command(command, name)


class Context:
    """Passed to commands with `click.pass_obj`. The target is made when it is first used: options may still follow."""

    def __init__(self, noted: dict[str, tuple[str, bool]]):
        self._noted = noted
        self.console = terminal.console()

    @cached_property
    def target(self) -> Target:
        options = {name: value for name, (value, _) in self._noted.items()}
        declared = _declared()
        words = {"project": declared.get("project", PROJECT), "environment": declared.get("environment", ENVIRONMENT)}
        named = frozenset(
            word for word in words if word in options or (word in declared and declared[word] != NAMES[word])
        )
        target = Target(
            options.get("target", "local"),
            Home(options.get("home")),
            profile=options.get("profile"),
            region=options.get("region"),
            named=named,
            project=options.get("project", words["project"]),
            environment=options.get("environment", words["environment"]),
        )
        if not target.is_local and (elsewhere := os.environ.get("AWS_ENDPOINT_URL")):
            click.echo(f"--target aws means {elsewhere}, because AWS_ENDPOINT_URL is set.", err=True)
        return target

    def given(self, word: str) -> str | None:
        """What an option or a variable says of `project` or `environment`."""
        return self._noted[word][0] if word in self._noted else None

    def aim(self, target: Target) -> None:
        """Go on with another target."""
        self.__dict__["target"] = target

    def mention_found(self) -> None:
        """Say which deployment is meant where nobody named it and it is not the default."""
        if meant := self.target.found:
            click.echo(f"Only one deployment stands here, {meant}: that one is meant.", err=True)

    def speak_json(self, as_json: bool) -> None:
        """With --json, what is meant for a person goes to stderr."""
        if as_json:
            self.console = terminal.console(stderr=True)

    def print_json(self, value: Any) -> None:
        """One JSON document on stdout."""
        sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")

    def confirm(self, question: str, yes: bool) -> None:
        """Go on only if somebody says so: --yes, or a person at a terminal."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise DarkroomError(
                f"Nobody can be asked here, without a terminal: {question}", "Add --yes if that is meant."
            )
        click.confirm(question, abort=True, err=True)


NAMES = {"project": PROJECT, "environment": ENVIRONMENT}


def _declared() -> dict[str, str]:
    """`project` and `environment` as the cdk.json of the app declares them; the CDK reads it in the same way."""
    path = project_root() / "cdk.json"
    try:
        context = json.loads(path.read_text(encoding="utf-8")).get("context", {})
    except (OSError, ValueError, AttributeError):
        return {}  # the CDK CLI says what is wrong with it, when it is needed
    merged = {**(context.get("darkroom") or {}), **context} if isinstance(context, dict) else {}
    return {word: merged[word] for word in NAMES if isinstance(merged.get(word), str)}
