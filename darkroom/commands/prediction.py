"""predict: ask an endpoint about photos."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from contract import sheet
from contract.names import CPU_ENDPOINT, MULTI_MODEL_ENDPOINT
from darkroom import predictions
from darkroom.commands.shared import Context, json_option
from darkroom.failure import DarkroomError
from darkroom.publishing import find_target_model


@click.command()
@click.argument("images", nargs=-1, required=True)
@click.option("--endpoint", help="Name of the endpoint.  [default: the deployment's CPU endpoint]")
@click.option(
    "--target-model", help="Model of the multi-model endpoint: NAME (the newest), or NAME/EXECUTION/model.tar.gz."
)
@click.option(
    "--top", type=click.IntRange(1), default=1, show_default=True, help="How many classes to show for a photo."
)
@click.option("--csv", "as_csv", is_flag=True, help="A table for other programs, with the probability of each class.")
@json_option
@click.pass_obj
def predict(
    context: Context, images: tuple[str, ...], endpoint: str | None, target_model: str | None, top: int, as_csv: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Ask an endpoint what is on the photos: files, folders, or patterns.

    \b
    darkroom predict photos/ant/1.jpg photos/bee/2.jpg
    darkroom predict photos/ --top 3
    darkroom predict 'photos/**/*.png' --csv > answers.csv
    darkroom predict cat.jpg --target-model pets
    \b
    A model knows only its own classes: a photo of something else gets one of them, too, often with a high probability.
    """
    if as_csv and as_json:
        raise DarkroomError("--csv and --json are two forms of the same answer.", "Choose one.")
    context.speak_json(as_json or as_csv)
    paths = predictions.photos_in(images, lambda line: context.console.print(line, markup=False, soft_wrap=True))
    target = context.target
    name = endpoint or target.parameter(MULTI_MODEL_ENDPOINT if target_model else CPU_ENDPOINT)
    model = find_target_model(target, target_model) if target_model else None
    answers: list[predictions.Prediction | Refused] = []
    for path in paths:
        try:
            answers.append(predictions.predict(target, name, path, model))
        except predictions.NotThere:
            raise
        except DarkroomError as error:
            answers.append(Refused(str(path), str(error).removeprefix(f"{path}: "), error.advice))
    good = [one for one in answers if isinstance(one, predictions.Prediction)]
    refused = [one for one in answers if isinstance(one, Refused)]
    if as_json:
        failed = [{"file": one.file, "error": one.reason} for one in refused]
        context.print_json({"endpoint": name, "predictions": [answer.full() for answer in good], "failed": failed})
    elif as_csv:
        _write_csv(answers)
    else:
        _show(context, answers, top)
        for advice in dict.fromkeys(one.advice for one in refused if one.advice):
            context.console.print(advice, markup=False, soft_wrap=True)
    return 1 if refused else 0


@dataclass(frozen=True)
class Refused:
    """A photo without an answer, and why."""

    file: str
    reason: str
    advice: str


def _show(context: Context, answers: Sequence[predictions.Prediction | Refused], top: int) -> None:
    table = Table("photo", "label", "probability", box=None, header_style="dim")
    for answer in answers:
        if isinstance(answer, Refused):
            table.add_row(escape(answer.file), f"[red]{escape(answer.reason)}[/red]", "")
            continue
        for place, (label, probability) in enumerate(answer.top(top)):
            table.add_row("" if place else escape(answer.file), escape(label), f"{probability:.4f}")
    context.console.print(table, soft_wrap=True)


def _write_csv(answers: Sequence[predictions.Prediction | Refused]) -> None:
    classes = list(
        dict.fromkeys(
            label for one in answers if isinstance(one, predictions.Prediction) for label in one.probabilities
        )
    )
    header = ["file", "label", "probability", "error", *(f"probability:{label}" for label in classes)]
    rows: list[list[Any]] = []
    for one in answers:
        if isinstance(one, Refused):
            rows.append([one.file, "", "", one.reason, *[""] * len(classes)])
        else:
            rows.append(
                [one.file, one.label, one.probability, "", *(one.probabilities.get(label, "") for label in classes)]
            )
    sheet.write_rows(sys.stdout, [header, *rows])


COMMANDS = [predict]
