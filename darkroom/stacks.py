"""The stacks that stand, asked of CloudFormation: what a command works on is never what was synthesized last.

A stack is ours when its name is one that contract/names.py makes and its tags say the same project and environment (a stack of
an earlier version has no tags; its description then says whose it is). Deleted are exactly the stacks of one deployment;
what is deployed again keeps the template, and so the settings, that CloudFormation has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from botocore.exceptions import ClientError, WaiterError
from rich.console import Console

from contract.names import DESCRIPTION, ENVIRONMENT_TAG, PROJECT_TAG, Names
from darkroom.failure import DarkroomError

if TYPE_CHECKING:
    from darkroom.target import Target

LOCAL_SECONDS, AWS_SECONDS = 0.5, 5
LONGEST_HOURS = 2  # An endpoint may take half an hour; a bucket that cannot be deleted fails at once.


@dataclass(frozen=True)
class Stack:
    """One stack; `names` is None for a stack of somebody else."""

    name: str
    id: str
    status: str
    names: Names | None

    @property
    def part(self) -> str:
        return self.name.rpartition("-")[2]


def standing(target: Target) -> list[Stack]:
    """All stacks of the account and region."""
    pages = target.client("cloudformation").get_paginator("describe_stacks").paginate()
    return [
        Stack(said["StackName"], said["StackId"], said["StackStatus"], _names(said))
        for page in pages
        for said in page["Stacks"]
        if said["StackStatus"] != "DELETE_COMPLETE"
    ]


def _names(said: dict[str, Any]) -> Names | None:
    names = Names.of_stack(said["StackName"])
    if names is None:
        return None
    tags = {tag["Key"]: tag["Value"] for tag in said.get("Tags", [])}
    owner = {key: tags[key] for key in (PROJECT_TAG, ENVIRONMENT_TAG) if key in tags}
    ours = owner == names.tags if owner else said.get("Description", "").startswith(DESCRIPTION)
    return names if ours else None


def deployments(stacks: Iterable[Stack]) -> list[Names]:
    """Whose stacks they are, each once."""
    return list(dict.fromkeys(stack.names for stack in stacks if stack.names))


def of(target: Target, names: Names) -> list[Stack]:
    """The stacks of one deployment in the order of deployment."""
    by_name = {stack.name: stack for stack in standing(target) if stack.names == names}
    return [by_name[name] for name in names.stacks if name in by_name]


def template(target: Target, stack: str) -> dict[str, Any]:
    """The template as CloudFormation has it."""
    body = target.client("cloudformation").get_template(StackName=stack, TemplateStage="Original")["TemplateBody"]
    return yaml.safe_load(body) if isinstance(body, str) else body


def resources(target: Target, stack: str) -> list[dict[str, Any]]:
    pages = target.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return [item for page in pages for item in page["StackResourceSummaries"]]


def delete(target: Target, stacks: list[Stack], console: Console) -> None:
    """Delete these stacks, the last deployed first. DarkroomError with CloudFormation's reason where one stays."""
    client = target.client("cloudformation")
    for stack in reversed(stacks):
        with console.status(f"deleting {stack.name}"):
            try:
                client.delete_stack(StackName=stack.name)
            except ClientError as error:
                raise DarkroomError(f"{stack.name} stays: {error.response['Error']['Message']}") from None
            _wait(target, "stack_delete_complete", stack)
        console.print(f"  deleted  {stack.name}", markup=False)


def deploy_again(target: Target, part: str, console: Console) -> None:
    """Update a stack with its own template: CloudFormation reads the SSM parameters it is made from again, nothing else changes.

    From now on the Endpoints stack serves what is approved (infra/endpoints.py); CloudFormation remembers it.
    """
    standing_stack = next((stack for stack in of(target, target.names) if stack.part == part), None)
    if standing_stack is None:
        raise DarkroomError(
            f"The stack {target.names.stack(part)} is not deployed.", f"Deploy it: {target.say('deploy')}"
        )
    client = target.client("cloudformation")
    said = client.describe_stacks(StackName=standing_stack.id)["Stacks"][0]
    served = target.names.served
    parameters = [
        {"ParameterKey": key, "ParameterValue": served[key]}
        if key in served
        else {"ParameterKey": key, "UsePreviousValue": True}
        for key in (one["ParameterKey"] for one in said.get("Parameters", []))
    ]
    with console.status(f"updating {standing_stack.name}"):
        try:
            client.update_stack(StackName=standing_stack.name, UsePreviousTemplate=True, Parameters=parameters)
        except ClientError as error:
            reason = error.response["Error"]["Message"]
            if "No updates" in reason:
                return
            raise DarkroomError(
                f"{standing_stack.name} cannot be updated: {reason}", f"Its state: {target.say('status')}"
            ) from None
        _wait(target, "stack_update_complete", standing_stack)
    console.print(f"  updated  {standing_stack.name}", markup=False)


def _wait(target: Target, waiter: str, stack: Stack) -> None:
    delay = LOCAL_SECONDS if target.is_local else AWS_SECONDS
    tries = {"Delay": delay, "MaxAttempts": int(LONGEST_HOURS * 3600 / delay)}
    try:
        target.client("cloudformation").get_waiter(waiter).wait(StackName=stack.id, WaiterConfig=tries)
    except WaiterError:
        raise DarkroomError(
            f"{stack.name} did not get that far: {_why(target, stack)}",
            "Mend that, then give the same command again: what is done is not done twice.",
        ) from None


def _why(target: Target, stack: Stack) -> str:
    """The first failure of the last operation. Events come the newest first."""
    pages = target.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack.id)
    reason = "CloudFormation gave no reason"
    for event in (event for page in pages for event in page["StackEvents"]):
        if event["PhysicalResourceId"] == stack.id and event["ResourceStatus"].endswith("_IN_PROGRESS"):
            if "User Initiated" in event.get("ResourceStatusReason", ""):
                break
        elif event["ResourceStatus"].endswith("_FAILED"):
            reason = f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', event['ResourceStatus'])}"
    return reason
