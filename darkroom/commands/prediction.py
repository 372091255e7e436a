"""predict: ask an endpoint about photos."""

from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from darkroom import predictions
from darkroom.commands.shared import Context, json_option
from darkroom.failure import DarkroomError
from darkroom.publishing import find_target_model


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--endpoint", help="Name of the endpoint.  [default: the deployment's CPU endpoint]")
@click.option(
    "--target-model", help="Model of the multi-model endpoint: NAME (the newest), or NAME/EXECUTION/model.tar.gz."
)
@json_option
@click.pass_obj
def predict(
    context: Context, images: tuple[Path, ...], endpoint: str | None, target_model: str | None, as_json: bool
) -> int:
    """Ask an endpoint what is on the photos.

    \b
    darkroom predict photos/ant/1.jpg photos/bee/2.jpg
    darkroom predict cat.jpg --target-model pets
    """
    context.speak_json(as_json)
    target = context.target
    name = endpoint or target.parameter("multi-model-endpoint" if target_model else "cpu-endpoint")
    model = find_target_model(target, target_model) if target_model else None
    answers, failed = [], []
    for path in images:
        try:
            answers.append(predictions.predict(target, name, path, model))
        except DarkroomError as error:
            failed.append({"file": str(path), "error": str(error)})
            context.console.print(f"[red]{escape(str(error))}[/red]", soft_wrap=True)
    if as_json:
        context.print_json({"endpoint": name, "predictions": [answer.full() for answer in answers], "failed": failed})
    else:
        table = Table("photo", "label", "probability", box=None, header_style="dim")
        for answer in answers:
            table.add_row(escape(answer.file), escape(answer.label), f"{answer.probability:.4f}")
        if answers:
            context.console.print(table)
    return 1 if failed else 0


COMMANDS = [predict]
