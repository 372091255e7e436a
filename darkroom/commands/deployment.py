"""deploy and destroy: the stacks of one deployment. An AWS account is changed only after showing what changes and what it costs."""

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from contract.names import ENDPOINTS, NameRefused, Names
from darkroom import costs, local, stacks
from darkroom.cdk import Cdk
from darkroom.commands.shared import Context, json_option, yes_option
from darkroom.failure import DarkroomError
from darkroom.home import OWN
from darkroom.removal import Removal
from darkroom.target import Target

BOOTSTRAP_STACK = "CDKToolkit"


def _context_values(values: tuple[str, ...]) -> dict[str, str]:
    for value in values:
        if "=" not in value:
            raise DarkroomError(
                f"-c {value!r} is not a setting.", "Write -c name=value, for example -c endpoints.gpu.enabled=true"
            )
    return dict(value.split("=", 1) for value in values)


@click.command()
@click.argument("chosen", metavar="[STACKS]...", nargs=-1)
@click.option("-c", "--context", "settings", multiple=True, help="A setting as name=value (docs/infrastructure.md).")
@click.option(
    "--endpoint", is_flag=True, help="With --target aws: make endpoints, which cost by the hour, if --yes answers."
)
@click.option(
    "--bootstrap", is_flag=True, help="With --target aws: bootstrap the account for the CDK, if that was never done."
)
@yes_option
@json_option
@click.pass_obj
def deploy(
    context: Context, chosen: tuple[str, ...], settings: tuple[str, ...], endpoint: bool, bootstrap: bool, yes: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Deploy the stacks with the CDK CLI.

    On AWS it shows the changes of IAM and what endpoints would cost, and asks.

    \b
    darkroom deploy
    darkroom deploy Darkroom-Endpoints
    darkroom deploy -c approval=manual
    darkroom deploy --project bees --environment prod
    darkroom deploy --target aws --profile mine
    """
    context.speak_json(as_json)
    values = _context_values(settings)
    target = _aimed(context, values)
    names = target.declared
    for name in chosen:
        if name not in names.stacks:
            raise DarkroomError(f"{name} is not a stack of {names}.", f"Its stacks: {', '.join(names.stacks)}.")
    cdk = Cdk(target, context.console)
    if target.is_local:
        cdk.provide(values)
        to_deploy = list(chosen) or list(cdk.templates())
    else:
        to_deploy = _reviewed(context, cdk, values, list(chosen), endpoint, bootstrap, yes)
    outputs = cdk.deploy(to_deploy)
    if names != Names():
        context.console.print(f"Deployed: {names}. Its commands: {target.say('status')}", markup=False, soft_wrap=True)
    if as_json:
        context.print_json(outputs)


def _aimed(context: Context, values: dict[str, str]) -> Target:
    """The target with the project and environment that options, or `-c`, say; both must say the same."""
    said = {"project": context.target.project, "environment": context.target.environment}
    for word in said:
        if word in values:
            option = context.given(word)
            if option is not None and option != values[word]:
                raise DarkroomError(
                    f"--{word} says {option!r}, -c {word}={values[word]} another.",
                    f"Leave out -c {word}=…: --{word} is enough.",
                )
            said[word] = values.pop(word)
    try:
        names = Names(**said)
    except NameRefused as error:
        raise DarkroomError(str(error), "See --project and --environment.") from None
    context.aim(context.target.called(names))
    return context.target


def _reviewed(
    context: Context, cdk: Cdk, values: dict[str, str], chosen: list[str], endpoint: bool, bootstrap: bool, yes: bool
) -> list[str]:
    """What is to be deployed to AWS, after showing it and asking."""
    target, console, names = cdk.target, context.console, cdk.target.declared
    if not cdk.is_bootstrapped(values):
        _bootstrap(context, cdk, values, bootstrap)
    cdk.synthesize(values)
    templates = cdk.templates()
    to_deploy = chosen or list(templates)
    last = names.stack(ENDPOINTS)
    fresh = last in to_deploy and _new_endpoints(target, templates[last])
    endpoints_too = endpoint or last in chosen or (not yes and sys.stdin.isatty())
    if fresh and not endpoints_too:
        to_deploy.remove(last)
        console.print(
            f"Left out: {last}. It would start {costs.of_endpoints(templates[last])}. {target.say(f'deploy {last}')} makes them.",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    console.print(cdk.security_changes(to_deploy).strip(), markup=False, highlight=False, soft_wrap=True)
    if fresh and endpoints_too:
        until = f"until {target.say('destroy')}"
        console.print(
            f"This starts endpoints: {costs.of_endpoints(templates[last])}, {until}", markup=False, soft_wrap=True
        )
    context.confirm(f"Deploy {', '.join(to_deploy)} to {target.place}?", yes)
    return to_deploy


def _bootstrap(context: Context, cdk: Cdk, values: dict[str, str], agreed: bool) -> None:
    """Never unasked: it makes roles, one of which may administer the account."""
    target, parameter = cdk.target, cdk.bootstrap_parameter(values)
    lacking = f"{target.place} is not bootstrapped for the CDK: there is no SSM parameter {parameter}."
    if not agreed and not sys.stdin.isatty():
        raise DarkroomError(
            lacking, "Bootstrapping makes a bucket, a repository and roles, one of which administers the account. Where that "
            "is wanted: darkroom deploy --target aws --bootstrap. Another qualifier: -c @aws-cdk/core:bootstrapQualifier=NAME.",
        )  # fmt: skip
    context.confirm(f"{lacking} Bootstrap it, with a role that administers the account?", agreed)
    cdk.bootstrap(values)


def _new_endpoints(target: Target, template: dict[str, Any]) -> bool:
    """Whether deploying the Endpoints stack would start machines that do not run yet: it serves a model, and more is switched on."""
    names = target.declared
    standing_stack = next((stack for stack in stacks.of(target, names) if stack.part == ENDPOINTS), None)
    if standing_stack is None:
        return False
    said = target.client("cloudformation").describe_stacks(StackName=standing_stack.id)["Stacks"][0]
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in said.get("Parameters", [])}
    if not names.served.items() <= parameters.items():
        return False
    planned = sum(resource["Type"] == costs.ENDPOINT for resource in template["Resources"].values())
    standing = [one for one in stacks.resources(target, standing_stack.id) if one["ResourceType"] == costs.ENDPOINT]
    return planned > len([one for one in standing if one["ResourceStatus"] != "DELETE_COMPLETE"])


@click.command()
@yes_option
@click.pass_obj
def destroy(context: Context, yes: bool) -> None:
    """Delete a deployment: its stacks, buckets with their contents, models. With the last one goes the local cloud's state, too.

    \b
    darkroom destroy
    darkroom destroy --environment prod
    darkroom destroy --target aws --profile mine
    """
    target = context.target
    if target.is_local:
        _destroy_locally(context, yes)
        return
    removal = Removal(target)
    context.mention_found()
    plan = _say_plan(context, removal)
    if plan:
        if target.found and yes:
            raise DarkroomError(
                f"--yes deletes in an AWS account only what is named; {target.found} is not.",
                f"Name it: {target.say('destroy')}",
            )
        context.confirm(f"Delete all of it from {target.place}?", yes)
        removal.delete(context.console)
        shutil.rmtree(target.home.assembly(target.called(removal.names).key), ignore_errors=True)
    context.console.print(f"Stack {BOOTSTRAP_STACK} stays: other CDK apps of the account use it.")


def _destroy_locally(context: Context, yes: bool) -> None:
    target, console = context.target, context.console
    home = target.home
    contents = [name for name in OWN if (home.path / name).exists()]
    if not contents:
        console.print(f"Nothing is there to delete: {home.path} is empty or absent.", markup=False, soft_wrap=True)
        _remove_home(context)
        return
    removal: Removal | None = None
    others: list[str] = []
    damage = ""
    if home.state.is_dir() and any(home.state.iterdir()):
        try:
            removal, others = _look(context)
        except DarkroomError as error:
            damage = str(error)
    plan = _say_plan(context, removal) if removal else []
    if damage:
        console.print(f"The state of the local cloud cannot be looked at: {damage}", markup=False, soft_wrap=True)
    if others:
        console.print(
            f"The local cloud and its state stay, because there stands: {', '.join(others)}.",
            markup=False,
            soft_wrap=True,
        )
        if not plan:
            return
    else:
        for line in _home_plan(home.path, contents):
            console.print(f"  {line}", markup=False, soft_wrap=True)
    context.confirm("Delete all of it?", yes)
    if removal and plan:
        removal.delete(console)
        shutil.rmtree(home.assembly(target.called(removal.names).key), ignore_errors=True)
    if not others:
        local.stop(home)
        _remove_home(context)


def _look(context: Context) -> tuple[Removal, list[str]]:
    """What is deployed, and what else stands. A cloud that is down is started for it: its state may hold other deployments."""
    target = context.target
    if local.find(target.home) is None:
        context.console.print("  Starting the local cloud to see what is deployed there.")
        local.start(target.home)
    removal = Removal(target)
    context.mention_found()
    own = {stack.name for stack in removal.stacks}
    return removal, [
        s.name for s in stacks.standing(target) if s.name not in own and not s.name.startswith(BOOTSTRAP_STACK)
    ]


def _say_plan(context: Context, removal: Removal) -> list[str]:
    plan = removal.plan()
    head = f"This deletes {removal.names}:" if plan else f"Nothing of {removal.names} is deployed."
    for line in [
        head,
        *(f"  {line}" for line in plan),
        *(f"  stays, as its template says: {name}" for name in removal.kept),
    ]:
        context.console.print(line, markup=False, soft_wrap=True)
    return plan


def _home_plan(home: Path, contents: list[str]) -> list[str]:
    lines = []
    for name in contents:
        note = ""
        if name == "runs":
            runs = [run.name for run in (home / name).iterdir()]
            note = f" with results and reports of {len(runs)} executions: {', '.join(sorted(runs)[:5])}{' …' if len(runs) > 5 else ''}"
        lines.append(f"folder {home / name}{note}")
    return lines


def _remove_home(context: Context) -> None:
    home, removed = context.target.home, []
    for name in OWN:
        if (home.path / name).exists():
            shutil.rmtree(home.path / name)
            removed.append(name)
    (home.path / ".gitignore").unlink(missing_ok=True)
    if home.path.is_dir() and not any(home.path.iterdir()):
        home.path.rmdir()
    if removed:
        context.console.print(f"Removed from {home.path}: {', '.join(removed)}.", markup=False, soft_wrap=True)


COMMANDS = [deploy, destroy]
