"""One run from data to an answering endpoint: upload, execution, endpoint, predictions, report, summary."""

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contract.architectures import PACKAGED
from contract.execution_input import ExecutionInput
from contract.names import APPROVED_PACKAGE, CPU_ENDPOINT, ENDPOINTS, NOTHING, PACKAGE_GROUP, STATE_MACHINE
from darkroom import costs, executions, jobs, live, look, predictions, stacks, upload
from darkroom.failure import DarkroomError
from darkroom.publishing import publish
from darkroom.summary import DATA_REPORT, Results
from darkroom.target import Target

PHOTOS_TO_PREDICT = 3
LAST_LOG_LINES = 15
# Of Clarify's twenty-odd metrics, those that say most in a line; the report has all of them.
HEADLINES = ("CI", "DPL", "DPPL", "DI", "AD")


class Leaving(AbstractContextManager["Leaving"]):
    """Ctrl-C leaves alone what runs in the cloud, and says how to follow it: as soon as `arn` is known, not only once it is followed."""

    def __init__(self, console: Console, what: str, command: str, arn: str = "") -> None:
        self.arn, self._console, self._what, self._command = arn, console, what, command

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is KeyboardInterrupt and self.arn:
            said = f"\nThe {self._what} goes on. Follow it again: {self._command} {self.arn.rpartition(':')[2]}"
            self._console.print(said, markup=False, soft_wrap=True)


def leaving(console: Console, arn: str = "") -> Leaving:
    return Leaving(console, "execution", "darkroom follow", arn)


def begin(
    target: Target,
    console: Console,
    data: str,
    document: dict[str, Any],
    name: str | None,
    left: Leaving,
    yes: bool = False,
) -> str:
    """Look at input and data, upload, start the execution; its ARN, which `left` is told."""
    if name:
        executions.require_name(name)
    execution = look.check_run(document)
    target.parameter(STATE_MACHINE)  # before the upload: a missing deploy should cost nothing
    document = look.look(console, data, document, yes)
    uri, short = upload.provide(target, data, console)
    left.arn = executions.start(target, name or executions.new_name(short), {**document, "dataset": uri})
    console.print(f"  execution {left.arn.rpartition(':')[2]} started", markup=False)
    if target.is_local and (why := needs_pytorch(execution)):
        console.print(f"  {why} {PYTORCH_HERE}", markup=False, soft_wrap=True)
    return left.arn


# What nobody pays for who does not ask for it.
PYTORCH_HERE = "If that image's packages are not here yet, its first job installs them: about 3 GB to download, 6 GB on disk, minutes."


def needs_pytorch(execution: ExecutionInput) -> str:
    """Why the execution will, or may, run jobs in the image with PyTorch; empty where it will not."""
    if execution.resolved_hyperparameters.needs_pytorch:
        return "This training runs in the image with PyTorch."
    if execution.model not in PACKAGED or not execution.pretrained:
        return f"Unless {execution.model} has been traced before, it is traced in the image with PyTorch."
    return ""


def conclude(target: Target, console: Console, arn: str, endpoint: bool) -> dict[str, Any]:
    """After the end: endpoint, predictions, report and summary, printed; summary.json is written either way."""
    results = Results(target, arn)
    summary = results.summary()
    path = results.write(summary)
    if summary["status"] != "SUCCEEDED":
        explain_failure(target, console, results, summary)
        say_where(console, path, summary)
        return summary
    if not endpoint and not target.is_local and summary["model_package_arn"]:
        again = target.say(f"follow {results.name} --endpoint")
        console.print(
            f"  No endpoint was asked for. {again} makes what the deployment has switched on:",
            markup=False,
            soft_wrap=True,
        )
        console.print(f"  {endpoint_costs(target)}", markup=False, soft_wrap=True)
    if endpoint:
        summary["endpoint"] = _serve(target, console, results, summary["model_package_arn"])
        path = results.write(summary)
    print_table(console, summary)
    say_where(console, path, summary)
    return summary


def endpoint_costs(target: Target) -> str:
    """What the endpoints of the deployed Endpoints stack cost once they stand."""
    stack_name = target.names.stack(ENDPOINTS)
    if stack_name not in [stack.name for stack in stacks.of(target, target.names)]:
        raise DarkroomError(f"The stack {stack_name} is not deployed.", f"Deploy it: {target.say('deploy')}")
    return str(costs.of_endpoints(stacks.template(target, stack_name)))


