"""Starts a comparison of architectures and fetches what came out of it."""

import json
import time
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console
from rich.markup import escape

from contract.names import COMPARISON_MACHINE, comparison_key
from contract.whole_file import whole_file
from darkroom import comparison_progress, executions, jobs, live, look, story, upload
from darkroom.failure import DarkroomError
from darkroom.summary import Results, failure
from darkroom.target import Target

# Field of a candidate's row, title, form, scale.
COLUMNS = (
    ("accuracy", "accuracy", "{:.1%}", 1),
    ("balanced_accuracy", "balanced", "{:.1%}", 1),
    ("second_accuracy", "second set", "{:.1%}", 1),
    ("latency_p50_ms", "p50", "{:.1f} ms", 1),
    ("disk_bytes", "on disk", "{:.1f} MB", 1e-6),
    ("training_seconds", "trained in", "{:.1f} s", 1),
)


def leaving(console: Console) -> story.Leaving:
    return story.Leaving(console, "comparison", "darkroom compare --follow")


def begin(
    target: Target,
    console: Console,
    data: str,
    second: str | None,
    document: dict[str, Any],
    left: story.Leaving,
    yes: bool = False,
) -> str:
    """Look at the input and both sets, upload them and start the comparison; its ARN, which `left` is told."""
    look.check_comparison(document)
    machine = target.parameter(COMPARISON_MACHINE)
    document = look.look(console, data, document, yes)
    if second:
        look.look(console, second, {"splits": "draw"}, yes)
    uri, short = upload.provide(target, data, console)
    document = {**document, "dataset": uri}
    if second:
        document["evaluate_on"], _ = upload.provide(target, second, console)
    started = target.client("stepfunctions").start_execution(
        stateMachineArn=machine, name=executions.new_name(f"{short}-compare"), input=json.dumps(document)
    )
    left.arn = started["executionArn"]
    console.print(f"  comparison {left.arn.rpartition(':')[2]} started", markup=False)
    return left.arn


def follow(target: Target, console: Console, arn: str) -> float:
    """Say the estimate, then follow until the end; what was estimated. Ctrl-C stops following, not the comparison."""
    plan = await_estimate(target, console, arn)
    comparison_progress.follow(target, arn, plan, console)
    return (plan or {}).get("left_seconds", 0.0)


def find(target: Target, name: str) -> str:
    """The ARN of a comparison by its name; DarkroomError where there is none of this name."""
    machine = target.parameter(COMPARISON_MACHINE)
    started = executions.listed(target, machine)
    for one in started:
        if one["name"] == name:
            return one["executionArn"]
    last = ", ".join(one["name"] for one in started[:5]) or "none"
    raise DarkroomError(f"There is no comparison {name}.", f"The last ones: {last}")


def await_estimate(target: Target, console: Console, arn: str) -> dict[str, Any] | None:
    """Wait for the plan, the first thing that a comparison writes, and say how long it will take; None if there is none."""
    name = arn.rpartition(":")[2]
    bucket, prefix = executions.folder(target, name)
    while True:
        # In this order: a comparison that ends between the two questions has written its plan before.
        over = executions.describe(target, arn)["status"] in executions.FINAL
        try:
            body = target.client("s3").get_object(Bucket=bucket, Key=f"{prefix}plan/plan.json")["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchKey", "404"):
                raise
            if over:
                return None
            time.sleep(live.LOCAL_INTERVAL if target.is_local else live.AWS_INTERVAL)
            continue
        plan = json.loads(body)
        plan["left_seconds"] = print_estimate(console, plan, _finished(target, bucket, plan))
        return plan


def _finished(target: Target, bucket: str, plan: dict[str, Any]) -> dict[str, str]:
    """What earlier comparisons have left of these candidates: `trained` or `measured`."""
    prefix, finished = f"{comparison_key(plan['key'])}/", {}
    pages = target.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        for one in page.get("Contents", []):
            name, _, file = one["Key"].removeprefix(prefix).rpartition("/")
            if file == "benchmark.json" or (file == "trained.json" and name not in finished):
                finished[name] = "measured" if file == "benchmark.json" else "trained"
    return finished


def print_estimate(console: Console, plan: dict[str, Any], finished: dict[str, str] | None = None) -> float:
    """What each candidate will take, before any of them is trained, and the sum; `finished`: what is not done again."""
    left = {one["name"]: one["estimate_seconds"] for one in plan["candidates"]}
    for one in plan["candidates"]:
        if state := (finished or {}).get(one["name"]):
            left[one["name"]] = one["benchmark_seconds"] if state == "trained" else 0
    n = sum(seconds > 0 for seconds in left.values())
    console.print(
        f"  estimate: {_duration(sum(left.values()))} for {n} candidate{'' if n == 1 else 's'}, on the machine that prepared "
        "the photos with nothing else running", markup=False, soft_wrap=True,
    )  # fmt: skip
    for name, seconds in left.items():
        state = (finished or {}).get(name)
        note = f" ({state} by an earlier comparison)" if state else ""
        console.print(f"    {_duration(seconds) if seconds else '–':>10}  {name}{note}", markup=False, soft_wrap=True)
    for candidate in plan["left_out"]:
        console.print(f"    {'–':>10}  {candidate['name']}: {candidate['reason']}", markup=False, soft_wrap=True)
    return sum(left.values())


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


