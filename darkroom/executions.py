"""Starts executions of the deployed state machine and asks for their state and history."""

import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from contract.execution_input import ExecutionInput
from contract.names import ARTIFACTS_BUCKET, STATE_MACHINE, execution_key
from contract.validation import did_you_mean
from darkroom.failure import DarkroomError
from darkroom.target import Target

FINAL = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


def read_input(path: Path | None) -> dict[str, Any]:
    """The execution input of `--input`: a JSON object. The pipeline's first step validates its fields."""
    if path is None:
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (OSError, UnicodeDecodeError) as error:
        raise DarkroomError(f"--input {path} cannot be read: {error}.", "Give a JSON file.") from None
    except (ValueError, RecursionError) as error:  # thousands of brackets
        raise DarkroomError(
            f"--input {path} is not valid JSON: {error}.", 'Example: {"model": "resnet18", "seed": 1}'
        ) from None
    if not isinstance(value, dict):
        raise DarkroomError(
            f"--input {path} holds {json.dumps(value)[:80]}, not an object.", 'Example: {"model": "resnet18"}'
        )
    value.pop("$schema", None)  # an editor's, which checks the file while it is written
    if "dataset" in value:
        raise DarkroomError(f"--input {path} names a dataset itself.", "Remove it: --data says where the photos are.")
    return value


def with_options(
    document: dict[str, Any],
    options: dict[str, Any],
    kind: type = ExecutionInput,
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The input with what the options of a command say: fields of its own, the others hyperparameters. `names`: of options that are not
    called like their field. Where the file of --input says something else, neither wins."""
    document = dict(document)
    own = {item.name for item in fields(kind)}
    for name, value in options.items():
        path = name if name in own else f"hyperparameters.{name}"
        place = document if name in own else document.get("hyperparameters") or {}
        if value is None or not isinstance(place, dict):  # what is not an object is refused with all other fields
            continue
        before = place.get(name)
        if before is not None and before != value and str(before) != str(value):
            option = (names or {}).get(name) or f"--{name.replace('_', '-')}"
            raise DarkroomError(
                f"{option} says {value!r}, and {path} in the file of --input says {before!r}.", "Give one of them."
            )
        document |= {name: value} if name in own else {"hyperparameters": {**place, name: value}}
    return document


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed in JSON")


def new_name(dataset: str) -> str:
    """A name for an execution that says what it was about and when."""
    return f"{dataset}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def require_name(name: str) -> None:
    """What Step Functions takes as a name, and what ends in names of objects."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name):
        raise DarkroomError(f"--name {name!r} is not an execution name.", "Use up to 80 letters, digits, - and _.")


def start(target: Target, name: str, document: dict[str, Any]) -> str:
    """Start the pipeline; the execution's ARN."""
    require_name(name)
    machine = target.parameter(STATE_MACHINE)
    try:
        started = target.client("stepfunctions").start_execution(
            stateMachineArn=machine, name=name, input=json.dumps(document)
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ExecutionAlreadyExists":
            raise DarkroomError(f"There has already been an execution {name}.", "Choose another --name.") from None
        raise
    return started["executionArn"]


def recent(target: Target, count: int) -> list[dict[str, Any]]:
    """The last executions, newest first; none before the first deploy."""
    machine = target.parameters.get(STATE_MACHINE)
    if machine is None:
        return []
    return sorted(listed(target, machine), key=lambda run: run["startDate"], reverse=True)[:count]


def listed(target: Target, machine: str) -> list[dict[str, Any]]:
    """All executions of a state machine that Step Functions still knows."""
    pages = target.client("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=machine)
    return [run for page in pages for run in page["executions"]]


def find(target: Target, execution: str | None) -> str:
    """The ARN of an execution given by name, ARN, or not at all: then the last one."""
    machine = target.parameter(STATE_MACHINE)
    if execution and execution.startswith("arn:"):
        return execution
    if execution:
        return f"{machine.replace(':stateMachine:', ':execution:')}:{execution}"
    runs = recent(target, 1)
    if not runs:
        raise DarkroomError("There has been no execution yet.", "Start one: darkroom run --data FOLDER")
    return runs[0]["executionArn"]


def describe(target: Target, arn: str) -> dict[str, Any]:
    """DescribeExecution, with a sentence where there is none."""
    try:
        return target.client("stepfunctions").describe_execution(executionArn=arn)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ExecutionDoesNotExist", "InvalidArn"):
            name, names = arn.rpartition(":")[2], [run["name"] for run in recent(target, 100)]
            hint = did_you_mean(name, names)
            known = f"The last ones: {', '.join(names[:5]) or 'none'}"
            raise DarkroomError(f"There is no execution {name}.", f"{hint} {known}".strip()) from None
        raise


def resume(target: Target, arn: str) -> None:
    """Redrive an execution: from the step that did not succeed, with the same input."""
    try:
        target.client("stepfunctions").redrive_execution(executionArn=arn)
    except ClientError as error:
        code, said = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code == "ExecutionNotRedrivable":
            name = arn.rpartition(":")[2]
            raise DarkroomError(
                f"Execution {name} cannot go on: {said}",
                f"See it: {target.say('follow')} {name}, or start a new one: {target.say('run')} --data FOLDER",
            ) from None
        describe(target, arn)  # the sentence for one that is not there
        raise


def history(target: Target, arn: str) -> list[dict[str, Any]]:
    """All events of an execution."""
    pages = target.client("stepfunctions").get_paginator("get_execution_history")
    return [event for page in pages.paginate(executionArn=arn, maxResults=1000) for event in page["events"]]


def folder(target: Target, name: str) -> tuple[str, str]:
    """Bucket and prefix of what an execution writes."""
    return target.parameter(ARTIFACTS_BUCKET), f"{execution_key(name)}/"


def elapsed(described: dict[str, Any]) -> float:
    """Seconds since an execution's start, or its length."""
    end = described.get("stopDate") or datetime.now(described["startDate"].tzinfo)
    return (end - described["startDate"]).total_seconds()