def _serve(target: Target, console: Console, results: Results, package: str | None) -> dict[str, Any] | None:
    target.forget_parameters()
    approved = target.parameters.get(APPROVED_PACKAGE, NOTHING)
    if package is None or approved != package:
        said = f"  The model is registered but not approved: {target.say('approve')} {package or ''}"
        console.print(said, markup=False, soft_wrap=True)
        return None
    if CPU_ENDPOINT not in target.parameters or not _serves(target, package):
        stacks.deploy_again(target, ENDPOINTS, console)
        target.forget_parameters()
    if CPU_ENDPOINT not in target.parameters:
        console.print("  The CPU endpoint is switched off (endpoints.cpu.enabled); no prediction was made.")
        return None
    name = target.parameter(CPU_ENDPOINT)
    predictions.wait_in_service(target, name)
    answers = [
        predictions.predict(target, name, path).short() | {"file": called, "copy": str(path)}
        for path, called in results.test_photos(PHOTOS_TO_PREDICT)
    ]
    return {"name": name, "predictions": answers}


def _serves(target: Target, package: str) -> bool:
    """Whether the CPU endpoint already runs this package."""
    client = target.client("sagemaker")
    endpoint = client.describe_endpoint(EndpointName=target.parameter(CPU_ENDPOINT))
    config = client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    model = client.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    return model["PrimaryContainer"].get("ModelPackageName") == package


def explain_failure(target: Target, console: Console, results: Results, summary: dict[str, Any]) -> None:
    """The state, the reason, the job's own reason, the log, the fix and the last lines."""
    step, more = results.failed_step(), {}
    if step and step.job:
        job = jobs.look(target, step)
        more["Job"] = step.job
        if job and job.failure and job.failure not in (summary["error"] or {}).get("reason", ""):
            more["Job's reason"] = job.failure
    say_failure(console, summary, more)
    if results.resumable:
        again = f"{target.say('resume')} {results.name}"
        console.print(
            f"  [bold]Go on:[/bold] {escape(again)} keeps what succeeded, with the same input", soft_wrap=True
        )
    lines = jobs.last_lines(target, step, LAST_LOG_LINES) if step else []
    if step and lines:
        console.print(
            f"  The last lines of its log (all of it: darkroom logs {step.job}):", markup=False, soft_wrap=True
        )
        for line in lines:
            console.print(f"    {line}", markup=False, style="dim", soft_wrap=True)


def say_failure(console: Console, summary: dict[str, Any], more: dict[str, str] | None = None) -> None:
    """What summary.json knows of a failure; `more`: what only the cloud can tell."""
    error = summary["error"] or {}
    failed = [step["name"] for step in summary["steps"] if step["status"] not in ("Succeeded", "Running")]
    console.print(
        f"[red]The execution {summary['status'].lower()}[/red]: {escape(error.get('name', ''))}", soft_wrap=True
    )
    rows = {"State": failed[-1] if failed else "", "Reason": error.get("reason", ""), **(more or {})}
    rows |= {"Log": error.get("log", ""), "What to do": error.get("fix", "")}
    for title, text in rows.items():
        if text:
            console.print(f"  [bold]{title}:[/bold] {escape(text)}", soft_wrap=True)


def print_table(console: Console, summary: dict[str, Any]) -> None:
    """The short table at the end."""
    table = Table(box=None, show_header=False, padding=(0, 2))
    for title, text in _rows(summary):
        table.add_row(title, escape(text))
    console.print(table)


def _rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("Warning", text) for text in summary["warnings"]]
    if tuning := summary["tuning"]:
        objective = tuning["best_objective"]
        shown = "" if objective is None else f", best objective {objective:.4f}"
        rows.append(("Trials", f"{tuning['trials']}{shown}"))
        rows.append(
            (
                "Best hyperparameters",
                "  ".join(f"{k}={live.short(v)}" for k, v in tuning["best_hyperparameters"].items()),
            )
        )
    if test := summary["test"]:
        for name in ("accuracy", "balanced_accuracy"):
            if test[name] is not None:
                rows.append(
                    (
                        f"Test {name.replace('_', ' ')}",
                        f"{test[name]:.4f}" + (f" ({test['n']} photos)" if test["n"] else ""),
                    )
                )
    for facet, groups in (summary["bias"] or {}).items():
        for group, metrics in groups.items():
            values = "  ".join(
                f"{name} {value:.3f}" for name, value in metrics.items() if isinstance(value, int | float)
            )
            rows.append((f"Bias {facet}={group}", values))
    for answer in (summary["endpoint"] or {}).get("predictions", []):
        rows.append(("Prediction", f"{answer['file']}: {answer['label']} ({answer['probability']:.3f})"))
    if summary["endpoint"]:
        rows.append(("Endpoint", summary["endpoint"]["name"]))
    if summary["target_model"]:
        rows.append(("Target model", f"{summary['target_model']} (on the multi-model endpoint)"))
    rows += [(step["name"], f"{step['seconds']:.1f} s") for step in summary["steps"] if step["seconds"] >= 0.5]
    total, idle = summary["seconds"], summary["orchestration_seconds"]
    rows.append(("Whole execution", f"{total:.1f} s, of which no job ran for {idle:.1f} s"))
    return rows


