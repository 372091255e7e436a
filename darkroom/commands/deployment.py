"""deploy and destroy: all stacks, by the real CDK CLI."""

import shutil

import click

from darkroom import local
from darkroom.cdk import BOOTSTRAP_STACK, Cdk
from darkroom.commands.shared import Context, json_option
from darkroom.failure import DarkroomError
from darkroom.home import OWN
from darkroom.removal import Removal

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask (--target aws).")


def _context_values(values: tuple[str, ...]) -> dict[str, str]:
    for value in values:
        if "=" not in value:
            raise DarkroomError(
                f"-c {value!r} is no setting.", "Write -c name=value, for example -c endpoints.gpu.enabled=true"
            )
    return dict(value.split("=", 1) for value in values)


@click.command()
@click.argument("stacks", nargs=-1)
@click.option("-c", "--context", "settings", multiple=True, help="A setting as name=value (docs/infrastructure.md).")
@yes_option
@json_option
@click.pass_obj
def deploy(context: Context, stacks: tuple[str, ...], settings: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Deploy the stacks with the CDK CLI; bootstraps the first time.

    \b
    darkroom deploy
    darkroom deploy Darkroom-Endpoints
    darkroom deploy -c approval=manual
    darkroom --target aws --profile mine deploy
    """
    context.speak_json(as_json)
    target, values = context.target, _context_values(settings)
    if target.environment != "dev":
        values.setdefault("environment", target.environment)
    if not target.is_local and not yes:
        click.confirm(f"Deploy to AWS account {target.account}, region {target.region_name}?", abort=True, err=True)
    outputs = Cdk(target, context.console).deploy(list(stacks), values)
    target.forget_parameters()
    if as_json:
        context.print_json(outputs)


@click.command()
@yes_option
@click.pass_obj
def destroy(context: Context, yes: bool) -> None:
    """Delete everything that Darkroom made: stacks, buckets with their contents, models; the local cloud's state, too.

    \b
    darkroom destroy
    darkroom --target aws --profile mine destroy
    """
    target, console = context.target, context.console
    running = not target.is_local or local.find(target.home)
    if running:
        removal = Removal(target)
        plan = removal.plan()
        console.print("This deletes:" if plan else "Nothing is deployed.")
        for line in plan:
            console.print(f"  {line}", markup=False, soft_wrap=True)
        if not target.is_local and not yes:
            place = f"AWS account {target.account}, region {target.region_name}"
            click.confirm(f"Delete all of it from {place}?", abort=True, err=True)
        if plan:
            removal.empty()
            _destroy_stacks(context, removal)
            removal.forget_models()
    if not target.is_local:
        console.print(f"Stack {BOOTSTRAP_STACK} stays: other CDK apps of the account use it.")
        return
    local.stop(target.home)
    _remove_home(context)


def _destroy_stacks(context: Context, removal: Removal) -> None:
    cdk = Cdk(context.target, context.console)
    try:
        cdk.destroy()
    except DarkroomError:
        # S3 delivers access logs late; a bucket that was empty may have got some since.
        context.console.print("  Once more, after emptying the buckets again:")
        removal.empty()
        cdk.destroy()


def _remove_home(context: Context) -> None:
    home, removed = context.target.home, []
    for name in OWN:
        if (home.path / name).exists():
            shutil.rmtree(home.path / name)
            removed.append(name)
    (home.path / ".gitignore").unlink(missing_ok=True)
    if home.path.is_dir() and not any(home.path.iterdir()):
        home.path.rmdir()
    context.console.print(f"Removed from {home.path}: {', '.join(removed) or 'nothing, it was empty'}.")


COMMANDS = [deploy, destroy]
