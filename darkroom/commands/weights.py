"""weights add, weights list: pretrained weights for trainings that reach no hub."""

from pathlib import Path

import click
from rich.table import Table

from darkroom import weights as store
from darkroom.commands.shared import Context, json_option


@click.group()
def weights() -> None:
    """Pretrained weights that trainings read from S3, because a private subnet reaches no hub."""


@weights.command("add")
@click.argument("name")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--no-check", is_flag=True, help="Store FILE without the job that loads it into the architecture.")
@click.pass_obj
def add(context: Context, name: str, file: Path | None, no_check: bool) -> None:
    """Put the weights of an architecture into the store, from the hub or from a file.

    \b
    darkroom weights add resnet18                       as published, fetched by a job
    darkroom weights add squeezenet1_1 my-weights.pth   from a file

    A file is looked at before it is uploaded, and stored when a job (seconds here, minutes on AWS) has loaded it into the
    architecture: whether names and shapes fit is not known before. With --no-check the first run finds out.
    """
    target, console = context.target, context.console
    store.require_known(name)
    before = store.record(target, name)
    place = store.add_file(target, name, file, console, not no_check) if file else store.fetch(target, name, console)
    context.console.print(f"Stored: {place}", markup=False, soft_wrap=True)
    if said := store.replaced(before, store.record(target, name)):
        context.console.print(said, markup=False, soft_wrap=True)


@weights.command("list")
@json_option
@click.pass_obj
def show(context: Context, as_json: bool) -> None:
    """What is in the store. EfficientNet-Lite0 needs no entry: its weights are in the training image."""
    weights = store.stored(context.target)
    if as_json:
        context.print_json(weights)
        return
    table = Table("name", "size", "source", box=None, padding=(0, 2))
    for one in weights:
        table.add_row(one["name"], f"{one['bytes'] / 1e6:.1f} MB", one["source"])
    context.console.print(table if weights else "The weight store is empty: darkroom weights add NAME")


COMMANDS = [weights]
