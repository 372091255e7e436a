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
@click.pass_obj
def add(context: Context, name: str, file: Path | None) -> None:
    """Put the weights of an architecture into the store, from the hub or from a file.

    \b
    darkroom weights add resnet18                       as published, fetched by a job
    darkroom weights add squeezenet1_1 my-weights.pth   from a file
    """
    place = store.add_file(context.target, name, file) if file else store.fetch(context.target, name, context.console)
    context.console.print(f"Stored: {place}", markup=False, soft_wrap=True)


@weights.command("list")
@json_option
@click.pass_obj
def show(context: Context, as_json: bool) -> None:
    """What is in the store. EfficientNet-Lite0 needs no entry: its weights are in the training image."""
    found = store.stored(context.target)
    if as_json:
        context.print_json(found)
        return
    table = Table("name", "size", "source", box=None, padding=(0, 2))
    for one in found:
        table.add_row(one["name"], f"{one['bytes'] / 1e6:.1f} MB", one["source"])
    context.console.print(table if found else "The weight store is empty: darkroom weights add NAME")


COMMANDS = [weights]