GO_ON = (
    "Start it again with the same options: what is trained is not trained again, what is measured not measured again."
)


def _refused(why: str) -> bool:
    """Whether the reason names a value that is not allowed: the same options would be refused again."""
    return "; allowed: " in why or ": no such field" in why


def conclude(target: Target, console: Console, arn: str, estimated: float) -> dict[str, Any]:
    """The comparison with its files' places and how long it took; raises DarkroomError with the reason where it failed."""
    results = Results(target, arn)
    name, status = arn.rpartition(":")[2], results.described["status"]
    if status != "SUCCEEDED":
        step = results.failed_step()
        lines = jobs.last_lines(target, step, story.LAST_LOG_LINES) if step else []
        for line in lines:
            console.print(f"    {line}", markup=False, style="dim", soft_wrap=True)
        why = (failure(results.described, results.events) or {}).get("reason", "")
        raise DarkroomError(
            f"The comparison {name} {status.lower()}: {why}",
            "Correct what the reason names, and start it again." if _refused(why) else GO_ON,
        )
    folder = _fetch(target, name, results.folder / "comparison")
    comparison = json.loads((folder / "comparison.json").read_text())
    comparison["report"] = str(folder / "comparison.html")
    comparison["execution_arn"] = arn
    comparison["pipeline"] = json.loads(results.described["output"]).get("pipeline")
    comparison["seconds"], comparison["estimated_seconds"] = executions.elapsed(results.described), estimated
    return comparison


def _fetch(target: Target, name: str, folder: Path) -> Path:
    bucket, prefix = executions.folder(target, name)
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("comparison.html", "comparison.csv", "comparison.json"):
        with whole_file(folder / file) as part:
            target.client("s3").download_file(bucket, f"{prefix}comparison/{file}", str(part))
    return folder


def print_table(console: Console, comparison: dict[str, Any]) -> None:
    """One line a candidate, the most accurate first; what is missing and why; then what is recommended and why."""
    rows = comparison["candidates"]
    finished = sorted((r for r in rows if r["status"] == "finished"), key=lambda r: -(r["balanced_accuracy"] or -1))
    second = any(row["second_accuracy"] is not None for row in finished)
    columns = [c for c in COLUMNS if second or not c[0].startswith("second_")]
    if finished:
        lines = [("candidate", *(title for _, title, _, _ in columns))]
        lines += [(r["name"], *(_shown(r[key], form, scale) for key, _, form, scale in columns)) for r in finished]
        for line in _aligned(lines):
            console.print(line, markup=False, soft_wrap=True)
    if cached := [row["name"] for row in finished if row["features_from_cache"]]:
        console.print(
            f"  {', '.join(cached)}: features came from the cache, so the time lacks their computation",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    for row in rows:
        if row["status"] != "finished":
            console.print(
                f"[red]{row['status']}[/red]  {escape(row['name'])}: {escape(_one_line(row))}", soft_wrap=True
            )
    if random := [row["name"] for row in rows if not row["pretrained"]]:
        console.print(f"random weights, an architecture smoke test: {', '.join(random)}", markup=False, soft_wrap=True)
    near: dict[str, list[str]] = {}
    for row in rows:
        if row["match"] == "near":
            near.setdefault(row["note"], []).append(row["name"])
    for note, names in near.items():
        console.print(f"near-equivalent weights: {', '.join(names)} ({note})", markup=False, soft_wrap=True)
    decided = [comparison["chosen"]] if comparison.get("chosen") else []  # an image deployed earlier did not decide
    for advice in [*comparison["recommendations"], *decided]:
        chosen = advice["candidate"] or "none"
        console.print(
            f"[bold]{escape(advice['purpose'])}: {escape(chosen)}[/bold] ({escape(advice['reason'])})", soft_wrap=True
        )
    console.print(
        f"Took {_duration(comparison['seconds'])}, estimated {_duration(comparison['estimated_seconds'])}.",
        markup=False,
    )
    console.print(f"Comparison: {comparison['report']}", markup=False, soft_wrap=True)
    _say_next(console, comparison)


def _say_next(console: Console, comparison: dict[str, Any]) -> None:
    """How to go on with the candidate that the comparison has chosen, the one that `--start-pipeline` takes."""
    models = {row["name"]: row["model"] for row in comparison["candidates"]}
    if started := comparison["pipeline"]:
        name = started.rpartition(":")[2]
        console.print(f"The pipeline goes on with the winner: darkroom follow {name}", markup=False, soft_wrap=True)
    elif winner := (comparison.get("chosen") or {}).get("candidate"):
        console.print(
            f'Next: open the page, then train {winner} with everything on: the same command with --start-pipeline, or '
            f"darkroom run --data YOUR_PHOTOS --model {models[winner]}",
            markup=False, soft_wrap=True,
        )  # fmt: skip


def _aligned(lines: list[tuple[str, ...]]) -> list[str]:
    """Names to the left, numbers to the right. A name that is cut cannot be typed again: rich's tables would cut it."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    first, *rest = widths
    return [
        "  ".join(["", line[0].ljust(first), *(text.rjust(width) for text, width in zip(line[1:], rest, strict=True))])
        for line in lines
    ]


def _one_line(row: dict[str, Any]) -> str:
    return " ".join(str(row["reason"]).split()).removeprefix(f"{row['status']}: ")


def _shown(value: float | None, form: str, scale: float) -> str:
    return "–" if value is None else form.format(value * scale)
