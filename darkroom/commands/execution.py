"""run, follow, report, approve, rollback: executions of the deployed pipeline."""

from pathlib import Path
from typing import Any

import click

from contract.hyperparameters import RULES
from contract.names import ENDPOINTS
from darkroom import executions, kept, live, local, stacks, story
from darkroom.commands.shared import Context, json_option, yes_option
from darkroom.failure import DarkroomError
from darkroom.summary import Results

EXIT_FAILED = 1
endpoint_option = click.option(
    "--endpoint/--no-endpoint", "endpoint", default=None,
    help="Make or update the endpoints.  [default: yes on the local cloud; on AWS, where they cost by the hour, no]",
)  # fmt: skip


def _wants_endpoint(context: Context, endpoint: bool | None, yes: bool) -> bool:
    """Asked before anything starts, because nobody may be there at the end."""
    if context.target.is_local or not endpoint:
        return context.target.is_local and endpoint is not False
    context.console.print(f"Endpoints: {story.endpoint_costs(context.target)}", markup=False, soft_wrap=True)
    context.confirm("Make them, or update those that stand, when the model is approved?", yes)
    return True


@click.command()
@click.option("--data", required=True, metavar="DIR|ZIP|MANIFEST|S3URI", help="Photos: one sub-folder per class.")
@click.option(
    "--input",
    "input_file",
    type=click.Path(path_type=Path),
    help="Execution input as JSON (docs/reference/execution-input.md).",
)
@click.option("--model", metavar="NAME", help="Architecture: efficientnet_lite0, or a torchvision or timm name.")
@click.option("--epochs", type=int, metavar="N", help="Passes over the training photos.")
@click.option("--fine-tune", metavar="MODE", help=f"Which part learns: {RULES['fine_tune'].allowed}.")
@click.option("--minutes", type=float, metavar="N", help="What the search may take.  [default: until all trials ended]")
@click.option("--name", help="Name of the execution.  [default: from the folder and the time]")
@click.option("--no-wait", is_flag=True, help="Return when the execution has started.")
@endpoint_option
@yes_option
@json_option
@click.pass_obj
def run(
    context: Context,
    data: str,
    input_file: Path | None,
    model: str | None,
    epochs: int | None,
    fine_tune: str | None,
    minutes: float | None,
    name: str | None,
    no_wait: bool,
    endpoint: bool | None,
    yes: bool,
    as_json: bool,
) -> int | None:
    """Train on a folder of photos with the deployed pipeline, and serve the model.

    \b
    darkroom run --data photos/
    darkroom run --data photos/ --model resnet18 --fine-tune last_block --epochs 10 --minutes 30
    darkroom run --data photos/ --input settings.json --name first-try
    darkroom run --data s3://bucket/photos.zip --no-wait
    \b
    photos/ant/1.jpg, photos/bee/2.jpg, … or with train/, val/ and test/ above the classes; metadata.csv (file_name and
    further columns) names groups for the bias report. settings.json: {"model": "resnet18", "tuning": {"max_jobs": 4}}
    """
    context.speak_json(as_json)
    target, console = context.target, context.console
    document = executions.read_input(input_file)
    options = {"model": model, "epochs": epochs, "fine_tune": fine_tune, "minutes": minutes}
    document = executions.with_options(document, options)
    wants = _wants_endpoint(context, endpoint, yes)
    with story.leaving(console) as left:
        arn = story.begin(target, console, data, document, name, left, yes)
        if no_wait:
            console.print(f"Follow it: darkroom follow {arn.rpartition(':')[2]}", markup=False)
            if as_json:
                context.print_json({"status": "RUNNING", "execution_arn": arn})
            return 0
        live.follow(target, arn, console)
    return _concluded(context, arn, wants, as_json)


@click.command()
@click.argument("execution", required=False)
@endpoint_option
@yes_option
@json_option
@click.pass_obj
def follow(context: Context, execution: str | None, endpoint: bool | None, yes: bool, as_json: bool) -> int:
    """Follow an execution (the last one by default) to its end, as `run` does.

    \b
    darkroom follow
    darkroom follow photos-20260101-120000-ab12
    """
    context.speak_json(as_json)
    arn = executions.find(context.target, execution)
    wants = _wants_endpoint(context, endpoint, yes)
    with story.leaving(context.console, arn):
        live.follow(context.target, arn, context.console)
    return _concluded(context, arn, wants, as_json)


