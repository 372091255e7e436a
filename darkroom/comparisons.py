"""Starts a comparison of architectures and fetches what came out of it."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from darkroom import executions, jobs, story, upload
from darkroom.failure import DarkroomError
from darkroom.target import Target

MACHINE = "comparison-state-machine-arn"


def begin(target: Target, console: Console, data: str, second: str | None, document: dict[str, Any]) -> str:
    """Upload both sets and start the comparison; its ARN."""
    machine = target.parameter(MACHINE)
    uri, short = upload.provide(target, data, console)
    document = {**document, "dataset": uri}
    if second:
        document["evaluate_on"], _ = upload.provide(target, second, console)
    started = target.client("stepfunctions").start_execution(
        stateMachineArn=machine, name=executions.new_name(f"{short}-compare"), input=json.dumps(document)
    )
    console.print(f"  comparison {started['executionArn'].rpartition(':')[2]} started", markup=False)
    return started["executionArn"]


def conclude(target: Target, console: Console, arn: str) -> dict[str, Any]:
    """The comparison with its files' places; raises DarkroomError with the reason where it failed."""
    results = story.Results(target, arn)
    name, status = arn.rpartition(":")[2], results.described["status"]
    if status != "SUCCEEDED":
        step = results.failed_step()
        lines = jobs.last_lines(target, step, story.LAST_LOG_LINES) if step else []
        for line in lines:
            console.print(f"    {line}", markup=False, style="dim", soft_wrap=True)
        raise DarkroomError(
            f"The comparison {name} {status.lower()}: {results.described.get('cause') or results.described.get('error')}",
            "Start it again with the same options: finished candidates are not trained again.",
        )
    folder = _fetch(target, name, results.folder / "comparison")
    comparison = json.loads((folder / "comparison.json").read_text())
    comparison["report"] = str(folder / "comparison.html")
    comparison["execution_arn"] = arn
    return comparison


def _fetch(target: Target, name: str, folder: Path) -> Path:
    bucket, prefix = executions.folder(target, name)
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("comparison.html", "comparison.csv", "comparison.json"):
        part = folder / f".{file}.part"
        target.client("s3").download_file(bucket, f"{prefix}comparison/{file}", str(part))
        part.replace(folder / file)
    return folder


def print_table(console: Console, comparison: dict[str, Any]) -> None:
    """One line a candidate, the most accurate first; then what is recommended and why."""
    table = Table("candidate", "accuracy", "balanced", "p50", "on disk", "trained in", box=None, padding=(0, 2))
    rows = sorted(comparison["candidates"], key=lambda row: -(row["balanced_accuracy"] or -1))
    for row in rows:
        if row["status"] != "finished":
            table.add_row(escape(row["name"]), f"[red]failed[/red]: {escape(str(row['reason'])[:90])}")
            continue
        table.add_row(
            escape(row["name"]),
            _shown(row["accuracy"], "{:.1%}"),
            _shown(row["balanced_accuracy"], "{:.1%}"),
            _shown(row["latency_p50_ms"], "{:.1f} ms"),
            _shown(row["disk_bytes"] and row["disk_bytes"] / 1e6, "{:.1f} MB"),
            _shown(row["training_seconds"], "{:.1f} s"),
        )
    console.print(table)
    for advice in comparison["recommendations"]:
        chosen = advice["candidate"] or "none"
        console.print(
            f"[bold]{advice['purpose']}:[/bold] {escape(chosen)} ({escape(advice['reason'])})", soft_wrap=True
        )
    console.print(f"Comparison: {comparison['report']}", markup=False, soft_wrap=True)


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
