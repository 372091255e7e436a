"""estimate: what a run would take on AWS, before anything is started."""

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from contract.names import STATE_MACHINE
from darkroom import estimate as estimates
from darkroom import executions, look
from darkroom.commands.shared import Context, json_option
from darkroom.failure import DarkroomError


@click.command()
@click.option("--photos", type=click.IntRange(1), required=True, metavar="N", help="How many photos the set has.")
@click.option("--input", "input_file", type=click.Path(path_type=Path), help="Execution input as JSON, as for run.")
@click.option(
    "--table", type=click.Path(path_type=Path), help="Your own prices and minutes as JSON, over the shipped ones."
)
@json_option
@click.pass_obj
def estimate(context: Context, photos: int, input_file: Path | None, table: Path | None, as_json: bool) -> int:
    """Minutes, dollars and quotas of each step of a run on AWS.

    \b
    darkroom estimate --photos 2600
    darkroom estimate --photos 2600 --input settings.json --table our-prices.json
    darkroom estimate --photos 2600 --target aws
    \b
    From the state machine that is deployed and dated tables of prices and minutes; nothing was measured on AWS. With --target aws
    the account's quotas are asked for, too: one that is too small for the run is named with the command that requests more.
    """
    context.speak_json(as_json)
    target = context.target
    execution = look.check_run(executions.read_input(input_file))
    tables = estimates.Tables.read(table)
    machine = target.client("stepfunctions").describe_state_machine(stateMachineArn=target.parameter(STATE_MACHINE))
    steps = estimates.steps(json.loads(machine["definition"]), execution, photos, tables)
    needed = estimates.quotas(steps)
    short = [] if target.is_local else _short(context, needed)
    if as_json:
        context.print_json(_document(steps, needed, tables))
    else:
        _print(context, steps, needed, tables)
    for name, count, granted, code in short:
        context.console.print(
            f"Too small: {name} is {granted:g}, this run needs {count}. Request it: aws service-quotas "
            f"request-service-quota-increase --service-code sagemaker --quota-code {code} --desired-value {count}",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    return 1 if short else 0


def _short(context: Context, needed: dict[str, int]) -> list[tuple[str, int, float, str]]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        pages = (
            context.target.client("service-quotas")
            .get_paginator("list_service_quotas")
            .paginate(ServiceCode="sagemaker")
        )
        granted = {one["QuotaName"]: (one["Value"], one["QuotaCode"]) for page in pages for one in page["Quotas"]}
    except (BotoCoreError, ClientError) as error:
        context.console.print(f"The account's quotas could not be asked for: {error}", markup=False, soft_wrap=True)
        return []
    return estimates.lacking(needed, granted)


def _document(steps: list[estimates.Step], needed: dict[str, int], tables: estimates.Tables) -> dict[str, Any]:
    priced = [step.dollars(tables) for step in steps]
    return {
        "steps": [
            {"step": step.name, "machine": step.machine, "jobs": step.jobs, "at_once": step.at_once,
             "minutes": round(step.minutes, 1), "machine_minutes": round(step.machine_minutes, 1), "dollars": dollars}
            for step, dollars in zip(steps, priced, strict=True)
        ],
        "minutes": round(sum(step.minutes for step in steps), 1),
        "dollars": None if None in priced else round(sum(one or 0 for one in priced), 2),
        "quotas": needed,
        "tables": tables.told,
    }  # fmt: skip


def _print(context: Context, steps: list[estimates.Step], needed: dict[str, int], tables: estimates.Tables) -> None:
    shown = Table(box=None, padding=(0, 2))
    for column in ("step", "machine", "jobs", "minutes", "dollars"):
        shown.add_column(column, justify="left" if column in ("step", "machine") else "right")
    for step in steps:
        dollars = step.dollars(tables)
        price = "unknown" if dollars is None else f"{dollars:.3f}"
        shown.add_row(step.name, step.machine, str(step.jobs), f"{step.minutes:.1f}", price)
    document = _document(steps, needed, tables)
    total = "unknown, a machine has no price" if document["dollars"] is None else f"{document['dollars']:.2f}"
    shown.add_row("All of it", "", str(sum(step.jobs for step in steps)), f"{document['minutes']:.1f}", total)
    context.console.print(shown)
    context.console.print(f"Tables: {tables.told}.", markup=False, soft_wrap=True)
    context.console.print("Quotas (Service Quotas, SageMaker), at least:", markup=False)
    for name, count in sorted(needed.items()):
        context.console.print(f"  {count} × {name}", markup=False)
    if not steps:
        raise DarkroomError(
            "The deployed state machine starts no job.", f"Deploy again: {context.target.say('deploy')}"
        )


COMMANDS = [estimate]