@click.command()
@click.argument("execution", required=False)
@endpoint_option
@yes_option
@json_option
@click.pass_obj
def resume(context: Context, execution: str | None, endpoint: bool | None, yes: bool, as_json: bool) -> int:
    """Go on with an execution that failed or was stopped (the last one by default), and follow it to its end.

    \b
    darkroom resume
    darkroom resume photos-20260101-120000-ab12
    \b
    It goes on at the step that did not succeed, with the same input; what succeeded is kept. Step Functions calls it a redrive,
    and allows it for 14 days.
    """
    context.speak_json(as_json)
    arn = executions.find(context.target, execution)
    wants = _wants_endpoint(context, endpoint, yes)
    executions.resume(context.target, arn)
    context.console.print(f"  execution {arn.rpartition(':')[2]} goes on", markup=False)
    with story.leaving(context.console, arn):
        live.follow(context.target, arn, context.console)
    return _concluded(context, arn, wants, as_json)


def _concluded(context: Context, arn: str, endpoint: bool, as_json: bool) -> int:
    summary = story.conclude(context.target, context.console, arn, endpoint)
    if as_json:
        context.print_json(summary)
    return 0 if summary["status"] == "SUCCEEDED" else EXIT_FAILED


@click.command()
@click.argument("execution", required=False)
@json_option
@click.pass_obj
def report(context: Context, execution: str | None, as_json: bool) -> int:
    """Fetch the report of an execution (the last one by default) and say where it lies, or what failed.

    \b
    darkroom report
    darkroom report photos-20260101-120000-ab12
    \b
    Where no local cloud runs, what earlier commands have fetched into runs/ is shown.
    """
    context.speak_json(as_json)
    target, console = context.target, context.console
    if target.is_local and local.find(target.home) is None:
        path = kept.find(target, execution)
        summary = kept.read(path)
        console.print("No local cloud runs; this was fetched before:", markup=False)
        if summary["status"] != "SUCCEEDED":
            story.say_failure(console, summary)
    else:
        path, summary = _fetched(context, Results(target, executions.find(target, execution)))
    story.say_where(console, path, summary)
    if as_json:
        context.print_json({"status": summary["status"], "summary": str(path), "report": summary["report"]})
    return 0 if summary["report"] and summary["status"] in ("SUCCEEDED", "RUNNING") else EXIT_FAILED


def _fetched(context: Context, results: Results) -> tuple[Path, dict[str, Any]]:
    """The summary of an execution that is over, and its files; says why it failed."""
    summary = results.summary()
    over = summary["status"] in executions.FINAL
    if summary["report"] is None and (not over or summary["status"] == "SUCCEEDED"):
        raise DarkroomError(
            f"Execution {results.name} ({summary['status']}) has no report{'' if over else ' yet'}.",
            f"Its course: darkroom follow {results.name}",
        )
    if over and summary["status"] != "SUCCEEDED":
        story.explain_failure(context.target, context.console, results, summary)
    written = results.folder / kept.SUMMARY
    return (written if written.exists() else results.write(summary)), summary


@click.command()
@click.argument("package", required=False)
@endpoint_option
@yes_option
@click.pass_obj
def approve(context: Context, package: str | None, endpoint: bool | None, yes: bool) -> None:
    """Approve a registered model (with the setting approval=manual) and serve it.

    \b
    darkroom approve                       the newest that waits
    darkroom approve MODEL_PACKAGE_ARN
    """
    wants = _wants_endpoint(context, endpoint, yes)
    arn = story.approve(context.target, package)
    context.console.print(f"Approved {arn}", markup=False, soft_wrap=True)
    if wants:
        stacks.deploy_again(context.target, ENDPOINTS, context.console)


@click.command()
@yes_option
@click.pass_obj
def rollback(context: Context, yes: bool) -> None:
    """Serve the model that was approved before the one in service.

    \b
    darkroom rollback
    \b
    Endpoints that stand are updated; none is made. The model that was in service is marked as rejected and stays in the registry.
    """
    target = context.target
    current, previous = story.in_service(target)
    standing = [name for name in target.parameters if name.endswith("-endpoint")]
    served = f", and update {', '.join(sorted(standing))}" if standing else ""
    context.console.print(f"In service: {current}\nBefore it:  {previous}", markup=False, soft_wrap=True)
    context.confirm(f"Serve the one before{served}?", yes)
    story.roll_back(target, current, previous)
    if standing:
        stacks.deploy_again(target, ENDPOINTS, context.console)
    context.console.print(f"Approved {previous}", markup=False, soft_wrap=True)


COMMANDS = [run, follow, resume, report, approve, rollback]