def say_where(console: Console, path: Path, summary: dict[str, Any]) -> None:
    """The lines that everything ends with. Where there is no report, the page about the photos may be there all the same."""
    console.print(f"Summary: {path}", markup=False, soft_wrap=True)
    data_report = path.parent / "report" / DATA_REPORT
    if not summary["report"] and data_report.is_file():
        console.print(f"Data report: {data_report}", markup=False, soft_wrap=True)
    if summary["report"]:
        console.print(f"Report: {summary['report']}", markup=False, soft_wrap=True)


def approve(target: Target, package: str | None) -> str:
    """Approve a registered model (the newest pending one by default) and publish it as the state machine would."""
    client = target.client("sagemaker")
    group = target.parameter(PACKAGE_GROUP)
    if package is None:
        waiting = _packages(client, group, ModelApprovalStatus="PendingManualApproval")
        if not waiting:
            raise DarkroomError(
                f"No model of group {group} waits for approval.", f"{target.say('status')} shows the approved one."
            )
        package = waiting[0]
    elif package not in (known := _packages(client, group)):
        raise DarkroomError(
            f"{package!r} is not a model package of the group {group}.",
            f"Its packages, newest first: {', '.join(known[:5]) or 'none'}.",
        )
    said = client.describe_model_package(ModelPackageName=package)
    _judge(client, package, "Approved", "darkroom approve")
    _publish_again(target, package, said)
    return package


def in_service(target: Target) -> tuple[str, str]:
    """The approved model, and the one that was approved before it: the newest older version that is approved."""
    client, group = target.client("sagemaker"), target.parameter("model-package-group")
    current = target.parameters.get(APPROVED_PACKAGE, NOTHING)
    if current == NOTHING:
        raise DarkroomError(f"No model of group {group} is approved.", f"Train one: {target.say('run --data FOLDER')}.")
    approved = _packages(client, group, ModelApprovalStatus="Approved")
    older = [one for one in approved if _version(one) < _version(current)]
    if not older:
        raise DarkroomError(
            f"{current} is the first model of group {group} that was approved: there is none to go back to.",
            f"{target.say('destroy')} removes endpoints and all else; an older version can be approved: {target.say('approve')} ARN.",
        )
    return current, max(older, key=_version)


def roll_back(target: Target, current: str, previous: str) -> None:
    """Serve the previous model; the current one is rejected, so that it is not gone back to, and stays in the registry."""
    client = target.client("sagemaker")
    # First: after a failure the same command goes back to the same model, not to the one before that.
    _judge(client, current, "Rejected", "darkroom rollback")
    _publish_again(target, previous, client.describe_model_package(ModelPackageName=previous))


def _judge(client: Any, package: str, status: str, by: str) -> None:
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    client.update_model_package(
        ModelPackageArn=package, ModelApprovalStatus=status, ApprovalDescription=f"{by}, {moment}"
    )


def _publish_again(target: Target, package: str, said: dict[str, Any]) -> None:
    """Publish what a registered model's description says, as its execution did."""
    data = said["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    execution = said["CustomerMetadataProperties"]["execution"]
    name = _name_of(target, said) or Results(target, execution).outcome()["plan"]["name"]
    publish(target, package, data, name, execution.rpartition(":")[2])


def _name_of(target: Target, said: dict[str, Any]) -> str | None:
    """The name under which it was published, for ever written in its description: what the execution wrote expires."""
    execution = said["CustomerMetadataProperties"]["execution"].rpartition(":")[2]
    name, separator, _ = said.get("ModelPackageDescription", "").partition(f", trained by execution {execution}")
    return name if separator else None


def _version(package: str) -> int:
    return int(package.rpartition("/")[2])


def _packages(client: Any, group: str, **filters: str) -> list[str]:
    """ARNs of a group's packages, the newest first."""
    pages = client.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, SortBy="CreationTime", SortOrder="Descending", **filters
    )
    return [item["ModelPackageArn"] for page in pages for item in page["ModelPackageSummaryList"]]
