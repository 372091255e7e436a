"""compare: which architecture for these photos; jumpstart-request: how AWS's own image would train one."""

from pathlib import Path
from typing import Any

import click

from contract.comparison_input import ComparisonInput
from darkroom import comparisons, executions
from darkroom.commands.shared import Context, json_option
from darkroom.failure import DarkroomError

# Of fields that their option does not name.
OPTIONS = {"budget_minutes": "--budget", "weights": "--weigh", "pretrained": "--random-weights"}


@click.command()
@click.option("--data", metavar="DIR|ZIP|S3URI", help="Photos: one sub-folder per class.")
@click.option("--evaluate-on", metavar="DIR|ZIP|S3URI", help="A second labelled set to judge every model on again.")
@click.option(
    "--models",
    help="Presets (jumpstart-15, keras-4, edge, offline) and names, with commas; random:NAME starts from random weights."
    "  [default: offline]",
)
@click.option("--base", help="Candidate that the charts are relative to.  [default: the first]")
@click.option("--epochs", type=int, help="Epochs of every candidate.  [default: 5]")
@click.option("--learning-rate", type=float, help="Learning rate of every candidate.  [default: 0.001]")
@click.option("--batch-size", type=int, help="Batch size of every candidate.  [default: 16]")
@click.option("--fine-tune", type=click.Choice(["head", "last_block", "all"]), help="What learns.  [default: head]")
@click.option("--tune", type=int, help="Trials of a short search for each candidate, instead of one learning rate.")
@click.option(
    "--budget",
    "budget_minutes",
    type=float,
    metavar="MINUTES",
    help="Leave out candidates whose estimate does not fit.",
)
@click.option("--concurrency", type=int, help="Candidates trained at a time.  [default: 1]")
@click.option("--random-weights", is_flag=True, help="Start from random weights: a smoke test, labelled as such.")
@click.option("--minimum", type=float, help="Wished balanced accuracy, for the cheapest that is good enough.")
@click.option("--weigh", multiple=True, metavar="COLUMN=WEIGHT", help="Your own weights, e.g. balanced_accuracy=2.")
@click.option("--start-pipeline", is_flag=True, help="Run the whole pipeline with the candidate to take.")
@click.option(
    "--input", "input_file", type=click.Path(path_type=Path), help="More fields as JSON (docs/comparison.md)."
)
@click.option("-y", "--yes", is_flag=True, help="Accept what the look at the photos leaves out or is not sure about.")
@click.option("--follow", "followed", metavar="NAME", help="Start nothing: follow this comparison to its end.")
@json_option
@click.pass_obj
def compare(
    context: Context, /, data: str | None, followed: str | None, evaluate_on: str | None, weigh: tuple[str, ...],
    input_file: Path | None, random_weights: bool, start_pipeline: bool, yes: bool, as_json: bool, **fields: Any,
) -> None:  # fmt: skip
    """Train several architectures on the same photos and say which to take.

    \b
    darkroom compare --data photos/ --models offline
    darkroom compare --data photos/ --models resnet18,efficientnet_b0 --evaluate-on other-photos/
    darkroom compare --data photos/ --models edge --weigh balanced_accuracy=2 --weigh disk_bytes=1
    darkroom compare --data photos/ --models jumpstart-15 --budget 60 --tune 6
    \b
    The page shows accuracy with intervals, latency as served, size and cost, and says when two models cannot be told
    apart on these photos. A second start with the same options repeats nothing that is finished.
    """
    context.speak_json(as_json)
    if bool(data) == bool(followed):
        raise DarkroomError(
            "compare needs either --data or --follow.", "Example: darkroom compare --data photos/ --models offline"
        )
    document = executions.read_input(input_file)
    options = {
        **fields,
        "weights": dict(_weight(one) for one in weigh) or None,
        "pretrained": False if random_weights else None,
        "start_pipeline": True if start_pipeline else None,
    }
    document = executions.with_options(document, options, ComparisonInput, OPTIONS)
    target, console = context.target, context.console
    with comparisons.leaving(console) as left:
        if data:
            arn = comparisons.begin(target, console, data, evaluate_on, document, left, yes)
        elif followed:
            arn = left.arn = comparisons.find(target, followed)
        estimated = comparisons.follow(target, console, arn)
    comparison = comparisons.conclude(target, console, arn, estimated)
    comparisons.print_table(console, comparison)
    if as_json:
        context.print_json(comparison)


def _weight(text: str) -> tuple[str, float]:
    column, _, value = text.partition("=")
    try:
        return column, float(value)
    except ValueError:
        raise DarkroomError(
            f"--weigh {text!r} is not of the form COLUMN=WEIGHT.", "Example: --weigh balanced_accuracy=2"
        ) from None


@click.command()
@click.argument("model_id")
@click.option("--data", required=True, metavar="S3URI", help="S3 prefix with one folder per class.")
@click.option("--role", required=True, metavar="ARN", help="Role of the training job.")
@click.option("--output", required=True, metavar="S3URI", help="Where the model goes.")
@click.option("--jumpstart-region", "region", default="us-east-1", show_default=True, help="Region of the job.")
@click.option("--instance-type", default="ml.g4dn.xlarge", show_default=True)
@click.option("--epochs", type=int, default=5, show_default=True)
@click.option("--learning-rate", type=float, default=0.001, show_default=True)
@click.option("--batch-size", type=int, default=16, show_default=True)
@click.option("--script-version", default="1.0.0", show_default=True, help="Version of JumpStart's training script.")
@click.pass_obj
def jumpstart_request(context: Context, /, model_id: str, data: str, **options: Any) -> None:
    """Print the request that trains a JumpStart image classifier on AWS. It has never been run by Darkroom.

    \b
    darkroom jumpstart-request pytorch-ic-resnet18 --data s3://bucket/photos/ --role ARN --output s3://bucket/out/ \\
      > request.json && aws sagemaker create-training-job --cli-input-json file://request.json
    """
    from darkroom import jumpstart

    context.print_json(jumpstart.training_request(model_id, dataset=data, **options))


COMMANDS = [compare, jumpstart_request]
